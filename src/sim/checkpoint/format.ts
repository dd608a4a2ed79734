/**
 * The layout of a checkpoint, a directory:
 *
 *   manifest.json               written last: format, version, tick, and size and SHA-256 of every other file
 *   objects/board.cpu.json      one section per SimObject: { "type": class, "state": { cell: … } }
 *   blobs/board.ram.data.bin    big state: raw bytes with holes, page-aligned, so that it can be mapped
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

export const MANIFEST = 'manifest.json';
export const FORMAT = 'hypertick-checkpoint';
/** Raised when the meaning of a file changes; there is no reading of other versions. */
export const VERSION = 1;

export interface FileRecord {
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly tick: string;
  readonly files: Readonly<Record<string, FileRecord>>;
}

export function sectionFile(path: string): string {
  return `objects/${path}.json`;
}

export function blobFile(path: string, cell: string): string {
  return `blobs/${path}.${cell}.bin`;
}

const HASH_CHUNK_BYTES = 1 << 20;

/** SHA-256 of a file in hexadecimal, as `sha256sum` prints it. */
export function hashFile(path: string): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(HASH_CHUNK_BYTES);
  const fd = openSync(path, 'r');
  try {
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}
