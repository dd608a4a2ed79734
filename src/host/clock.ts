/*
 * Clocks of the host: clock_gettime(2), clock_getres(2).
 */
import { addressOf, bind, check, lazily, type Pointer } from './ffi.ts';

export const CLOCK_MONOTONIC = 1;
export const CLOCK_THREAD_CPUTIME_ID = 3;

const libc = lazily(() => ({
  gettime: bind('clock_gettime', ['int32', 'pointer'], 'int32'),
  getres: bind('clock_getres', ['int32', 'pointer'], 'int32'),
}));

/** Resolution of a clock, nanoseconds. */
export function clockResolutionNs(clock: number): number {
  const time = new Uint32Array(4);
  check(libc().getres(clock, time), 'clock_getres');
  return nanoseconds(time);
}

/** A clock, read without allocation. The thread's CPU clock counts for the thread that reads it. */
export class HostClock {
  readonly #clock: number;
  readonly #time = new Uint32Array(4);
  readonly #timeAddress: Pointer = addressOf(this.#time);
  readonly #gettime = libc().gettime;

  constructor(clock: number = CLOCK_MONOTONIC) {
    this.#clock = clock;
  }

  /** Nanoseconds since the clock's start; exact below 2^53 (104 days). Hot path. */
  now(): number {
    this.#gettime(this.#clock, this.#timeAddress);
    return nanoseconds(this.#time);
  }
}

/** @param time `struct timespec` as 32-bit words; the seconds of these clocks fit one */
function nanoseconds(time: Uint32Array): number {
  return time[0]! * 1_000_000_000 + time[2]!;
}
