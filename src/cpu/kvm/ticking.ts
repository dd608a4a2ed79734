// Ticking: the state of a KVM CPU together with the tick event that leads from one state to the next. The two belong
// together: a tick is pending in every state but Idle and RunningMmioPending.

import { type EventQueue, Priority, SimEvent, TickMark } from '../../sim/event-queue.ts';
import { type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { panic } from '../../sim/trouble.ts';
import { type KvmCpuState, KvmCpuStateMachine } from './state.ts';

/** Where a CPU goes when the last timing request has been answered. */
export type AfterPending = 'RunningServiceCompletion' | 'Running' | 'Idle';

export class Ticking {
  readonly #path: string;
  readonly #queue: EventQueue;
  readonly #periodTicks: Ticks;
  readonly #machine: KvmCpuStateMachine;
  readonly #event: SimEvent;
  readonly #changed: (from: KvmCpuState, to: KvmCpuState) => void;
  readonly #waitingSince = new TickMark();
  #after: AfterPending = 'Running';
  /** Time that had still to pass when the waiting began. */
  #busyTicks = 0;

  /**
   * @param path of the CPU
   * @param tick what a tick does
   * @param changed told of each transition before it is made
   */
  constructor(
    path: string,
    queue: EventQueue,
    periodTicks: Ticks,
    tick: () => void,
    changed: (from: KvmCpuState, to: KvmCpuState) => void,
  ) {
    this.#path = path;
    this.#queue = queue;
    this.#periodTicks = periodTicks;
    this.#machine = new KvmCpuStateMachine(path);
    this.#event = new SimEvent(`${path}.tick`, tick, Priority.CpuTick);
    this.#changed = changed;
  }

  get state(): KvmCpuState {
    return this.#machine.state;
  }

  /** Whether the next tick is scheduled. */
  get isScheduled(): boolean {
    return this.#event.scheduled;
  }

  /** Whether a tick leads out of the present state. */
  get needsTick(): boolean {
    return this.state !== 'Idle' && this.state !== 'RunningMmioPending';
  }

  to(next: KvmCpuState): void {
    this.#changed(this.state, next);
    this.#machine.to(next);
  }

  /** Leaves execution: no tick is pending any more. */
  idle(): void {
    if (this.#event.scheduled) this.#queue.deschedule(this.#event);
    this.to('Idle');
  }

  /** Begins to run at the next clock edge. */
  run(): void {
    this.to('Running');
    this.schedule(ZERO_TICKS);
  }

  /** The next tick comes at the first clock edge after `delay`. */
  schedule(delay: number): void {
    this.#queue.schedule(this.#event, this.#queue.ticksToClockEdge(this.#periodTicks, delay as Ticks));
  }

  /** No ticks until {@link answered}; then on to `after`. */
  waitForAnswers(after: AfterPending): void {
    if (this.#event.scheduled) this.#queue.deschedule(this.#event);
    this.#after = after;
    this.#busyTicks = 0;
    this.to('RunningMmioPending');
  }

  /** The CPU is busy for so long anyway, answers or not. */
  waitAtLeast(ticks: number): void {
    this.#busyTicks = ticks;
    this.#queue.mark(this.#waitingSince);
  }

  /** While waiting: the thread has stopped, or got work again. An instruction to complete is completed first. */
  whileWaiting(stopped: boolean): void {
    if (this.state !== 'RunningMmioPending')
      panic(this.#path, `does not wait for answers but is ${this.state}`);
    if (this.#after !== 'RunningServiceCompletion') this.#after = stopped ? 'Idle' : 'Running';
  }

  /** The last answer has come. */
  answered(): void {
    this.to(this.#after);
    if (!this.needsTick) return;
    const rest = this.#busyTicks === 0 ? 0 : this.#busyTicks - this.#queue.ticksSince(this.#waitingSince);
    this.schedule(Math.max(rest, this.#periodTicks));
  }
}
