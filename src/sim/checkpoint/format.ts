/**
 * The layout of a checkpoint, a directory:
 *
 *   manifest.json               written last: format, version, tick, and a record of every other file
 *   objects/board.cpu.json      one section per SimObject: { "type": class, "state": { cell: … } }
 *   blobs/board.ram.data.bin    big state: raw bytes with holes, page-aligned, so that it can be mapped
 *
 * A section's record has its size and SHA-256. A blob's has the pages that are stored, too, as `0-2,7`, and its SHA-256 is
 * that of these pages' bytes followed by that list: what a file of mostly zeros costs is what it holds.
 */
import { createHash } from 'node:crypto';

export const MANIFEST = 'manifest.json';
export const FORMAT = 'hypertick-checkpoint';
/** Raised when the meaning of a file changes; there is no reading of other versions. */
export const VERSION = 2;

export interface SectionRecord {
  readonly sizeBytes: number;
  /** As `sha256sum` prints it. */
  readonly sha256: string;
}

export interface BlobRecord {
  readonly sizeBytes: number;
  /** The pages of 4 KiB that are stored, ascending, as `0-2,7`. All others are zero. */
  readonly pages: string;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly tick: string;
  readonly sections: Readonly<Record<string, SectionRecord>>;
  readonly blobs: Readonly<Record<string, BlobRecord>>;
}

export function sectionFile(path: string): string {
  return `objects/${path}.json`;
}

export function blobFile(path: string, cell: string): string {
  return `blobs/${path}.${cell}.bin`;
}

/** What the manifest says of a section with this text. */
export function recordOf(text: string | Uint8Array): SectionRecord {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
