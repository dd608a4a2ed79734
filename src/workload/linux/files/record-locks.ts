/**
 * Locks of files. POSIX record locks belong to the process (fcntl_locking(2)): closing any descriptor of a file drops
 * them all. Open-file-description locks and flock(2) belong to the description and go with it.
 */
import { Errno, Restart } from '../errno.ts';
import type { SyscallCall, SyscallResult } from '../syscall.ts';
import { Fcntl } from './abi.ts';
import type { OpenFile } from './open-file.ts';
import type { ProcessFiles } from './process-files.ts';
import { waitFor } from './stream-wait.ts';

/** struct flock: {short type, short whence, long start, long length, int pid}. */
const FLOCK_BYTES = 32;
const F_UNLCK = 2;

const LOCK_NB = 4;

/** F_GETLK, F_SETLK, F_SETLKW and their OFD forms. */
export function recordLock(call: SyscallCall, file: OpenFile, command: number, va: number): SyscallResult {
  const { files, memory } = call.process;
  const { host } = files;
  if (file.kind === 'listing') return -Errno.EBADF;
  const lock = memory.read(va, FLOCK_BYTES);
  if (command === Fcntl.GETLK || command === Fcntl.OFD_GETLK) {
    const result = host.fcntlStruct(file.hostFd, command, lock);
    if (result >= 0) memory.write(va, host.data.slice(0, FLOCK_BYTES));
    return result;
  }
  files.recordLocks = true;
  const waits = command === Fcntl.SETLKW || command === Fcntl.OFD_SETLKW;
  // The waiting commands follow those that do not wait by one.
  const attempt = () => host.fcntlStruct(file.hostFd, waits ? command - 1 : command, lock);
  return lockOrWait(file, attempt, waits);
}

/** flock(2). */
export function fileLock(call: SyscallCall, file: OpenFile, operation: number): SyscallResult {
  const { host } = call.process.files;
  if (file.kind === 'listing') return -Errno.EBADF;
  return lockOrWait(file, () => host.flock(file.hostFd, operation | LOCK_NB), (operation & LOCK_NB) === 0);
}

/** What closing a descriptor does to the process's record locks, as long as the host's file stays open. */
export function releaseRecordLocks(files: ProcessFiles, file: OpenFile): void {
  if (!files.recordLocks || file.kind !== 'regular') return;
  const everything = new Uint8Array(FLOCK_BYTES);
  everything[0] = F_UNLCK;
  files.host.fcntlStruct(file.hostFd, Fcntl.SETLK, everything);
}

/** The host is never asked to wait for a lock: it is asked again. */
function lockOrWait(file: OpenFile, attempt: () => number, waits: boolean): SyscallResult {
  const result = attempt();
  if (!waits || (result !== -Errno.EAGAIN && result !== -Errno.EACCES)) return result;
  return waitFor(file, 0, Restart.sys, () => {
    const later = attempt();
    return later === -Errno.EAGAIN || later === -Errno.EACCES ? undefined : later;
  });
}
