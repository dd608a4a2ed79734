/**
 * Names: making, removing, renaming, linking; the working directory. mkdir(2), unlink(2), rename(2), link(2),
 * symlink(2), mknod(2), getcwd(2), chdir(2).
 */

import { procPath } from '../../../host/files.ts';
import { AT_FDCWD, AtFlag, FileType } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { pathArgument } from '../files/arguments.ts';
import { pathToBytes } from '../files/paths.ts';
import type { ProcessFiles } from '../files/process-files.ts';
import type { ArgumentIndex, SyscallCall, SyscallMap } from '../syscall.ts';

const S_ISVTX = 0o1000;

type Create = (directoryFd: number, name: string) => number;

/** Calls that make a new name. On a read-only file system a name that exists is still EEXIST, as programs expect. */
function create(call: SyscallCall, dirFd: number, at: ArgumentIndex, make: Create): number {
  const path = pathArgument(call, at);
  return typeof path === 'number' ? path : createAt(call.process.files, dirFd, path, make);
}

function createAt(files: ProcessFiles, dirFd: number, path: string, make: Create): number {
  if (files.readOnly) {
    const found = files.withFile(
      dirFd,
      path,
      AtFlag.SYMLINK_NOFOLLOW,
      () => 0,
      () => 0,
    );
    if (found !== -Errno.ENOENT) return found < 0 ? found : -Errno.EEXIST;
    return -Errno.EROFS;
  }
  return files.withEntry(dirFd, path, (directoryFd, name) => files.creating(() => make(directoryFd, name)));
}

function mkdir(call: SyscallCall, dirFd: number, at: ArgumentIndex, mode: number): number {
  const { host } = call.process.files;
  const bits = mode & (0o777 | S_ISVTX);
  return create(call, dirFd, at, (directoryFd, name) => host.mkdirat(directoryFd, name, bits));
}

function mknod(call: SyscallCall, dirFd: number, at: ArgumentIndex, mode: number, device: number): number {
  const { files } = call.process;
  const type = mode & FileType.MASK;
  const isDevice = type === FileType.CHARACTER || type === FileType.BLOCK;
  if (isDevice && files.resolver.confined) return -Errno.EPERM;
  return create(call, dirFd, at, (directoryFd, name) => files.host.mknodat(directoryFd, name, mode, device));
}

function symlink(call: SyscallCall, dirFd: number, at: ArgumentIndex): number {
  const target = pathArgument(call, 0);
  if (typeof target === 'number') return target;
  const { host } = call.process.files;
  return create(call, dirFd, at, (directoryFd, name) => host.symlinkat(target, directoryFd, name));
}

function unlink(call: SyscallCall, dirFd: number, at: ArgumentIndex, flags: number): number {
  const { files } = call.process;
  const path = pathArgument(call, at);
  if (typeof path === 'number') return path;
  if ((flags & ~AtFlag.REMOVEDIR) !== 0) return -Errno.EINVAL;
  if (files.readOnly) return -Errno.EROFS;
  return files.withEntry(dirFd, path, (directoryFd, name) => files.host.unlinkat(directoryFd, name, flags));
}

/** The old and the new path of a call, or a negative errno. */
function twoPaths(call: SyscallCall, oldAt: ArgumentIndex, newAt: ArgumentIndex): [string, string] | number {
  const oldPath = pathArgument(call, oldAt);
  if (typeof oldPath === 'number') return oldPath;
  const newPath = pathArgument(call, newAt);
  return typeof newPath === 'number' ? newPath : [oldPath, newPath];
}

function link(
  call: SyscallCall,
  oldDir: number,
  oldAt: ArgumentIndex,
  newDir: number,
  newAt: ArgumentIndex,
  flags: number,
) {
  const { files } = call.process;
  const paths = twoPaths(call, oldAt, newAt);
  if (typeof paths === 'number') return paths;
  const [oldPath, newPath] = paths;
  if ((flags & ~(AtFlag.SYMLINK_FOLLOW | AtFlag.EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const find = (flags & AtFlag.SYMLINK_FOLLOW ? 0 : AtFlag.SYMLINK_NOFOLLOW) | (flags & AtFlag.EMPTY_PATH);
  const makeLink = (fd: number) => (directoryFd: number, name: string) =>
    // The file itself is named by its open descriptor, so nothing can be put in its place in between.
    files.host.linkat(-1, procPath(fd), directoryFd, name, AtFlag.SYMLINK_FOLLOW);
  return files.withFile(
    oldDir,
    oldPath,
    find,
    // A descriptor that the user handed over may be a file outside the root.
    (fd, file) =>
      file?.inherited && files.resolver.confined
        ? -Errno.EPERM
        : createAt(files, newDir, newPath, makeLink(fd)),
    () => -Errno.EXDEV,
  );
}

function rename(
  call: SyscallCall,
  oldDir: number,
  oldAt: ArgumentIndex,
  newDir: number,
  newAt: ArgumentIndex,
  flags: number,
) {
  const { files } = call.process;
  const paths = twoPaths(call, oldAt, newAt);
  if (typeof paths === 'number') return paths;
  const [oldPath, newPath] = paths;
  if (files.readOnly) return -Errno.EROFS;
  return files.withEntry(oldDir, oldPath, (oldFd, oldName) =>
    files.withEntry(newDir, newPath, (newFd, newName) =>
      files.host.renameat2(oldFd, oldName, newFd, newName, flags),
    ),
  );
}

function getcwd(call: SyscallCall): number {
  const path = call.process.files.getcwd();
  if (typeof path === 'number') return path;
  const bytes = pathToBytes(`${path}\0`);
  if (call.size(1) < bytes.length) return -Errno.ERANGE;
  call.process.memory.write(call.addr(0), bytes);
  return bytes.length;
}

export const dirSyscalls = {
  mkdir: (call) => mkdir(call, AT_FDCWD, 0, call.u32(1)),
  mkdirat: (call) => mkdir(call, call.i32(0), 1, call.u32(2)),
  mknod: (call) => mknod(call, AT_FDCWD, 0, call.u32(1), call.u32(2)),
  mknodat: (call) => mknod(call, call.i32(0), 1, call.u32(2), call.u32(3)),
  symlink: (call) => symlink(call, AT_FDCWD, 1),
  symlinkat: (call) => symlink(call, call.i32(1), 2),
  rmdir: (call) => unlink(call, AT_FDCWD, 0, AtFlag.REMOVEDIR),
  unlink: (call) => unlink(call, AT_FDCWD, 0, 0),
  unlinkat: (call) => unlink(call, call.i32(0), 1, call.i32(2)),
  link: (call) => link(call, AT_FDCWD, 0, AT_FDCWD, 1, 0),
  linkat: (call) => link(call, call.i32(0), 1, call.i32(2), 3, call.i32(4)),
  rename: (call) => rename(call, AT_FDCWD, 0, AT_FDCWD, 1, 0),
  renameat: (call) => rename(call, call.i32(0), 1, call.i32(2), 3, 0),
  renameat2: (call) => rename(call, call.i32(0), 1, call.i32(2), 3, call.u32(4)),
  getcwd,
  chdir(call) {
    const path = pathArgument(call, 0);
    return typeof path === 'number' ? path : call.process.files.chdir(path);
  },
  fchdir(call) {
    const { files } = call.process;
    const file = files.table.get(call.i32(0));
    if (file !== undefined && file.kind !== 'directory' && file.kind !== 'listing' && file.kind !== 'path') {
      return -Errno.ENOTDIR;
    }
    return files.fchdir(call.i32(0));
  },
} satisfies SyscallMap;
