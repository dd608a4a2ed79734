/** The jump cache: from the address of code to the function that executes it, and its argument. Generated code reads it. */

import { JUMP_CACHE_AT, JUMP_CACHE_ENTRIES, JUMP_CACHE_STRIDE } from './layout.ts';

const TWO_32 = 2 ** 32;
const WORDS = JUMP_CACHE_STRIDE / 4;
/** In all words of an empty entry: as an address it is not canonical, so that nobody goes there. */
const EMPTY = 0x7fff_ffff;

export class JumpCache {
  readonly #words: Uint32Array;

  constructor(engineMemory: ArrayBuffer) {
    this.#words = new Uint32Array(engineMemory, JUMP_CACHE_AT, JUMP_CACHE_ENTRIES * WORDS);
    this.clear();
  }

  clear(): void {
    this.#words.fill(EMPTY);
  }

  /** What is in the address's slot moves to the one beside it: two addresses with one slot do not drive each other out. */
  set(rip: number, functionIndex: number, argument: number): void {
    const at = slotOf(rip);
    const isOther = this.#words[at + 2] !== EMPTY && !this.#holds(at, rip);
    if (isOther) this.#words.copyWithin(at ^ WORDS, at, at + WORDS);
    this.#words[at] = rip;
    this.#words[at + 1] = Math.floor(rip / TWO_32);
    this.#words[at + 2] = functionIndex;
    this.#words[at + 3] = argument;
  }

  /** Forgets this address, if it is there. */
  remove(rip: number): void {
    const at = slotOf(rip);
    for (const slot of [at, at ^ WORDS])
      if (this.#holds(slot, rip)) this.#words.fill(EMPTY, slot, slot + WORDS);
  }

  #holds(at: number, rip: number): boolean {
    return this.#words[at] === rip >>> 0 && this.#words[at + 1] === Math.floor(rip / TWO_32) >>> 0;
  }
}

/** Index in words. The same hash as in core-module.ts. */
function slotOf(rip: number): number {
  const page = Math.floor(rip / 4096);
  return (((rip >>> 0) ^ (page >>> 0)) & (JUMP_CACHE_ENTRIES - 1)) * WORDS;
}
