/**
 * Arguments that file system calls share: paths, descriptors, and errors of the common kinds.
 */
import { Errno } from '../errno.ts';
import type { ArgumentIndex, SyscallCall } from '../syscall.ts';
import type { OpenFile } from './open-file.ts';
import { bytesToPath } from './paths.ts';

/** PATH_MAX, with the terminating NUL. */
const PATH_MAX = 4096;

/** A path argument as a byte string, or −ENAMETOOLONG. A bad address is a GuestFault. */
export function pathArgument(call: SyscallCall, i: ArgumentIndex): string | number {
  const bytes = call.process.memory.readCString(call.addr(i), PATH_MAX);
  return bytes === undefined ? -Errno.ENAMETOOLONG : bytesToPath(bytes);
}

/** The open file of a descriptor argument; O_PATH descriptors, which are good for nothing but lookups, do not count. */
export function fileArgument(call: SyscallCall, i: ArgumentIndex): OpenFile | undefined {
  const file = call.process.files.table.get(call.i32(i));
  return file === undefined || file.kind === 'path' ? undefined : file;
}

/** Runs an operation on a descriptor argument that the host does itself; listings know none of them. */
export function onHostFile(call: SyscallCall, operate: (hostFd: number, file: OpenFile) => number): number {
  const file = fileArgument(call, 0);
  if (file === undefined) return -Errno.EBADF;
  return file.kind === 'listing' ? -Errno.EINVAL : operate(file.hostFd, file);
}
