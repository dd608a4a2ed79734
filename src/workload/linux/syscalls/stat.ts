/**
 * Asking about files. stat(2), statx(2), access(2), readlink(2), statfs(2).
 */
import { AT_FDCWD, AtFlag, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { pathArgument } from '../files/arguments.ts';
import { pathToBytes } from '../files/paths.ts';
import type { ProcessFiles } from '../files/process-files.ts';
import { statOf } from '../files/stat-layout.ts';
import type { ArgumentIndex, SyscallCall, SyscallMap } from '../syscall.ts';

/** struct statfs on x86-64. */
const STATFS_BYTES = 120;
const PROC_SUPER_MAGIC = 0x9fa0;
const STATX_RESERVED = 0x8000_0000;
const W_OK = 2;

const STAT_FLAGS = AtFlag.SYMLINK_NOFOLLOW | AtFlag.NO_AUTOMOUNT | AtFlag.EMPTY_PATH;

/** Puts a struct statx of the named file into the host's `data`; 0 or a negative errno. */
function statxOf(files: ProcessFiles, dirFd: number, path: string, flags: number, mask: number): number {
  const sync = flags & AtFlag.STATX_SYNC_TYPE;
  return files.withFile(
    dirFd,
    path,
    flags,
    (fd) => files.host.statx(fd, '', AtFlag.EMPTY_PATH | sync, mask),
    (node) => {
      files.tree.describe(node, files.host.data);
      return 0;
    },
  );
}

function stat(call: SyscallCall, dirFd: number, path: string | number, flags: number, to: number): number {
  if (typeof path === 'number') return path;
  if ((flags & ~STAT_FLAGS) !== 0) return -Errno.EINVAL;
  const { files, memory } = call.process;
  const result = statxOf(files, dirFd, path, flags, STATX_ALL);
  if (result === 0) memory.write(to, statOf(files.host.view));
  return result;
}

function statx(call: SyscallCall): number {
  const { files, memory } = call.process;
  const flags = call.u32(2);
  const mask = call.u32(3);
  // A null path with AT_EMPTY_PATH is an empty one.
  const path = call.addr(1) === 0 && (flags & AtFlag.EMPTY_PATH) !== 0 ? '' : pathArgument(call, 1);
  if (typeof path === 'number') return path;
  const unknown = flags & ~(STAT_FLAGS | AtFlag.STATX_SYNC_TYPE);
  const badSync = (flags & AtFlag.STATX_SYNC_TYPE) === AtFlag.STATX_SYNC_TYPE;
  if (unknown !== 0 || badSync || (mask & STATX_RESERVED) !== 0) return -Errno.EINVAL;
  const result = statxOf(files, call.i32(0), path, flags, mask);
  if (result === 0) memory.write(call.addr(4), files.host.data.slice(0, STATX.SIZE_BYTES));
  return result;
}

function access(call: SyscallCall, dirFd: number, at: ArgumentIndex, mode: number, flags: number): number {
  const { files } = call.process;
  const path = pathArgument(call, at);
  if (typeof path === 'number') return path;
  if ((mode & ~7) !== 0) return -Errno.EINVAL;
  if ((flags & ~(AtFlag.EACCESS | AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  return files.withFile(
    dirFd,
    path,
    flags,
    (fd) => {
      const result = files.host.faccessat2(fd, '', mode, AtFlag.EMPTY_PATH | (flags & AtFlag.EACCESS));
      if (result < 0 || !files.readOnly || (mode & W_OK) === 0) return result;
      return isFileOrDirectory(files, fd) ? -Errno.EROFS : 0;
    },
    (node) => ((mode & W_OK) !== 0 && node.kind !== 'link' ? -Errno.EACCES : 0),
  );
}

/** What a read-only file system protects: not devices, pipes and sockets. */
function isFileOrDirectory(files: ProcessFiles, fd: number): boolean {
  const file = files.kindOf(fd);
  return file === 'regular' || file === 'directory';
}

function readlink(call: SyscallCall, dirFd: number, at: ArgumentIndex, to: number, size: number): number {
  const { files, memory } = call.process;
  const path = pathArgument(call, at);
  if (typeof path === 'number') return path;
  if (size <= 0) return -Errno.EINVAL;
  const target = linkTarget(files, dirFd, path);
  if (typeof target === 'number') return target;
  const bytes = pathToBytes(target).subarray(0, size);
  memory.write(to, bytes);
  return bytes.length;
}

function linkTarget(files: ProcessFiles, dirFd: number, path: string): string | number {
  // An empty path reads the link that an O_PATH | O_NOFOLLOW descriptor is open on.
  const flags = AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH;
  let target: string | number = -Errno.EINVAL;
  const result = files.withFile(
    dirFd,
    path,
    flags,
    (fd) => {
      target = files.host.readlinkat(fd, '');
      // An empty name on something that is no link is ENOENT; by its own name it is EINVAL.
      if (target === -Errno.ENOENT && path !== '') target = -Errno.EINVAL;
      return 0;
    },
    (node) => {
      if (node.kind === 'link') target = node.target;
      if (node.kind === 'descriptor') target = descriptorTarget(files, node.fd);
      return 0;
    },
  );
  return result < 0 ? result : target;
}

/** What /proc/self/fd/N points to. */
function descriptorTarget(files: ProcessFiles, fd: number): string | number {
  const file = files.table.get(fd)!;
  if (file.node !== undefined) return file.path;
  const name = files.host.pathOf(file.hostFd);
  // Files by the program's name for them; pipes and the like have names such as `pipe:[4711]`.
  if (typeof name === 'string' && name.startsWith('/') && !file.inherited)
    return files.resolver.nameOf(file.hostFd);
  return name;
}

function statfs(call: SyscallCall, dirFd: number, path: string | number, to: number): number {
  if (typeof path === 'number') return path;
  const { files, memory } = call.process;
  const result = files.withFile(
    dirFd,
    path,
    AtFlag.EMPTY_PATH,
    (fd) => files.host.fstatfs(fd),
    () => {
      files.host.data.fill(0, 0, STATFS_BYTES);
      files.host.view.setUint32(0, PROC_SUPER_MAGIC, true);
      files.host.view.setUint32(8, 4096, true);
      return 0;
    },
  );
  if (result === 0) memory.write(to, files.host.data.slice(0, STATFS_BYTES));
  return result;
}

export const statSyscalls = {
  stat: (call) => stat(call, AT_FDCWD, pathArgument(call, 0), 0, call.addr(1)),
  lstat: (call) => stat(call, AT_FDCWD, pathArgument(call, 0), AtFlag.SYMLINK_NOFOLLOW, call.addr(1)),
  fstat: (call) => stat(call, descriptor(call.i32(0)), '', AtFlag.EMPTY_PATH, call.addr(1)),
  newfstatat(call) {
    const flags = call.u32(3);
    const path = call.addr(1) === 0 && (flags & AtFlag.EMPTY_PATH) !== 0 ? '' : pathArgument(call, 1);
    return stat(call, call.i32(0), path, flags, call.addr(2));
  },
  statx,
  access: (call) => access(call, AT_FDCWD, 0, call.i32(1), 0),
  faccessat: (call) => access(call, call.i32(0), 1, call.i32(2), 0),
  faccessat2: (call) => access(call, call.i32(0), 1, call.i32(2), call.i32(3)),
  readlink: (call) => readlink(call, AT_FDCWD, 0, call.addr(1), call.i32(2)),
  readlinkat: (call) => readlink(call, call.i32(0), 1, call.addr(2), call.i32(3)),
  statfs: (call) => statfs(call, AT_FDCWD, pathArgument(call, 0), call.addr(1)),
  fstatfs: (call) => statfs(call, descriptor(call.i32(0)), '', call.addr(1)),
} satisfies SyscallMap;

/** For calls that know no AT_FDCWD: that number is no descriptor. */
function descriptor(fd: number): number {
  return fd < 0 ? -1 : fd;
}
