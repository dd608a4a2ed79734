/** Code that is decoded before it is executed: what a set of addresses leads to, as far as that can be known in advance. */

import type { Block } from './blocks.ts';
import { isTranslatable, type Translator } from './translator.ts';

/** Of so many blocks from one address, the others are left for the run to find. */
const MOST_BLOCKS = 8;

/**
 * Decodes the blocks at these addresses and those they lead to.
 * @param blockAt the block at an address; a string where there is none
 * @returns those at which code that is translated begins: where nothing comes before, or what cannot be translated
 */
export function blocksFrom(
  addresses: readonly number[],
  blockAt: (rip: number) => Block | string,
  { successorsOf }: Pick<Translator, 'successorsOf'>,
): Block[] {
  const entries: Block[] = [];
  for (const address of addresses) {
    const seen = new Map<number, boolean>([[address, true]]);
    for (const [rip, isEntry] of seen) {
      const block = blockAt(rip);
      if (typeof block === 'string') continue;
      const isPart = isTranslatable(block);
      if (isEntry && isPart) entries.push(block);
      for (const next of successorsOf(block))
        if (!seen.has(next) && seen.size < MOST_BLOCKS) seen.set(next, !isPart);
    }
  }
  return entries;
}
