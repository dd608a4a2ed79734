/** The HPET's main counter: 64 bits, up by one every 10 ns while it runs. IA-PC HPET Specification 1.0a, §2.3.7. */
import type { EventQueue, TickMark } from '../../sim/event-queue.ts';
import { asRecord, decodeBigint, decodeNumber, type Json, type StateCell } from '../../sim/state.ts';
import { MAX_TICK, type Tick, type Ticks } from '../../sim/tick.ts';

export const COUNTER_PERIOD_FS = 10_000_000;
const COUNTER_PERIOD_TICKS = COUNTER_PERIOD_FS / 1000;

/** Numbers of ticks up to this are exact, and so are their sums with few others. */
const EXACT_TICKS = 2 ** 52;

interface Anchor {
  /** Bits 31:0 of the counter at the mark. */
  readonly low: number;
  readonly mark: TickMark;
  /** How long its cycle had lasted at the mark. */
  readonly phaseTicks: number;
}

export class HpetCounter implements StateCell {
  readonly #queue: EventQueue;
  #isRunning = false;
  /** Its value at the cycle `origin`, and while it stands still. */
  #base = 0n;
  #origin = 0;
  /** The same at a later moment, for reading its low half without BigInt; undefined: to be found. */
  #anchor: Anchor | undefined;

  constructor(queue: EventQueue) {
    this.#queue = queue;
  }

  /** Its clock: periods since tick 0, whether it counts or not. An exact Number up to the last tick there is. */
  get cycle(): number {
    return Number(this.#queue.curTick / BigInt(COUNTER_PERIOD_TICKS));
  }

  /** The first tick of a cycle; undefined beyond the end of time. */
  tickOf(cycle: number): Tick | undefined {
    const tick = BigInt(cycle) * BigInt(COUNTER_PERIOD_TICKS);
    return tick <= MAX_TICK ? (tick as Tick) : undefined;
  }

  /** Cycles in a duration, rounded up. */
  cyclesIn(ticks: Ticks): number {
    return Math.ceil(ticks / COUNTER_PERIOD_TICKS);
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  set isRunning(runs: boolean) {
    const { value } = this;
    this.value = value;
    this.#isRunning = runs;
  }

  get value(): bigint {
    if (!this.#isRunning) return this.#base;
    return BigInt.asUintN(64, this.#base + BigInt(this.cycle - this.#origin));
  }

  set value(value: bigint) {
    this.#base = value;
    this.#origin = this.cycle;
    this.#anchor = undefined;
  }

  /** Bits 31:0 of its value: what is read again and again. Hot path. */
  get low(): number {
    this.#anchor ??= this.#anchorHere();
    const { low, mark, phaseTicks } = this.#anchor;
    if (!this.#isRunning) return low;
    const ticks = this.#queue.ticksSince(mark) + phaseTicks;
    if (ticks <= EXACT_TICKS) return (low + Math.floor(ticks / COUNTER_PERIOD_TICKS)) >>> 0;
    this.#anchor = this.#anchorHere();
    return this.#anchor.low;
  }

  #anchorHere(): Anchor {
    return {
      low: Number(BigInt.asUintN(32, this.value)),
      mark: this.#queue.mark(),
      phaseTicks: Number(this.#queue.curTick % BigInt(COUNTER_PERIOD_TICKS)),
    };
  }

  save(): Json {
    return { isRunning: this.#isRunning ? 1 : 0, base: String(this.#base), origin: this.#origin };
  }

  restore(saved: Json): void {
    const { isRunning = null, base = null, origin = null } = asRecord(saved);
    this.#isRunning = decodeNumber(isRunning) !== 0;
    this.#base = BigInt.asUintN(64, decodeBigint(base));
    this.#origin = decodeNumber(origin);
    this.#anchor = undefined;
  }
}
