/**
 * A region of RAM in a checkpoint. Memory that was never touched is neither looked at nor written; restoring leaves it
 * untouched, so that it takes no memory of the host.
 */

import type { BlobCell, BlobSink, BlobSource } from '../sim/state.ts';
import { physAdd } from './addr.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import type { MemoryRegion } from './region-table.ts';

export class RegionBlob implements BlobCell {
  readonly sizeBytes: number;
  readonly #ram: PhysicalMemory;
  readonly #region: MemoryRegion;

  constructor(ram: PhysicalMemory, region: MemoryRegion) {
    this.#ram = ram;
    this.#region = region;
    this.sizeBytes = region.sizeBytes;
  }

  saveBlob(into: BlobSink): void {
    const { start } = this.#region;
    this.#ram.forTouched(start, this.sizeBytes, (pa, bytes) => into.write(pa - start, bytes));
  }

  restoreBlob(from: BlobSource): void {
    const { start } = this.#region;
    this.#ram.discard(start, this.sizeBytes);
    from.read((offset, bytes) => this.#ram.write(physAdd(start, offset), bytes));
  }
}
