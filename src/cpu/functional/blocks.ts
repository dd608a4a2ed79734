/**
 * Basic blocks of decoded code: found by address, dropped when the bytes they were made from change.
 */

import type { Decoded } from '../../arch/x86/isa/decoded.ts';
import type { Effects } from '../../arch/x86/isa/effects.ts';
import type { UnitState } from '../../arch/x86/isa/units.ts';
import { PAGE_SHIFT } from './layout.ts';
import type { CodePages } from './mmu.ts';

const PAGE_BYTES = 2 ** PAGE_SHIFT;
const OFFSET_MASK = PAGE_BYTES - 1;

export interface BlockInstruction {
  readonly decoded: Decoded;
  readonly effects: Effects;
  /** Place of its handler in the table of code. */
  readonly handler: number;
  readonly rip: number;
}

/** What is known of a block without its instructions. */
export interface BlockFacts {
  /** Virtual address; negative in the upper half. */
  readonly rip: number;
  readonly is64: boolean;
  readonly units: UnitState;
  /** How many instructions it has. */
  readonly count: number;
  /** Address behind the last instruction. */
  readonly end: number;
  /** Offsets in RAM of its bytes, per page: [start, end). */
  readonly spans: readonly (readonly [start: number, end: number])[];
  /** Its first record. */
  readonly record: number;
}

/** A basic block. The interpreter needs only its records: its instructions are decoded when somebody asks for them. */
export class Block implements BlockFacts {
  readonly rip: number;
  readonly is64: boolean;
  readonly units: UnitState;
  readonly count: number;
  readonly end: number;
  readonly spans: BlockFacts['spans'];
  readonly record: number;
  readonly #decode: (block: Block) => readonly BlockInstruction[];
  #instructions: readonly BlockInstruction[] | undefined;

  /** @param decode decodes the bytes, which are the same as long as the block is not dropped */
  constructor(
    { rip, is64, units, count, end, spans, record }: BlockFacts,
    decode: (block: Block) => readonly BlockInstruction[],
  ) {
    this.rip = rip;
    this.is64 = is64;
    this.units = units;
    this.count = count;
    this.end = end;
    this.spans = spans;
    this.record = record;
    this.#decode = decode;
  }

  get instructions(): readonly BlockInstruction[] {
    this.#instructions ??= this.#decode(this);
    return this.#instructions;
  }
}

/** Finds blocks by address, and those of a page. Tells `dropped` of each that goes. */
export class Blocks implements CodePages {
  readonly #byRip = new Map<number, Block>();
  readonly #byPage = new Map<number, Set<Block>>();
  /** Virtual pages in which blocks lie or have lain, by number, and where in RAM these are. */
  readonly #virtualPages = new Map<number, number>();
  readonly #dropped: (block: Block) => void;

  constructor(dropped: (block: Block) => void) {
    this.#dropped = dropped;
  }

  get size(): number {
    return this.#byRip.size;
  }

  at(rip: number): Block | undefined {
    return this.#byRip.get(rip);
  }

  add(block: Block): void {
    const old = this.#byRip.get(block.rip);
    if (old !== undefined) this.drop(old);
    this.#byRip.set(block.rip, block);
    let virtualPage = Math.floor(block.rip / PAGE_BYTES);
    for (const [start] of block.spans) {
      const page = start & ~OFFSET_MASK;
      this.#place(virtualPage++, page);
      const blocks = this.#byPage.get(page);
      if (blocks === undefined) this.#byPage.set(page, new Set([block]));
      else blocks.add(block);
    }
  }

  #place(virtualPage: number, page: number): void {
    const before = this.#virtualPages.get(virtualPage);
    if (before !== undefined && before !== page) this.#dropVirtualPage(virtualPage, before);
    this.#virtualPages.set(virtualPage, page);
  }

  #dropVirtualPage(virtualPage: number, page: number): void {
    for (const block of this.#byPage.get(page) ?? []) {
      const first = Math.floor(block.rip / PAGE_BYTES);
      if (first === virtualPage || Math.floor((block.end - 1) / PAGE_BYTES) === virtualPage) this.drop(block);
    }
  }

  /**
   * Drops what lies in virtual pages that are elsewhere now.
   * @param linearAt offset in RAM of code at an address; −1 where there is none
   */
  dropMoved(linearAt: (address: number) => number): void {
    for (const [virtualPage, page] of this.#virtualPages) {
      const linear = linearAt(virtualPage * PAGE_BYTES);
      if (linear >= 0 && (linear | 0) === page) continue;
      this.#virtualPages.delete(virtualPage);
      this.#dropVirtualPage(virtualPage, page);
    }
  }

  drop(block: Block): void {
    this.#byRip.delete(block.rip);
    for (const [start] of block.spans) {
      const page = start & ~OFFSET_MASK;
      const blocks = this.#byPage.get(page);
      blocks?.delete(block);
      if (blocks?.size === 0) this.#byPage.delete(page);
    }
    this.#dropped(block);
  }

  clear(): void {
    this.#byRip.clear();
    this.#virtualPages.clear();
    this.#byPage.clear();
  }

  /** Whether a block may lie there, by virtual address. Pages are remembered until {@link clear}. */
  hasVirtual(start: number, sizeBytes: number): boolean {
    const first = Math.floor(start / PAGE_BYTES);
    const last = Math.floor((start + sizeBytes - 1) / PAGE_BYTES);
    if (last - first > this.#virtualPages.size)
      return this.#virtualPages.keys().some((page) => first <= page && page <= last);
    for (let page = first; page <= last; page++) if (this.#virtualPages.has(page)) return true;
    return false;
  }

  has(linearPage: number): boolean {
    return this.#byPage.has(linearPage);
  }

  aboutToWrite(linear: number, sizeBytes: number): void {
    const blocks = this.#byPage.get(linear & ~OFFSET_MASK);
    if (blocks === undefined) return;
    const end = linear + sizeBytes;
    for (const block of blocks) {
      if (block.spans.some(([from, to]) => linear < to && from < end)) this.drop(block);
    }
  }

  /** Somebody has written the page. */
  pageWritten(linearPage: number): void {
    for (const block of this.#byPage.get(linearPage) ?? []) this.drop(block);
  }

  /** Pages with code, by their offsets in RAM. */
  get pages(): ReadonlyMap<number, ReadonlySet<Block>> {
    return this.#byPage;
  }
}
