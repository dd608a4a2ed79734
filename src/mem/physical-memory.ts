/**
 * Guest RAM: a shared WebAssembly.Memory behind a region table. The same bytes are KVM's memory slots, the
 * linear memory of generated code and what devices and system calls see. Every write made here marks the
 * page-version map. All multi-byte values are little-endian; an access may cross pages but must lie within
 * one region.
 */

import { SimObject } from '../sim/sim-object.ts';
import { FatalError } from '../sim/trouble.ts';
import { hex, type PhysAddr, physAdd } from './addr.ts';
import { type HostPages, HUGE_PAGE_SIZE } from './host-pages.ts';
import { allocateLinearMemory } from './linear-memory.ts';
import { PAGE_SIZE, PageVersions } from './page-versions.ts';
import { RegionBlob } from './region-blob.ts';
import { layOutRegions, type MemoryRange, type MemoryRegion, type RegionLayout } from './region-table.ts';

export interface PhysicalMemoryParams {
  readonly ranges: readonly MemoryRange[];
  /** Absent where the host offers nothing: no huge pages, `pointer` refuses, discarding fills with zeros. */
  readonly hostPages?: HostPages;
}

/** A guest-physical span that is not RAM, or that runs out of its region. */
export class PhysicalAddressError extends Error {
  override readonly name = 'PhysicalAddressError';
  readonly address: number;
  readonly sizeBytes: number;

  constructor(path: string, address: number, sizeBytes: number) {
    super(
      `${path}: ${sizeBytes} bytes at physical address ${hex(address)} are not all in one region of memory`,
    );
    this.address = address;
    this.sizeBytes = sizeBytes;
  }
}

export class PhysicalMemory extends SimObject {
  /** The bytes themselves, for generated code. Whoever writes them there marks `versions` as well. */
  readonly memory: WebAssembly.Memory;
  readonly regions: readonly MemoryRegion[];
  readonly versions: PageVersions;

  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #view: DataView<SharedArrayBuffer>;
  readonly #hostPages: HostPages | undefined;
  readonly #hostBase: bigint;
  /** The region of the latest access: nearly always that of the next one too. */
  #recent: MemoryRegion;

  constructor(parent: SimObject, name: string, params: PhysicalMemoryParams) {
    super(parent, name);
    const { hostPages } = params;
    const { memory, buffer } = allocateLinearMemory(this.path, layOut(this.path, params.ranges, 0).sizeBytes);
    this.memory = memory;
    this.#hostPages = hostPages;
    this.#hostBase = hostPages?.addressOf(buffer) ?? 0n;
    const firstHugePage = Number(-this.#hostBase & BigInt(HUGE_PAGE_SIZE - 1));
    this.regions = layOut(this.path, params.ranges, firstHugePage).regions;
    this.#recent = this.regions[0]!;
    this.versions = new PageVersions(buffer.byteLength);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    for (const [i, region] of this.regions.entries()) {
      hostPages?.adviseHugePages(this.#hostBase + BigInt(region.linear), region.sizeBytes);
      this.blob(`ram${i}`, new RegionBlob(this, region));
    }
  }

  /**
   * Offset of `pa` in the linear memory. Hot path.
   * Throws PhysicalAddressError unless the whole span lies in one region.
   */
  linear(pa: PhysAddr, sizeBytes = 1): number {
    const region = this.#recent;
    const offset = pa - region.start;
    if (offset >= 0 && offset + sizeBytes <= region.sizeBytes) return region.linear + offset;
    return this.#linearElsewhere(pa, sizeBytes);
  }

  /** Whether the whole span lies in one region. */
  contains(pa: PhysAddr, sizeBytes = 1): boolean {
    return this.#regionOf(pa, sizeBytes) !== undefined;
  }

  readU8(pa: PhysAddr): number {
    return this.#bytes[this.linear(pa, 1)]!;
  }

  readU16(pa: PhysAddr): number {
    return this.#view.getUint16(this.linear(pa, 2), true);
  }

  readU32(pa: PhysAddr): number {
    return this.#view.getUint32(this.linear(pa, 4), true);
  }

  readU64(pa: PhysAddr): bigint {
    return this.#view.getBigUint64(this.linear(pa, 8), true);
  }

  readF32(pa: PhysAddr): number {
    return this.#view.getFloat32(this.linear(pa, 4), true);
  }

  readF64(pa: PhysAddr): number {
    return this.#view.getFloat64(this.linear(pa, 8), true);
  }

  writeU8(pa: PhysAddr, value: number): void {
    this.#bytes[this.#linearForWrite(pa, 1)] = value;
  }

  writeU16(pa: PhysAddr, value: number): void {
    this.#view.setUint16(this.#linearForWrite(pa, 2), value, true);
  }

  writeU32(pa: PhysAddr, value: number): void {
    this.#view.setUint32(this.#linearForWrite(pa, 4), value, true);
  }

  writeU64(pa: PhysAddr, value: bigint): void {
    this.#view.setBigUint64(this.#linearForWrite(pa, 8), value, true);
  }

  writeF32(pa: PhysAddr, value: number): void {
    this.#view.setFloat32(this.#linearForWrite(pa, 4), value, true);
  }

  writeF64(pa: PhysAddr, value: number): void {
    this.#view.setFloat64(this.#linearForWrite(pa, 8), value, true);
  }

  /** Copies the first `sizeBytes` bytes at `pa` to the start of `into`. */
  read(pa: PhysAddr, into: Uint8Array, sizeBytes = into.length): void {
    const linear = this.linear(pa, sizeBytes);
    into.set(this.#bytes.subarray(linear, linear + sizeBytes));
  }

  /** Copies the first `sizeBytes` bytes of `from` to `pa`. */
  write(pa: PhysAddr, from: Uint8Array, sizeBytes = from.length): void {
    this.#bytes.set(
      sizeBytes === from.length ? from : from.subarray(0, sizeBytes),
      this.#linearForWrite(pa, sizeBytes),
    );
  }

  fill(pa: PhysAddr, sizeBytes: number, byte: number): void {
    const linear = this.#linearForWrite(pa, sizeBytes);
    this.#bytes.fill(byte, linear, linear + sizeBytes);
  }

  /** Copies within RAM, also between regions; the spans may overlap. */
  copy(dst: PhysAddr, src: PhysAddr, sizeBytes: number): void {
    const from = this.linear(src, sizeBytes);
    this.#bytes.copyWithin(this.#linearForWrite(dst, sizeBytes), from, from + sizeBytes);
  }

  /**
   * Host address of the span, to hand to the kernel. It stays right for the life of this object.
   * `'write'` marks the pages now: ask anew for every operation that writes.
   */
  pointer(pa: PhysAddr, sizeBytes: number, access: 'read' | 'write'): bigint {
    if (this.#hostPages === undefined) {
      throw new FatalError(`${this.path}: this host gives no addresses of guest memory (no node:ffi)`);
    }
    const linear = access === 'write' ? this.#linearForWrite(pa, sizeBytes) : this.linear(pa, sizeBytes);
    return this.#hostBase + BigInt(linear);
  }

  /**
   * Gives whole pages back to the host: they read as zero afterwards, and KVM no longer maps the old ones.
   * `pa` and `sizeBytes` are multiples of 4 KiB.
   */
  discard(pa: PhysAddr, sizeBytes: number): void {
    const linear = this.#wholePages(pa, sizeBytes);
    this.versions.mark(linear, sizeBytes);
    if (this.#hostPages === undefined) this.#bytes.fill(0, linear, linear + sizeBytes);
    else this.#hostPages.discard(this.#hostBase + BigInt(linear), sizeBytes);
  }

  /**
   * Calls `use` with the pieces of the span, in order, that may hold something else than zeros: whole pages.
   * `pa` and `sizeBytes` are multiples of 4 KiB. The bytes are for reading.
   */
  forTouched(pa: PhysAddr, sizeBytes: number, use: (pa: PhysAddr, bytes: Uint8Array) => void): void {
    const linear = this.#wholePages(pa, sizeBytes);
    const base = this.#hostBase + BigInt(linear);
    const spans = this.#hostPages?.touched(base, sizeBytes) ?? [{ address: base, sizeBytes }];
    for (const span of spans) {
      const offset = Number(span.address - base);
      use(physAdd(pa, offset), this.#bytes.subarray(linear + offset, linear + offset + span.sizeBytes));
    }
  }

  /**
   * Makes KVM forget its mappings and TLB entries of these pages, contents unchanged. A KVM that shadows
   * the guest's page tables keeps a stale translation until then, when a present entry was changed under
   * its feet. `pa` and `sizeBytes` are multiples of 4 KiB. No other thread may write the pages meanwhile.
   */
  dropSecondaryMappings(pa: PhysAddr, sizeBytes: number): void {
    const linear = this.#wholePages(pa, sizeBytes);
    this.#hostPages?.dropSecondaryMappings(this.#hostBase + BigInt(linear), sizeBytes);
  }

  #linearForWrite(pa: PhysAddr, sizeBytes: number): number {
    const linear = this.linear(pa, sizeBytes);
    this.versions.mark(linear, sizeBytes);
    return linear;
  }

  #linearElsewhere(pa: PhysAddr, sizeBytes: number): number {
    const region = this.#regionOf(pa, sizeBytes);
    if (region === undefined) throw new PhysicalAddressError(this.path, pa, sizeBytes);
    this.#recent = region;
    return region.linear + (pa - region.start);
  }

  #regionOf(pa: PhysAddr, sizeBytes: number): MemoryRegion | undefined {
    for (const region of this.regions) if (region.range.contains(pa, sizeBytes)) return region;
    return undefined;
  }

  #wholePages(pa: PhysAddr, sizeBytes: number): number {
    if (pa % PAGE_SIZE !== 0 || sizeBytes % PAGE_SIZE !== 0) {
      throw new RangeError(`${this.path}: ${sizeBytes} bytes at ${hex(pa)} are not whole 4 KiB pages`);
    }
    return this.linear(pa, sizeBytes);
  }
}

function layOut(path: string, ranges: readonly MemoryRange[], base: number): RegionLayout {
  try {
    return layOutRegions(ranges, base);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new FatalError(`${path}: ${cause.message}`, { cause });
  }
}
