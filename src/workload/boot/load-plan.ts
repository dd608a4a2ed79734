/**
 * What goes where in guest memory. Every part of an image takes its place here first: it must lie in usable RAM and
 * on nothing else. Memory is written only when the whole plan stands, so a refused image leaves no trace.
 */
import { hex, type PhysAddr } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { ExecError } from '../elf.ts';
import { endOf, isWithin, type MapEntry } from './memory-map.ts';
import { MemoryType, type Span } from './pc-layout.ts';

/** A part of the loaded image. */
export interface Placement extends Span {
  readonly what: string;
}

/** Where an allocation may lie: `[from, below)`, at the lowest or at the highest address that is free. */
export interface AllocationWish {
  readonly align: number;
  readonly from: number;
  readonly below: number;
  readonly top?: boolean;
}

interface Write {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes of zeros behind them. */
  readonly zeros: number;
}

export class LoadPlan {
  /** The name of the image, for messages. */
  readonly name: string;
  readonly #usable: readonly Span[];
  readonly #placements: Placement[] = [];
  readonly #writes: Write[] = [];

  constructor(name: string, map: readonly MapEntry[]) {
    this.name = name;
    this.#usable = map.filter((entry) => entry.type === MemoryType.ram);
  }

  /** By rising address. */
  get placements(): readonly Placement[] {
    return this.#placements.toSorted((a, b) => a.start - b.start);
  }

  /**
   * Takes a place that the image insists on.
   * @throws ExecError where it is not usable RAM or already taken
   */
  reserve(what: string, start: number, sizeBytes: number): void {
    const wanted: Placement = { what, start, sizeBytes };
    if (!isWithin(this.#usable, wanted)) throw this.#notRam(wanted);
    const other = this.#placements.find((taken) => overlap(taken, wanted));
    if (other !== undefined) {
      throw new ExecError(this.name, `${spell(wanted)} overlaps ${spell(other)}`);
    }
    this.#placements.push(wanted);
  }

  /** Takes a place and fills it: `bytes`, then zeros up to `sizeBytes`. */
  place(what: string, start: number, bytes: Uint8Array, sizeBytes = bytes.length): void {
    this.reserve(what, start, sizeBytes);
    this.write(start, bytes, sizeBytes - bytes.length);
  }

  /**
   * Finds a free place in usable RAM, and takes it.
   * @returns its address
   * @throws ExecError where there is none
   */
  allocate(what: string, sizeBytes: number, wish: AllocationWish): number {
    const start = wish.top ? this.#highest(sizeBytes, wish) : this.#lowest(sizeBytes, wish);
    if (start === undefined) {
      const room = `${hex(wish.from)}–${hex(wish.below)}`;
      const problem = `no ${sizeBytes} free bytes of RAM for ${what} in ${room}: give the machine more memory`;
      throw new ExecError(this.name, problem, 'ENOMEM');
    }
    this.#placements.push({ what, start, sizeBytes });
    return start;
  }

  /** Fills a place that was taken before, or that belongs to the firmware. */
  write(address: number, bytes: Uint8Array, zeros = 0): void {
    this.#writes.push({ address, bytes, zeros });
  }

  /** Writes everything to memory. */
  commit(memory: Pick<PhysicalMemory, 'write' | 'fill'>): void {
    for (const { address, bytes, zeros } of this.#writes) {
      if (bytes.length > 0) memory.write(address as PhysAddr, bytes);
      if (zeros > 0) memory.fill((address + bytes.length) as PhysAddr, zeros, 0);
    }
  }

  #lowest(sizeBytes: number, wish: AllocationWish): number | undefined {
    const starts = [wish.from, ...this.#usable.map((ram) => ram.start), ...this.#placements.map(endOf)];
    return starts
      .map((start) => Math.ceil(start / wish.align) * wish.align)
      .toSorted((a, b) => a - b)
      .find((start) => this.#isFree(start, sizeBytes, wish));
  }

  #highest(sizeBytes: number, wish: AllocationWish): number | undefined {
    const ends = [wish.below, ...this.#usable.map(endOf), ...this.#placements.map((taken) => taken.start)];
    return ends
      .map((end) => Math.floor((end - sizeBytes) / wish.align) * wish.align)
      .toSorted((a, b) => b - a)
      .find((start) => this.#isFree(start, sizeBytes, wish));
  }

  #isFree(start: number, sizeBytes: number, wish: AllocationWish): boolean {
    const span: Span = { start, sizeBytes };
    if (start < wish.from || endOf(span) > wish.below) return false;
    return isWithin(this.#usable, span) && !this.#placements.some((taken) => overlap(taken, span));
  }

  #notRam(wanted: Placement): ExecError {
    const top = Math.max(0, ...this.#usable.map(endOf));
    if (endOf(wanted) <= top || wanted.start >= 2 ** 32) {
      return new ExecError(this.name, `${spell(wanted)} is not in usable RAM of this machine`);
    }
    const problem = `${spell(wanted)} is beyond usable RAM, which ends at ${hex(top)}: give the machine more memory`;
    return new ExecError(this.name, problem, 'ENOMEM');
  }
}

function overlap(a: Span, b: Span): boolean {
  return a.start < endOf(b) && b.start < endOf(a);
}

function spell(placement: Placement): string {
  return `${placement.what} at ${hex(placement.start)}–${hex(endOf(placement))}`;
}
