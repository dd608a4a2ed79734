/**
 * An open file as the address space maps it: bytes by offset, independent of the descriptor's position and life.
 */
import type { HostFiles } from '../../../host/files.ts';
import { AtFlag, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { addressOf } from '../../../host/memory.ts';
import type { FileIdentity, FileSource } from '../file-source.ts';
import { OpenFlag } from './abi.ts';
import type { OpenFile } from './open-file.ts';
import type { ProcessFiles } from './process-files.ts';

export class MappedFile implements FileSource {
  readonly identity: FileIdentity;
  readonly #files: ProcessFiles;
  readonly #file: OpenFile;
  /** Host descriptor of the same file without O_APPEND, once it was needed. */
  #positionedFd = -1;

  /** Takes over one reference to `file`. */
  constructor(files: ProcessFiles, file: OpenFile) {
    this.#files = files;
    this.#file = file;
    const name = file.node === undefined ? files.resolver.nameOf(file.hostFd) : file.path;
    this.identity = identityOf(files.host, file.hostFd, typeof name === 'string' ? name : file.path);
  }

  size(): number {
    const { host } = this.#files;
    const result = host.statx(this.#file.hostFd, '', AtFlag.EMPTY_PATH, STATX_ALL);
    return result < 0 ? 0 : Number(host.view.getBigUint64(STATX.size, true));
  }

  read(offset: number, pointer: bigint, length: number): number {
    let done = 0;
    while (done < length) {
      const n = this.#files.host.pread(
        this.#file.hostFd,
        pointer + BigInt(done),
        length - done,
        offset + done,
      );
      if (n === 0) break;
      if (n < 0) return done > 0 ? done : n;
      done += n;
    }
    return done;
  }

  readInto(offset: number, bytes: Uint8Array): number {
    return bytes.length === 0 ? 0 : this.read(offset, addressOf(bytes), bytes.length);
  }

  get isWritable(): boolean {
    return this.#file.writable;
  }

  writeBack(offset: number, pointer: bigint, length: number): number {
    const refusal = this.#file.refusesGrowth(length);
    if (refusal < 0) return refusal;
    const fd = this.#writeBackFd();
    return fd < 0 ? fd : this.#files.host.pwrite(fd, pointer, length, offset);
  }

  /** With O_APPEND pwrite(2) would append, whatever the offset (BUGS there): then a second descriptor writes. */
  #writeBackFd(): number {
    if ((this.#file.flags & OpenFlag.APPEND) === 0) return this.#file.hostFd;
    if (this.#positionedFd < 0) {
      this.#positionedFd = this.#files.resolver.reopenOwn(this.#file.hostFd, OpenFlag.WRONLY);
    }
    return this.#positionedFd;
  }

  close(): void {
    if (this.#positionedFd >= 0) this.#files.host.close(this.#positionedFd);
    this.#file.release();
  }
}

/** Which file a host descriptor is open on. */
export function identityOf(host: HostFiles, fd: number, path: string): FileIdentity {
  const result = host.statx(fd, '', AtFlag.EMPTY_PATH, STATX_ALL);
  const { view } = host;
  return {
    path,
    deviceMajor: result < 0 ? 0 : view.getUint32(STATX.devMajor, true),
    deviceMinor: result < 0 ? 0 : view.getUint32(STATX.devMinor, true),
    inode: result < 0 ? 0 : Number(view.getBigUint64(STATX.ino, true)),
  };
}
