/**
 * The region table: where each range of guest-physical memory lies in the linear memory that stores all of
 * them. Regions keep their address modulo 2 MiB, so that a huge page of the host backs a huge page of the
 * guest.
 */

import { AddrRange, hex, type PhysAddr } from './addr.ts';
import { HUGE_PAGE_SIZE } from './host-pages.ts';
import { PAGE_SIZE } from './page-versions.ts';

/** One range of RAM as the user of PhysicalMemory asks for it. The flags are gem5's BackingStoreEntry's. */
export interface MemoryRange {
  /** First guest-physical address, a multiple of 4 KiB. */
  readonly start: number;
  /** Size in bytes, a multiple of 4 KiB. */
  readonly sizeBytes: number;
  /** Whether the guest is told of it (E820, device tree). Default true. */
  readonly confTableReported?: boolean;
  /** Whether packets reach it through the port. Default true. */
  readonly inAddrMap?: boolean;
  /** Whether KVM maps it into the guest. Default true. */
  readonly kvmMap?: boolean;
}

/** A range with its place in linear memory. */
export interface MemoryRegion extends Required<MemoryRange> {
  readonly start: PhysAddr;
  readonly range: AddrRange;
  /** Offset in bytes of `start` in the linear memory. */
  readonly linear: number;
}

export interface RegionLayout {
  /** In ascending order of address. */
  readonly regions: readonly MemoryRegion[];
  /** Size of the linear memory in bytes, `base` included. */
  readonly sizeBytes: number;
}

/**
 * Lays the ranges out in linear memory.
 *
 * @param base offset in linear memory of a 2 MiB boundary of the host
 * @returns the regions; throws RangeError with a clear line for ranges that overlap or are not whole pages
 */
export function layOutRegions(ranges: readonly MemoryRange[], base: number): RegionLayout {
  if (ranges.length === 0) throw new RangeError('a memory needs at least one range');
  const regions: MemoryRegion[] = [];
  let next = base;
  for (const wanted of [...ranges].sort((a, b) => a.start - b.start)) {
    const { start, sizeBytes } = wanted;
    if (start % PAGE_SIZE !== 0 || sizeBytes % PAGE_SIZE !== 0) {
      throw new RangeError(`memory of ${sizeBytes} bytes at ${hex(start)} is not made of whole 4 KiB pages`);
    }
    const range = AddrRange.ofSize(start, sizeBytes);
    const previous = regions.at(-1);
    if (previous?.range.intersects(range)) {
      throw new RangeError(`memory ranges ${previous.range} and ${range} overlap`);
    }
    const huge = (next - base) % HUGE_PAGE_SIZE;
    const phase = start % HUGE_PAGE_SIZE;
    const linear = next + ((phase - huge + HUGE_PAGE_SIZE) % HUGE_PAGE_SIZE);
    const { confTableReported = true, inAddrMap = true, kvmMap = true } = wanted;
    regions.push({ start: range.start, sizeBytes, confTableReported, inAddrMap, kvmMap, range, linear });
    next = linear + sizeBytes;
  }
  return { regions, sizeBytes: next };
}
