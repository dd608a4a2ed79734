/**
 * An open file as the address space maps it: bytes by offset, independent of the descriptor's position and life.
 */
import { AtFlag, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { addressOf } from '../../../host/memory.ts';
import type { FileIdentity, FileSource } from '../file-source.ts';
import type { OpenFile } from './open-file.ts';
import type { ProcessFiles } from './process-files.ts';

export class MappedFile implements FileSource {
  readonly identity: FileIdentity;
  readonly #files: ProcessFiles;
  readonly #file: OpenFile;

  /** Takes over one reference to `file`. */
  constructor(files: ProcessFiles, file: OpenFile) {
    this.#files = files;
    this.#file = file;
    this.identity = identityOf(files, file);
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
    return refusal < 0 ? refusal : this.#files.host.pwrite(this.#file.hostFd, pointer, length, offset);
  }

  close(): void {
    this.#file.release();
  }
}

/** Which file a description is open on. */
export function identityOf(files: ProcessFiles, file: OpenFile): FileIdentity {
  const { host, resolver } = files;
  const name = file.node === undefined ? resolver.nameOf(file.hostFd) : file.path;
  const result = host.statx(file.hostFd, '', AtFlag.EMPTY_PATH, STATX_ALL);
  const view = host.view;
  return {
    path: typeof name === 'string' ? name : file.path,
    deviceMajor: result < 0 ? 0 : view.getUint32(STATX.devMajor, true),
    deviceMinor: result < 0 ? 0 : view.getUint32(STATX.devMinor, true),
    inode: result < 0 ? 0 : Number(view.getBigUint64(STATX.ino, true)),
  };
}
