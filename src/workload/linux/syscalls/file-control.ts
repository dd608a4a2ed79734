/**
 * Flags, locks, sizes and durability of open files. fcntl(2), flock(2), fsync(2), truncate(2), fallocate(2),
 * posix_fadvise(2).
 */
import { AT_FDCWD } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { Fcntl, OpenFlag } from '../files/abi.ts';
import { fileArgument, onHostFile, pathArgument } from '../files/arguments.ts';
import { flushMappings, refreshMappings, TO_END } from '../files/mapping-coherence.ts';
import type { OpenFile } from '../files/open-file.ts';
import { fileLock, recordLock } from '../files/record-locks.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';

const FD_CLOEXEC = 1;
/** Status flags that F_SETFL changes; the host's description gets those that matter to it. */
const SETTABLE = OpenFlag.APPEND | OpenFlag.NONBLOCK | OpenFlag.ASYNC | OpenFlag.DIRECT | OpenFlag.NOATIME;
const FOR_HOST = OpenFlag.APPEND | OpenFlag.DIRECT | OpenFlag.NOATIME;
const F_UNLCK = 2;
const FALLOC_FL_PUNCH_HOLE = 2;

function fcntl(call: SyscallCall): SyscallResult {
  const { table } = call.process.files;
  const fd = call.i32(0);
  const command = call.u32(1);
  const file = table.get(fd);
  if (file === undefined) return -Errno.EBADF;
  // What an O_PATH descriptor can do.
  switch (command) {
    case Fcntl.DUPFD:
    case Fcntl.DUPFD_CLOEXEC:
      return duplicateFrom(call, file, command === Fcntl.DUPFD_CLOEXEC);
    case Fcntl.GETFD:
      return table.closeOnExec(fd) ? FD_CLOEXEC : 0;
    case Fcntl.SETFD:
      table.setCloseOnExec(fd, (call.u32(2) & FD_CLOEXEC) !== 0);
      return 0;
    case Fcntl.GETFL:
      return file.flags;
    case Fcntl.DUPFD_QUERY:
      return table.get(call.i32(2)) === file ? 1 : 0;
    default:
      return file.kind === 'path' ? -Errno.EBADF : fcntlOfOpenFile(call, file, command);
  }
}

function fcntlOfOpenFile(call: SyscallCall, file: OpenFile, command: number): SyscallResult {
  switch (command) {
    case Fcntl.SETFL:
      return setFlags(call, file, call.u32(2));
    case Fcntl.GETLK:
    case Fcntl.SETLK:
    case Fcntl.SETLKW:
    case Fcntl.OFD_GETLK:
    case Fcntl.OFD_SETLK:
    case Fcntl.OFD_SETLKW:
      return recordLock(call, file, command, call.addr(2));
    case Fcntl.SETOWN:
      file.owner = call.i32(2);
      return 0;
    case Fcntl.GETOWN:
      return file.owner;
    case Fcntl.GETSIG:
      return 0;
    case Fcntl.GETLEASE:
      return F_UNLCK;
    case Fcntl.GETPIPE_SZ:
    case Fcntl.SETPIPE_SZ:
    case Fcntl.GET_SEALS:
    case Fcntl.ADD_SEALS:
      return file.hostFd < 0
        ? -Errno.EBADF
        : call.process.files.host.fcntl(file.hostFd, command, call.i32(2));
    default:
      return -Errno.EINVAL;
  }
}

function duplicateFrom(call: SyscallCall, file: OpenFile, closeOnExec: boolean): number {
  const from = call.i32(2);
  const { files } = call.process;
  if (from < 0 || from >= files.maxDescriptors) return -Errno.EINVAL;
  return files.table.install(file.retain(), closeOnExec, from);
}

function setFlags(call: SyscallCall, file: OpenFile, wanted: number): number {
  const { host } = call.process.files;
  const changed = (file.flags ^ wanted) & SETTABLE;
  if ((changed & FOR_HOST) !== 0 && file.hostFd >= 0) {
    const present = host.fcntl(file.hostFd, Fcntl.GETFL, 0);
    const result = host.fcntl(file.hostFd, Fcntl.SETFL, present ^ (changed & FOR_HOST));
    if (result < 0) return result;
  }
  file.flags ^= changed;
  return 0;
}

function truncate(call: SyscallCall): number {
  const { files } = call.process;
  const path = pathArgument(call, 0);
  if (typeof path === 'number') return path;
  const length = call.long(1);
  if (length < 0) return -Errno.EINVAL;
  const write = (fd: number, file: OpenFile | undefined) => {
    const refusal = files.refusesChange(file);
    if (refusal !== 0) return refusal;
    const writable = files.resolver.reopen(fd, OpenFlag.WRONLY);
    if (writable < 0) return writable;
    const result = resize(call, { hostFd: writable, flags: OpenFlag.WRONLY }, length);
    files.host.close(writable);
    return result;
  };
  return files.withFile(AT_FDCWD, path, 0, write, () => -Errno.EACCES);
}

function ftruncate(call: SyscallCall): number {
  const file = fileArgument(call, 0);
  if (file === undefined) return -Errno.EBADF;
  if (file.kind === 'listing') return -Errno.EINVAL;
  return resize(call, file, call.long(1));
}

function resize({ process }: SyscallCall, file: Pick<OpenFile, 'hostFd' | 'flags'>, length: number): number {
  flushMappings(process, file, 0, TO_END);
  const result = process.files.host.ftruncate(file.hostFd, length);
  if (result === 0) refreshMappings(process, file, length, TO_END);
  return result;
}

function fallocate(call: SyscallCall): number {
  const file = fileArgument(call, 0);
  if (file === undefined || !file.writable || file.kind === 'listing') return -Errno.EBADF;
  const [mode, offset, length] = [call.i32(1), call.long(2), call.long(3)];
  const refusal = length > 0 && (mode & FALLOC_FL_PUNCH_HOLE) === 0 ? file.refusesGrowth(length) : 0;
  if (refusal < 0) return refusal;
  const { process } = call;
  flushMappings(process, file, 0, TO_END);
  const result = process.files.host.fallocate(file.hostFd, mode, offset, length);
  if (result === 0) refreshMappings(process, file, offset, TO_END);
  return result;
}

export const fileControlSyscalls = {
  fcntl,
  flock(call) {
    const file = fileArgument(call, 0);
    return file === undefined ? -Errno.EBADF : fileLock(call, file, call.i32(1));
  },
  fsync(call) {
    return onHostFile(call, (fd, file) => {
      flushMappings(call.process, file, 0, TO_END);
      return call.process.files.host.fsync(fd);
    });
  },
  fdatasync(call) {
    return onHostFile(call, (fd, file) => {
      flushMappings(call.process, file, 0, TO_END);
      return call.process.files.host.fdatasync(fd);
    });
  },
  sync: (call) => call.process.files.host.sync(),
  syncfs: (call) => onHostFile(call, (fd) => call.process.files.host.syncfs(fd)),
  sync_file_range: (call) =>
    onHostFile(call, (fd) =>
      call.process.files.host.syncFileRange(fd, call.long(1), call.long(2), call.u32(3)),
    ),
  fadvise64: (call) =>
    onHostFile(call, (fd) => call.process.files.host.fadvise(fd, call.long(1), call.long(2), call.i32(3))),
  readahead: (call) =>
    onHostFile(call, (fd) =>
      call.process.files.host.readahead(fd, call.long(1), Math.min(call.size(2), 2 ** 52)),
    ),
  truncate,
  ftruncate,
  fallocate,
} satisfies SyscallMap;
