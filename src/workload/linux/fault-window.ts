/**
 * How many pages one fault makes present. Leaving the guest costs far more than a page-table entry, so a lone
 * fault takes a block of pages and a run of faults in one direction takes ever larger ones.
 */
import { PAGE_SIZE } from './vma.ts';

/** Bounds in pages. Block sizes are powers of two. */
export interface WindowSize {
  readonly initial: number;
  readonly max: number;
}

export interface Window {
  readonly start: number;
  readonly end: number;
}

const GROWTH = 4;
/**
 * Faults of this many interleaved walks through memory (arrays of one loop, stacks of threads) are told
 * apart.
 */
const STREAM_COUNT = 8;

interface Stream {
  /** Where the next fault is if the walk goes on upwards or downwards: first byte of that page. */
  nextUp: number;
  nextDown: number;
  pages: number;
}

export class FaultWindows {
  readonly #streams: Stream[] = Array.from({ length: STREAM_COUNT }, () => ({
    nextUp: -1,
    nextDown: -1,
    pages: 0,
  }));
  #oldest = 0;

  /** The pages to make present for a fault on `page`: always includes it, never leaves `[low, high)`. */
  next(page: number, low: number, high: number, size: WindowSize): Window {
    for (const stream of this.#streams) {
      if (page !== stream.nextUp && page !== stream.nextDown) continue;
      const upwards = page === stream.nextUp;
      stream.pages = Math.min(stream.pages * GROWTH, size.max);
      const bytes = stream.pages * PAGE_SIZE;
      const start = upwards ? page : Math.max(low, page + PAGE_SIZE - bytes);
      const end = upwards ? Math.min(high, page + bytes) : page + PAGE_SIZE;
      if (upwards) stream.nextUp = end;
      else stream.nextDown = start - PAGE_SIZE;
      return { start, end };
    }
    const stream = this.#streams[this.#oldest]!;
    this.#oldest = (this.#oldest + 1) % STREAM_COUNT;
    stream.pages = Math.min(size.initial, size.max);
    const bytes = stream.pages * PAGE_SIZE;
    const block = Math.floor(page / bytes) * bytes;
    const start = Math.max(low, block);
    const end = Math.min(high, block + bytes);
    stream.nextUp = end;
    stream.nextDown = start - PAGE_SIZE;
    return { start, end };
  }
}
