/**
 * Time-sharing of one CPU by the threads of a process: by real-time priority, then round robin with a
 * quantum (sched(7)); waits with deadlines, and waits for host descriptors. Threads change only at safe points,
 * where the CPU allows its registers to be replaced.
 *
 *              take                       wait
 *   runnable ────────▶ current ─────────────────────▶ waiting
 *      ▲                  │ quantum, yield               │ finish: poll has a result, deadline, signal, wake
 *      └──────────────────┴──────────────────────────────┘
 */
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { EventQueue } from '../../sim/event-queue.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { asTicks, type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { Errno } from './errno.ts';
import { Policy, ThreadQueue } from './scheduling-policy.ts';
import type { HostReadiness, Wait } from './syscall.ts';
import { THREAD_CLASSES, type Thread } from './thread.ts';
import { GuestFault } from './user-memory.ts';

/** How long a thread runs while others wait for the CPU: 10 ms of simulated time. */
export const QUANTUM = asTicks(10_000_000_000);

/** What the scheduler needs from the process. */
export interface SchedulerOwner {
  readonly cpu: BaseCpu<X86ThreadContext>;
  readonly eventQueue: EventQueue;
  /** Gives a finished call its result. */
  setResult(thread: Thread, result: number | bigint): void;
  /**
   * Delivers signals to the current thread. Returns with none deliverable, or with the thread or process
   * ended.
   */
  deliverSignals(thread: Thread): void;
  /** Whether a signal waits that the thread does not block. */
  hasSignal(thread: Thread): boolean;
  /** Whether registers may be replaced now. */
  readonly canSwitch: boolean;
  /** No thread can run; and: one can again. */
  cpuIdle(): void;
  cpuBusy(): void;
  /** For statistics and traces. */
  switched(from: Thread, to: Thread): void;
}

export class Scheduler {
  readonly #owner: SchedulerOwner;
  readonly #quantumTicks: Ticks;
  /** The thread whose registers the CPU holds; it may be waiting or gone. */
  #current: Thread;
  readonly #ready = new ThreadQueue<Thread>((thread) => thread.effectivePriority);
  readonly #hostWaiters = new Set<Thread>();
  readonly #quantum: SimEvent;
  #attention = false;
  #yield = false;
  #ended = false;
  #inSafePoint = false;
  #isIdle = false;
  /** The CPU's busy time when the current thread got it. */
  #busyMark = 0;

  constructor(owner: SchedulerOwner, first: Thread, quantumTicks: Ticks = QUANTUM) {
    this.#owner = owner;
    this.#current = first;
    this.#quantumTicks = quantumTicks;
    this.#quantum = new SimEvent('scheduler quantum', () => this.#onQuantum());
  }

  /** The thread whose registers the CPU holds. */
  get current(): Thread {
    return this.#current;
  }

  /** Whether some thread waits for a host descriptor. */
  get waitsForHost(): boolean {
    return this.#hostWaiters.size > 0;
  }

  /** Whether nothing can run until the host has something: what an idle source is asked. */
  get isIdleForHost(): boolean {
    return (
      !this.#ended && this.waitsForHost && this.#ready.length === 0 && this.#current.state !== 'runnable'
    );
  }

  /** Simulated time, in ticks, that the thread has had the CPU. */
  cpuTicks(thread: Thread): number {
    const running = thread === this.#current ? this.#owner.cpu.busyTicks - this.#busyMark : 0;
    return thread.cpuTicks + running;
  }

  /** A new thread may run. */
  add(thread: Thread): void {
    this.#makeReady(thread);
  }

  /** The thread's call cannot finish yet. */
  block(thread: Thread, wait: Wait): void {
    thread.wait = wait;
    thread.state = 'waiting';
    if (wait.hostFds !== undefined && wait.hostFds.length > 0) this.#hostWaiters.add(thread);
    if (!thread.resumesWait || wait.deadline === undefined) thread.deadline = wait.deadline;
    thread.resumesWait = false;
    const { deadline } = thread;
    if (deadline !== undefined) {
      const { eventQueue } = this.#owner;
      if (deadline > eventQueue.curTick) eventQueue.scheduleAt(thread.deadlineEvent, deadline);
      else eventQueue.schedule(thread.deadlineEvent, ZERO_TICKS);
    }
    this.#armQuantum();
    this.#attention = true;
    if (this.#owner.hasSignal(thread)) this.interrupt(thread);
  }

  /** Ends a wait with a result. */
  finish(thread: Thread, result: number | bigint): void {
    if (thread.state !== 'waiting') return;
    this.#endWait(thread);
    this.#owner.setResult(thread, result);
    thread.state = 'runnable';
    if (thread === this.#current) this.#armQuantum();
    else this.#makeReady(thread);
    this.requestSafePoint();
  }

  /** A signal ends the wait, if the thread waits; it will be delivered when the thread is next on the CPU. */
  interrupt(thread: Thread): void {
    const { wait } = thread;
    if (wait === undefined) return;
    wait.cancel?.();
    this.finish(thread, wait.interruptResult);
  }

  /** The deadline of the thread's wait: asked a last time. */
  expire(thread: Thread): void {
    const { wait } = thread;
    if (wait === undefined) return;
    this.#pollHostWaiters();
    if (thread.wait !== wait || this.repoll(thread)) return;
    wait.cancel?.();
    this.finish(thread, wait.timeoutResult ?? 0);
  }

  /** Asks the thread's wait again; true if it is over. */
  repoll(thread: Thread): boolean {
    const { wait } = thread;
    if (wait === undefined) return false;
    const result = pollSafely(wait);
    if (result === undefined) return false;
    this.finish(thread, result);
    return true;
  }

  /** The thread is gone, or the process with it. */
  remove(thread: Thread): void {
    if (thread.wait !== undefined) {
      thread.wait.cancel?.();
      this.#endWait(thread);
    }
    thread.state = 'exited';
    this.#ready.delete(thread);
    this.#attention = true;
  }

  /** The thread's priority changed: it goes behind its new equals, and the CPU to whom it belongs now. */
  reprioritized(thread: Thread): void {
    if (this.#ready.delete(thread)) this.#ready.push(thread);
    if (this.#isPreempted) this.requestSafePoint();
  }

  /** Nothing runs any more. */
  end(): void {
    this.#ended = true;
    this.#attention = false;
    if (this.#quantum.scheduled) this.#owner.eventQueue.deschedule(this.#quantum);
  }

  /** sched_yield: the current thread goes behind those of its priority. */
  yieldCurrent(): void {
    if (!this.#hasEqual) return;
    this.#yield = true;
    this.#attention = true;
  }

  /** Something changed for files: waits for descriptors are asked again at the next safe point. */
  filesChanged(): void {
    if (this.#hostWaiters.size > 0) this.#pollHostWaiters();
  }

  /**
   * A thread became runnable or a signal arrived: act now if the CPU allows it, else after its present
   * service.
   */
  requestSafePoint(): void {
    if (this.#ended) return;
    this.#attention = true;
    if (!this.#inSafePoint && this.#owner.canSwitch) this.safePoint();
  }

  /**
   * Signals, thread switch, activation. Called after each service; costs one test when there is nothing to
   * do.
   */
  safePoint(): void {
    if (!this.#attention || this.#inSafePoint) return;
    this.#inSafePoint = true;
    try {
      this.#settle();
    } finally {
      this.#inSafePoint = false;
    }
  }

  /** The descriptors that threads wait for. */
  hostDescriptors(): HostReadiness[] {
    return [...this.#hostWaiters].flatMap((thread) => thread.wait?.hostFds ?? []);
  }

  #settle(): void {
    while (!this.#ended) {
      this.#attention = false;
      const yields = this.#yield;
      this.#yield = false;
      const mustSwitch = yields || this.#isPreempted || this.#current.state !== 'runnable';
      if (mustSwitch && !this.#switchToNext(yields)) {
        this.#idle(true);
        return;
      }
      this.#owner.deliverSignals(this.#current);
      if (this.#current.state === 'runnable' && !this.#attention) {
        if (!this.#ended) this.#idle(false);
        return;
      }
    }
  }

  #idle(idle: boolean): void {
    const { cpu } = this.#owner;
    if (idle) cpu.suspendContext();
    else cpu.activateContext();
    if (idle === this.#isIdle) return;
    this.#isIdle = idle;
    if (idle) this.#owner.cpuIdle();
    else this.#owner.cpuBusy();
  }

  /**
   * Gives the CPU to the next runnable thread; false if there is none. Who yields goes behind its equals, who is
   * preempted before them.
   */
  #switchToNext(yields: boolean): boolean {
    const from = this.#current;
    const next = this.#ready.shift();
    if (next === undefined) return from.state === 'runnable';
    const { cpu } = this.#owner;
    this.#chargeCpu();
    if (from.state === 'runnable') {
      if (yields) this.#ready.push(from);
      else this.#ready.unshift(from);
      from.involuntarySwitches++;
    } else from.voluntarySwitches++;
    if (from.state !== 'exited') from.context.copyFrom(cpu.readState(THREAD_CLASSES), THREAD_CLASSES);
    cpu.modifyState(THREAD_CLASSES).copyFrom(next.context, THREAD_CLASSES);
    this.#current = next;
    this.#owner.switched(from, next);
    const queue = this.#owner.eventQueue;
    if (this.#quantum.scheduled) queue.deschedule(this.#quantum);
    this.#armQuantum();
    return true;
  }

  #makeReady(thread: Thread): void {
    this.#ready.push(thread);
    this.#armQuantum();
    if (this.#isPreempted) this.#attention = true;
  }

  /** Whether a thread of higher priority waits for the CPU. */
  get #isPreempted(): boolean {
    return this.#current.state === 'runnable' && this.#ready.topPriority > this.#current.effectivePriority;
  }

  /** Whether a thread waits for the CPU to which the current one may leave it. */
  get #hasEqual(): boolean {
    return this.#ready.topPriority >= this.#current.effectivePriority;
  }

  #chargeCpu(): void {
    const busy = this.#owner.cpu.busyTicks;
    this.#current.cpuTicks += busy - this.#busyMark;
    this.#busyMark = busy;
  }

  #endWait(thread: Thread): void {
    thread.wait = undefined;
    this.#hostWaiters.delete(thread);
    if (thread.deadlineEvent.scheduled) this.#owner.eventQueue.deschedule(thread.deadlineEvent);
  }

  /** The quantum runs only while a thread has the CPU that others, or the host, could take from it. */
  #armQuantum(): void {
    if (this.#ended || this.#quantum.scheduled) return;
    const contended = this.#ready.length > 0 || (this.waitsForHost && this.#current.state === 'runnable');
    if (contended) this.#owner.eventQueue.schedule(this.#quantum, this.#quantumTicks);
  }

  #onQuantum(): void {
    this.#pollHostWaiters();
    const runsOn = this.#current.scheduling.policy === Policy.fifo || !this.#hasEqual;
    if (this.#ready.length > 0 && !(runsOn && this.#current.state === 'runnable')) {
      this.#yield = this.#current.state === 'runnable';
      this.requestSafePoint();
    }
    this.#armQuantum();
  }

  #pollHostWaiters(): void {
    for (const thread of [...this.#hostWaiters]) this.repoll(thread);
  }
}

function pollSafely(wait: Wait): number | bigint | undefined {
  try {
    return wait.poll();
  } catch (error) {
    if (error instanceof GuestFault) return -Errno.EFAULT;
    throw error;
  }
}
