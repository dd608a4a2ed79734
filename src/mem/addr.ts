/**
 * Guest-physical addresses and ranges of them. Both are exact Numbers: the architectures we model have at
 * most 52 physical address bits (SDM vol. 3A §4.1.4, Arm ARM D8.1.3), which fit below 2^53.
 */

declare const physAddrBrand: unique symbol;

/** A guest-physical address in bytes. */
export type PhysAddr = number & { readonly [physAddrBrand]: true };

/**
 * Addresses of memory, and of what is accessed like it, are below: no architecture has more bits of them. What is above is an
 * architecture's own, such as I/O ports, and nothing that a guest or a device reaches by an address.
 */
export const MEMORY_SPACE_END = 2 ** 52;

/** Checks that `n` can be an address and brands it. Throws RangeError otherwise. */
export function asPhysAddr(n: number): PhysAddr {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`${n} is not a physical address`);
  return n as PhysAddr;
}

/** `pa + bytes`, unchecked: for inner loops that stay inside a range already checked. */
export function physAdd(pa: PhysAddr, bytes: number): PhysAddr {
  return (pa + bytes) as PhysAddr;
}

/** `0x` and lower-case digits, as addresses are written in messages. */
export function hex(n: number): string {
  return `0x${n.toString(16)}`;
}

/**
 * A half-open range of physical addresses, `[start, end)`. A range is one contiguous piece: interleaving over
 * several memories, which gem5's AddrRange can also express, cannot be written down here, since a KVM memory
 * slot cannot have it.
 */
export class AddrRange {
  readonly start: PhysAddr;
  readonly end: PhysAddr;

  /** Throws RangeError if the range is empty, reversed or not made of whole addresses. */
  constructor(start: number, end: number) {
    this.start = asPhysAddr(start);
    this.end = asPhysAddr(end);
    if (end <= start) throw new RangeError(`address range ${hex(start)}..${hex(end)} is empty`);
  }

  static ofSize(start: number, sizeBytes: number): AddrRange {
    return new AddrRange(start, start + sizeBytes);
  }

  get sizeBytes(): number {
    return this.end - this.start;
  }

  /** Whether the whole span `[pa, pa + sizeBytes)` lies inside. */
  contains(pa: PhysAddr, sizeBytes = 1): boolean {
    return pa >= this.start && pa + sizeBytes <= this.end;
  }

  /** Whether at least one byte belongs to both ranges. */
  intersects(other: AddrRange): boolean {
    return this.start < other.end && other.start < this.end;
  }

  isSubsetOf(other: AddrRange): boolean {
    return other.contains(this.start, this.sizeBytes);
  }

  equals(other: AddrRange): boolean {
    return this.start === other.start && this.end === other.end;
  }

  /** gem5's notation, `[start:end)`. */
  toString(): string {
    return `[${hex(this.start)}:${hex(this.end)})`;
  }
}
