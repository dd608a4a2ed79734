/** The jump cache: from the address of code to the function that executes it, and its argument. Generated code reads it. */

import { JUMP_CACHE_AT, JUMP_CACHE_ENTRIES, JUMP_CACHE_STRIDE } from './layout.ts';

const TWO_32 = 2 ** 32;
const WORDS = JUMP_CACHE_STRIDE / 4;
/** In all words of an empty entry. As an address, −1, it has a place of its own: NOT_THERE is not found at that place. */
const EMPTY = 0xffff_ffff;
const PLACE_OF_EMPTY = slotOf(-1);
const NOT_THERE = 1;

export class JumpCache {
  readonly #words: Uint32Array;

  constructor(engineMemory: ArrayBuffer) {
    this.#words = new Uint32Array(engineMemory, JUMP_CACHE_AT, JUMP_CACHE_ENTRIES * WORDS);
    this.clear();
  }

  clear(): void {
    this.#words.fill(EMPTY);
    this.#words[PLACE_OF_EMPTY] = NOT_THERE;
  }

  set(rip: number, functionIndex: number, argument: number): void {
    const at = slotOf(rip);
    this.#words[at] = rip;
    this.#words[at + 1] = Math.floor(rip / TWO_32);
    this.#words[at + 2] = functionIndex;
    this.#words[at + 3] = argument;
  }

  /** Forgets this address, if it is there. */
  remove(rip: number): void {
    const at = slotOf(rip);
    if (this.#words[at] !== rip >>> 0 || this.#words[at + 1] !== Math.floor(rip / TWO_32) >>> 0) return;
    this.#words.fill(EMPTY, at, at + WORDS);
    if (at === PLACE_OF_EMPTY) this.#words[at] = NOT_THERE;
  }
}

/** Index in words. The same hash as in core-module.ts. */
function slotOf(rip: number): number {
  const page = Math.floor(rip / 4096);
  return (((rip >>> 0) ^ (page >>> 0)) & (JUMP_CACHE_ENTRIES - 1)) * WORDS;
}
