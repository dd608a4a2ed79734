/**
 * What guest RAM asks of the host's virtual memory: where it lies, huge pages, and giving pages back. It is
 * an interface of its own because RAM also works where the host offers none of it (no node:ffi, not Linux).
 */

/** Size and alignment of a transparent huge page on x86-64 and on arm64 with 4 KiB pages. */
export const HUGE_PAGE_SIZE = 2 << 20;

/** A piece of the host's address space. */
export interface HostSpan {
  readonly address: bigint;
  readonly sizeBytes: number;
}

/** Errors of the host are thrown as HostError. Addresses and sizes of spans are multiples of 4 KiB. */
export interface HostPages {
  /** Host address of the first byte of `buffer`, which is never moved. */
  addressOf(buffer: SharedArrayBuffer): bigint;
  /** Asks for huge pages. Has an effect on pages that were not touched yet. */
  adviseHugePages(address: bigint, sizeBytes: number): void;
  /** Gives the pages back: they read as zero from now on, and KVM's mappings of them are gone. */
  discard(address: bigint, sizeBytes: number): void;
  /** Keeps the contents, but drops every secondary mapping (KVM's page tables and TLBs) of the pages. */
  dropSecondaryMappings(address: bigint, sizeBytes: number): void;
  /** The pieces of a span that may hold something, in order: all other pages were never touched, and are zero. */
  touched(address: bigint, sizeBytes: number): readonly HostSpan[];
}
