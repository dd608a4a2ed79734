/**
 * Copies of the pages that hold code, made when another processor gets the memory: what it has written, it does not mark. The
 * page-version map says which copies are still current, so that a page is copied once.
 */

import { PAGE_SIZE, type PageVersions } from '../../mem/page-versions.ts';

interface CopiedPage {
  /** The page itself. */
  readonly bytes: Buffer;
  readonly copy: Buffer;
  /** Marks of later epochs are of writes that the copy does not have. */
  epoch: number;
}

export class CodeCopies {
  readonly #ram: ArrayBufferLike;
  readonly #versions: PageVersions;
  #pages = new Map<number, CopiedPage>();

  constructor(ram: ArrayBufferLike, versions: PageVersions) {
    this.#ram = ram;
    this.#versions = versions;
  }

  /** @param pages offsets in RAM, as signed numbers of 32 bits; copies of other pages are forgotten */
  take(pages: Iterable<number>): void {
    const epoch = this.#versions.snapshot();
    const copied = new Map<number, CopiedPage>();
    for (const page of pages) copied.set(page, this.#copied(page, epoch));
    this.#pages = copied;
  }

  #copied(page: number, epoch: number): CopiedPage {
    const known = this.#pages.get(page);
    const at = page >>> 0;
    if (known === undefined) {
      const bytes = Buffer.from(this.#ram as ArrayBuffer, at, PAGE_SIZE);
      return { bytes, copy: Buffer.from(bytes), epoch };
    }
    if (this.#versions.versionAt(at) > known.epoch) known.bytes.copy(known.copy);
    known.epoch = epoch;
    return known;
  }

  /** Pages that differ from their copies, which are forgotten. */
  takeChanged(): readonly number[] {
    const changed: number[] = [];
    for (const [page, { bytes, copy }] of this.#pages) if (!bytes.equals(copy)) changed.push(page);
    for (const page of changed) this.#pages.delete(page);
    return changed;
  }
}
