/**
 * All system calls of files, directories, pipes and terminals, by name.
 */
import type { SyscallMap } from '../syscall.ts';
import { dirSyscalls } from './dir.ts';
import { dirEntrySyscalls } from './dir-entries.ts';
import { fileControlSyscalls } from './file-control.ts';
import { fileCopySyscalls } from './file-copy.ts';
import { fileIoSyscalls } from './file-io.ts';
import { fileOpenSyscalls } from './file-open.ts';
import { ioctlSyscalls } from './ioctl.ts';
import { pipeSyscalls } from './pipe.ts';
import { pollSyscalls } from './poll.ts';
import { statSyscalls } from './stat.ts';
import { statChangeSyscalls } from './stat-change.ts';

export const fileSyscalls = {
  ...fileOpenSyscalls,
  ...fileIoSyscalls,
  ...fileControlSyscalls,
  ...fileCopySyscalls,
  ...dirSyscalls,
  ...dirEntrySyscalls,
  ...statSyscalls,
  ...statChangeSyscalls,
  ...pipeSyscalls,
  ...pollSyscalls,
  ...ioctlSyscalls,
} satisfies SyscallMap;
