/**
 * Timers of a process: the three interval timers and POSIX timers. setitimer(2), timer_create(2).
 * All run on simulated time; those on CPU time stand still while the CPU is idle.
 */
import { type EventQueue, SimEvent } from '../../sim/event-queue.ts';
import { asTicks, TICKS_PER_NS } from '../../sim/tick.ts';
import { Signal, SignalCode, type SignalInfo, type TimerSignal } from './signals.ts';

/** Longest distance of one event: a longer one is covered in steps (13 simulated days each). */
const LONGEST_STEP_TICKS = 2 ** 50;

/** Between two signals of a timer the program gets at least so long: delivery itself takes no simulated time. */
const SHORTEST_PERIOD_NS = 50_000;
/** A timer whose signal is ignored goes off no more often than at the kernel's tick: 250 Hz. */
const IGNORED_PERIOD_NS = 4_000_000;

/** What a timer counts: nanoseconds of its clock, which may stand still. */
export interface TimerClock {
  readonly nowNs: () => number;
  /** Whether it counts CPU time. */
  readonly isCpuTime: boolean;
}

/**
 * Goes off once or regularly. As in Linux it rests after it went off until its signal is taken, so that a short
 * interval costs nothing while the signal is blocked; the expirations that it slept through are counted then.
 *
 *   arm ──▶ ticking ── event ──▶ resting ── acknowledge ──▶ ticking
 */
export class IntervalTimer {
  readonly clock: TimerClock;
  readonly #queue: EventQueue;
  readonly #event: SimEvent;
  readonly #onExpire: (() => void) | undefined;
  #expiryNs = 0;
  #intervalNs = 0;
  #armed = false;
  #rests = false;

  /** @param onExpire undefined: nobody is told, the program only reads the timer */
  constructor(queue: EventQueue, name: string, clock: TimerClock, onExpire: (() => void) | undefined) {
    this.#queue = queue;
    this.clock = clock;
    this.#onExpire = onExpire;
    this.#event = new SimEvent(name, () => this.#onEvent());
  }

  get intervalNs(): number {
    return this.#intervalNs;
  }

  /** Time to the next expiration; 0 = not armed. An armed timer that is due has 1 ns left. */
  get remainingNs(): number {
    if (!this.#armed) return 0;
    const lateNs = this.clock.nowNs() - this.#expiryNs;
    if (lateNs < 0) return -lateNs;
    if (this.#intervalNs > 0) return this.#intervalNs - (lateNs % this.#intervalNs);
    return this.#onExpire === undefined ? 0 : 1;
  }

  /** Arms the timer to go off when its clock shows `expiryNs`; Infinity disarms it. */
  arm(expiryNs: number, intervalNs: number): void {
    this.disarm();
    this.#intervalNs = intervalNs;
    if (expiryNs === Infinity) return;
    this.#armed = true;
    this.#expiryNs = expiryNs;
    this.resume();
  }

  disarm(): void {
    this.#armed = false;
    this.#rests = false;
    this.pause();
  }

  /** Its clock stands still. */
  pause(): void {
    if (this.#event.scheduled) this.#queue.deschedule(this.#event);
  }

  /** Its clock goes on. */
  resume(): void {
    const ticks = this.#armed && !this.#rests && this.#onExpire !== undefined;
    if (ticks && !this.#event.scheduled) this.#schedule();
  }

  /**
   * The signal has been taken: a regular timer ticks on. Returns how often it would have gone off meanwhile.
   * @param leastNs it does not go off before; what it misses counts the next time
   */
  acknowledge(leastNs: number): number {
    if (!this.#rests) return 0;
    this.#rests = false;
    const now = this.clock.nowNs();
    const missed = Math.floor(Math.max(0, now - this.#expiryNs) / this.#intervalNs);
    this.#expiryNs += (missed + 1) * this.#intervalNs;
    this.#schedule(leastNs);
    return missed;
  }

  #schedule(leastNs = 0): void {
    const ticks = Math.max(leastNs, this.#expiryNs - this.clock.nowNs()) * TICKS_PER_NS;
    this.#queue.schedule(this.#event, asTicks(Math.min(Math.ceil(ticks), LONGEST_STEP_TICKS)));
  }

  #onEvent(): void {
    if (this.clock.nowNs() < this.#expiryNs) {
      this.#schedule();
      return;
    }
    if (this.#intervalNs === 0) this.#armed = false;
    else this.#rests = true;
    this.#onExpire?.();
  }
}

/** What the timers need from the process. */
export interface TimerOwner {
  readonly eventQueue: EventQueue;
  /** Simulated time. */
  readonly wallClock: TimerClock;
  /** CPU time of the process. */
  readonly cpuClock: TimerClock;
  /** Sends to one thread, or to the process where `tid` is undefined. */
  send(info: SignalInfo, tid: number | undefined): void;
}

/** sigevent, decoded: who is told, and how. `signal` 0 = nobody. */
export interface TimerNotification {
  readonly signal: number;
  readonly tid: number | undefined;
  /** sigev_value; undefined: the timer's id. */
  readonly value: bigint | undefined;
}

/** A timer of timer_create. */
export interface PosixTimer {
  /** Its clock, as the program named it. */
  readonly clockId: number;
  readonly timer: IntervalTimer;
  /** `overrun`: expirations that the latest signal stood for beyond the first. */
  readonly signal: TimerSignal;
}

/** Signals of ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF, by number. */
const ITIMER_SIGNALS = [Signal.SIGALRM, Signal.SIGVTALRM, Signal.SIGPROF] as const;

export class TimerTable {
  /** ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
  readonly intervals: readonly IntervalTimer[];
  readonly #owner: TimerOwner;
  readonly #posix = new Map<number, PosixTimer>();

  constructor(owner: TimerOwner) {
    this.#owner = owner;
    this.intervals = ITIMER_SIGNALS.map((signal, which) => {
      const clock = which === 0 ? owner.wallClock : owner.cpuClock;
      const info: SignalInfo = {
        signal,
        code: SignalCode.SI_KERNEL,
        leftQueue: (taken) => timer.acknowledge(taken ? SHORTEST_PERIOD_NS : IGNORED_PERIOD_NS),
      };
      const timer = new IntervalTimer(owner.eventQueue, `itimer ${which}`, clock, () =>
        owner.send(info, undefined),
      );
      return timer;
    });
  }

  /** Makes a POSIX timer, disarmed, and returns its id. */
  create(clockId: number, clock: TimerClock, notify: TimerNotification): number {
    let id = 0;
    while (this.#posix.has(id)) id++;
    const signal: TimerSignal = { id, queued: false, overrun: 0 };
    const info: SignalInfo = {
      signal: notify.signal,
      code: SignalCode.SI_TIMER,
      value: notify.value ?? BigInt(id),
      timer: signal,
      leftQueue(taken) {
        signal.queued = false;
        signal.overrun = timer.acknowledge(taken ? SHORTEST_PERIOD_NS : IGNORED_PERIOD_NS);
      },
    };
    const expire = () => {
      if (signal.queued) return;
      signal.queued = true;
      this.#owner.send(info, notify.tid);
    };
    const timer = new IntervalTimer(
      this.#owner.eventQueue,
      `timer ${id}`,
      clock,
      notify.signal === 0 ? undefined : expire,
    );
    this.#posix.set(id, { clockId, timer, signal });
    return id;
  }

  get(id: number): PosixTimer | undefined {
    return this.#posix.get(id);
  }

  /** False if there is no such timer. */
  delete(id: number): boolean {
    this.#posix.get(id)?.timer.disarm();
    return this.#posix.delete(id);
  }

  /** The CPU went idle: CPU time stands still. */
  pauseCpuTime(): void {
    for (const timer of this.#all()) if (timer.clock.isCpuTime) timer.pause();
  }

  /** The CPU is busy again. */
  resumeCpuTime(): void {
    for (const timer of this.#all()) if (timer.clock.isCpuTime) timer.resume();
  }

  /** Nothing goes off any more. */
  disarmAll(): void {
    for (const timer of this.#all()) timer.disarm();
  }

  *#all(): Generator<IntervalTimer> {
    yield* this.intervals;
    for (const { timer } of this.#posix.values()) yield timer;
  }
}
