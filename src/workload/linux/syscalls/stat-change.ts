/**
 * Changing what is known about files. chmod(2), chown(2), utimensat(2), umask(2); extended attributes are not
 * supported, which is what programs hear from many file systems. xattr(7).
 */
import { AT_FDCWD, AtFlag } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { pathArgument } from '../files/arguments.ts';
import type { OpenFile } from '../files/open-file.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';

const TIMESPEC_BYTES = 16;
const NANOSECONDS_PER_MICROSECOND = 1000;

/** Runs a change of attributes on a file, unless it is forbidden. */
function change(
  call: SyscallCall,
  dirFd: number,
  path: string | number,
  flags: number,
  apply: (fd: number) => number,
): number {
  if (typeof path === 'number') return path;
  const { files } = call.process;
  const permitted = (fd: number, file: OpenFile | undefined) => files.refusesChange(file) || apply(fd);
  return files.withFile(dirFd, path, flags, permitted, () => -Errno.EPERM);
}

function chmod(call: SyscallCall, dirFd: number, path: string | number, mode: number, flags: number): number {
  if ((flags & ~(AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  return change(call, dirFd, path, flags, (fd) => call.process.files.host.chmod(fd, mode & 0o7777));
}

function chown(call: SyscallCall, dirFd: number, path: string | number, at: 1 | 2, flags: number): number {
  if ((flags & ~(AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const uid = call.i32(at);
  const gid = call.i32(at === 1 ? 2 : 3);
  return change(call, dirFd, path, flags, (fd) =>
    call.process.files.host.fchownat(fd, '', uid, gid, AtFlag.EMPTY_PATH),
  );
}

/** @param times two struct timespec; undefined = now */
function setTimes(
  call: SyscallCall,
  dirFd: number,
  path: string | number,
  times: Uint8Array | undefined,
  flags: number,
): number {
  if ((flags & ~(AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const { host } = call.process.files;
  return change(call, dirFd, path, flags, (fd) => host.utimensat(fd, '', times, AtFlag.EMPTY_PATH));
}

/** Two struct timeval as two struct timespec; −EINVAL for microseconds out of range. */
function timesFromTimevals(call: SyscallCall, va: number): Uint8Array | number | undefined {
  if (va === 0) return undefined;
  const times = call.process.memory.read(va, 2 * TIMESPEC_BYTES);
  const view = new DataView(times.buffer, times.byteOffset);
  for (const at of [8, 24]) {
    const microseconds = Number(view.getBigInt64(at, true));
    if (microseconds < 0 || microseconds >= 1_000_000) return -Errno.EINVAL;
    view.setBigInt64(at, BigInt(microseconds * NANOSECONDS_PER_MICROSECOND), true);
  }
  return times;
}

function utimes(call: SyscallCall, dirFd: number, path: string | number, va: number): number {
  const times = timesFromTimevals(call, va);
  return typeof times === 'number' ? times : setTimes(call, dirFd, path, times, 0);
}

/** utime: two 64-bit second counts. */
function utime(call: SyscallCall): number {
  const va = call.addr(1);
  const path = pathArgument(call, 0);
  if (va === 0) return setTimes(call, AT_FDCWD, path, undefined, 0);
  const times = new Uint8Array(2 * TIMESPEC_BYTES);
  times.set(call.process.memory.read(va, 8), 0);
  times.set(call.process.memory.read(va + 8, 8), TIMESPEC_BYTES);
  return setTimes(call, AT_FDCWD, path, times, 0);
}

function utimensat(call: SyscallCall): number {
  const va = call.addr(2);
  const times = va === 0 ? undefined : call.process.memory.read(va, 2 * TIMESPEC_BYTES);
  // futimens(fd, …) arrives with a null path.
  if (call.addr(1) === 0) return setTimes(call, call.i32(0), '', times, AtFlag.EMPTY_PATH);
  return setTimes(call, call.i32(0), pathArgument(call, 1), times, call.u32(3));
}

const refuse = () => -Errno.EOPNOTSUPP;

export const statChangeSyscalls = {
  chmod: (call) => chmod(call, AT_FDCWD, pathArgument(call, 0), call.u32(1), 0),
  fchmod: (call) => onDescriptor(call, (fd) => chmod(call, fd, '', call.u32(1), AtFlag.EMPTY_PATH)),
  fchmodat: (call) => chmod(call, call.i32(0), pathArgument(call, 1), call.u32(2), 0),
  fchmodat2: (call) => chmod(call, call.i32(0), pathArgument(call, 1), call.u32(2), call.u32(3)),
  chown: (call) => chown(call, AT_FDCWD, pathArgument(call, 0), 1, 0),
  lchown: (call) => chown(call, AT_FDCWD, pathArgument(call, 0), 1, AtFlag.SYMLINK_NOFOLLOW),
  fchown: (call) => onDescriptor(call, (fd) => chown(call, fd, '', 1, AtFlag.EMPTY_PATH)),
  fchownat: (call) => chown(call, call.i32(0), pathArgument(call, 1), 2, call.u32(4)),
  utime,
  utimes: (call) => utimes(call, AT_FDCWD, pathArgument(call, 0), call.addr(1)),
  futimesat: (call) => utimes(call, call.i32(0), pathArgument(call, 1), call.addr(2)),
  utimensat,
  umask(call) {
    const { files } = call.process;
    const old = files.umask;
    files.umask = call.u32(0) & 0o777;
    return old;
  },
  getxattr: refuse,
  lgetxattr: refuse,
  fgetxattr: refuse,
  setxattr: refuse,
  lsetxattr: refuse,
  fsetxattr: refuse,
  listxattr: refuse,
  llistxattr: refuse,
  flistxattr: refuse,
  removexattr: refuse,
  lremovexattr: refuse,
  fremovexattr: refuse,
} satisfies SyscallMap;

/** fchmod and fchown refuse O_PATH descriptors, as reads do. */
function onDescriptor(call: SyscallCall, apply: (fd: number) => number): number {
  const file = call.process.files.table.get(call.i32(0));
  return file === undefined || file.kind === 'path' ? -Errno.EBADF : apply(call.i32(0));
}
