/*
 * Mappings of the host's address space: mmap(2), munmap(2), mprotect(2), madvise(2).
 */
import type { Remedies } from './errors.ts';
import { bind, check, foreignBuffer, lastError, lazily, type Pointer } from './ffi.ts';

export { addressOf } from './ffi.ts';

/** Page protections. */
export const Prot = { None: 0, Read: 1, Write: 2, Exec: 4 } as const;

/** mmap flags (asm-generic values, the same on x86-64 and arm64). */
export const MapFlag = {
  Shared: 0x01,
  Private: 0x02,
  Fixed: 0x10,
  Anonymous: 0x20,
  NoReserve: 0x4000,
  Populate: 0x8000,
  FixedNoReplace: 0x10_0000,
} as const;

/** madvise advice. */
export const Advice = { Normal: 0, WillNeed: 3, DontNeed: 4, HugePage: 14, NoHugePage: 15 } as const;

export interface MmapRequest {
  readonly length: number;
  /** Bits of {@link Prot}. */
  readonly prot: number;
  /** Bits of {@link MapFlag}. */
  readonly flags: number;
  /** Hint, or with `MapFlag.Fixed` the address itself. */
  readonly address?: Pointer;
  /** Left out for anonymous memory. */
  readonly fd?: number;
  /** Offset in the file, bytes, page-aligned. */
  readonly offset?: number;
}

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const MMAP_REMEDIES: Remedies = {
  ENOMEM:
    'not enough memory or address space: use less guest memory, or raise "ulimit -v" or vm.max_map_count',
  EACCES: 'the file does not permit this access',
};

const libc = lazily(() => ({
  mmap: bind('mmap', ['pointer', 'uint64', 'int32', 'int32', 'int32', 'int64'], 'pointer'),
  munmap: bind('munmap', ['pointer', 'uint64'], 'int32'),
  mprotect: bind('mprotect', ['pointer', 'uint64', 'int32'], 'int32'),
  madvise: bind('madvise', ['pointer', 'uint64', 'int32'], 'int32'),
}));

/** Maps memory; returns its address. */
export function mmap(request: MmapRequest): Pointer {
  const { length, prot, flags, address = 0n, fd = -1, offset = 0 } = request;
  const mapped = libc().mmap(address, BigInt(length), prot, flags, fd, BigInt(offset));
  if (mapped === MAP_FAILED) throw lastError(`mmap(${length} bytes)`, MMAP_REMEDIES);
  return mapped;
}

/** Unmaps a range. Every view of it must have been dropped: touching one afterwards ends the process. */
export function munmap(address: Pointer, length: number): void {
  check(libc().munmap(address, BigInt(length)), 'munmap');
}

/** Changes the protection of a range of whole pages. JavaScript must not store to a page made read-only. */
export function mprotect(address: Pointer, length: number, prot: number): void {
  check(libc().mprotect(address, BigInt(length), prot), 'mprotect', MMAP_REMEDIES);
}

/** Gives advice about a range of whole pages. */
export function madvise(address: Pointer, length: number, advice: number): void {
  check(libc().madvise(address, BigInt(length), advice), 'madvise');
}

/** A view of memory that JavaScript does not own. Safe as long as the range stays mapped. */
export function viewOf(address: Pointer, sizeBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(foreignBuffer(address, sizeBytes));
}
