/** Random numbers for RDRAND and RDSEED: the same sequence in every run, which goes on behind a checkpoint. */

import { type Json, numberCell, type StateCell } from '../../sim/state.ts';

/** A counter of golden-ratio steps, scrambled (the finalizer of MurmurHash3). */
export class RandomNumbers implements StateCell {
  readonly #counter = numberCell(1);

  /** 32 bits. */
  next(): number {
    const counter = (this.#counter.value + 0x9e37_79b9) | 0;
    this.#counter.value = counter;
    let bits = counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
    return bits ^ (bits >>> 16);
  }

  save(): Json {
    return this.#counter.save();
  }

  restore(saved: Json): void {
    this.#counter.restore(saved);
  }
}
