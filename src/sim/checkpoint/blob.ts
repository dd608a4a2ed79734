/**
 * Big state in a checkpoint: a sparse file of the state's size, uncompressed, page for page. Pages of zeros are left out:
 * they are holes, which take no space, are not read again, and cost no time. The manifest says which pages are stored.
 */
import { createHash, type Hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import type { BlobRecord } from './format.ts';

export const BLOB_PAGE_BYTES = 4096;
const CHUNK_BYTES = 1 << 20;

/** Pages `first` to `end - 1`. */
interface PageRun {
  readonly first: number;
  readonly end: number;
}

/** Takes big state for a file. */
export class BlobWriter {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #digest = createHash('sha256');
  readonly #runs: PageRun[] = [];

  /** @param fd of an empty file of `sizeBytes` bytes */
  constructor(fd: number, sizeBytes: number) {
    this.#fd = fd;
    this.sizeBytes = sizeBytes;
  }

  /**
   * Stores what is not zero of a span of whole pages. Spans come in ascending order; what is in none of them is zero.
   * @param offset multiple of {@link BLOB_PAGE_BYTES}
   * @param bytes whole pages, but for the last of all
   */
  write(offset: number, bytes: Uint8Array): void {
    if (
      offset % BLOB_PAGE_BYTES !== 0 ||
      offset < this.#storedBytes ||
      offset + bytes.length > this.sizeBytes
    )
      throw new RangeError(`a blob of ${this.sizeBytes} bytes cannot take ${bytes.length} at ${offset}`);
    let runStart = 0;
    for (let page = 0; page < bytes.length; page += BLOB_PAGE_BYTES) {
      const end = Math.min(page + BLOB_PAGE_BYTES, bytes.length);
      const isZero = isAllZero(bytes, page, end);
      if (isZero || end - runStart >= CHUNK_BYTES) {
        this.#store(offset + runStart, bytes.subarray(runStart, isZero ? page : end));
        runStart = end;
      }
    }
    this.#store(offset + runStart, bytes.subarray(runStart));
  }

  /** What the manifest says of the file. */
  finish(): BlobRecord {
    const pages = formatRuns(this.#runs);
    return { sizeBytes: this.sizeBytes, pages, sha256: finishDigest(this.#digest, pages) };
  }

  get #storedBytes(): number {
    return (this.#runs.at(-1)?.end ?? 0) * BLOB_PAGE_BYTES;
  }

  #store(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    this.#digest.update(bytes);
    const first = offset / BLOB_PAGE_BYTES;
    const end = Math.ceil((offset + bytes.length) / BLOB_PAGE_BYTES);
    const last = this.#runs.at(-1);
    if (last?.end === first) this.#runs[this.#runs.length - 1] = { first: last.first, end };
    else this.#runs.push({ first, end });
  }
}

/** Gives big state back. */
export class BlobReader {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #record: BlobRecord;
  readonly #runs: readonly PageRun[];

  /** @throws RangeError if the record is no record of a blob */
  constructor(fd: number, record: BlobRecord) {
    this.#fd = fd;
    this.#record = record;
    this.sizeBytes = record.sizeBytes;
    this.#runs = parseRuns(record.pages, Math.ceil(record.sizeBytes / BLOB_PAGE_BYTES));
  }

  /**
   * Hands over all that is stored, in ascending order; all else is zero.
   * @param take is called with whole pages, which are its own only until it returns
   * @throws RangeError if the file is shorter than it should be
   */
  read(take: (offset: number, bytes: Uint8Array) => void): void {
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (const { first, end } of this.#runs) {
      const endByte = Math.min(end * BLOB_PAGE_BYTES, this.sizeBytes);
      for (let at = first * BLOB_PAGE_BYTES; at < endByte; at += CHUNK_BYTES) {
        const bytes = chunk.subarray(0, Math.min(CHUNK_BYTES, endByte - at));
        readFully(this.#fd, bytes, at);
        take(at, bytes);
      }
    }
  }

  /** Whether the file holds what was written to it. Only what is stored counts: holes are never read. */
  isIntact(): boolean {
    const digest = createHash('sha256');
    this.read((_, bytes) => digest.update(bytes));
    return finishDigest(digest, this.#record.pages) === this.#record.sha256;
  }
}

/** The stored bytes in order, then the list of their pages: equal bytes elsewhere are something else. */
function finishDigest(digest: Hash, pages: string): string {
  return digest.update(pages).digest('hex');
}

/** `0-2,7`: pages 0, 1, 2 and 7. */
function formatRuns(runs: readonly PageRun[]): string {
  return runs.map(({ first, end }) => (end - first === 1 ? `${first}` : `${first}-${end - 1}`)).join(',');
}

function parseRuns(pages: string, pageCount: number): PageRun[] {
  if (pages === '') return [];
  let stored = 0;
  return pages.split(',').map((text) => {
    const [, from = '', to = from] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
    const run = { first: Number(from), end: Number(to) + 1 };
    const isInOrder = from !== '' && run.first >= stored && run.end > run.first && run.end <= pageCount;
    if (!isInOrder) throw new RangeError(`pages '${text}'`);
    stored = run.end;
    return run;
  });
}

function readFully(fd: number, bytes: Uint8Array, fileOffset: number): void {
  for (let done = 0; done < bytes.length; ) {
    const got = readSync(fd, bytes, done, bytes.length - done, fileOffset + done);
    if (got === 0) throw new RangeError(`the file ends at ${fileOffset + done}`);
    done += got;
  }
}

function isAllZero(bytes: Uint8Array, start: number, end: number): boolean {
  const aligned = (bytes.byteOffset + start) % 8 === 0 && (end - start) % 8 === 0;
  if (!aligned) return bytes.subarray(start, end).every((byte) => byte === 0);
  const words = new Float64Array(bytes.buffer, bytes.byteOffset + start, (end - start) / 8);
  // As a double only +0 and -0 compare equal to zero; the latter has a bit set and is looked at again.
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== 0 || Object.is(words[i], -0)) return false;
  }
  return true;
}
