/**
 * Page frames of guest RAM for one address space: a bitmap, one bit per 4 KiB frame, set = in use. A free
 * frame reads as zero, because untouched RAM does and because freed frames are given back to the host:
 * zero-filled pages cost nothing.
 */
import type { AddrRange } from '../../mem/addr.ts';
import { PAGE_SIZE } from './vma.ts';

const BITS = 32;
const FULL = 0xffff_ffff;

/** A run of consecutive frames; a frame number is its physical address divided by 4096. */
export interface FrameRun {
  readonly first: number;
  readonly count: number;
}

export class FrameAllocator {
  readonly totalFrames: number;
  readonly #base: number;
  /** Bit i of word w: frame base + 32 w + i. Bits beyond the last frame are set, as if in use. */
  readonly #inUse: Uint32Array;
  /** No word before this one has a free frame. */
  #lowestWord = 0;
  #free: number;

  /** @param range the RAM to hand out; partial pages at its ends are left alone */
  constructor(range: AddrRange) {
    this.#base = Math.ceil(range.start / PAGE_SIZE);
    this.totalFrames = Math.max(0, Math.floor(range.end / PAGE_SIZE) - this.#base);
    this.#free = this.totalFrames;
    this.#inUse = new Uint32Array(Math.ceil(this.totalFrames / BITS));
    for (let i = this.totalFrames; i < this.#inUse.length * BITS; i++) this.#inUse[i >>> 5]! |= 1 << (i & 31);
  }

  /** Frames that are not in use. */
  get freeFrames(): number {
    return this.#free;
  }

  /** Takes the lowest free frame and up to `maxFrames - 1` that follow it; undefined if RAM is used up. */
  allocate(maxFrames: number): FrameRun | undefined {
    const words = this.#inUse;
    let word = this.#lowestWord;
    while (word < words.length && words[word] === FULL) word++;
    this.#lowestWord = word;
    if (word === words.length) return undefined;
    const first = word * BITS + lowestBit(~words[word]!);
    const limit = Math.min(first + maxFrames, words.length * BITS);
    let end = first;
    while (end < limit && !this.#isUsed(end)) {
      words[end >>> 5]! |= 1 << (end & 31);
      end++;
    }
    this.#free -= end - first;
    return { first: this.#base + first, count: end - first };
  }

  /** Gives frames back. Their contents must read as zero by now. Throws RangeError if one is not in use. */
  free(first: number, count: number): void {
    const start = first - this.#base;
    for (let i = start; i < start + count; i++) {
      if (i < 0 || i >= this.totalFrames || !this.#isUsed(i)) {
        throw new RangeError(`frame ${this.#base + i} is given back, but is not in use`);
      }
      this.#inUse[i >>> 5]! &= ~(1 << (i & 31));
      this.#free++;
    }
    this.#lowestWord = Math.min(this.#lowestWord, start >>> 5);
  }

  #isUsed(i: number): boolean {
    return (this.#inUse[i >>> 5]! & (1 << (i & 31))) !== 0;
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
