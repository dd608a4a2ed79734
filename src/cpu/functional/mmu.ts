/**
 * The engine's memory management: page walks of four levels, page faults, the fill of the TLBs, and accesses that do not lie in
 * one page of RAM. SDM vol. 3 §4.5 and §4.7. What is decided here is decided once per page; generated code then finds it in
 * the TLB.
 */

import { PageFaultError, Vector } from '../../arch/x86/exceptions.ts';
import { Cr0, Rflags } from '../../arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { TRANSLATE_BOUNCE, TRANSLATE_FAULT } from './core-module.ts';
import { CELL, PAGE_SHIFT, TLB_ENTRIES, TLB_READ_AT, TLB_STRIDE, TLB_WRITE_AT } from './layout.ts';

const TWO_32 = 2 ** 32;
const PAGE_BYTES = 2 ** PAGE_SHIFT;
const OFFSET_MASK = PAGE_BYTES - 1;
/** Bits of a page-table entry (SDM vol. 3 table 4-20). */
const Entry = { P: 1, W: 2, U: 4, A: 0x20, D: 0x40, PS: 0x80 } as const;
const NX_HIGH = 0x8000_0000;
const ADDRESS_HIGH = 0xf_ffff;
/** One and a half of the canonical bits: bits 63 to 47 of an address are equal. */
const CANONICAL_SHIFT = 15;
const USER = 3;
const EMPTY_TAG = 0xffff_ffff;
/** An address that is not canonical: #SS for references to the stack, otherwise #GP. */
export const NOT_CANONICAL_VECTOR = 256;

export type AccessKind = 'read' | 'write' | 'fetch';

/** What the engine must know of writes to pages from which code was made. */
export interface CodePages {
  /** Whether code lies in the page with this offset in RAM. */
  has(linearPage: number): boolean;
  /** Bytes there are about to be written. */
  aboutToWrite(linear: number, sizeBytes: number): void;
}

export class Mmu {
  readonly #tc: X86ThreadContext;
  readonly #memory: PhysicalMemory;
  readonly #codePages: CodePages;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #cells: DataView;
  readonly #bounce: Uint8Array;
  readonly #readTlb: Uint32Array;
  readonly #writeTlb: Uint32Array;
  /** By page of RAM: 1 if the TLB for writing may have it. */
  readonly #maybeInWriteTlb: Uint8Array;
  /** Where the bytes in the bounce cell belong: offsets in RAM, the second for those behind a page boundary. */
  #bouncedTo: readonly [first: number, second: number] = [0, 0];
  #bouncedBytes = 0;
  #bouncedInFirst = 0;
  #epoch = 0;

  constructor(tc: X86ThreadContext, memory: PhysicalMemory, engineMemory: ArrayBuffer, codePages: CodePages) {
    this.#tc = tc;
    this.#memory = memory;
    this.#codePages = codePages;
    this.#words = new Uint32Array(memory.memory.buffer);
    this.#bytes = new Uint8Array(memory.memory.buffer);
    this.#cells = new DataView(engineMemory);
    this.#bounce = new Uint8Array(engineMemory, CELL.bounce, 64);
    const words = (TLB_ENTRIES * TLB_STRIDE) / 4;
    this.#readTlb = new Uint32Array(engineMemory, TLB_READ_AT, words);
    this.#writeTlb = new Uint32Array(engineMemory, TLB_WRITE_AT, words);
    this.#maybeInWriteTlb = new Uint8Array(this.#bytes.length >>> PAGE_SHIFT);
    this.flush();
  }

  /** Forgets all translations. */
  flush(): void {
    flushTlb(this.#readTlb);
    this.flushWrites();
  }

  /** Forgets that pages may be written: their writes are to be noticed anew. */
  flushWrites(): void {
    flushTlb(this.#writeTlb);
    this.#maybeInWriteTlb.fill(0);
  }

  /** A page has become one with code: its writes are to be noticed. */
  flushWritesTo(linearPage: number): void {
    if (this.#maybeInWriteTlb[linearPage >>> PAGE_SHIFT] !== 0) this.flushWrites();
  }

  /** Forgets the translation of one page. */
  flushPage(lo: number, hi: number): void {
    const slot = slotOf(lo, hi);
    for (const tlb of [this.#readTlb, this.#writeTlb]) tlb[slot] = emptyTag(slot);
  }

  /** Marks in the page-version map are good for one epoch. */
  beforeRun(): void {
    const { epoch } = this.#memory.versions;
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.flushWrites();
  }

  /** CoreImports.translate. */
  translate(lo: number, hi: number, sizeBytes: number, isWrite: number): number {
    const kind: AccessKind = isWrite ? 'write' : 'read';
    if (!isCanonical(hi)) return this.#refuse(lo, hi);
    const inPage = PAGE_BYTES - (lo & OFFSET_MASK);
    const nextLo = ((lo >>> 0) + inPage) % TWO_32;
    const nextHi = nextLo === 0 ? (hi + 1) | 0 : hi;
    if (sizeBytes > inPage && !isCanonical(nextHi)) return this.#refuse(lo, nextHi, hi);
    if (this.#isMisaligned(lo, sizeBytes)) return this.#refuse(lo, hi);
    const first = this.#find(lo >>> 0, hi, kind);
    if (first < 0) return TRANSLATE_FAULT;
    if (sizeBytes <= inPage) {
      if (kind === 'write') this.#codePages.aboutToWrite(first, sizeBytes);
      return first | 0;
    }
    const second = this.#find(nextLo, nextHi, kind);
    if (second < 0) return TRANSLATE_FAULT;
    this.#bouncedTo = [first, second];
    this.#bouncedBytes = sizeBytes;
    this.#bouncedInFirst = inPage;
    this.#bounce.set(this.#bytes.subarray(first, first + inPage));
    this.#bounce.set(this.#bytes.subarray(second, second + sizeBytes - inPage), inPage);
    return TRANSLATE_BOUNCE;
  }

  /** CoreImports.commit. */
  commit(): void {
    const [first, second] = this.#bouncedTo;
    const inFirst = this.#bouncedInFirst;
    const inSecond = this.#bouncedBytes - inFirst;
    this.#codePages.aboutToWrite(first, inFirst);
    this.#codePages.aboutToWrite(second, inSecond);
    this.#bytes.set(this.#bounce.subarray(0, inFirst), first);
    this.#bytes.set(this.#bounce.subarray(inFirst, inFirst + inSecond), second);
  }

  /** Where bytes of one page lie in RAM, to be accessed by the simulator; −1 with the fault's cells set. */
  place(lo: number, hi: number, sizeBytes: number, isWrite: boolean): number {
    const at = this.translate(lo, hi, sizeBytes, isWrite ? 1 : 0);
    return at === TRANSLATE_FAULT ? at : at >>> 0;
  }

  get ram(): Uint8Array {
    return this.#bytes;
  }

  /** Where code at a canonical address lies in RAM; −1 with the fault's cells set. */
  fetch(lo: number, hi: number): number {
    return this.#walk(lo, hi, 'fetch');
  }

  /** {@link fetch} at a signed number. */
  fetchAt(address: number): number {
    return this.fetch(address >>> 0, Math.floor(address / TWO_32) | 0);
  }

  /** The bytes of code at an address, as far as they can be fetched; no fault is noted. */
  codeAt(address: number, mostBytes: number): Uint8Array {
    const bytes: number[] = [];
    for (let at = address; at < address + mostBytes && isCanonical(Math.floor(at / TWO_32) | 0); at++) {
      const linear = this.fetchAt(at);
      if (linear < 0) break;
      bytes.push(this.#bytes[linear]!);
    }
    this.#forgetFault();
    return Uint8Array.from(bytes);
  }

  /** Whether code at an address is still fetched from these parts of RAM, one after the other; no fault is noted. */
  codeLiesAt(address: number, spans: readonly (readonly [start: number, end: number])[]): boolean {
    let at = address;
    for (const [start, end] of spans) {
      if (this.fetchAt(at) !== start) {
        this.#forgetFault();
        return false;
      }
      at += end - start;
    }
    return true;
  }

  #forgetFault(): void {
    this.#cells.setInt32(CELL.faultVector, -1, true);
  }

  /** Sets the cells of a fault. The address (CR2) is given by its halves. */
  setFault(vector: number, errorCode: number, lo = 0, hi = 0): void {
    const cells = this.#cells;
    cells.setInt32(CELL.faultVector, vector, true);
    cells.setUint32(CELL.faultCode, errorCode, true);
    cells.setUint32(CELL.faultAddress, lo, true);
    cells.setInt32(CELL.faultAddress + 4, hi, true);
  }

  /**
   * Not canonical (judged by `hi`), or misaligned: #AC.
   * @param firstHi high half of the address of the access
   */
  #refuse(lo: number, hi: number, firstHi = hi): number {
    this.setFault(isCanonical(hi) ? Vector.AC : NOT_CANONICAL_VECTOR, 0, lo, firstHi);
    return TRANSLATE_FAULT;
  }

  /** SDM vol. 3 §6.15, interrupt 17: in ring 3, with CR0.AM and RFLAGS.AC. 16 bytes at multiples of 16: MOVUPS, too. */
  #isMisaligned(lo: number, sizeBytes: number): boolean {
    return this.checksAlignment && (lo & (sizeBytes - 1)) !== 0;
  }

  get checksAlignment(): boolean {
    const { u32, rflags, cpl } = this.#tc;
    return (rflags & Rflags.AC) !== 0 && (u32[OFFSET.cr0 >> 2]! & Cr0.AM) !== 0 && cpl === USER;
  }

  /** Offset in RAM of the byte; its page goes into the TLB. −1 with the fault's cells set. */
  #find(lo: number, hi: number, kind: AccessKind): number {
    const at = this.#walk(lo, hi, kind);
    if (at < 0) return at;
    if (kind === 'write') this.#memory.versions.mark(at, 1);
    if (this.checksAlignment) return at;
    const isCode = kind === 'write' && this.#codePages.has(at & ~OFFSET_MASK);
    if (isCode) return at;
    this.#fill(kind === 'write' ? this.#writeTlb : this.#readTlb, lo, hi, at);
    if (kind === 'write') this.#maybeInWriteTlb[at >>> PAGE_SHIFT] = 1;
    return at;
  }

  #fill(tlb: Uint32Array, lo: number, hi: number, at: number): void {
    const slot = slotOf(lo, hi);
    tlb[slot] = lo & ~OFFSET_MASK;
    tlb[slot + 1] = hi;
    tlb[slot + 2] = at - lo;
  }

  #walk(lo: number, hi: number, kind: AccessKind): number {
    let table = this.#tc.pageTableBase;
    const isUser = this.#tc.cpl === USER;
    let rights: number = Entry.W | Entry.U;
    let noExecute = false;
    for (let level = 3; ; level--) {
      const at = this.#memory.linear((table + 8 * indexAt(lo, hi, level)) as PhysAddr, 8) >>> 2;
      const low = this.#words[at]!;
      const high = this.#words[at + 1]!;
      if ((low & Entry.P) === 0) return this.#pageFault(lo, hi, kind, 0);
      rights &= low;
      noExecute ||= high >= NX_HIGH;
      const isLarge = level > 0 && (low & Entry.PS) !== 0;
      const base = (high & ADDRESS_HIGH) * TWO_32 + ((low & ~OFFSET_MASK) >>> 0);
      if (level > 0 && !isLarge) {
        table = base;
        this.#words[at] = low | Entry.A;
        continue;
      }
      if (!this.#isAllowed(kind, isUser, rights, noExecute))
        return this.#pageFault(lo, hi, kind, PageFaultError.PRESENT);
      this.#words[at] = low | Entry.A | (kind === 'write' ? Entry.D : 0);
      const pageBytes = 2 ** (PAGE_SHIFT + 9 * level);
      const address = base - (base % pageBytes) + (((hi & 0xffff) * TWO_32 + lo) % pageBytes);
      return this.#memory.linear(address as PhysAddr);
    }
  }

  #isAllowed(kind: AccessKind, isUser: boolean, rights: number, noExecute: boolean): boolean {
    if (kind === 'fetch' && noExecute) return false;
    if (isUser && (rights & Entry.U) === 0) return false;
    if (kind !== 'write' || (rights & Entry.W) !== 0) return true;
    return !isUser && (this.#tc.u32[OFFSET.cr0 >> 2]! & Cr0.WP) === 0;
  }

  #pageFault(lo: number, hi: number, kind: AccessKind, present: number): number {
    const { WRITE, USER: BY_USER, FETCH } = PageFaultError;
    const how = (kind === 'write' ? WRITE : 0) | (kind === 'fetch' ? FETCH : 0);
    const code = present | how | (this.#tc.cpl === USER ? BY_USER : 0);
    this.setFault(Vector.PF, code, lo, hi);
    return TRANSLATE_FAULT;
  }
}

/** Bits 63 to 47 are all equal. */
export function isCanonical(hi: number): boolean {
  const top = hi >> CANONICAL_SHIFT;
  return top === 0 || top === -1;
}

function flushTlb(tlb: Uint32Array): void {
  tlb.fill(EMPTY_TAG);
  const last = tlb.length - TLB_STRIDE / 4;
  tlb[last] = emptyTag(last);
}

/** Low half of a tag that no address in the slot has: a page that belongs in another one. */
function emptyTag(slot: number): number {
  return slot === slotOf(EMPTY_TAG, -1) ? 0 : EMPTY_TAG;
}

/** Index (in words) of the slot of an address in a TLB. */
function slotOf(lo: number, hi: number): number {
  const page = ((lo >>> PAGE_SHIFT) | (hi << (32 - PAGE_SHIFT))) >>> 0;
  return ((page % TLB_ENTRIES) * TLB_STRIDE) >>> 2;
}

/** Index of an address in the table of a level: 3 is the top. */
function indexAt(lo: number, hi: number, level: number): number {
  switch (level) {
    case 3:
      return (hi >>> 7) & 0x1ff;
    case 2:
      return ((hi << 2) | (lo >>> 30)) & 0x1ff;
    case 1:
      return (lo >>> 21) & 0x1ff;
    default:
      return (lo >>> 12) & 0x1ff;
  }
}
