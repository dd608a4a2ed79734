/**
 * A region of RAM in a checkpoint: a file of the region's size, uncompressed, page for page, with holes
 * where the memory is zero. Restoring leaves zero pages untouched, so that they take no memory of the host.
 */

import { readFully, writeSparse } from '../sim/checkpoint/blob.ts';
import type { BlobCell } from '../sim/state.ts';
import { physAdd } from './addr.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import type { MemoryRegion } from './region-table.ts';

const CHUNK_SIZE = 1 << 16;

export class RegionBlob implements BlobCell {
  readonly sizeBytes: number;
  readonly #ram: PhysicalMemory;
  readonly #region: MemoryRegion;

  constructor(ram: PhysicalMemory, region: MemoryRegion) {
    this.#ram = ram;
    this.#region = region;
    this.sizeBytes = region.sizeBytes;
  }

  saveBlob(fd: number): void {
    writeSparse(fd, new Uint8Array(this.#ram.memory.buffer, this.#region.linear, this.sizeBytes));
  }

  restoreBlob(fd: number): void {
    const { start } = this.#region;
    this.#ram.discard(start, this.sizeBytes);
    const zeros = Buffer.alloc(CHUNK_SIZE);
    const chunk = Buffer.alloc(CHUNK_SIZE);
    for (let at = 0; at < this.sizeBytes; at += CHUNK_SIZE) {
      const bytes = chunk.subarray(0, Math.min(CHUNK_SIZE, this.sizeBytes - at));
      readFully(fd, bytes, at);
      if (bytes.compare(zeros, 0, bytes.length) !== 0) this.#ram.write(physAdd(start, at), bytes);
    }
  }
}
