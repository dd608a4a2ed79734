// VcpuRunner: the part of a KVM CPU that belongs to one host thread: it enters the guest, bounds the stay by a timer,
// and is kicked out by other threads. It knows no SimObject and no simulated time, only host nanoseconds.
//
// The control signal is blocked on this thread at all times and unblocked by KVM alone while the guest runs
// (KVM_SET_SIGNAL_MASK): a kick or a timer that comes between the last look and the entry makes KVM_RUN return at once.

/** What the runner needs of a vCPU; host/kvm/vcpu.ts offers it. */
export interface RunnableVcpu {
  readonly run: { setImmediateExit(on: boolean): void };
  /** KVM_RUN: 0, or EINTR/EAGAIN as a positive number. */
  enter(): number;
}

/** A one-shot host timer that raises the control signal on the vCPU's thread. */
export interface RunTimer {
  arm(ns: number): void;
  disarm(): void;
  /** Shortest delay that makes sense, in ns. */
  readonly resolutionNs: number;
  /** Whether it counts time in the guest only: then it is armed for each entry and stopped after it. */
  readonly onlyInGuest: boolean;
}

/** The control signal, directed at the vCPU's thread. */
export interface ControlSignal {
  /** Takes a pending control signal off this thread; says whether there was one. */
  discardPending(): boolean;
  /** Sends it to the vCPU's thread, from any thread. */
  raise(): void;
}

/** Why an entry ended: the guest exited, a signal ended it, or it did not take place. */
export type EntryEnd = 'exit' | 'signal' | 'cancelled';

/** Letters in the mailbox: a bit mask that other threads set before they kick. */
export const Mail = { Kick: 1 } as const;

/** Bits of the mailbox that are no letters: the thread is in the guest or about to enter it; a signal was sent to it. */
const IN_GUEST = 1 << 30;
const SIGNALLED = 1 << 29;

/** The owner of a runner, asked right before each entry. */
export interface RunnerClient {
  /**
   * The last look before the entry, at interrupts and at the letters (`Mail`) that came since the one before.
   * False cancels the entry.
   * @param nowNs the host's clock
   */
  beforeEntry(letters: number, nowNs: number): boolean;
}

/** The host's monotonic clock. */
export type NowNs = () => number;

export class VcpuRunner {
  readonly #vcpu: RunnableVcpu;
  readonly #timer: RunTimer;
  readonly #signal: ControlSignal;
  readonly #client: RunnerClient;
  readonly #now: NowNs;
  /** One word that any thread may set bits in. */
  readonly #mailbox: Int32Array<SharedArrayBuffer>;
  /** When the armed timer fires; Infinity if none is armed. */
  #armedForNs = Number.POSITIVE_INFINITY;

  /** When the last entry ended, by the host's clock. */
  endNs = 0;
  /** Host time that the last entry took, in ns; 0 if it did not take place. */
  elapsedNs = 0;
  /** Whether the last `run` lasted at least as long as asked. */
  timeIsUp = false;

  constructor(parts: {
    vcpu: RunnableVcpu;
    timer: RunTimer;
    signal: ControlSignal;
    client: RunnerClient;
    now: NowNs;
    mailbox?: Int32Array<SharedArrayBuffer>;
  }) {
    this.#vcpu = parts.vcpu;
    this.#timer = parts.timer;
    this.#signal = parts.signal;
    this.#client = parts.client;
    this.#now = parts.now;
    this.#mailbox = parts.mailbox ?? new Int32Array(new SharedArrayBuffer(4));
  }

  /**
   * Runs the guest for at most `limitNs` of host time (raised to the timer's resolution) from `startNs`, which is now.
   *
   * The timer is left armed when the guest exits early, and kept for the next entry if it does not fire too late for
   * it: most entries then need no timer call. One that fires too early costs a signal exit, no correctness.
   * Hot path.
   */
  run(limitNs: number, startNs: number = this.#now()): EntryEnd {
    const deadlineNs = startNs + Math.max(limitNs, this.#timer.resolutionNs);
    const end = this.#enter(startNs, deadlineNs, false);
    this.timeIsUp = end !== 'cancelled' && startNs + this.elapsedNs >= deadlineNs;
    return end;
  }

  /**
   * Enters KVM only so that it completes a pending I/O instruction; no guest instruction is executed. It may end with a
   * further I/O exit of the same instruction.
   */
  halfEntry(): EntryEnd {
    this.timeIsUp = false;
    return this.#enter(this.#now(), Number.POSITIVE_INFINITY, true);
  }

  /** Gets the vCPU out of the guest, or makes its next entry look into the mailbox. Any thread may call it. */
  kick(letters: number = Mail.Kick): void {
    const before = Atomics.or(this.#mailbox, 0, letters | Mail.Kick);
    // Outside the guest the letter is enough: the next entry finds it.
    if ((before & IN_GUEST) === 0) return;
    Atomics.or(this.#mailbox, 0, SIGNALLED);
    this.#signal.raise();
  }

  /** Stops the timer and drops a signal that is left over: the thread is as it was before the runner. */
  close(): void {
    this.#timer.disarm();
    this.#armedForNs = Number.POSITIVE_INFINITY;
    this.#signal.discardPending();
  }

  /**
   * Every entry goes through here, in this order: clear `immediate_exit`, take off a signal left over, look at mailbox
   * and interrupts, enter. A kick after the look leaves its signal pending, and the entry returns at once.
   */
  #enter(startNs: number, deadlineNs: number, half: boolean): EntryEnd {
    this.#vcpu.run.setImmediateExit(false);
    // Only a timer that has fired or a kick can have left a signal; both are visible before the system call that asks.
    const isKicked = (Atomics.load(this.#mailbox, 0) & SIGNALLED) !== 0;
    if (this.#armedForNs <= startNs || isKicked) this.#discardSignal(startNs);
    this.elapsedNs = 0;
    const letters = Atomics.exchange(this.#mailbox, 0, IN_GUEST) & ~SIGNALLED;
    if (!this.#client.beforeEntry(letters, startNs)) {
      Atomics.and(this.#mailbox, 0, ~IN_GUEST);
      return 'cancelled';
    }
    if (half) this.#vcpu.run.setImmediateExit(true);
    else if (this.#timer.onlyInGuest) this.#timer.arm(deadlineNs - startNs);
    else if (deadlineNs < this.#armedForNs) {
      this.#timer.arm(deadlineNs - startNs);
      this.#armedForNs = deadlineNs;
    }
    const errno = this.#vcpu.enter();
    const endNs = this.#now();
    this.endNs = endNs;
    Atomics.and(this.#mailbox, 0, ~IN_GUEST);
    if (this.#timer.onlyInGuest && !half) this.#timer.disarm();
    this.elapsedNs = endNs - startNs;
    if (errno === 0) return 'exit';
    // EINTR. The signal is still pending: KVM does not consume what ended its run.
    this.#discardSignal(endNs);
    return 'signal';
  }

  /** A signal that is taken off may be the timer's, which fires even while we ask: then nothing is armed any more. */
  #discardSignal(nowNs: number): void {
    if (this.#signal.discardPending() || this.#armedForNs <= nowNs)
      this.#armedForNs = Number.POSITIVE_INFINITY;
  }
}
