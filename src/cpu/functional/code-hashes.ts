/**
 * Hashes of the pages that hold code, taken when another processor gets the memory: what it writes, it does not mark. The
 * page-version map says which hashes are still good when it gets it again. Pages that it cannot write without somebody's marking
 * them, most of all code, need none.
 */

import type { PageVersions } from '../../mem/page-versions.ts';
import type { Block } from './blocks.ts';
import { PAGE_SHIFT } from './layout.ts';

const OFFSET_MASK = 2 ** PAGE_SHIFT - 1;

interface HashedPage {
  /** Undefined: nobody writes the page without marking it. */
  readonly hash: bigint | undefined;
  /** Marks of later epochs are of writes behind the hash. */
  epoch: number;
}

export class CodeHashes {
  readonly #hashOf: (page: number) => bigint;
  readonly #versions: PageVersions;
  readonly #isWritable: (address: number) => boolean;
  readonly #pages = new Map<number, HashedPage>();

  /**
   * @param hashOf of the page at an offset in RAM, as are all pages here: signed numbers of 32 bits
   * @param isWritable see EngineOptions
   */
  constructor(
    hashOf: (page: number) => bigint,
    versions: PageVersions,
    isWritable: (address: number) => boolean,
  ) {
    this.#hashOf = hashOf;
    this.#versions = versions;
    this.#isWritable = isWritable;
  }

  /** The pages that hold code now are these, with the blocks in each. */
  take(code: ReadonlyMap<number, ReadonlySet<Block>>): void {
    const epoch = this.#versions.snapshot();
    for (const page of this.#pages.keys()) if (!code.has(page)) this.#pages.delete(page);
    for (const [page, blocks] of code) {
      const known = this.#pages.get(page);
      // A page that has become writable is marked, too.
      if (known !== undefined && this.#versions.versionAt(page >>> 0) <= known.epoch) known.epoch = epoch;
      else {
        const [block] = blocks;
        const hash = this.#isWritable(addressIn(page, block!)) ? this.#hashOf(page) : undefined;
        this.#pages.set(page, { hash, epoch });
      }
    }
  }

  /** Pages whose bytes are others now, which are forgotten here. */
  takeChanged(): readonly number[] {
    const changed: number[] = [];
    for (const [page, { hash }] of this.#pages)
      if (hash !== undefined && this.#hashOf(page) !== hash) changed.push(page);
    for (const page of changed) this.#pages.delete(page);
    return changed;
  }
}

/** A virtual address of a page in which a block lies. */
function addressIn(page: number, { rip, spans }: Block): number {
  let address = rip;
  for (const [start, end] of spans) {
    if ((start & ~OFFSET_MASK) === page) break;
    address += end - start;
  }
  return address;
}
