/*
 * Linux file operations on raw descriptors: one method per system call, the kernel's own result (a value or a
 * negated errno), data by address. Names and paths are byte strings: one character per byte, Latin-1.
 * Section 2 of the Linux manual pages.
 */
import { addressOf, bind, call6, lazily, orNegativeErrno, type Pointer } from './ffi.ts';
import { FileCall, STATX } from './files-abi.ts';

/** A run of bytes in this process's memory. */
export interface Span {
  readonly pointer: Pointer;
  readonly length: number;
}

// The three that every program calls most, in the cheapest signature. Lengths stay below 2^31: so do results.
const libc = lazily(() => ({
  read: bind('read', ['int32', 'pointer', 'uint32'], 'int32'),
  write: bind('write', ['int32', 'pointer', 'uint32'], 'int32'),
  poll: bind('poll', ['pointer', 'uint32', 'int32'], 'int32'),
}));

/** Most spans in one vectored call (UIO_MAXIOV). */
export const MAX_SPANS = 1024;
const PATH_BYTES = 4096;
const DATA_BYTES = 65536;

// The scratch area: two paths, an iovec array, and a structure or a batch of directory entries.
const PATH_B_AT = PATH_BYTES;
const IOVEC_AT = 2 * PATH_BYTES;
const DATA_AT = IOVEC_AT + 16 * MAX_SPANS;

/**
 * Safety: every address handed to the kernel is either the caller's (a span of guest RAM, checked by whoever made
 * it) or lies in `#scratch`, which lives as long as this object and is at least as long as the call says.
 */
export class HostFiles {
  readonly #scratch = Buffer.from(new ArrayBuffer(DATA_AT + DATA_BYTES));
  readonly #iovecs = new BigUint64Array(this.#scratch.buffer, IOVEC_AT, 2 * MAX_SPANS);
  readonly #base: Pointer = addressOf(this.#scratch.buffer);
  readonly #pathA: Pointer = this.#base;
  readonly #pathB: Pointer = this.#base + BigInt(PATH_B_AT);
  readonly #iovec: Pointer = this.#base + BigInt(IOVEC_AT);
  /** Address of `data`. */
  readonly #data: Pointer = this.#base + BigInt(DATA_AT);
  /** Where structures and directory entries are returned: valid until the next call. */
  readonly data: Uint8Array<ArrayBuffer> = this.#scratch.subarray(DATA_AT);
  readonly view: DataView = new DataView(this.#scratch.buffer, DATA_AT, DATA_BYTES);

  // ---- opening and closing ----

  openat(dirFd: number, path: string, flags: number, mode: number): number {
    return call6(FileCall.openat, dirFd, this.#put(path), flags, mode);
  }

  /** @param resolve bits of `Resolve` */
  openat2(dirFd: number, path: string, flags: number, mode: number, resolve: number): number {
    const how = new BigUint64Array(this.data.buffer, this.data.byteOffset, 3);
    how[0] = BigInt(flags);
    how[1] = BigInt(mode);
    how[2] = BigInt(resolve);
    return call6(FileCall.openat2, dirFd, this.#put(path), this.#data, 24);
  }

  close(fd: number): number {
    return call6(3, fd);
  }

  /** The two ends, or a negative errno. */
  pipe2(flags: number): { readonly readFd: number; readonly writeFd: number } | number {
    const result = call6(FileCall.pipe2, this.#data, flags);
    if (result < 0) return result;
    return { readFd: this.view.getInt32(0, true), writeFd: this.view.getInt32(4, true) };
  }

  memfdCreate(name: string, flags: number): number {
    return call6(FileCall.memfd_create, this.#put(name), flags);
  }

  eventfd2(initial: number, flags: number): number {
    return call6(FileCall.eventfd2, initial, flags);
  }

  // ---- data ----

  /** Reads at the file position. */
  readv(fd: number, into: readonly Span[]): number {
    const only = into[0];
    if (only === undefined) return orNegativeErrno(libc().read(fd, 0n, 0));
    if (into.length === 1) return orNegativeErrno(libc().read(fd, only.pointer, only.length));
    return call6(FileCall.readv, fd, this.#iovec, this.#putSpans(into));
  }

  /** Writes at the file position. */
  writev(fd: number, from: readonly Span[]): number {
    const only = from[0];
    if (only === undefined) return orNegativeErrno(libc().write(fd, 0n, 0));
    if (from.length === 1) return orNegativeErrno(libc().write(fd, only.pointer, only.length));
    return call6(FileCall.writev, fd, this.#iovec, this.#putSpans(from));
  }

  preadv(fd: number, into: readonly Span[], offset: number): number {
    return call6(FileCall.preadv, fd, this.#iovec, this.#putSpans(into), offset);
  }

  pwritev(fd: number, from: readonly Span[], offset: number): number {
    return call6(FileCall.pwritev, fd, this.#iovec, this.#putSpans(from), offset);
  }

  /** @param offset −1 for the file position; `flags` are RWF_ bits */
  preadv2(fd: number, into: readonly Span[], offset: number, flags: number): number {
    return call6(FileCall.preadv2, fd, this.#iovec, this.#putSpans(into), offset, 0, flags);
  }

  pwritev2(fd: number, from: readonly Span[], offset: number, flags: number): number {
    return call6(FileCall.pwritev2, fd, this.#iovec, this.#putSpans(from), offset, 0, flags);
  }

  pread(fd: number, into: Pointer, length: number, offset: number): number {
    return call6(FileCall.pread64, fd, into, length, offset);
  }

  pwrite(fd: number, from: Pointer, length: number, offset: number): number {
    return call6(FileCall.pwrite64, fd, from, length, offset);
  }

  /** Exact for offsets below 2^53. */
  lseek(fd: number, offset: number, whence: number): number {
    return call6(FileCall.lseek, fd, offset, whence);
  }

  /** @param offset position in the source, or undefined for its file position; the source's next position is in `view` at 0 */
  sendfile(outFd: number, inFd: number, offset: number | undefined, count: number): number {
    if (offset === undefined) return call6(FileCall.sendfile, outFd, inFd, 0, count);
    this.view.setBigInt64(0, BigInt(offset), true);
    return call6(FileCall.sendfile, outFd, inFd, this.#data, count);
  }

  /** The next positions, where offsets are given, are in `view` at 0 (in) and 8 (out). */
  copyFileRange(
    inFd: number,
    inOffset: number | undefined,
    outFd: number,
    outOffset: number | undefined,
    length: number,
    flags: number,
  ): number {
    this.view.setBigInt64(0, BigInt(inOffset ?? 0), true);
    this.view.setBigInt64(8, BigInt(outOffset ?? 0), true);
    const inAt = inOffset === undefined ? 0 : this.#data;
    const outAt = outOffset === undefined ? 0 : this.#data + 8n;
    return call6(FileCall.copy_file_range, inFd, inAt, outFd, outAt, length, flags);
  }

  /** Duplicates pipe contents without consuming them. */
  tee(inFd: number, outFd: number, length: number, flags: number): number {
    return call6(FileCall.tee, inFd, outFd, length, flags);
  }

  /**
   * Readiness now, without waiting.
   * @param pollfds array of struct pollfd; `revents` are filled in
   */
  poll(pollfds: Uint8Array): number {
    return orNegativeErrno(libc().poll(addressOf(pollfds), pollfds.length >> 3, 0));
  }

  /** Events of one descriptor that hold now. */
  pollOne(fd: number, events: number): number {
    this.view.setInt32(0, fd, true);
    this.view.setUint32(4, events, true);
    const ready = orNegativeErrno(libc().poll(this.#data, 1, 0));
    return ready <= 0 ? 0 : this.view.getUint16(6, true);
  }

  // ---- names ----

  mkdirat(dirFd: number, name: string, mode: number): number {
    return call6(FileCall.mkdirat, dirFd, this.#put(name), mode);
  }

  mknodat(dirFd: number, name: string, mode: number, device: number): number {
    return call6(FileCall.mknodat, dirFd, this.#put(name), mode, device);
  }

  unlinkat(dirFd: number, name: string, flags: number): number {
    return call6(FileCall.unlinkat, dirFd, this.#put(name), flags);
  }

  renameat2(oldDir: number, oldName: string, newDir: number, newName: string, flags: number): number {
    return call6(FileCall.renameat2, oldDir, this.#put(oldName), newDir, this.#putSecond(newName), flags);
  }

  linkat(oldDir: number, oldName: string, newDir: number, newName: string, flags: number): number {
    return call6(FileCall.linkat, oldDir, this.#put(oldName), newDir, this.#putSecond(newName), flags);
  }

  symlinkat(target: string, dirFd: number, name: string): number {
    return call6(FileCall.symlinkat, this.#put(target), dirFd, this.#putSecond(name));
  }

  /** The target, or a negative errno. */
  readlinkat(dirFd: number, name: string): string | number {
    const length = call6(FileCall.readlinkat, dirFd, this.#put(name), this.#data, PATH_BYTES);
    return length < 0 ? length : this.#scratch.toString('latin1', DATA_AT, DATA_AT + length);
  }

  /** Where an open descriptor's file is now, as the kernel names it, or a negative errno. */
  pathOf(fd: number): string | number {
    return this.readlinkat(-1, procPath(fd));
  }

  /** struct linux_dirent64 records into `data`; returns their length in bytes. */
  getdents64(fd: number, maxBytes: number): number {
    return call6(FileCall.getdents64, fd, this.#data, Math.min(maxBytes, DATA_BYTES));
  }

  // ---- attributes ----

  /** struct statx into `data`; `path` may be '' with AT_EMPTY_PATH. */
  statx(dirFd: number, path: string, flags: number, mask: number): number {
    this.data.fill(0, 0, STATX.SIZE_BYTES);
    return call6(FileCall.statx, dirFd, this.#put(path), flags, mask, this.#data);
  }

  /** struct statfs (120 bytes on x86-64) into `data`. */
  fstatfs(fd: number): number {
    return call6(FileCall.fstatfs, fd, this.#data);
  }

  faccessat2(dirFd: number, path: string, mode: number, flags: number): number {
    return call6(FileCall.faccessat2, dirFd, this.#put(path), mode, flags);
  }

  /** fchmod for descriptors of every kind, O_PATH ones included. */
  chmod(fd: number, mode: number): number {
    return call6(FileCall.fchmodat, -1, this.#put(procPath(fd)), mode);
  }

  fchownat(dirFd: number, path: string, uid: number, gid: number, flags: number): number {
    return call6(FileCall.fchownat, dirFd, this.#put(path), uid, gid, flags);
  }

  /** @param times two struct timespec, or undefined for now */
  utimensat(dirFd: number, path: string, times: Uint8Array | undefined, flags: number): number {
    if (times !== undefined) this.data.set(times);
    return call6(FileCall.utimensat, dirFd, this.#put(path), times === undefined ? 0 : this.#data, flags);
  }

  ftruncate(fd: number, length: number): number {
    return call6(FileCall.ftruncate, fd, length);
  }

  fallocate(fd: number, mode: number, offset: number, length: number): number {
    return call6(FileCall.fallocate, fd, mode, offset, length);
  }

  /** Sets the simulator's own mask and returns the old one. */
  umask(mask: number): number {
    return call6(FileCall.umask, mask);
  }

  // ---- control ----

  fcntl(fd: number, command: number, argument: number): number {
    return call6(FileCall.fcntl, fd, command, argument);
  }

  /** fcntl or ioctl with a structure that goes in and comes back in `data`. */
  fcntlStruct(fd: number, command: number, argument: Uint8Array): number {
    this.data.set(argument);
    return call6(FileCall.fcntl, fd, command, this.#data);
  }

  ioctlStruct(fd: number, request: number, argument: Uint8Array): number {
    this.data.set(argument);
    return call6(FileCall.ioctl, fd, request, this.#data);
  }

  ioctl(fd: number, request: number, argument: number): number {
    return call6(FileCall.ioctl, fd, request, argument);
  }

  flock(fd: number, operation: number): number {
    return call6(FileCall.flock, fd, operation);
  }

  fsync(fd: number): number {
    return call6(FileCall.fsync, fd);
  }

  fdatasync(fd: number): number {
    return call6(FileCall.fdatasync, fd);
  }

  syncFileRange(fd: number, offset: number, length: number, flags: number): number {
    return call6(FileCall.sync_file_range, fd, offset, length, flags);
  }

  syncfs(fd: number): number {
    return call6(FileCall.syncfs, fd);
  }

  sync(): number {
    return call6(FileCall.sync);
  }

  fadvise(fd: number, offset: number, length: number, advice: number): number {
    return call6(FileCall.fadvise64, fd, offset, length, advice);
  }

  readahead(fd: number, offset: number, length: number): number {
    return call6(FileCall.readahead, fd, offset, length);
  }

  // ---- scratch ----

  #put(path: string): Pointer {
    this.#store(path, 0);
    return this.#pathA;
  }

  #putSecond(path: string): Pointer {
    this.#store(path, PATH_B_AT);
    return this.#pathB;
  }

  /** A path that is too long is cut and has no NUL within PATH_MAX bytes: the kernel answers ENAMETOOLONG. */
  #store(path: string, at: number): void {
    const stored = this.#scratch.write(path, at, PATH_BYTES, 'latin1');
    if (stored < PATH_BYTES) this.#scratch[at + stored] = 0;
  }

  #putSpans(spans: readonly Span[]): number {
    const count = Math.min(spans.length, MAX_SPANS);
    for (let i = 0; i < count; i++) {
      this.#iovecs[2 * i] = spans[i]!.pointer;
      this.#iovecs[2 * i + 1] = BigInt(spans[i]!.length);
    }
    return count;
  }
}

/** The magic link to an open file. Only for descriptors that the simulator chose itself. */
export function procPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
