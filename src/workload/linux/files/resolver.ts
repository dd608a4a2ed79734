/**
 * The only place where the program's paths become host descriptors.
 *
 * Without `--root` the host looks them up as it would for the program itself. With `--root` no lookup can leave the
 * directory, whatever the program or anybody else renames meanwhile, because the kernel confines it (openat2(2)):
 * - a path from an open directory is first tried beneath that directory (RESOLVE_BENEATH);
 * - one that climbs out of it, by `..` or an absolute symbolic link, is looked up again from the root, with the
 *   directory's present name before it (RESOLVE_IN_ROOT: `..` stops at the root, absolute links start there);
 * - magic links of procfs are never followed.
 * Names that a call creates, removes or renames are split: the directory is opened as above, and the last component
 * goes to a call that does not follow it. Everything else is done on an O_PATH descriptor of the file itself.
 */

import { type HostFiles, procPath } from '../../../host/files.ts';
import { AT_FDCWD, AtFlag, FileType, Resolve, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { OpenFlag } from './abi.ts';
import { splitPath } from './paths.ts';

/** The last component of a path, in its directory. */
export interface Entry {
  readonly directoryFd: number;
  /** One component, with a slash behind it if the path had one. */
  readonly name: string;
  /** Whether `directoryFd` is to be closed by whoever asked. */
  readonly owned: boolean;
}

/** Lookups that raced with a rename are repeated: EAGAIN is openat2's word for that. */
const MAX_ATTEMPTS = 32;

/** f_type of procfs: the simulator's own memory lies there. */
const PROC_SUPER_MAGIC = 0x9fa0;

/** Devices that a confined program may open, major.minor: null, zero, full, random, urandom, tty. */
const HARMLESS_DEVICES: readonly string[] = ['1.3', '1.5', '1.7', '1.8', '1.9', '5.0'];

/** Flags of ours, on every open: never inherited by a child, never waiting, never taking the terminal over. */
const ALWAYS = OpenFlag.CLOEXEC | OpenFlag.NONBLOCK | OpenFlag.NOCTTY;

export class PathResolver {
  readonly #host: HostFiles;
  /** Host descriptor of the program's `/`; undefined = not confined. */
  readonly #rootFd: number | undefined;

  constructor(host: HostFiles, rootFd: number | undefined) {
    this.#host = host;
    this.#rootFd = rootFd;
  }

  get confined(): boolean {
    return this.#rootFd !== undefined;
  }

  /**
   * Opens a path for the program. Returns a host descriptor or a negative errno.
   * @param baseFd directory where a relative path starts
   * @param resolve further `Resolve` bits that the program asks for itself
   */
  open(baseFd: number, path: string, flags: number, mode: number, resolve = 0): number {
    if (this.#rootFd === undefined) {
      const opened =
        resolve === 0
          ? this.#host.openat(baseFd, path, flags | ALWAYS, mode)
          : this.#host.openat2(baseFd, path, flags | ALWAYS, mode, resolve);
      return this.#unlessIntoProcess(opened, flags);
    }
    // Opening a device can act on it, so what is there is looked at first, and again when it is open.
    const found = this.#confined(baseFd, path, OpenFlag.PATH | (flags & OpenFlag.NOFOLLOW), 0, resolve);
    if (found >= 0) {
      const refusal = this.#refusal(found);
      this.#host.close(found);
      if (refusal !== 0) return refusal;
    }
    const fd = this.#confined(baseFd, path, flags | ALWAYS, mode, resolve);
    if (fd < 0) return fd;
    const refusal = this.#refusal(fd);
    if (refusal === 0) return fd;
    this.#host.close(fd);
    return refusal;
  }

  /**
   * An O_PATH descriptor of what a path names, for attributes and as a starting point.
   * @param flags O_NOFOLLOW, O_DIRECTORY
   */
  find(baseFd: number, path: string, flags: number): number {
    const pathFlags = flags | OpenFlag.PATH | OpenFlag.CLOEXEC;
    if (this.#rootFd === undefined) return this.#host.openat(baseFd, path, pathFlags, 0);
    return this.#confined(baseFd, path, pathFlags, 0, 0);
  }

  /** Opens the file behind a descriptor anew, as /proc/self/fd/N does: with its own access mode and position. */
  reopen(fd: number, flags: number): number {
    const refusal = this.confined ? this.#refusal(fd) : 0;
    if (refusal !== 0) return refusal;
    return this.#unlessIntoProcess(this.reopenOwn(fd, flags), flags);
  }

  /** The same for a file that the simulator made itself. */
  reopenOwn(fd: number, flags: number): number {
    return this.#host.openat(AT_FDCWD, procPath(fd), (flags & ~OpenFlag.NOFOLLOW) | ALWAYS, 0);
  }

  /** The directory of a path's last component, or a negative errno. */
  entry(baseFd: number, path: string): Entry | number {
    if (path === '') return -Errno.ENOENT;
    const { directory, last, trailingSlash } = splitPath(path);
    const name = trailingSlash ? `${last}/` : last;
    if (directory === '') return { directoryFd: baseFd, name, owned: false };
    const directoryFd = this.find(baseFd, directory, OpenFlag.DIRECTORY);
    return directoryFd < 0 ? directoryFd : { directoryFd, name, owned: true };
  }

  /** The program's absolute name for an open file, or a negative errno: ENOENT if it has none (any more). */
  nameOf(fd: number): string | number {
    const name = this.#host.pathOf(fd);
    if (typeof name === 'number') return name;
    if (this.#rootFd === undefined) return name;
    const root = this.#host.pathOf(this.#rootFd);
    if (typeof root === 'number') return root;
    if (name === root) return '/';
    const prefix = root === '/' ? root : `${root}/`;
    return name.startsWith(prefix) ? `/${name.slice(prefix.length)}` : -Errno.ENOENT;
  }

  #confined(baseFd: number, path: string, flags: number, mode: number, resolve: number): number {
    const rootFd = this.#rootFd!;
    const from = resolve | Resolve.NO_MAGICLINKS;
    if ((resolve & (Resolve.BENEATH | Resolve.IN_ROOT)) !== 0) {
      return this.#openat2(baseFd, path, flags, mode, from);
    }
    if (path.startsWith('/')) return this.#openat2(rootFd, path, flags, mode, from | Resolve.IN_ROOT);
    const beneath = this.#openat2(baseFd, path, flags, mode, from | Resolve.BENEATH);
    if (beneath !== -Errno.EXDEV) return beneath;
    const base = this.nameOf(baseFd);
    if (typeof base === 'number') return base;
    return this.#openat2(rootFd, `${base}/${path}`, flags, mode, from | Resolve.IN_ROOT);
  }

  #openat2(baseFd: number, path: string, flags: number, mode: number, resolve: number): number {
    let fd = -Errno.EAGAIN;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && fd === -Errno.EAGAIN; attempt++) {
      fd = this.#host.openat2(baseFd, path, flags | OpenFlag.CLOEXEC, mode, resolve);
    }
    return fd;
  }

  /**
   * The descriptor, or −EACCES and it is closed: files such as /proc/PID/mem that were opened for writing, by way of a
   * link or another number, are those of the host's processes, the simulator among them.
   */
  #unlessIntoProcess(fd: number, flags: number): number {
    if (fd < 0 || (flags & OpenFlag.ACCMODE) === OpenFlag.RDONLY || !this.#isInProcfs(fd)) return fd;
    const name = this.#host.pathOf(fd);
    if (typeof name === 'string' && !/^\/proc\/\d/.test(name)) return fd;
    this.#host.close(fd);
    return -Errno.EACCES;
  }

  #isInProcfs(fd: number): boolean {
    return this.#host.fstatfs(fd) === 0 && this.#host.view.getUint32(0, true) === PROC_SUPER_MAGIC;
  }

  /** 0, or why a confined program may not open this: devices reach beyond any directory, procfs into the simulator. */
  #refusal(fd: number): number {
    const { view } = this.#host;
    const result = this.#host.statx(fd, '', AtFlag.EMPTY_PATH, STATX_ALL);
    if (result < 0) return result;
    const type = view.getUint16(STATX.mode, true) & FileType.MASK;
    const device = `${view.getUint32(STATX.rdevMajor, true)}.${view.getUint32(STATX.rdevMinor, true)}`;
    if (type === FileType.BLOCK) return -Errno.EACCES;
    if (type === FileType.CHARACTER && !HARMLESS_DEVICES.includes(device)) return -Errno.EACCES;
    return this.#isInProcfs(fd) ? -Errno.EACCES : 0;
  }
}

/** Opens a directory by the user's own name for it, as a starting point. A host descriptor or a negative errno. */
export function openHostDirectory(host: HostFiles, path: string): number {
  return host.openat(AT_FDCWD, path, OpenFlag.PATH | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC, 0);
}
