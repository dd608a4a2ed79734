/**
 * Units of simulated time. One Tick is one picosecond, as in gem5.
 * Absolute time is a bigint (2^53 ps is only 2.5 hours); a duration is a Number, exact below 2^53.
 */

/** An instant: picoseconds since the beginning of the simulation. */
export type Tick = bigint & { readonly __brand: 'Tick' };

/** A duration in picoseconds: an integer, 0 … 2^53 − 1. */
export type Ticks = number & { readonly __brand: 'Ticks' };

/** A number of clock cycles of some clock domain. */
export type Cycles = number & { readonly __brand: 'Cycles' };

/** Simulated ticks per simulated second, `simFreq` in the statistics. */
export const TICKS_PER_SECOND = 1_000_000_000_000;
export const TICKS_PER_NS = 1000;

/** The last instant there is: gem5's `MaxTick`. */
export const MAX_TICK = 0xffff_ffff_ffff_ffffn as Tick;

/** No time at all. */
export const ZERO_TICKS = 0 as Ticks;

/** @throws RangeError unless 0 ≤ n ≤ MAX_TICK */
export function asTick(n: bigint | number): Tick {
  const tick = BigInt(n);
  if (tick < 0n || tick > MAX_TICK) throw new RangeError(`not a tick: ${n}`);
  return tick as Tick;
}

/** @throws RangeError unless n is an integer, 0 ≤ n < 2^53 */
export function asTicks(n: number): Ticks {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a duration in ticks: ${n}`);
  return n as Ticks;
}

/** @throws RangeError unless n is an integer, 0 ≤ n < 2^53 */
export function asCycles(n: number): Cycles {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a number of cycles: ${n}`);
  return n as Cycles;
}

/** Nearest whole number of ticks in one period of a clock, at least 1. 3 GHz gives 333, as in gem5. */
export function clockPeriodTicks(frequencyHz: number): Ticks {
  if (!(frequencyHz > 0)) throw new RangeError(`not a frequency: ${frequencyHz} Hz`);
  return Math.max(1, Math.round(TICKS_PER_SECOND / frequencyHz)) as Ticks;
}

/** Nanoseconds to ticks, rounded to the nearest tick. */
export function nsToTicks(ns: number): Ticks {
  return asTicks(Math.round(ns * 1000));
}
