// Instruction events: "stop after N instructions", of one thread or of all threads of a system. gem5: comInstEventQueue
// and System::instEventQueue.
//
// The count and what is pending belong to the thread, not to the CPU model that executes it: both survive a switch and
// a checkpoint.

import type { Root } from '../sim/root.ts';
import {
  asRecord,
  decodeNumber,
  decodeString,
  isJsonArray,
  type Json,
  type StateCell,
  StateError,
} from '../sim/state.ts';

/** Ends the simulation loop when the count has come to `insts`. */
export interface InstructionStop {
  /** Instructions of the thread (or system) since its beginning: an absolute count. */
  readonly insts: number;
  /** Cause and code of the exit event. */
  readonly cause: string;
  readonly code: number;
}

export class InstructionEvents implements StateCell {
  /** In ascending order. */
  readonly #stops: InstructionStop[] = [];
  #count = 0;

  /** Instructions executed so far. */
  get count(): number {
    return this.#count;
  }

  /** Instructions from now to the next event; Infinity if there is none, 0 if one is due. Hot path. */
  get distance(): number {
    const next = this.#stops[0];
    return next === undefined ? Number.POSITIVE_INFINITY : Math.max(0, next.insts - this.#count);
  }

  /** Instructions by which the last event was overshot: counters do not stop on the very instruction. */
  overshoot = 0;

  /** `n` more instructions were executed. Hot path. */
  advance(n: number): void {
    this.#count += n;
  }

  schedule(stop: InstructionStop): void {
    const behind = this.#stops.findIndex(({ insts }) => insts > stop.insts);
    this.#stops.splice(behind === -1 ? this.#stops.length : behind, 0, stop);
  }

  /** Posts the exit events that are due; returns how many. */
  serviceDue(root: Root): number {
    let served = 0;
    for (; this.distance === 0; served++) {
      const { insts, cause, code } = this.#stops.shift()!;
      this.overshoot = this.#count - insts;
      const late = this.overshoot === 0 ? '' : ` (${this.overshoot} instructions late)`;
      root.exitSimLoop(cause + late, code);
    }
    return served;
  }

  /** The thread goes on here: takes over count and events of another CPU. */
  takeOver(other: InstructionEvents): void {
    this.restore(other.save());
    other.#stops.length = 0;
  }

  save(): Json {
    return {
      count: this.#count,
      stops: this.#stops.map(({ insts, cause, code }) => ({ insts, cause, code })),
    };
  }

  restore(saved: Json): void {
    const { count = null, stops = null } = asRecord(saved);
    if (!isJsonArray(stops)) throw new StateError('expected a list of instruction stops');
    const restored = stops.map((stop) => {
      const { insts = null, cause = null, code = null } = asRecord(stop);
      return { insts: decodeNumber(insts), cause: decodeString(cause), code: decodeNumber(code) };
    });
    this.#count = decodeNumber(count);
    this.#stops.splice(0, this.#stops.length, ...restored);
  }
}
