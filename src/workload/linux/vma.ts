/**
 * Virtual memory areas of a process: a sorted list without overlaps, with Linux's rules for splitting and
 * merging (mm/vma.c) and for finding a free place (mm/mmap.c).
 */
import type { FileSource } from './file-source.ts';

export const PAGE_SIZE = 4096;

/** Linux keeps this distance free below an area that grows down (stack_guard_gap). */
export const STACK_GUARD_GAP = 256 * PAGE_SIZE;

/** A half-open, page-aligned piece `[start, end)` of the address space, mapped alike throughout. */
export interface Vma {
  readonly start: number;
  readonly end: number;
  /** `Prot` bits. */
  readonly prot: number;
  readonly shared: boolean;
  readonly growsDown: boolean;
  /** Undefined: anonymous memory. */
  readonly source: FileSource | undefined;
  /** Offset in the source of the byte at `start`; 0 for anonymous memory. */
  readonly offset: number;
  /** Name in /proc/self/maps of an area without a file: `[heap]`, `[stack]` or empty. */
  readonly name: string;
}

export function pageFloor(va: number): number {
  return va - (va % PAGE_SIZE);
}

export function pageCeil(va: number): number {
  return Math.ceil(va / PAGE_SIZE) * PAGE_SIZE;
}

/** Offset in the area's file of the byte at `va`. */
export function fileOffset(area: Vma, va: number): number {
  return area.offset + (va - area.start);
}

/** The part of `area` inside `[start, end)`. */
export function clip(area: Vma, start: number, end: number): Vma {
  const from = Math.max(area.start, start);
  const offset = area.source === undefined ? 0 : fileOffset(area, from);
  return { ...area, start: from, end: Math.min(area.end, end), offset };
}

/** Whether `next` continues `area` so exactly that both are one area. */
function continues(area: Vma, next: Vma): boolean {
  return (
    area.end === next.start &&
    area.prot === next.prot &&
    area.shared === next.shared &&
    area.growsDown === next.growsDown &&
    area.name === next.name &&
    area.source === next.source &&
    (area.source === undefined || fileOffset(area, next.start) === next.offset)
  );
}

/** The areas of one address space, by rising address. */
export class VmaList implements Iterable<Vma> {
  readonly #areas: Vma[] = [];

  [Symbol.iterator](): Iterator<Vma> {
    return this.#areas.values();
  }

  get length(): number {
    return this.#areas.length;
  }

  /** The area that holds `va`. */
  find(va: number): Vma | undefined {
    const area = this.#areas[this.#firstEndingAfter(va)];
    return area !== undefined && area.start <= va ? area : undefined;
  }

  /** The lowest area that ends above `va`: the one that holds it, else the next one. */
  findOrNext(va: number): Vma | undefined {
    return this.#areas[this.#firstEndingAfter(va)];
  }

  /** The area next below the one that holds `va` or lies next above it. */
  before(va: number): Vma | undefined {
    return this.#areas[this.#firstEndingAfter(va) - 1];
  }

  /** The parts of areas inside `[start, end)`. */
  within(start: number, end: number): Vma[] {
    const parts: Vma[] = [];
    for (let i = this.#firstEndingAfter(start); i < this.#areas.length; i++) {
      const area = this.#areas[i]!;
      if (area.start >= end) break;
      parts.push(clip(area, start, end));
    }
    return parts;
  }

  /** Whether `[start, end)` is mapped without a hole. */
  covers(start: number, end: number): boolean {
    let at = start;
    for (let i = this.#firstEndingAfter(start); at < end; i++) {
      const area = this.#areas[i];
      if (area === undefined || area.start > at) return false;
      at = area.end;
    }
    return true;
  }

  /** Takes `[start, end)` out, splitting the areas at its ends, and returns what was there. */
  cut(start: number, end: number): Vma[] {
    const first = this.#firstEndingAfter(start);
    let last = first;
    const parts: Vma[] = [];
    const rest: Vma[] = [];
    for (; last < this.#areas.length && this.#areas[last]!.start < end; last++) {
      const area = this.#areas[last]!;
      parts.push(clip(area, start, end));
      if (area.start < start) rest.push(clip(area, area.start, start));
      if (area.end > end) rest.push(clip(area, end, area.end));
    }
    if (parts.length > 0) this.#areas.splice(first, last - first, ...rest);
    return parts;
  }

  /** Adds an area, merged with neighbours that it continues. Throws RangeError if its place is taken. */
  insert(area: Vma): void {
    let at = this.#firstEndingAfter(area.start);
    const next = this.#areas[at];
    if (area.end <= area.start || (next !== undefined && next.start < area.end)) {
      throw new RangeError(`area 0x${area.start.toString(16)}-0x${area.end.toString(16)} is empty or taken`);
    }
    let merged = area;
    let replaced = 0;
    const previous = this.#areas[at - 1];
    if (previous !== undefined && continues(previous, area)) {
      merged = { ...previous, end: area.end };
      replaced++;
      at--;
    }
    if (next !== undefined && continues(merged, next)) {
      merged = { ...merged, end: next.end };
      replaced++;
    }
    this.#areas.splice(at, replaced, merged);
  }

  /**
   * Start of the highest free gap of `length` bytes inside `[low, high)`, or undefined. Below an area that
   * grows down the guard gap stays free.
   */
  findGap(length: number, low: number, high: number): number | undefined {
    let i = this.#firstEndingAfter(high - 1);
    const above = this.#areas[i];
    let gapEnd = above === undefined ? high : Math.min(high, belowArea(above));
    while (i-- > 0 && gapEnd - length >= low) {
      const area = this.#areas[i]!;
      if (gapEnd - area.end >= length) break;
      gapEnd = Math.min(gapEnd, belowArea(area));
    }
    return gapEnd - length >= low ? gapEnd - length : undefined;
  }

  /** Start of the lowest free gap of `length` bytes inside `[low, high)`, or undefined; guard gaps stay free. */
  findLowestGap(length: number, low: number, high: number): number | undefined {
    let start = low;
    for (let i = this.#firstEndingAfter(low); ; i++) {
      const area = this.#areas[i];
      const end = area === undefined ? high : Math.min(high, belowArea(area));
      if (end - start >= length) return start;
      if (area === undefined || area.end + length > high) return undefined;
      start = Math.max(start, area.end);
    }
  }

  /** Index of the first area whose end lies above `va`. */
  #firstEndingAfter(va: number): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#areas[middle]!.end > va) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** The highest address that a new area below `area` may end at. */
function belowArea(area: Vma): number {
  return area.growsDown ? area.start - STACK_GUARD_GAP : area.start;
}
