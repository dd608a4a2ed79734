/**
 * One thread of the simulated process: registers while it is off the CPU, signal state, and what it waits
 * for. Fields follow what the kernel keeps per task (clone(2), signal(7), sigaltstack(2), set_tid_address(2),
 * futex(2)).
 */
import { RegClass, X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import type { Tick } from '../../sim/tick.ts';
import { NORMAL_SCHEDULING, type Scheduling } from './scheduling-policy.ts';
import type { FaultRecord, SignalStack } from './sigframe.ts';
import { PendingSignals, SignalSet } from './signals.ts';
import type { Wait } from './syscall.ts';

export type ThreadState = 'runnable' | 'waiting' | 'exited';

/**
 * The register classes that differ between threads of a process: FS and GS bases are in the special class.
 */
export const THREAD_CLASSES = RegClass.general | RegClass.special | RegClass.fpu;

/** The kernel's timer slack of a thread that did not ask for another. */
export const DEFAULT_TIMERSLACK_NS = 50_000;

export class Thread {
  readonly tid: number;
  /** prctl(PR_SET_NAME): at most 15 bytes. */
  name: string;
  state: ThreadState = 'runnable';
  /** What the thread sleeps on while `state` is 'waiting'. */
  wait: Wait | undefined;
  /** When the present or latest wait ends by itself. */
  deadline: Tick | undefined;
  /**
   * The call is made again after a signal that no handler took: its wait ends when the first would have ended.
   */
  resumesWait = false;
  /** Ends the wait at its deadline. */
  readonly deadlineEvent: SimEvent;
  /** Architectural state while another thread has the CPU; stale while this one has it. */
  readonly context = new X86ThreadContext();

  /** Blocked signals. */
  readonly blocked = new SignalSet();
  /** The mask to go back to when the call that replaced it (sigsuspend, ppoll, pselect) is over. */
  savedMask: SignalSet | undefined;
  readonly pending = new PendingSignals();
  readonly altStack: SignalStack = { base: 0, sizeBytes: 0, flags: 0 };
  /** The latest exception, for signal frames. */
  readonly fault: FaultRecord = { trapNumber: 0, errorCode: 0, cr2: 0n };

  /** Number of the latest call, to make it again. */
  syscallNumber = -1;
  /** How the call that has just ended continues: a value of `Restart`, or 0. */
  restart = 0;

  /** Address that gets 0 and a futex wake when the thread exits; 0 = none. */
  clearChildTid = 0;
  /** Head of the robust futex list; 0 = none. */
  robustList = 0;
  /** Nice value, as getpriority(2) reports it. */
  nice = 0;
  /** I/O priority as ioprio_get(2) reports it: kept, without effect. */
  ioPriority = 0;
  /** prctl(PR_SET_TIMERSLACK), in nanoseconds: kept, without effect, since deadlines are exact. */
  timerSlackNs = DEFAULT_TIMERSLACK_NS;
  scheduling: Scheduling = NORMAL_SCHEDULING;
  /** Highest priority of those who wait for a priority-inheritance futex that this thread holds. */
  inheritedPriority = 0;
  /** Simulated time on the CPU up to the latest switch, in ticks. */
  cpuTicks = 0;
  /** Switches away from this thread because it waited, and because its time was up. */
  voluntarySwitches = 0;
  involuntarySwitches = 0;

  /** @param onDeadline called with this thread when the deadline of its wait is reached */
  constructor(tid: number, name: string, onDeadline: (thread: Thread) => void) {
    this.tid = tid;
    this.name = name;
    this.deadlineEvent = new SimEvent(`thread ${tid} deadline`, () => onDeadline(this));
  }
  /** Real-time priority that it runs at; 0 = none. */
  get effectivePriority(): number {
    return Math.max(this.scheduling.priority, this.inheritedPriority);
  }
}
