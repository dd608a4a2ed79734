// Cracker<bigint>: what an instruction says it does is done at once, on a thread context and memory. It is the second
// implementation of everything that the functional CPU generates code for, made to be read: no code, no cache, no lazy flags.
//
// Definitions and decoder are those of the simulated processor, as are the exact routines of floating point and the assists that
// are no integer arithmetic: an error in those is an error here.

import { Vector } from '../../../src/arch/x86/exceptions.ts';
import type { AssistName } from '../../../src/arch/x86/isa/assists.ts';
import {
  type Condition,
  FLAG_BITS,
  FLAG_NAMES,
  type FlagName,
  STATUS_FLAGS,
} from '../../../src/arch/x86/isa/conditions.ts';
import { crackDecoded } from '../../../src/arch/x86/isa/crack.ts';
import type { Cracker, FlagValues, LeaveReason, TrapKind } from '../../../src/arch/x86/isa/cracker.ts';
import type { Bits, Decoded, Operand } from '../../../src/arch/x86/isa/decoded.ts';
import type { Width } from '../../../src/arch/x86/isa/ops.ts';
import type { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { panic } from '../../../src/sim/trouble.ts';
import { fit, isTrue } from './bigint-ops.ts';
import { GuestException } from './guest-exception.ts';
import { OracleAssists } from './oracle-assists.ts';
import { isCanonical } from './oracle-memory.ts';
import { OracleOperands } from './oracle-operands.ts';
import {
  conditionHolds,
  flagsOfDifference,
  flagsOfResult,
  flagsOfSum,
  type StatusFlags,
  withFlags,
} from './status-flags.ts';

/** Where control goes behind an instruction. */
export type Next =
  | { readonly kind: 'next' }
  | { readonly kind: 'jump'; readonly target: bigint }
  | { readonly kind: 'leave'; readonly reason: LeaveReason }
  | { readonly kind: 'trap'; readonly trap: TrapKind; readonly vector: number };

export class OracleCracker extends OracleOperands implements Cracker<bigint> {
  readonly #assists: OracleAssists;
  #next: Next = { kind: 'next' };

  constructor(tc: X86ThreadContext, ram: Uint8Array) {
    super(tc, ram);
    this.#assists = new OracleAssists(tc, ram, (linear, sizeBytes, kind) =>
      this.memory.place(linear, sizeBytes, { ...this.accessAt(linear), kind }),
    );
  }

  /**
   * Does what the instruction at RIP does, except that RIP stays.
   * @throws GuestException nothing but raised floating-point flags has changed then
   */
  execute(instruction: Decoded): Next {
    this.begin(instruction);
    this.#next = { kind: 'next' };
    if (instruction.form.instruction.privileged && this.tc.cpl !== 0) this.fault(Vector.GP);
    crackDecoded<bigint>(this, instruction);
    this.commit();
    return this.#next;
  }

  // ---- flags ----

  flagsAdd(z: Width, a: bigint, b: bigint, r: bigint): void {
    if (this.add(z, a, b) !== r) panic('oracle', `${r} is not the sum of ${a} and ${b}`);
    this.#laterFlags(flagsOfSum(z, a, b));
  }

  flagsSub(z: Width, a: bigint, b: bigint, r: bigint): void {
    if (this.sub(z, a, b) !== r) panic('oracle', `${r} is not the difference of ${a} and ${b}`);
    this.#laterFlags(flagsOfDifference(z, a, b));
  }

  flagsLogic(z: Width, r: bigint): void {
    this.#laterFlags({ ...flagsOfResult(z, fit(z, r)), cf: false, of: false, af: false });
  }

  setFlags(values: FlagValues<bigint>): void {
    const { result } = values;
    const flags: StatusFlags =
      result === undefined ? {} : flagsOfResult(result.z, fit(result.z, result.value));
    for (const name of FLAG_NAMES) {
      const given = values[name];
      if (given !== undefined) flags[name] = isTrue(typeof given === 'function' ? given() : given);
    }
    this.#laterFlags(flags);
  }

  setFlagsIf(condition: bigint, values: FlagValues<bigint>): void {
    if (isTrue(condition)) this.setFlags(values);
  }

  #laterFlags(flags: StatusFlags): void {
    this.later(() => {
      this.tc.rflags = withFlags(this.tc.rflags, flags);
    });
  }

  flag(name: FlagName): bigint {
    return (this.tc.rflags & FLAG_BITS[name]) === 0 ? 0n : 1n;
  }

  condition(condition: Condition): bigint {
    return conditionHolds(this.tc.rflags, condition) ? 1n : 0n;
  }

  rflags(): bigint {
    return BigInt(this.tc.rflags);
  }

  setRflags(mask: number, value: bigint): void {
    const bits = Number(fit(32, value));
    this.later(() => {
      this.tc.rflags = ((this.tc.rflags & ~mask) | (bits & mask)) >>> 0;
    });
  }

  // ---- control ----

  jump(target: bigint): void {
    fit(64, target);
    if (this.is64 && !isCanonical(target)) this.fault(Vector.GP);
    this.#go({ kind: 'jump', target });
  }

  jumpFar(target: bigint): void {
    this.jump(target);
  }

  jumpTo(target: Operand): void {
    this.#go({ kind: 'jump', target: this.#branchTarget(target) });
  }

  jumpIf(condition: bigint, target: Operand): void {
    if (isTrue(condition)) this.jumpTo(target);
  }

  /** Of the operand size (APM vol. 3 "JMP (Near)"). */
  #branchTarget({ value }: Operand): bigint {
    return BigInt.asUintN(this.operandBits, this.nextRip() + BigInt(value));
  }

  leave(reason: LeaveReason): void {
    this.#go({ kind: 'leave', reason });
  }

  trap(trap: TrapKind, vector: bigint): void {
    this.#go({ kind: 'trap', trap, vector: Number(vector) });
  }

  trapIf(condition: bigint, trap: TrapKind, vector: bigint): void {
    if (isTrue(condition)) this.trap(trap, vector);
  }

  #go(next: Next): void {
    if (this.#next.kind !== 'next') panic('oracle', 'an instruction goes to two places');
    this.#next = next;
  }

  /** What has been said before takes effect in front of the body. */
  when(condition: bigint, body: () => void): void {
    this.commit();
    if (isTrue(condition)) body();
    this.commit();
  }

  /** Always the exact way: so the fast one is compared with it. */
  shortcut(condition: bigint, _fast: () => void, exact: () => void): void {
    fit(1, condition);
    exact();
  }

  fault(vector: number, errorCode = 0): void {
    throw new GuestException(vector, errorCode);
  }

  faultIf(condition: bigint, vector: number, errorCode = 0): void {
    if (isTrue(condition)) this.fault(vector, errorCode);
  }

  // ---- assists ----

  /** They have nothing to do with the status flags, which are elsewhere while generated code runs: X87Assist uses the place. */
  assist(name: AssistName, ...values: bigint[]): bigint {
    const flags = this.tc.rflags & STATUS_FLAGS;
    const answer = this.#assists.call(
      name,
      values.map((value) => Number(BigInt.asIntN(32, fit(32, value)))),
    );
    this.tc.rflags = (this.tc.rflags & ~STATUS_FLAGS) | flags;
    return BigInt.asUintN(32, BigInt(answer));
  }

  setArgument(offset: number, bits: Bits, value: bigint): void {
    this.#assists.setBytes(offset, bits / 8, fit(bits, value));
  }

  assistResult(offset: number, bits: Bits): bigint {
    return this.#assists.bytes(offset, bits / 8);
  }
}
