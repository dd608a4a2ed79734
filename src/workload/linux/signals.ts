/**
 * Signals as data: numbers, codes, default actions, sets, actions and queues of pending ones.
 * signal(7), sigaction(2); include/uapi/asm-generic/{signal,siginfo}.h of the Linux kernel.
 */

/** Signal numbers on x86-64. */
export const Signal = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const;

/** The first real-time signal of the kernel; the C library keeps 32 and 33 to itself. */
export const FIRST_REALTIME_SIGNAL = 32;
export const LAST_SIGNAL = 64;

const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Signal).map(([name, number]) => [number, name]),
);

/** 'SIGSEGV' for 11, 'SIGRTMIN+2' for 34. */
export function signalName(signal: number): string {
  const offset = signal - FIRST_REALTIME_SIGNAL;
  return SIGNAL_NAMES.get(signal) ?? (offset === 0 ? 'SIGRTMIN' : `SIGRTMIN+${offset}`);
}

/** si_code: why a signal was sent. */
export const SignalCode = {
  SI_USER: 0,
  SI_KERNEL: 0x80,
  SI_QUEUE: -1,
  SI_TIMER: -2,
  SI_TKILL: -6,
  ILL_ILLOPN: 2,
  FPE_INTDIV: 1,
  FPE_FLTDIV: 3,
  FPE_FLTOVF: 4,
  FPE_FLTUND: 5,
  FPE_FLTRES: 6,
  FPE_FLTINV: 7,
  FPE_FLTUNK: 14,
  SEGV_MAPERR: 1,
  SEGV_ACCERR: 2,
  BUS_ADRALN: 1,
  BUS_ADRERR: 2,
  TRAP_TRACE: 2,
} as const;
export type SignalCodeName = keyof typeof SignalCode;

/** Codes whose names belong to one signal; the others say who sent it. */
const CODE_PREFIX: Readonly<Record<number, string>> = {
  [Signal.SIGILL]: 'ILL_',
  [Signal.SIGFPE]: 'FPE_',
  [Signal.SIGSEGV]: 'SEGV_',
  [Signal.SIGBUS]: 'BUS_',
  [Signal.SIGTRAP]: 'TRAP_',
};

/** Name of si_code: 'SEGV_MAPERR', 'SI_USER'; its number if it has none. */
export function codeName(signal: number, code: number): string {
  const named = Object.entries(SignalCode).find(
    ([name, value]) =>
      value === code && (name.startsWith('SI_') || name.startsWith(CODE_PREFIX[signal] ?? 'SI_')),
  );
  return named?.[0] ?? String(code);
}

/** What a signal does that has neither a handler nor is ignored. */
export type DefaultAction = 'terminate' | 'ignore' | 'stop' | 'continue';

const IGNORED_BY_DEFAULT: readonly number[] = [Signal.SIGCHLD, Signal.SIGURG, Signal.SIGWINCH];
const STOPPING: readonly number[] = [Signal.SIGSTOP, Signal.SIGTSTP, Signal.SIGTTIN, Signal.SIGTTOU];

export function defaultAction(signal: number): DefaultAction {
  if (IGNORED_BY_DEFAULT.includes(signal)) return 'ignore';
  if (STOPPING.includes(signal)) return 'stop';
  return signal === Signal.SIGCONT ? 'continue' : 'terminate';
}

/** The signals that discard these when they are sent: a process is to stop or to go on, not both. */
export function discardedBy(signal: number): readonly number[] {
  if (signal === Signal.SIGCONT) return STOPPING;
  return STOPPING.includes(signal) ? [Signal.SIGCONT] : [];
}

/** Signals that an instruction causes (the kernel's SYNCHRONOUS_MASK): SIGILL TRAP BUS FPE SEGV SYS. */
const FAULT_MASK = [4, 5, 7, 8, 11, 31].reduce((mask, signal) => mask | (1 << (signal - 1)), 0);

/** A set of signals as the kernel's 64-bit mask, in two halves: signal n is bit n − 1. */
export class SignalSet {
  lo = 0;
  hi = 0;

  static of(...signals: number[]): SignalSet {
    const set = new SignalSet();
    for (const signal of signals) set.add(signal);
    return set;
  }

  get isEmpty(): boolean {
    return (this.lo | this.hi) === 0;
  }

  has(signal: number): boolean {
    return signal <= 32 ? (this.lo & (1 << (signal - 1))) !== 0 : (this.hi & (1 << (signal - 33))) !== 0;
  }

  add(signal: number): void {
    if (signal <= 32) this.lo |= 1 << (signal - 1);
    else this.hi |= 1 << (signal - 33);
  }

  delete(signal: number): void {
    if (signal <= 32) this.lo &= ~(1 << (signal - 1));
    else this.hi &= ~(1 << (signal - 33));
  }

  /**
   * From the two halves of the mask in memory. SIGKILL and SIGSTOP can be in a set, but never in a blocked
   * one.
   */
  setHalves(lo: number, hi: number): void {
    this.lo = lo | 0;
    this.hi = hi | 0;
  }

  copyFrom(other: SignalSet): void {
    this.lo = other.lo;
    this.hi = other.hi;
  }

  clone(): SignalSet {
    const copy = new SignalSet();
    copy.copyFrom(this);
    return copy;
  }

  addAll(other: SignalSet): void {
    this.lo |= other.lo;
    this.hi |= other.hi;
  }

  deleteAll(other: SignalSet): void {
    this.lo &= ~other.lo;
    this.hi &= ~other.hi;
  }

  /** Lowest signal in this set and not in `blocked`; 0 if there is none. */
  lowestOutside(blocked: SignalSet): number {
    const lo = this.lo & ~blocked.lo;
    if (lo !== 0) return 32 - Math.clz32(lo & -lo);
    const hi = this.hi & ~blocked.hi;
    return hi === 0 ? 0 : 64 - Math.clz32(hi & -hi);
  }

  /** The same among the signals of faults; 0 if there is none. */
  lowestFaultOutside(blocked: SignalSet): number {
    const lo = this.lo & FAULT_MASK & ~blocked.lo;
    return lo === 0 ? 0 : 32 - Math.clz32(lo & -lo);
  }

  /** Signals 1 to 64 that are in the set. */
  *[Symbol.iterator](): Generator<number> {
    for (let signal = 1; signal <= LAST_SIGNAL; signal++) if (this.has(signal)) yield signal;
  }
}

/** These cannot be caught, blocked or ignored. */
export function isUncatchable(signal: number): boolean {
  return signal === Signal.SIGKILL || signal === Signal.SIGSTOP;
}

/** Removes what cannot be blocked from a mask. */
export function legalizeMask(mask: SignalSet): void {
  mask.delete(Signal.SIGKILL);
  mask.delete(Signal.SIGSTOP);
}

/** What is known about one sent signal: the parts of siginfo_t that go with its kind. */
export interface SignalInfo {
  readonly signal: number;
  readonly code: number;
  /** Sender, for SI_USER, SI_QUEUE and SI_TKILL. */
  readonly pid?: number;
  readonly uid?: number;
  /** sigval of rt_sigqueueinfo and timers. */
  readonly value?: bigint;
  /** si_addr of a fault. */
  readonly address?: bigint;
  /** The POSIX timer that sends it. */
  readonly timer?: TimerSignal;
  /** Called when it waits no longer: taken, or dropped without effect. */
  readonly leftQueue?: (taken: boolean) => void;
}

/**
 * A POSIX timer's part of its signal: one at a time is queued, and `overrun` counts the expirations that it
 * stands for beyond the first (timer_getoverrun(2)).
 */
export interface TimerSignal {
  readonly id: number;
  queued: boolean;
  overrun: number;
}

/** sa_flags. */
export const SaFlag = {
  NOCLDSTOP: 1,
  NOCLDWAIT: 2,
  SIGINFO: 4,
  UNSUPPORTED: 0x400,
  RESTORER: 0x0400_0000,
  ONSTACK: 0x0800_0000,
  RESTART: 0x1000_0000,
  NODEFER: 0x4000_0000,
  RESETHAND: 0x8000_0000,
} as const;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

/** One signal's action; addresses are user addresses. */
export interface SignalAction {
  readonly handler: number;
  /** `SaFlag` bits, unsigned. */
  readonly flags: number;
  readonly restorer: number;
  readonly mask: SignalSet;
}

const DEFAULT: SignalAction = { handler: SIG_DFL, flags: 0, restorer: 0, mask: new SignalSet() };

/** The actions of a process: shared by its threads. */
export class SignalActions {
  readonly #actions: SignalAction[] = Array.from({ length: LAST_SIGNAL + 1 }, () => DEFAULT);

  get(signal: number): SignalAction {
    return this.#actions[signal]!;
  }

  set(signal: number, action: SignalAction): void {
    this.#actions[signal] = action;
  }

  /** The handler alone is forgotten: flags and mask stay as they were. */
  setDefault(signal: number): void {
    this.#actions[signal] = { ...this.get(signal), handler: SIG_DFL };
  }

  /** Whether the signal would have no effect at all. */
  ignores(signal: number): boolean {
    const { handler } = this.get(signal);
    if (handler === SIG_IGN) return !isUncatchable(signal);
    return handler === SIG_DFL && defaultAction(signal) === 'ignore';
  }
}

/** Sent signals that wait for delivery, of a thread or of the whole process. */
export class PendingSignals {
  readonly set = new SignalSet();
  #queue: SignalInfo[] = [];

  /**
   * Adds a signal. A standard signal that is pending already stays as it is; real-time ones and those of POSIX
   * timers queue up.
   */
  add(info: SignalInfo): void {
    if (this.set.has(info.signal) && info.signal < FIRST_REALTIME_SIGNAL && info.timer === undefined) {
      info.leftQueue?.(false);
      return;
    }
    this.set.add(info.signal);
    this.#queue.push(info);
  }

  /** Signals that wait, queued ones each. */
  get length(): number {
    return this.#queue.length;
  }

  /**
   * Takes the lowest-numbered signal that is not in `blocked`, faults before all others; of equal ones the
   * oldest.
   */
  take(blocked: SignalSet): SignalInfo | undefined {
    const signal = this.set.lowestFaultOutside(blocked) || this.set.lowestOutside(blocked);
    if (signal === 0) return undefined;
    const index = this.#queue.findIndex((info) => info.signal === signal);
    const [info] = this.#queue.splice(index, 1);
    if (!this.#queue.some((other) => other.signal === signal)) this.set.delete(signal);
    info?.leftQueue?.(true);
    return info;
  }

  /** Forgets a signal: its action became "ignore". */
  discard(signal: number): void {
    this.set.delete(signal);
    const gone = this.#queue.filter((info) => info.signal === signal);
    this.#queue = this.#queue.filter((info) => info.signal !== signal);
    for (const info of gone) info.leftQueue?.(false);
  }
}
