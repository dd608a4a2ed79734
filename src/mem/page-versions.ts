/**
 * The page-version map: which pages of guest RAM were written, and since when. Translated code and
 * incremental checkpoints read it; every writer of guest RAM marks it.
 *
 * One 32-bit word per 4 KiB page, plus the current epoch in word 0, all in one shared buffer:
 *
 *     word 0        current epoch, starts at 1
 *     word 1 + i    epoch in which linear page i was last written, 0 = never
 *
 * A mark is one plain store of the current epoch, so writers (including generated code) need no atomics. A
 * reader that wants to know later what has changed closes the epoch with `snapshot()` and keeps the number
 * it returns. A writer that skips marks it has already made in this epoch (a dirty bit in a TLB) forgets
 * them at a snapshot.
 *
 * Pages may be watched besides: whoever has made something of their bytes (decoded code) is told of marks on them.
 */

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 1 << PAGE_SHIFT;

/** Epochs are 32 bits wide: one snapshot per millisecond lasts seven weeks of host time. */
const LAST_EPOCH = 0xffff_ffff;
const NO_PAGES: readonly number[] = [];

export class PageVersions {
  /** The layout above, for generated code and other threads. */
  readonly words: Uint32Array<SharedArrayBuffer>;

  readonly #watched: Uint8Array;
  #watchedWrites: number[] = [];

  /** @param sizeBytes size of the linear space that is covered, rounded up to whole pages */
  constructor(sizeBytes: number) {
    const pages = Math.ceil(sizeBytes / PAGE_SIZE);
    this.words = new Uint32Array(new SharedArrayBuffer((1 + pages) * Uint32Array.BYTES_PER_ELEMENT));
    this.words[0] = 1;
    this.#watched = new Uint8Array(pages);
  }

  get epoch(): number {
    return this.words[0]!;
  }

  get pageCount(): number {
    return this.words.length - 1;
  }

  /** Notes a write of `sizeBytes` at `linear`. Hot path; an empty span marks nothing. */
  mark(linear: number, sizeBytes: number): void {
    if (sizeBytes <= 0) return;
    const words = this.words;
    const epoch = words[0]!;
    const last = (linear + sizeBytes - 1) >>> PAGE_SHIFT;
    for (let page = linear >>> PAGE_SHIFT; page <= last; page++) {
      words[1 + page] = epoch;
      if (this.#watched[page] !== 0) this.#watchedWrites.push(page);
    }
  }

  /** The next mark on the page that holds `linear` is reported, and those after it until it is taken. */
  watch(linear: number): void {
    this.#watched[linear >>> PAGE_SHIFT] = 1;
  }

  /** Numbers of the watched pages that were marked since the last call, maybe repeatedly. They are not watched any more. */
  takeWatchedWrites(): readonly number[] {
    if (this.#watchedWrites.length === 0) return NO_PAGES;
    const pages = this.#watchedWrites;
    this.#watchedWrites = [];
    for (const page of pages) this.#watched[page] = 0;
    return pages;
  }

  /** Epoch of the last write to the page that holds `linear`; 0 if it was never written. */
  versionAt(linear: number): number {
    return this.words[1 + (linear >>> PAGE_SHIFT)]!;
  }

  /** Closes the current epoch. Later writes satisfy `versionAt(linear) > result`, earlier ones do not. */
  snapshot(): number {
    const closed = this.words[0]!;
    if (closed === LAST_EPOCH) throw new RangeError('the page-version map has used up its epochs');
    this.words[0] = closed + 1;
    return closed;
  }

  /** Whether any page of the span was written after `snapshot()` returned `since`. */
  changedSince(since: number, linear: number, sizeBytes: number): boolean {
    const last = (linear + sizeBytes - 1) >>> PAGE_SHIFT;
    for (let page = linear >>> PAGE_SHIFT; page <= last; page++) {
      if (this.words[1 + page]! > since) return true;
    }
    return false;
  }
}
