/** Code that is decoded before it is executed: what a set of addresses leads to, as far as that can be known in advance. */

import type { Block } from './blocks.ts';

/** Of so many blocks from one address, the others are left for the run to find. */
const MOST_BLOCKS = 8;

/** What {@link blocksFrom} needs to know of blocks. */
export interface CodeAhead {
  /** The block at an address; a string where there is none. */
  blockAt(rip: number): Block | string;
  /** Addresses to which control may go from a block. */
  successorsOf(block: Block): readonly number[];
  isTranslatable(block: Block): boolean;
}

/**
 * Decodes the blocks at these addresses and those they lead to.
 * @returns those at which code that is translated begins: where nothing comes before, or what cannot be translated
 */
export function blocksFrom(addresses: readonly number[], code: CodeAhead): Block[] {
  const entries: Block[] = [];
  for (const address of addresses) {
    const seen = new Map<number, boolean>([[address, true]]);
    for (const [rip, isEntry] of seen) {
      const block = code.blockAt(rip);
      if (typeof block === 'string') continue;
      const isTranslatable = code.isTranslatable(block);
      if (isEntry && isTranslatable) entries.push(block);
      for (const next of code.successorsOf(block))
        if (!seen.has(next) && seen.size < MOST_BLOCKS) seen.set(next, !isTranslatable);
    }
  }
  return entries;
}
