/*
 * The control signal: how a timer, a counter or another thread gets a vCPU out of the guest. It is a
 * real-time signal, blocked on the vCPU's thread at all times except inside KVM_RUN, and directed at that
 * thread only. Sources: signal(7), sigtimedwait(2), tgkill(2); KVM api.rst, section 4.21 KVM_SET_SIGNAL_MASK.
 */
import { Errno, HostError } from './errors.ts';
import { addressOf, bind, errno, lastError, lazily, type Pointer } from './ffi.ts';

/**
 * Number of the control signal: SIGRTMIN+4 as the kernel counts (32 and 33 belong to the C library's
 * threads). Node uses no real-time signal.
 */
export const CONTROL_SIGNAL = 36;

/** Size of a signal set as the kernel has it. */
export const KERNEL_SIGSET_BYTES = 8;

/** Size of the C library's `sigset_t`; the kernel's set comes first in it. */
const LIBC_SIGSET_BYTES = 128;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;

const libc = lazily(() => ({
  sigmask: bind('pthread_sigmask', ['int32', 'pointer', 'pointer'], 'int32'),
  sigtimedwait: bind('sigtimedwait', ['pointer', 'pointer', 'pointer'], 'int32'),
  tgkill: bind('tgkill', ['int32', 'int32', 'int32'], 'int32'),
  gettid: bind('gettid', [], 'int32'),
}));

/** The kernel's number of the calling thread. */
export function currentThreadId(): number {
  return libc().gettid();
}

/** A set of signals as the kernel has it: bit n−1 is signal n. */
export function kernelSigset(...signals: readonly number[]): Uint8Array {
  const set = new Uint8Array(KERNEL_SIGSET_BYTES);
  for (const signal of signals) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  return set;
}

/** The signals that the calling thread blocks, as the kernel's set. */
export function blockedSignals(): Uint8Array {
  const set = new Uint8Array(LIBC_SIGSET_BYTES);
  changeMask(SIG_BLOCK, null, set);
  return set.slice(0, KERNEL_SIGSET_BYTES);
}

/** Blocks a signal on the calling thread. */
export function blockSignal(signal: number): void {
  changeMask(SIG_BLOCK, libcSigset(signal), null);
}

/** Unblocks a signal on the calling thread. One that is pending is delivered at once. */
export function unblockSignal(signal: number): void {
  changeMask(SIG_UNBLOCK, libcSigset(signal), null);
}

function changeMask(how: number, set: Uint8Array | null, old: Uint8Array | null): void {
  // pthread_sigmask returns the error instead of setting errno.
  const error = libc().sigmask(how, set, old);
  if (error !== 0) throw new HostError('pthread_sigmask', error);
}

function libcSigset(signal: number): Uint8Array {
  const set = new Uint8Array(LIBC_SIGSET_BYTES);
  set.set(kernelSigset(signal));
  return set;
}

/** Something that can be signalled: any thread of this process that holds its numbers. */
export class SignalTarget {
  readonly threadId: number;
  readonly signal: number;
  readonly #tgkill = libc().tgkill;

  constructor(threadId: number, signal = CONTROL_SIGNAL) {
    this.threadId = threadId;
    this.signal = signal;
  }

  /**
   * Sends the signal. The thread must block it, or be inside KVM_RUN: else the process ends.
   * @returns false if the thread is gone
   */
  raise(): boolean {
    if (this.#tgkill(process.pid, this.threadId, this.signal) === 0) return true;
    if (errno() === Errno.ESRCH) return false;
    throw lastError(`tgkill(thread ${this.threadId}, signal ${this.signal})`, {
      EAGAIN: 'too many signals are pending: raise "ulimit -i"',
    });
  }
}

/** The control signal of the thread that makes this object: blocked from then on. */
export class ControlSignal extends SignalTarget {
  readonly #set: Uint8Array;
  readonly #setAddress: Pointer;
  readonly #noTime = new BigInt64Array(2);
  readonly #noTimeAddress: Pointer;
  readonly #sigtimedwait = libc().sigtimedwait;

  constructor(signal = CONTROL_SIGNAL) {
    super(currentThreadId(), signal);
    blockSignal(signal);
    this.#set = libcSigset(signal);
    this.#setAddress = addressOf(this.#set);
    this.#noTimeAddress = addressOf(this.#noTime);
  }

  /** The set to block inside KVM_RUN: what the thread blocks, without the control signal. */
  entryMask(): Uint8Array {
    const mask = blockedSignals();
    mask[(this.signal - 1) >> 3]! &= ~(1 << ((this.signal - 1) & 7));
    return mask;
  }

  /**
   * Takes every pending control signal off this thread, without waiting. Hot path: one system call if
   * there was none.
   * @returns whether there was one
   */
  discardPending(): boolean {
    let found = false;
    for (;;) {
      if (this.#sigtimedwait(this.#setAddress, 0n, this.#noTimeAddress) !== -1) found = true;
      else if (errno() === Errno.EAGAIN) return found;
      else if (errno() !== Errno.EINTR) throw lastError('sigtimedwait');
    }
  }
}
