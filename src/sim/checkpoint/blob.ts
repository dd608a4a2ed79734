/**
 * Sparse files for big state: pages of zeros become holes, which take no space and read as zeros.
 */
import { readSync, writeSync } from 'node:fs';

/** Holes are whole pages of the host. */
export const BLOB_PAGE_BYTES = 4096;
const RUN_LIMIT_BYTES = 1 << 20;

/**
 * Writes the pages that are not all zero at their place in the file.
 * @param bytes the contents; their address must be a multiple of 8
 */
export function writeSparse(fd: number, bytes: Uint8Array, fileOffset = 0): void {
  let runStart = 0;
  for (let page = 0; page < bytes.length; page += BLOB_PAGE_BYTES) {
    const end = Math.min(page + BLOB_PAGE_BYTES, bytes.length);
    const isZero = isAllZero(bytes, page, end);
    if (isZero || end - runStart >= RUN_LIMIT_BYTES) {
      writeAll(fd, bytes.subarray(runStart, isZero ? page : end), fileOffset + runStart);
      runStart = end;
    }
  }
  writeAll(fd, bytes.subarray(runStart), fileOffset + runStart);
}

/** Fills `bytes` from the file. @throws RangeError if the file is shorter */
export function readFully(fd: number, bytes: Uint8Array, fileOffset = 0): void {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, RUN_LIMIT_BYTES);
    const got = readSync(fd, bytes, done, length, fileOffset + done);
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

function writeAll(fd: number, bytes: Uint8Array, fileOffset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, fileOffset + done);
  }
}
