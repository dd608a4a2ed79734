/**
 * Everything the process has to do with files: descriptor table, working directory, umask, and the confinement
 * that `--root` and `--read-only` ask for. System-call handlers reach it as `call.process.files`.
 */

import type { HostFiles } from '../../../host/files.ts';
import { AT_FDCWD, AtFlag, FileType, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { FatalError } from '../../../sim/trouble.ts';
import { Errno, errnoName } from '../errno.ts';
import type { FileSource } from '../file-source.ts';
import { Fcntl, OpenFlag } from './abi.ts';
import { FdTable } from './fd-table.ts';
import { MappedFile } from './mapped-file.ts';
import { MemoryQuota } from './memory-quota.ts';
import { OpenFile, type OpenFileKind } from './open-file.ts';
import { lexicalPath, textToPath } from './paths.ts';
import { openHostDirectory, PathResolver } from './resolver.ts';
import { type VirtualFileFacts, type VirtualNode, VirtualTree } from './virtual-files.ts';

/** Symbolic links in one lookup, path_resolution(7). */
const MAX_LINKS = 40;
/** Major number of null(4), zero, full(4), random(4), urandom, and their minor numbers (the kernel's devices.txt). */
const MEMORY_DEVICES = 1;
const NEVER_WAITING: ReadonlySet<number> = new Set([3, 5, 7, 8, 9]);

export interface ProcessFilesOptions {
  readonly host: HostFiles;
  /** Directory that becomes the program's `/`; undefined = the program sees the files that the user sees. */
  readonly root?: string | undefined;
  /** Every call that would change a file system fails with EROFS. Descriptors 0 to 2 stay as the user opened them. */
  readonly readOnly?: boolean | undefined;
  /** Working directory at the start, as the program names it. */
  readonly cwd: string;
  /** RLIMIT_NOFILE's soft value. */
  readonly limit: () => number;
  /** What /proc/self and its like are made of. */
  readonly facts: VirtualFileFacts;
}

/** Where a lookup by the host starts; the path may be relative to `baseFd`. */
export interface HostPlace {
  readonly kind: 'host';
  readonly baseFd: number;
  readonly path: string;
  /** The same as an absolute path, if no link is on the way. */
  readonly absolute: () => string;
}

/** What a path means: the host's business, one of the simulator's own files, or a negative errno. */
export type Place = HostPlace | VirtualNode | number;

/** What `withFile` found: a host descriptor, with the open file if it was found through one. */
export type FileUser = (fd: number, file: OpenFile | undefined) => number;

export class ProcessFiles {
  readonly host: HostFiles;
  readonly readOnly: boolean;
  readonly table: FdTable;
  readonly resolver: PathResolver;
  readonly tree: VirtualTree;
  /** File mode creation mask. */
  umask: number;
  /** What files in memory may take of the host's: as much as the program's RAM. */
  readonly memoryQuota: MemoryQuota;
  /** Whether the program has ever taken a POSIX record lock: then closing has to drop them. */
  recordLocks = false;
  readonly #limit: () => number;
  readonly #rootFd: number;
  readonly #hostUmask: number;
  #cwd: OpenFile;

  /** Throws `FatalError` if `root` or `cwd` is not a directory. */
  constructor(options: ProcessFilesOptions) {
    const { host, root, cwd } = options;
    this.host = host;
    this.readOnly = options.readOnly ?? false;
    this.#limit = options.limit;
    this.table = new FdTable(options.limit);
    this.memoryQuota = new MemoryQuota(host, options.facts.memory.totalBytes);
    this.#rootFd = mustOpen('--root', root ?? '/', openHostDirectory(host, textToPath(root ?? '/')));
    this.resolver = new PathResolver(host, root === undefined ? undefined : this.#rootFd);
    const cwdFd = mustOpen(
      '--cwd',
      cwd,
      this.resolver.find(this.#rootFd, textToPath(cwd), OpenFlag.DIRECTORY),
    );
    // By its own name: one such as /proc/self/cwd would lead to itself.
    const cwdName = this.resolver.nameOf(cwdFd);
    this.#cwd = this.#directory(cwdFd, typeof cwdName === 'string' ? cwdName : textToPath(cwd));
    this.#hostUmask = host.umask(0o22);
    host.umask(this.#hostUmask);
    this.umask = this.#hostUmask;
    this.tree = new VirtualTree(options.facts, {
      confined: this.resolver.confined,
      workingDirectory: () => this.#cwd.path,
      descriptors: () => this.table.numbers(),
    });
    for (const fd of [0, 1, 2]) this.#inherit(fd);
  }

  /** RLIMIT_NOFILE: descriptors are below it. */
  get maxDescriptors(): number {
    return this.#limit();
  }

  // ---- lookups ----

  /**
   * Finds out what a path means. `dirFd` may be AT_FDCWD.
   * @param follow whether a link of the simulator's own, as the last component, is followed
   */
  locate(dirFd: number, path: string, follow = false): Exclude<Place, { kind: 'beyond' }> {
    let place = this.#look(dirFd, path);
    for (let links = 0; links <= MAX_LINKS; links++) {
      if (typeof place === 'number') return place;
      if (place.kind === 'beyond') place = this.#lookBeyond(place);
      else if (place.kind === 'link' && follow) place = this.#look(AT_FDCWD, place.target);
      else return place;
    }
    return -Errno.ELOOP;
  }

  #look(dirFd: number, path: string): Place {
    const isAbsolute = path.startsWith('/');
    const base = isAbsolute || dirFd === AT_FDCWD ? this.#cwd : this.table.get(dirFd);
    if (base === undefined) return -Errno.EBADF;
    if (path === '') return -Errno.ENOENT;
    // The simulator's own descriptors may be directories outside the root.
    if (base.inherited && this.resolver.confined) return -Errno.EACCES;
    const absolute = () => lexicalPath(base.path, path);
    const suspect = isAbsolute
      ? VirtualTree.concerns(path) || path.includes('/.') || path.startsWith('//')
      : VirtualTree.concerns(base.path) || base.path === '/' || path.includes('..');
    const node = suspect ? this.tree.lookup(absolute()) : undefined;
    if (node !== undefined) return node;
    if (base.kind === 'listing') return { kind: 'host', baseFd: this.#rootFd, path: absolute(), absolute };
    return { kind: 'host', baseFd: isAbsolute ? this.#rootFd : base.hostFd, path, absolute };
  }

  /**
   * Calls `use` with an O_PATH (or better) descriptor of what the path names, or `virtual` with the simulator's own
   * file; returns what they return, or a negative errno.
   * @param flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
   */
  withFile(
    dirFd: number,
    path: string,
    flags: number,
    use: FileUser,
    virtual: (node: VirtualNode) => number,
  ): number {
    if (path === '' && (flags & AtFlag.EMPTY_PATH) !== 0) {
      const file = dirFd === AT_FDCWD ? this.#cwd : this.table.get(dirFd);
      return file === undefined ? -Errno.EBADF : withOpenFile(file, use, virtual);
    }
    const follow = (flags & AtFlag.SYMLINK_NOFOLLOW) === 0;
    const place = this.locate(dirFd, path, follow);
    if (typeof place === 'number') return place;
    if (place.kind === 'absent') return -Errno.ENOENT;
    if (place.kind === 'descriptor' && follow) return withOpenFile(this.table.get(place.fd)!, use, virtual);
    if (place.kind !== 'host') return virtual(place);
    const fd = this.resolver.find(place.baseFd, place.path, follow ? 0 : OpenFlag.NOFOLLOW);
    if (fd < 0) return fd;
    try {
      return use(fd, undefined);
    } finally {
      this.host.close(fd);
    }
  }

  /** Calls `use` with the directory and the last component of a path: for calls that make or remove a name. */
  withEntry(dirFd: number, path: string, use: (directoryFd: number, name: string) => number): number {
    const place = this.locate(dirFd, path);
    if (typeof place === 'number') return place;
    if (place.kind === 'absent') return -Errno.ENOENT;
    if (place.kind !== 'host') return -Errno.EACCES;
    const entry = this.resolver.entry(place.baseFd, place.path);
    if (typeof entry === 'number') return entry;
    try {
      return use(entry.directoryFd, entry.name);
    } finally {
      if (entry.owned) this.host.close(entry.directoryFd);
    }
  }

  // ---- permission ----

  /** 0, or why the program may not change attributes or names of this file. */
  refusesChange(file: OpenFile | undefined): number {
    if (this.readOnly) return -Errno.EROFS;
    return file?.inherited === true && this.resolver.confined ? -Errno.EPERM : 0;
  }

  /** Runs a call that creates a file: the host then applies the program's mask (or a default ACL) to the mode. */
  creating(create: () => number): number {
    if (this.umask === this.#hostUmask) return create();
    this.host.umask(this.umask);
    try {
      return create();
    } finally {
      this.host.umask(this.#hostUmask);
    }
  }

  // ---- working directory ----

  /** The working directory's absolute name now, or a negative errno (ENOENT: it was removed). */
  getcwd(): string | number {
    if (this.#cwd.kind === 'listing') return this.#cwd.path;
    const gone = this.#linkCount(this.#cwd.hostFd) === 0;
    return gone ? -Errno.ENOENT : this.resolver.nameOf(this.#cwd.hostFd);
  }

  chdir(path: string): number {
    const place = this.locate(AT_FDCWD, path, true);
    if (typeof place === 'number') return place;
    if (place.kind === 'descriptor') return this.fchdir(place.fd);
    if (place.kind === 'absent') return -Errno.ENOENT;
    if (place.kind === 'listing') {
      this.#setCwd(
        new OpenFile(this.host, { hostFd: -1, kind: 'listing', flags: 0, path: place.path, node: place }),
      );
      return 0;
    }
    if (place.kind !== 'host') return -Errno.ENOTDIR;
    const fd = this.resolver.find(place.baseFd, place.path, OpenFlag.DIRECTORY);
    return fd < 0 ? fd : this.#enter(fd, place.absolute());
  }

  fchdir(fd: number): number {
    const file = this.table.get(fd);
    if (file === undefined) return -Errno.EBADF;
    if (file.kind === 'listing') {
      this.#setCwd(file.retain());
      return 0;
    }
    if (file.inherited && this.resolver.confined) return -Errno.EACCES;
    const directory = this.host.openat(
      file.hostFd,
      '.',
      OpenFlag.PATH | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC,
      0,
    );
    return directory < 0 ? directory : this.#enter(directory, file.path);
  }

  // ---- for the loader and for mmap ----

  /** Opens a program file by its guest name, read-only and confined as the program itself is; or a negative errno. */
  openProgram(path: string): FileSource | number {
    const place = this.locate(AT_FDCWD, path, true);
    if (typeof place === 'number') return place;
    if (place.kind !== 'host') return -Errno.EACCES;
    const fd = this.resolver.open(place.baseFd, place.path, OpenFlag.RDONLY, 0);
    if (fd < 0) return fd;
    const file = this.describe(fd, OpenFlag.RDONLY, place.absolute());
    if (typeof file === 'number') return file;
    if (file.kind === 'regular') return new MappedFile(this, file);
    file.release();
    return -Errno.EACCES;
  }

  /**
   * The file behind a descriptor for mmap(2), with a reference that `close()` gives back; or the negative errno that
   * mmap fails with.
   * @param writeShared MAP_SHARED with PROT_WRITE
   */
  fileToMap(fd: number, writeShared: boolean): FileSource | number {
    const file = this.table.get(fd);
    if (file === undefined || file.kind === 'path') return -Errno.EBADF;
    if (file.kind !== 'regular') return -Errno.ENODEV;
    if (!file.readable || (writeShared && !file.writable)) return -Errno.EACCES;
    return new MappedFile(this, file.retain());
  }

  /** Makes an open file of a host descriptor, which it takes over; or a negative errno. */
  describe(hostFd: number, flags: number, path: string, quota?: MemoryQuota): OpenFile | number {
    const kind = (flags & OpenFlag.PATH) !== 0 ? 'path' : this.kindOf(hostFd);
    if (typeof kind !== 'number') return new OpenFile(this.host, { hostFd, kind, flags, path, quota });
    this.host.close(hostFd);
    return kind;
  }

  /** What kind of open file a host descriptor makes, or a negative errno. */
  kindOf(fd: number): OpenFileKind | number {
    const result = this.host.statx(fd, '', AtFlag.EMPTY_PATH, STATX_ALL);
    if (result < 0) return result;
    const { view } = this.host;
    const type = view.getUint16(STATX.mode, true) & FileType.MASK;
    if (type === FileType.DIRECTORY) return 'directory';
    if (type === FileType.CHARACTER) {
      const isMemory = view.getUint32(STATX.rdevMajor, true) === MEMORY_DEVICES;
      return isMemory && NEVER_WAITING.has(view.getUint32(STATX.rdevMinor, true)) ? 'device' : 'stream';
    }
    // Block devices behave like files: they have a size and never wait.
    return type === FileType.REGULAR || type === FileType.BLOCK ? 'regular' : 'stream';
  }

  /** Closes everything; at the end of the process. */
  close(): void {
    this.table.closeAll();
    this.#cwd.release();
    this.host.close(this.#rootFd);
  }

  // ---- internals ----

  #lookBeyond({ link, rest }: Extract<VirtualNode, { kind: 'beyond' }>): Place {
    if (link.kind === 'descriptor') return this.#look(link.fd, rest);
    return link.kind === 'link' ? this.#look(AT_FDCWD, `${link.target}/${rest}`) : -Errno.ENOTDIR;
  }

  #enter(directoryFd: number, path: string): number {
    const allowed = this.host.faccessat2(directoryFd, '', 1, AtFlag.EMPTY_PATH | AtFlag.EACCESS);
    if (allowed < 0) {
      this.host.close(directoryFd);
      return allowed;
    }
    this.#setCwd(this.#directory(directoryFd, path));
    return 0;
  }

  #directory(hostFd: number, path: string): OpenFile {
    return new OpenFile(this.host, { hostFd, kind: 'path', flags: OpenFlag.PATH, path });
  }

  #setCwd(file: OpenFile): void {
    this.#cwd.release();
    this.#cwd = file;
  }

  #inherit(fd: number): void {
    const kind = this.kindOf(fd);
    if (typeof kind === 'number') return;
    const flags = this.host.fcntl(fd, Fcntl.GETFL, 0);
    this.table.install(new OpenFile(this.host, { hostFd: fd, kind, flags, inherited: true }), false, fd);
  }

  #linkCount(fd: number): number {
    const result = this.host.statx(fd, '', AtFlag.EMPTY_PATH, STATX_ALL);
    return result < 0 ? 0 : this.host.view.getUint32(STATX.nlink, true);
  }
}

function withOpenFile(file: OpenFile, use: FileUser, virtual: (node: VirtualNode) => number): number {
  return file.node === undefined ? use(file.hostFd, file) : virtual(file.node);
}

function mustOpen(option: string, path: string, fd: number): number {
  if (fd >= 0) return fd;
  if (fd === -Errno.ENOSYS)
    throw new FatalError('--root needs openat2(2): Linux 5.6, and a sandbox that permits it');
  throw new FatalError(
    `${option} ${path}: ${errnoName(-fd)}: name a directory that exists and that you may enter`,
  );
}
