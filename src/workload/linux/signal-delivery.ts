/**
 * Sending and delivering signals: who gets one, when a wait is interrupted, handlers, default actions, and
 * how an interrupted call goes on. signal(7); kernel/signal.c and arch/x86/kernel/signal.c of Linux.
 */
import { Gpr } from '../../arch/x86/registers.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { Errno, Restart } from './errno.ts';
import type { SignalFrames } from './sigframe.ts';
import {
  defaultAction,
  discardedBy,
  legalizeMask,
  PendingSignals,
  SaFlag,
  SIG_DFL,
  SIG_IGN,
  Signal,
  type SignalAction,
  SignalActions,
  SignalCode,
  type SignalInfo,
  SignalSet,
} from './signals.ts';
import { THREAD_CLASSES, type Thread } from './thread.ts';
import { GuestFault } from './user-memory.ts';

/** Addresses of user code end here. */
const USER_END = 2 ** 47;
/** SYSCALL is 0F 05. */
const SYSCALL_BYTES = 2;

/** What delivery needs from the process. */
export interface DeliveryOwner {
  readonly frames: SignalFrames;
  /** The living threads, the main one first. */
  livingThreads(): Iterable<Thread>;
  /** Registers of a thread, to be changed. */
  modifyRegisters(thread: Thread, classes: number): X86ThreadContext;
  /** The thread's wait is over because of a signal. */
  interrupt(thread: Thread): void;
  /** The thread may wait for this signal with sigtimedwait. */
  repoll(thread: Thread): void;
  /** Deliver soon: the current thread has a signal. */
  requestSafePoint(): void;
  /** The default action of a signal ends the process. */
  killed(thread: Thread, info: SignalInfo): void;
  /** A stop signal: there is nobody who could continue the process. */
  stopped(signal: number): void;
  countDelivered(): void;
}

export class SignalDelivery {
  readonly actions = new SignalActions();
  /** Signals sent to the process as a whole. */
  readonly shared = new PendingSignals();
  readonly #owner: DeliveryOwner;

  constructor(owner: DeliveryOwner) {
    this.#owner = owner;
  }

  /** Whether a signal waits that the thread does not block. Hot path. */
  hasDeliverable(thread: Thread): boolean {
    return (
      thread.pending.set.lowestOutside(thread.blocked) !== 0 ||
      this.shared.set.lowestOutside(thread.blocked) !== 0
    );
  }

  /** Sends to one thread (tgkill, SIGPIPE). */
  sendToThread(thread: Thread, info: SignalInfo): void {
    if (thread.state === 'exited') return;
    this.#discardOpposites(info.signal);
    if (this.#isDropped(info, thread.blocked.has(info.signal))) return;
    thread.pending.add(info);
    this.#wake(thread, info.signal);
  }

  /** Sends to the process: a thread that does not block it takes it, the main one by preference. */
  sendToProcess(info: SignalInfo): void {
    this.#discardOpposites(info.signal);
    const threads = [...this.#owner.livingThreads()];
    const target = threads.find((thread) => !thread.blocked.has(info.signal));
    if (this.#isDropped(info, target === undefined)) return;
    this.shared.add(info);
    if (target !== undefined) this.#wake(target, info.signal);
    else for (const thread of threads) this.#owner.repoll(thread);
  }

  /** A fault that the thread caused itself: cannot be blocked or ignored (the kernel's force_sig_info). */
  force(thread: Thread, info: SignalInfo): void {
    const { signal } = info;
    if (thread.blocked.has(signal) || this.actions.get(signal).handler === SIG_IGN) {
      this.actions.setDefault(signal);
      thread.blocked.delete(signal);
    }
    thread.pending.discard(signal);
    thread.pending.add(info);
    this.#owner.requestSafePoint();
  }

  /** Signals that wait for delivery, of the process and all its threads: what RLIMIT_SIGPENDING limits. */
  get pendingCount(): number {
    let count = this.shared.length;
    for (const thread of this.#owner.livingThreads()) count += thread.pending.length;
    return count;
  }

  /** rt_sigaction. What becomes ignored is forgotten where it is pending. */
  setAction(signal: number, action: SignalAction): void {
    this.actions.set(signal, action);
    if (this.actions.ignores(signal)) this.#discard(signal);
  }

  #discard(signal: number): void {
    this.shared.discard(signal);
    for (const thread of this.#owner.livingThreads()) thread.pending.discard(signal);
  }

  #discardOpposites(signal: number): void {
    for (const opposite of discardedBy(signal)) this.#discard(opposite);
  }

  /** Replaces the mask of blocked signals. */
  setMask(thread: Thread, lo: number, hi: number): void {
    thread.blocked.setHalves(lo, hi);
    legalizeMask(thread.blocked);
    if (this.hasDeliverable(thread)) this.#owner.requestSafePoint();
  }

  /** Replaces the mask until the present call is over (sigsuspend, ppoll, pselect). */
  setTemporaryMask(thread: Thread, lo: number, hi: number): void {
    thread.savedMask = thread.blocked.clone();
    this.setMask(thread, lo, hi);
  }

  /** Takes a pending signal of `set`, whether blocked or not: sigtimedwait. */
  takeFrom(thread: Thread, set: SignalSet): SignalInfo | undefined {
    const others = new SignalSet();
    others.setHalves(~set.lo, ~set.hi);
    return this.#take(thread, others);
  }

  /** Delivers to the thread, whose registers are the CPU's, all that it does not block. */
  deliver(thread: Thread): void {
    let handled = false;
    for (;;) {
      const info = this.#take(thread, thread.blocked);
      if (info === undefined) break;
      const action = this.actions.get(info.signal);
      if (this.actions.ignores(info.signal)) continue;
      this.#owner.countDelivered();
      if (action.handler !== SIG_DFL) {
        handled = true;
        this.#handle(thread, info, action);
      } else if (!this.#defaultAction(thread, info)) return;
    }
    if (!handled) this.#resume(thread);
  }

  /** rt_sigreturn: the registers, the mask and the alternate stack from the frame. */
  sigreturn(thread: Thread): void {
    thread.restart = 0;
    const tc = this.#owner.modifyRegisters(thread, THREAD_CLASSES);
    const frame = this.#popFrame(tc);
    if (frame === undefined || tc.ripNumber >= USER_END) {
      this.force(thread, { signal: Signal.SIGSEGV, code: SignalCode.SI_KERNEL, address: 0n });
      return;
    }
    thread.altStack.base = frame.stack.base;
    thread.altStack.sizeBytes = frame.stack.flags & 2 ? 0 : frame.stack.sizeBytes;
    thread.altStack.flags = (frame.stack.flags & 0x8000_0000) >>> 0;
    this.setMask(thread, frame.maskLo, frame.maskHi);
  }

  #popFrame(tc: X86ThreadContext): ReturnType<SignalFrames['pop']> {
    try {
      return this.#owner.frames.pop(tc);
    } catch (error) {
      if (error instanceof GuestFault) return undefined;
      throw error;
    }
  }

  /**
   * A signal without effect is dropped, unless it is blocked: its action may change before it is unblocked.
   */
  #isDropped(info: SignalInfo, blocked: boolean): boolean {
    const dropped = !blocked && this.actions.ignores(info.signal);
    if (dropped) info.leftQueue?.(false);
    return dropped;
  }

  #wake(thread: Thread, signal: number): void {
    if (thread.blocked.has(signal)) {
      this.#owner.repoll(thread);
      return;
    }
    this.#owner.interrupt(thread);
    this.#owner.requestSafePoint();
  }

  #take(thread: Thread, blocked: SignalSet): SignalInfo | undefined {
    return thread.pending.take(blocked) ?? this.shared.take(blocked);
  }

  /** False if that was the end of the process. */
  #defaultAction(thread: Thread, info: SignalInfo): boolean {
    const action = defaultAction(info.signal);
    if (action === 'stop') this.#owner.stopped(info.signal);
    if (action !== 'terminate') return true;
    this.#owner.killed(thread, info);
    return false;
  }

  #handle(thread: Thread, info: SignalInfo, action: SignalAction): void {
    const tc = this.#owner.modifyRegisters(thread, THREAD_CLASSES);
    settleRestart(thread, tc, (action.flags & SaFlag.RESTART) !== 0);
    if ((action.flags & SaFlag.RESETHAND) !== 0) this.actions.setDefault(info.signal);
    if (!this.#pushFrame(thread, tc, info, action)) {
      // No room for the frame: the kernel's force_sigsegv, which a failing SIGSEGV handler does not survive.
      if (info.signal === Signal.SIGSEGV) this.actions.setDefault(Signal.SIGSEGV);
      this.force(thread, { signal: Signal.SIGSEGV, code: SignalCode.SI_KERNEL, address: 0n });
      return;
    }
    thread.savedMask = undefined;
    thread.blocked.addAll(action.mask);
    if ((action.flags & SaFlag.NODEFER) === 0) thread.blocked.add(info.signal);
    legalizeMask(thread.blocked);
    if (thread.altStack.flags !== 0) Object.assign(thread.altStack, { base: 0, sizeBytes: 0, flags: 0 });
  }

  #pushFrame(thread: Thread, tc: X86ThreadContext, info: SignalInfo, action: SignalAction): boolean {
    // The kernel demands a restorer on x86-64.
    if ((action.flags & SaFlag.RESTORER) === 0 || action.handler >= USER_END) return false;
    try {
      return this.#owner.frames.push(tc, {
        info,
        handler: action.handler,
        restorer: action.restorer,
        mask: thread.savedMask ?? thread.blocked,
        stack: thread.altStack,
        onStack: (action.flags & SaFlag.ONSTACK) !== 0,
        fault: thread.fault,
      });
    } catch (error) {
      if (error instanceof GuestFault) return false;
      throw error;
    }
  }

  /** No handler ran: an interrupted call is made again, and a temporary mask ends. */
  #resume(thread: Thread): void {
    if (thread.restart !== 0) {
      const tc = this.#owner.modifyRegisters(thread, THREAD_CLASSES);
      restartCall(thread, tc);
      thread.resumesWait = true;
    }
    if (thread.savedMask !== undefined) {
      const { lo, hi } = thread.savedMask;
      thread.savedMask = undefined;
      this.setMask(thread, lo, hi);
    }
  }
}

/** A handler runs: the interrupted call fails with EINTR, or is made again after the handler. */
function settleRestart(thread: Thread, tc: X86ThreadContext, saRestart: boolean): void {
  const { restart } = thread;
  if (restart === 0) return;
  if (restart === Restart.noIntr || (restart === Restart.sys && saRestart)) restartCall(thread, tc);
  else {
    thread.restart = 0;
    tc.setGprNumber(Gpr.RAX, -Errno.EINTR);
  }
}

/** Puts the thread back before its SYSCALL. */
function restartCall(thread: Thread, tc: X86ThreadContext): void {
  thread.restart = 0;
  tc.setGprNumber(Gpr.RAX, thread.syscallNumber);
  tc.ripNumber -= SYSCALL_BYTES;
}
