/**
 * What a system call is to its handler: the decoded call, the result, and the wait of a call that blocks.
 * Argument registers follow the System V x86-64 ABI, appendix A.2: RDI RSI RDX R10 R8 R9, number in RAX.
 */
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { Tick } from '../../sim/tick.ts';
import type { LinuxProcess } from './process.ts';
import type { Thread } from './thread.ts';

/**
 * The handler has set the registers itself (rt_sigreturn), or the thread is gone (exit): RAX is left alone.
 */
export const NO_RETURN: unique symbol = Symbol('no return value');

/** A host descriptor whose readiness may end a wait; `events` are poll(2)'s POLL* bits. */
export interface HostReadiness {
  readonly fd: number;
  readonly events: number;
}

/**
 * A call that cannot finish yet. The thread sleeps; `poll` is asked again when one of `hostFds` may be ready,
 * after file-related calls of other threads, at every scheduling quantum and at the deadline. A wait with
 * neither `hostFds` nor a deadline is ended by `process.scheduler.finish(thread, result)` or by a signal.
 *
 * The `SyscallCall` is reused by the next call: a wait keeps copies of the arguments that it needs.
 */
export interface Wait {
  /**
   * The result, or undefined while the call still cannot finish. A `GuestFault` thrown here becomes EFAULT.
   */
  poll(): number | bigint | undefined;
  readonly hostFds?: readonly HostReadiness[];
  /** Absolute simulated time at which the wait ends by itself. */
  readonly deadline?: Tick | undefined;
  /** The result at the deadline; 0 if not given. */
  readonly timeoutResult?: number;
  /** The result when a signal ends the wait: -EINTR or one of `Restart`. */
  readonly interruptResult: number;
  /** Called when the deadline, a signal or the end of the thread ends the wait instead of `poll`. */
  cancel?(): void;
}

/** Zero or more = success; −errno = failure; a bigint where 53 bits are not enough. */
export type SyscallResult = number | bigint | Wait | typeof NO_RETURN;
export type SyscallHandler = (call: SyscallCall) => SyscallResult;

/**
 * Handlers by the name of their call: `export const fileSyscalls = { openat(call) {…} } satisfies
 * SyscallMap`.
 */
export type SyscallMap = { readonly [name: string]: SyscallHandler };

/** Encoding-order indices of RDI RSI RDX R10 R8 R9. */
const ARGUMENT_REGISTERS = [7, 6, 2, 10, 8, 9] as const;
const TWO_32 = 0x1_0000_0000;
/** The largest Number below 2^63. */
const LARGEST_LONG = 2 ** 63 - 2 ** 10;

/** Index of an argument register. */
export type ArgumentIndex = 0 | 1 | 2 | 3 | 4 | 5;

/**
 * One call, being served. There is one object per process and it is reused, so nothing is allocated per call;
 * arguments are read from the registers when they are asked for.
 */
export class SyscallCall {
  readonly process: LinuxProcess;
  /** Who calls. */
  thread!: Thread;
  /** Call number (EAX). */
  nr = 0;
  #registers!: X86ThreadContext;

  constructor(process: LinuxProcess) {
    this.process = process;
  }

  /** Point the object at the next call. Only the dispatcher does that. */
  start(thread: Thread, registers: X86ThreadContext, nr: number): void {
    this.thread = thread;
    this.#registers = registers;
    this.nr = nr;
  }

  /** Registers of the caller, for the few calls that need more than arguments (clone, rt_sigreturn). */
  get registers(): X86ThreadContext {
    return this.#registers;
  }

  /** Argument as C's `unsigned int`. */
  u32(i: ArgumentIndex): number {
    return this.#registers.gprLo(ARGUMENT_REGISTERS[i]) >>> 0;
  }

  /** Argument as C's `int`: file descriptors, flags, signal numbers. */
  i32(i: ArgumentIndex): number {
    return this.#registers.gprLo(ARGUMENT_REGISTERS[i]) | 0;
  }

  /**
   * Argument as an address: unsigned. Exact for user addresses; anything else is at least 2^47, which user
   * memory refuses.
   */
  addr(i: ArgumentIndex): number {
    const r = ARGUMENT_REGISTERS[i];
    return (this.#registers.gprHi(r) >>> 0) * TWO_32 + (this.#registers.gprLo(r) >>> 0);
  }

  /** Argument as `size_t`: unsigned; exact below 2^53. */
  size(i: ArgumentIndex): number {
    return this.addr(i);
  }

  /** Argument as `long` or `off_t`: signed; exact between −2^53 and 2^53, and always one that 64 bits hold. */
  long(i: ArgumentIndex): number {
    const r = ARGUMENT_REGISTERS[i];
    const value = (this.#registers.gprHi(r) | 0) * TWO_32 + (this.#registers.gprLo(r) >>> 0);
    return Math.min(value, LARGEST_LONG);
  }

  /** Argument as a signed 64-bit value, exact. Allocates: not for hot calls. */
  i64(i: ArgumentIndex): bigint {
    return BigInt.asIntN(64, this.#registers.gpr(ARGUMENT_REGISTERS[i]));
  }

  /** Argument as an unsigned 64-bit value, exact. Allocates: not for hot calls. */
  u64(i: ArgumentIndex): bigint {
    return BigInt.asUintN(64, this.#registers.gpr(ARGUMENT_REGISTERS[i]));
  }
}
