/**
 * Hashes of the pages that hold code, taken when another processor gets the memory: what it writes, it does not mark. The
 * page-version map says which hashes are still good when it gets it again.
 */

import type { PageVersions } from '../../mem/page-versions.ts';

interface HashedPage {
  hash: bigint;
  /** Marks of later epochs are of writes behind the hash. */
  epoch: number;
}

export class CodeHashes {
  readonly #hashOf: (page: number) => bigint;
  readonly #versions: PageVersions;
  readonly #pages = new Map<number, HashedPage>();

  /** @param hashOf of the page at an offset in RAM, as are all pages here: signed numbers of 32 bits */
  constructor(hashOf: (page: number) => bigint, versions: PageVersions) {
    this.#hashOf = hashOf;
    this.#versions = versions;
  }

  /** The pages that hold code now are these. */
  take(code: ReadonlyMap<number, unknown>): void {
    const epoch = this.#versions.snapshot();
    for (const page of this.#pages.keys()) if (!code.has(page)) this.#pages.delete(page);
    for (const page of code.keys()) {
      const known = this.#pages.get(page);
      if (known === undefined) this.#pages.set(page, { hash: this.#hashOf(page), epoch });
      else {
        if (this.#versions.versionAt(page >>> 0) > known.epoch) known.hash = this.#hashOf(page);
        known.epoch = epoch;
      }
    }
  }

  /** Pages whose bytes are others now, which are forgotten here. */
  takeChanged(): readonly number[] {
    const changed: number[] = [];
    for (const [page, { hash }] of this.#pages) if (this.#hashOf(page) !== hash) changed.push(page);
    for (const page of changed) this.#pages.delete(page);
    return changed;
  }
}
