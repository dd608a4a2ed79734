/**
 * A free-running clock whose frequency does not divide the tick: the PIT's 1.193182 MHz, the PM timer's 3.579545 MHz.
 * Devices count in whole cycles since tick 0 and translate only at the edge, so that no rounding ever adds up:
 *
 *   cycle c begins at tick ⌈c × 10¹² / frequency⌉
 *
 * A cycle number is exact in a Number: the last tick there is (2⁶⁴) is cycle 6.6 × 10¹³ of the PM timer's clock.
 */
import { MAX_TICK, TICKS_PER_SECOND, type Tick } from '../../sim/tick.ts';

const PER_SECOND = BigInt(TICKS_PER_SECOND);

export class ExactClock {
  readonly #hz: bigint;

  /** @param frequencyHz a whole number */
  constructor(frequencyHz: number) {
    this.#hz = BigInt(frequencyHz);
  }

  /** The cycle that `tick` belongs to. */
  cycleAt(tick: Tick): number {
    return Number((tick * this.#hz) / PER_SECOND);
  }

  /** The first tick of a cycle; undefined if there is none before the end of time. */
  tickOf(cycle: number): Tick | undefined {
    if (!Number.isSafeInteger(cycle)) return undefined;
    const tick = (BigInt(cycle) * PER_SECOND + this.#hz - 1n) / this.#hz;
    return tick <= MAX_TICK ? (tick as Tick) : undefined;
  }

  /** Cycles in a duration, rounded up. */
  cyclesIn(ticks: number): number {
    return Number((BigInt(ticks) * this.#hz + PER_SECOND - 1n) / PER_SECOND);
  }
}
