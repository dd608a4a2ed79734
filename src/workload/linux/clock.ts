/**
 * The clocks of the simulated machine: all follow simulated ticks, none the host. clock_gettime(2), time(7).
 * Times are whole nanoseconds in Numbers: exact for 104 days of simulated time.
 */
import { type EventQueue, TickMark } from '../../sim/event-queue.ts';
import { TICKS_PER_NS, type Tick } from '../../sim/tick.ts';

export const NS_PER_SECOND = 1_000_000_000;

/** Clock ids. */
export const Clock = {
  realtime: 0,
  monotonic: 1,
  processCpu: 2,
  threadCpu: 3,
  monotonicRaw: 4,
  realtimeCoarse: 5,
  monotonicCoarse: 6,
  boottime: 7,
  realtimeAlarm: 8,
  boottimeAlarm: 9,
  tai: 11,
} as const;

/** 2026-01-01T00:00:00Z, in seconds since 1970. */
export const DEFAULT_START_SECONDS = 1_767_225_600;

/** TAI − UTC since 2017, in seconds. */
const TAI_OFFSET_SECONDS = 37;

/** The machine has been up for this long when the simulation begins: programs take uptime 0 for "unknown". */
export const UPTIME_AT_START_NS = 100 * NS_PER_SECOND;

/** Granularity of the coarse clocks: the kernel's tick at 250 Hz. */
export const COARSE_NS = 4_000_000;

/** Seconds and nanoseconds, as struct timespec has them. */
export interface TimeSpec {
  seconds: number;
  nanoseconds: number;
}

export class SimulatedClock {
  readonly #queue: EventQueue;
  readonly #startSeconds: number;
  readonly #startNs: number;
  readonly #start: TickMark;
  readonly #startTick: Tick;

  /**
   * @param queue whose time the clocks show
   * @param startSeconds CLOCK_REALTIME at the start, in seconds since 1970; fractions are kept to the nanosecond
   */
  constructor(queue: EventQueue, startSeconds: number = DEFAULT_START_SECONDS) {
    this.#queue = queue;
    this.#startSeconds = Math.floor(startSeconds);
    this.#startNs = Math.round((startSeconds - this.#startSeconds) * NS_PER_SECOND);
    this.#start = queue.mark(new TickMark());
    this.#startTick = queue.curTick;
  }

  /** Simulated nanoseconds since the process was made. Hot path: no allocation. */
  get elapsedNs(): number {
    return Math.floor(this.#queue.ticksSince(this.#start) / TICKS_PER_NS);
  }

  /** CLOCK_MONOTONIC when the process was made, in nanoseconds. */
  get startNs(): number {
    return UPTIME_AT_START_NS;
  }

  /** CLOCK_MONOTONIC, in nanoseconds. */
  get monotonicNs(): number {
    return UPTIME_AT_START_NS + this.elapsedNs;
  }

  /** CLOCK_REALTIME, in whole seconds. */
  get realtimeSeconds(): number {
    return this.#startSeconds + Math.floor((this.#startNs + this.elapsedNs) / NS_PER_SECOND);
  }

  /** Reads a clock that does not depend on CPU time. Returns false for an id that is not one of those. */
  read(clock: number, into: TimeSpec): boolean {
    let offsetSeconds = 0;
    let ns = this.elapsedNs;
    switch (clock) {
      case Clock.tai:
        offsetSeconds = TAI_OFFSET_SECONDS + this.#startSeconds;
        ns += this.#startNs;
        break;
      case Clock.realtime:
      case Clock.realtimeAlarm:
      case Clock.realtimeCoarse:
        offsetSeconds = this.#startSeconds;
        ns += this.#startNs;
        break;
      case Clock.monotonic:
      case Clock.monotonicRaw:
      case Clock.monotonicCoarse:
      case Clock.boottime:
      case Clock.boottimeAlarm:
        ns += UPTIME_AT_START_NS;
        break;
      default:
        return false;
    }
    if (clock === Clock.realtimeCoarse || clock === Clock.monotonicCoarse) ns -= ns % COARSE_NS;
    into.seconds = offsetSeconds + Math.floor(ns / NS_PER_SECOND);
    into.nanoseconds = ns % NS_PER_SECOND;
    return true;
  }

  /**
   * When the clock will show this time, as a tick; a time in the past gives a tick in the past, at least 0.
   */
  tickAt(clock: number, time: TimeSpec): Tick {
    let seconds = time.seconds;
    let ns = time.nanoseconds;
    if (clock === Clock.realtime || clock === Clock.realtimeAlarm || clock === Clock.tai) {
      seconds -= this.#startSeconds + (clock === Clock.tai ? TAI_OFFSET_SECONDS : 0);
      ns -= this.#startNs;
    } else ns -= UPTIME_AT_START_NS;
    return this.#tickAfterStart(seconds, ns);
  }

  /** The tick a duration from now. */
  tickAfter(duration: TimeSpec): Tick {
    return this.#clamp(this.#queue.curTick + this.#ticks(duration.seconds, duration.nanoseconds));
  }

  /**
   * The tick a number of nanoseconds from now; Infinity and whatever lies beyond the end of time become its
   * end.
   */
  tickAfterNs(ns: number): Tick {
    return this.tickAfter({ seconds: Math.floor(ns / NS_PER_SECOND), nanoseconds: ns % NS_PER_SECOND || 0 });
  }

  #tickAfterStart(seconds: number, ns: number): Tick {
    return this.#clamp(this.#startTick + this.#ticks(seconds, ns));
  }

  #ticks(seconds: number, ns: number): bigint {
    const bounded = Math.max(-LONGEST_SECONDS, Math.min(seconds, LONGEST_SECONDS));
    return BigInt(bounded) * 1_000_000_000_000n + BigInt(Math.trunc(ns)) * BigInt(TICKS_PER_NS);
  }

  #clamp(tick: bigint): Tick {
    return (tick < 0n ? 0n : tick > END_OF_TIME ? END_OF_TIME : tick) as Tick;
  }
}

/** 2^63 ticks are 106 days. Deadlines beyond stay there, as the kernel's stay at KTIME_MAX. */
const END_OF_TIME = 0x7fff_ffff_ffff_ffffn;
const LONGEST_SECONDS = 9_000_000;
