/**
 * Cracker<V>: to what an instruction says what it does. Reading and writing of operands, memory, flags and control flow,
 * on top of the operations of Ops<V>.
 *
 * All effects on registers and flags take place together, at the end of the instruction: what is read is what was there
 * before it, and an instruction that faults in a memory access has changed no register. Of several writes to a register
 * the one that is said last holds. Stores take place where they are said, so they come behind everything else that may
 * fault.
 */

import type { AssistName } from './assists.ts';
import type { Condition, FlagName } from './conditions.ts';
import type { Bits, Operand } from './decoded.ts';
import type { FloatOps } from './float-ops.ts';
import type { Ops, Width } from './ops.ts';

/** The value of a flag, of width 32, 0 or 1; or a function that computes it and is only called if somebody may read the flag. */
export type FlagValue<V> = V | (() => V);

/** New values of the status flags. What is left out stays as it is. */
export interface FlagValues<V> {
  /** ZF, SF and PF follow from this value. */
  readonly result?: { readonly z: Width; readonly value: V };
  readonly cf?: FlagValue<V>;
  readonly pf?: FlagValue<V>;
  readonly af?: FlagValue<V>;
  readonly zf?: FlagValue<V>;
  readonly sf?: FlagValue<V>;
  readonly of?: FlagValue<V>;
}

export interface Cracker<V> extends Ops<V>, FloatOps<V> {
  /** Operand and address size of the instruction. */
  readonly operandBits: 16 | 32 | 64;
  readonly addressBits: 16 | 32 | 64;
  readonly is64: boolean;
  readonly isLocked: boolean;

  // ---- operands ----

  /** The value of an operand: an integer of its bits, or a vector (128). Registers of SSE give their low part. */
  read(operand: Operand): V;
  /**
   * Sets an operand to a value of its bits. A general register of 32 bits is zero-extended to 64; the narrower ones, and
   * SSE registers whose operand has fewer than 128 bits, keep the rest.
   */
  write(operand: Operand, value: V): void;
  /** An MMX or SSE operand as a vector; of 64 bits, the upper half is zero. And back. */
  readVector(operand: Operand): V;
  writeVector(operand: Operand, value: V): void;
  /**
   * The value of an immediate where it is known when the instruction is cracked: of `literal` rows and of numbers that the
   * opcode implies always.
   */
  constant(operand: Operand): number | undefined;
  /** General register `index` in full. */
  gpr(index: number): V;
  setGpr(index: number, value: V): void;
  /** The offset of a memory operand within its segment, of the address size: LEA. */
  effectiveAddress(operand: Operand): V;
  /** Its linear address, of width 64. */
  linearAddress(operand: Operand): V;
  /** From here on the memory operand lies so many bytes (of width 64, signed) further on: BT with a register. */
  displace(operand: Operand, bytes: V): void;

  // ---- memory: little-endian, at linear addresses of width 64 ----

  load(bits: Bits, linear: V): V;
  store(bits: Bits, linear: V, value: V): void;
  /** Faults as a store would, and stores nothing: in front of several stores of which all or none are to take place. */
  probeStore(bits: Bits, linear: V): void;
  push(z: Width, value: V): void;
  pop(z: Width): V;

  // ---- flags ----

  /** The status flags of a + b = r, of a − b = r, or of the result r of a logical operation (CF, OF and AF clear). */
  flagsAdd(z: Width, a: V, b: V, r: V): void;
  flagsSub(z: Width, a: V, b: V, r: V): void;
  flagsLogic(z: Width, r: V): void;
  setFlags(values: FlagValues<V>): void;
  /** The same where the condition holds; else all flags stay as they are. Not together with other flags. */
  setFlagsIf(condition: V, values: FlagValues<V>): void;
  /** A status flag, or a condition of Jcc (SDM vol. 1, appendix B): 0 or 1. */
  flag(name: FlagName): V;
  condition(condition: Condition): V;
  /** RFLAGS as a whole, width 32, status flags and others; and the bits of `mask` in it set to those of `value`. */
  rflags(): V;
  setRflags(mask: number, value: V): void;

  // ---- control ----

  /** Address of this instruction, and of the next one, width 64. */
  rip(): V;
  nextRip(): V;
  /** Goes to this address of width 64: a value, or the target of a relative operand. At most one of these. */
  jump(target: V): void;
  jumpTo(target: Operand): void;
  /** Goes to this address of width 64 in a code segment that may be another, perhaps in another mode, with other flags. */
  jumpFar(target: V): void;
  /** To the target where the condition holds, else to the next instruction. */
  jumpIf(condition: V, target: Operand): void;
  /**
   * Does the body where the condition holds. What has been said before takes effect in front of it, what it writes with it:
   * nothing may be written behind it.
   */
  when(condition: V, body: () => void): void;
  /**
   * Two ways to the same effects, in the manner of `when`: the fast one only where the condition holds, the exact one always.
   * Which of them is taken is up to the user of the definition.
   */
  shortcut(condition: V, fast: () => void, exact: () => void): void;
  /** Raises an exception instead of what the instruction does. */
  fault(vector: number, errorCode?: number): void;
  faultIf(condition: V, vector: number, errorCode?: number): void;
  /** Ends the run here, with the instruction done: the simulator has something to do (SYSCALL). */
  leave(reason: LeaveReason): void;
  /** Raises an exception, or asks for interrupt `vector` (width 32), behind the instruction: INT3, INT n. */
  trap(kind: TrapKind, vector: V): void;
  /** The same where the condition holds, else goes on: INTO. */
  trapIf(condition: V, kind: TrapKind, vector: V): void;

  // ---- state that no operand names ----

  /** A field of the thread context, at its byte offset in state-layout.ts, or `at` bytes (of width 32) behind it. */
  field(offset: number, z: Width, at?: V): V;
  setField(offset: number, z: Width, value: V, at?: V): void;
  /**
   * Calls a routine of the simulator: for what is rare or cannot be said in operations. Integers of width 32 in and out; it may
   * read and write the thread context except for general registers, SSE registers and status flags.
   */
  assist(name: AssistName, ...values: V[]): V;
  /** Values that are too wide for an assist's arguments and result: at byte offsets below 512 in a space between the two. */
  setArgument(offset: number, bits: Bits, value: V): void;
  assistResult(offset: number, bits: Bits): V;
}

/** Why the simulator is to act behind an instruction: a system call, HLT, or flags that are more than status (TF, AC). */
export type LeaveReason = 'syscall' | 'halt' | 'flags';
/** An exception that is a trap, or an interrupt that the program asks for: INT n checks the gate's privilege level. */
export type TrapKind = 'exception' | 'interrupt';
