/**
 * Timeouts and signal masks of calls that wait for descriptors: poll(2), ppoll(2), select(2), pselect(2).
 */
import { Errno, Restart } from '../errno.ts';
import type { SyscallCall, SyscallResult } from '../syscall.ts';
import { GuestFault } from '../user-memory.ts';
import type { PollSet } from './poll-set.ts';

const NS_PER_SECOND = 1e9;
const PS_PER_NS = 1000n;
const SIGSET_BYTES = 8;
/** struct timespec and struct timeval. */
const TIME_BYTES = 16;

/** A timeout in nanoseconds; Infinity = none. */
export type Timeout = number;

/**
 * Reads {s64 seconds, s64 fraction}; a null address is no timeout.
 * @param nsPerUnit 1 for a timespec, 1000 for a timeval
 * @returns nanoseconds or −EINVAL; the two cannot be confused, a timeout is never negative
 */
export function readTimeout(call: SyscallCall, va: number, nsPerUnit: 1 | 1000): Timeout {
  if (va === 0) return Number.POSITIVE_INFINITY;
  const seconds = Number(call.process.memory.readI64(va));
  const fraction = Number(call.process.memory.readI64(va + 8)) * nsPerUnit;
  // A timeval may have a million microseconds and more; a timespec is normalized.
  const tooBig = nsPerUnit === 1 && fraction >= NS_PER_SECOND;
  return seconds < 0 || fraction < 0 || tooBig ? -Errno.EINVAL : seconds * NS_PER_SECOND + fraction;
}

/** Writes what is left of a timeout back, as Linux does; nothing is said if the memory has become read-only. */
export class TimeoutReport {
  readonly #call: { readonly process: SyscallCall['process'] };
  readonly #va: number;
  readonly #nsPerUnit: 1 | 1000;

  /** @param va where the timeout was read from; 0 = nothing is reported */
  constructor(call: SyscallCall, va: number, nsPerUnit: 1 | 1000) {
    this.#call = { process: call.process };
    this.#va = va;
    this.#nsPerUnit = nsPerUnit;
  }

  write(leftNs: number): void {
    if (this.#va === 0 || !Number.isFinite(leftNs)) return;
    const { memory } = this.#call.process;
    if (!memory.isAccessible(this.#va, TIME_BYTES, 'write')) return;
    const left = Math.max(0, Math.floor(leftNs));
    memory.writeNumber64(this.#va, Math.floor(left / NS_PER_SECOND));
    memory.writeNumber64(this.#va + 8, Math.floor((left % NS_PER_SECOND) / this.#nsPerUnit));
  }
}

/** Puts the mask of ppoll or pselect in force until the call is over; 0 or a negative errno. */
export function applyMask(call: SyscallCall, va: number, sizeBytes: number): number {
  if (va === 0) return 0;
  if (sizeBytes !== SIGSET_BYTES) return -Errno.EINVAL;
  const { memory } = call.process;
  call.process.signals.setTemporaryMask(call.thread, memory.readU32(va), memory.readU32(va + 4));
  return 0;
}

/**
 * Waits until something in the set is ready.
 * @param finish writes the outcome to the program's memory and returns the call's result; also at the timeout, when
 *   nothing is ready
 */
export function waitUntilReady(
  call: SyscallCall,
  set: PollSet,
  timeout: Timeout,
  report: TimeoutReport | undefined,
  finish: () => number,
): SyscallResult {
  if (set.check() > 0 || timeout === 0) {
    report?.write(timeout);
    return finish();
  }
  const { process } = call;
  const deadline = Number.isFinite(timeout) ? process.deadlineAfter(timeout) : undefined;
  const leftNs = () =>
    deadline === undefined ? timeout : Number((deadline - process.deadlineAfter(0)) / PS_PER_NS);
  set.retain();
  return {
    hostFds: set.hostFds,
    deadline,
    // Asked for only once the timeout is over: until then the program's sets stay as they are, since the call may be
    // made again after a signal.
    get timeoutResult() {
      return orFault(finish);
    },
    interruptResult: Restart.noHand,
    poll: () => {
      if (set.check() === 0) return undefined;
      set.release();
      report?.write(leftNs());
      return finish();
    },
    cancel: () => {
      set.release();
      report?.write(leftNs());
    },
  };
}

function orFault(finish: () => number): number {
  try {
    return finish();
  } catch (error) {
    if (error instanceof GuestFault) return -Errno.EFAULT;
    throw error;
  }
}
