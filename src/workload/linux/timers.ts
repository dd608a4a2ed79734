/**
 * Timers of a process: the three interval timers and POSIX timers. setitimer(2), timer_create(2).
 * All run on simulated time; those on CPU time stand still while the CPU is idle.
 */
import { type EventQueue, SimEvent } from '../../sim/event-queue.ts';
import { asTicks } from '../../sim/tick.ts';
import { TICKS_PER_NS } from './clock.ts';
import { Signal, SignalCode, type SignalInfo, type TimerSignal } from './signals.ts';

/** Longest distance of one event: a longer one is covered in steps (13 simulated days each). */
const LONGEST_STEP_TICKS = 2 ** 50;

/** What a timer counts: nanoseconds of its clock, which may stand still. */
export interface TimerClock {
  readonly nowNs: () => number;
  /** Whether it counts CPU time. */
  readonly isCpuTime: boolean;
}

/** Goes off once or regularly. */
export class IntervalTimer {
  readonly clock: TimerClock;
  readonly #queue: EventQueue;
  readonly #event: SimEvent;
  readonly #onExpire: (count: number) => void;
  #expiryNs = 0;
  #intervalNs = 0;
  #armed = false;

  /** @param onExpire called with the number of expirations since the last call */
  constructor(queue: EventQueue, name: string, clock: TimerClock, onExpire: (count: number) => void) {
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
    return this.#armed ? Math.max(1, this.#expiryNs - this.clock.nowNs()) : 0;
  }

  /** Arms the timer to go off when its clock shows `expiryNs`; Infinity disarms it. */
  arm(expiryNs: number, intervalNs: number): void {
    this.disarm();
    this.#intervalNs = intervalNs;
    if (expiryNs === Infinity) return;
    this.#armed = true;
    this.#expiryNs = expiryNs;
    this.#schedule();
  }

  disarm(): void {
    this.#armed = false;
    this.pause();
  }

  /** Its clock stands still. */
  pause(): void {
    if (this.#event.scheduled) this.#queue.deschedule(this.#event);
  }

  /** Its clock goes on. */
  resume(): void {
    if (this.#armed && !this.#event.scheduled) this.#schedule();
  }

  #schedule(): void {
    const ticks = Math.max(0, this.#expiryNs - this.clock.nowNs()) * TICKS_PER_NS;
    this.#queue.schedule(this.#event, asTicks(Math.min(Math.ceil(ticks), LONGEST_STEP_TICKS)));
  }

  #onEvent(): void {
    const lateNs = this.clock.nowNs() - this.#expiryNs;
    if (lateNs < 0) {
      this.#schedule();
      return;
    }
    const count = this.#intervalNs === 0 ? 1 : 1 + Math.floor(lateNs / this.#intervalNs);
    if (this.#intervalNs === 0) this.#armed = false;
    else {
      this.#expiryNs += count * this.#intervalNs;
      this.#schedule();
    }
    this.#onExpire(count);
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
      return new IntervalTimer(owner.eventQueue, `itimer ${which}`, clock, () =>
        owner.send({ signal, code: SignalCode.SI_KERNEL }, undefined),
      );
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
    };
    const timer = new IntervalTimer(this.#owner.eventQueue, `timer ${id}`, clock, (count) => {
      if (signal.queued) {
        signal.overrun += count;
        return;
      }
      signal.overrun = count - 1;
      signal.queued = true;
      if (notify.signal !== 0) this.#owner.send(info, notify.tid);
    });
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
