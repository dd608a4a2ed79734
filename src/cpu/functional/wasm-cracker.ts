/**
 * Cracker<V> as WebAssembly: what an instruction says it does becomes code. What differs between a handler of the
 * interpreter and a translated region (where registers and addresses come from, how code is left) is left open.
 *
 * Effects on registers and flags are collected and written at the end of the instruction (`commit`), so that code in front
 * of a fault has changed nothing.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import type { Condition } from '../../arch/x86/isa/conditions.ts';
import { STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import { crackDecoded } from '../../arch/x86/isa/crack.ts';
import type { Cracker, LeaveReason, TrapKind } from '../../arch/x86/isa/cracker.ts';
import {
  type Bits,
  type Decoded,
  isLiteral,
  mustBeAligned,
  type Operand,
  OperandKind,
} from '../../arch/x86/isa/decoded.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { Gpr, Seg } from '../../arch/x86/registers.ts';
import { OFFSET, SEGMENT, segmentOffset } from '../../arch/x86/state-layout.ts';
import { panic } from '../../sim/trouble.ts';
import { ENGINE } from './core-functions.ts';
import { emitStore } from './core-module.ts';
import { FlagOps } from './flag-ops.ts';
import { DOUBLE, SINGLE } from './float-checks.ts';
import { CONTEXT_AT } from './layout.ts';
import { sourceOf } from './operand-places.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import type { Value } from './wasm-ops.ts';

/** Where an instruction goes when it does not go on to the next. */
export type Control =
  | { readonly kind: 'next' }
  | { readonly kind: 'jump'; readonly target: Value }
  | { readonly kind: 'jumpFar'; readonly target: Value }
  | { readonly kind: 'jumpTo'; readonly target: Operand }
  | { readonly kind: 'jumpIf'; readonly condition: Value; readonly target: Operand }
  | { readonly kind: 'leave'; readonly reason: LeaveReason }
  | {
      readonly kind: 'trap';
      readonly trap: TrapKind;
      readonly vector: Value;
      /** Undefined: always. Where it does not hold, execution goes on. */
      readonly condition: Value | undefined;
    };

const NEXT: Control = { kind: 'next' };

export abstract class WasmCracker extends FlagOps implements Cracker<Value> {
  protected instruction!: Decoded;
  protected control: Control = NEXT;
  #writes: (() => void)[] = [];
  #values: Value[] = [];
  /** The linear address of each memory operand, computed once. */
  #addresses = new Map<Operand, Value>();
  /** Memory operands that are read and then written: where they are, once they have been read. */
  #places = new Map<Operand, Value>();

  // ---- what differs ----

  /** A register operand of up to 64 bits, or a vector of 128; the n-th of the row. */
  protected abstract readRegister(operand: Operand): Value;
  /** Appends the write of a register operand whose value is on the stack. */
  protected abstract writeRegister(operand: Operand): void;
  protected abstract immediate(operand: Operand, z: Width): Value;
  /** The offset of an operand that ModRM, or the opcode, addresses. */
  protected abstract modrmOffset(operand: Operand): Value;
  protected abstract segmentBase(operand: Operand): Value | undefined;
  protected abstract writeGpr(index: number): void;
  abstract gpr(index: number): Value;
  abstract rip(): Value;
  abstract nextRip(): Value;
  abstract condition(condition: Condition): Value;

  // ---- life of an instruction ----

  /** Appends the code of one instruction; returns where it goes. Its effects are complete. */
  crack(instruction: Decoded): Control {
    this.instruction = instruction;
    this.control = NEXT;
    this.#addresses.clear();
    this.#places.clear();
    if (instruction.form.instruction.privileged)
      this.faultIf(this.ne(32, this.#privilegeLevel(), this.int(32, 0)), Vector.GP);
    crackDecoded<Value>(this, instruction);
    this.commit();
    return this.control;
  }

  /** Writes what has been collected: flags first, since they may be made of registers as they were. */
  protected commit(): void {
    this.commitFlags();
    // All values go on the stack before the first is taken off: XCHG needs no temporary. The last write is put first, and
    // taken off last: it holds.
    for (let i = this.#values.length - 1; i >= 0; i--) this.put(this.#values[i]!);
    for (const write of this.#writes) write();
    this.#writes = [];
    this.#values = [];
  }

  /** CPL is the DPL of SS (SDM vol. 3 §24.4.1). */
  #privilegeLevel(): Value {
    const attributes = this.field(segmentOffset(Seg.SS) + SEGMENT.attributes, 32);
    return this.and(32, this.shr(32, attributes, this.int(32, 5)), this.int(32, 3));
  }

  get operandBits(): 16 | 32 | 64 {
    return this.instruction.operandBits;
  }

  get addressBits(): 16 | 32 | 64 {
    return this.instruction.addressBits;
  }

  get is64(): boolean {
    return this.instruction.is64;
  }

  get isLocked(): boolean {
    return this.instruction.isLocked;
  }

  // ---- operands ----

  read(operand: Operand): Value {
    switch (operand.kind) {
      case OperandKind.memory:
        return this.#readMemory(operand);
      case OperandKind.immediate:
        return this.immediate(operand, operand.bits as Width);
      case OperandKind.farPointer:
        return this.immediate(operand, 64);
      default:
        return this.readRegister(operand);
    }
  }

  write(operand: Operand, value: Value): void {
    if (operand.kind === OperandKind.memory) this.#writeMemory(operand, value);
    else this.pend(value, () => this.writeRegister(operand));
  }

  readVector(operand: Operand): Value {
    const { bits, kind } = operand;
    if (kind === OperandKind.memory && (bits === 64 || bits === 32) && !this.isUpdated(operand))
      return this.loadWidened(bits, this.linearAddress(operand));
    const value = this.read(operand);
    return bits === 128 ? value : this.#widened(bits, value);
  }

  writeVector(operand: Operand, value: Value): void {
    if (operand.bits === 128) this.write(operand, value);
    else if (operand.bits === 64) this.write(operand, this.lane('i64x2', value, 0));
    else this.write(operand, this.lane('i32x4', value, 0));
  }

  readFloat(operand: Operand): Value {
    const { bits } = operand;
    if (bits === 128) return this.read(operand);
    if (operand.kind !== OperandKind.memory) return this.readFloatRegister(operand);
    return this.loadFloat(bits as 32 | 64, this.linearAddress(operand));
  }

  writeFloat(operand: Operand, value: Value): void {
    if (operand.bits === 128) this.write(operand, value);
    else this.pend(value, () => this.writeFloatRegister(operand));
  }

  /** A scalar float in an SSE register; and the write of the one that is on the stack. */
  protected readFloatRegister(operand: Operand): Value {
    return this.checks.ofBits(operand.bits === 64 ? DOUBLE : SINGLE, this.readRegister(operand));
  }

  protected writeFloatRegister(operand: Operand): void {
    this.f.code.op(operand.bits === 64 ? Op.i64_reinterpret_f64 : Op.i32_reinterpret_f32);
    this.writeRegister(operand);
  }

  protected mxcsr(): Value {
    return this.field(OFFSET.mxcsr, 32);
  }

  constant(operand: Operand): number | undefined {
    if (operand.kind !== OperandKind.immediate) return undefined;
    const { form, operands } = this.instruction;
    const isFixed = form.operands[operands.indexOf(operand)]!.source === 'fixed';
    return isFixed || isLiteral(this.instruction, operand) ? Number(operand.value) : undefined;
  }

  setGpr(index: number, value: Value): void {
    this.pend(value, () => this.writeGpr(index));
  }

  protected offsetOf(operand: Operand): Value {
    switch (sourceOf(this.instruction, operand)) {
      case 'stringSource':
        return this.gpr(Gpr.RSI);
      case 'stringDestination':
      case 'maskStore':
        return this.gpr(Gpr.RDI);
      case 'xlat':
        return this.add(64, this.gpr(Gpr.RBX), this.and(64, this.gpr(Gpr.RAX), this.int(64, 0xff)));
      default:
        return this.modrmOffset(operand);
    }
  }

  effectiveAddress(operand: Operand): Value {
    return this.zext(64, this.addressBits, this.offsetOf(operand));
  }

  linearAddress(operand: Operand): Value {
    const known = this.#addresses.get(operand);
    if (known !== undefined) return known;
    return this.#setAddress(operand, this.offsetOf(operand));
  }

  displace(operand: Operand, bytes: Value): void {
    this.#setAddress(operand, this.add(64, this.offsetOf(operand), bytes));
  }

  #setAddress(operand: Operand, offset: Value): Value {
    const { addressBits } = this;
    const effective =
      addressBits === 64 ? offset : this.zext(addressBits, 64, this.zext(64, addressBits, offset));
    const base = this.segmentBase(operand);
    const sum = base === undefined ? effective : this.add(64, effective, base);
    const linear = this.is64 ? sum : this.zext(32, 64, this.zext(64, 32, sum));
    this.#addresses.set(operand, linear);
    return linear;
  }

  // ---- stack ----

  push(z: Width, value: Value): void {
    const pointer = this.sub(64, this.gpr(Gpr.RSP), this.int(64, z / 8));
    const address = this.#stackAddress(pointer);
    this.store(z, address, value);
    this.setGpr(Gpr.RSP, address);
  }

  pop(z: Width): Value {
    const address = this.#stackAddress(this.gpr(Gpr.RSP));
    const value = this.load(z, address);
    this.setGpr(Gpr.RSP, this.#stackAddress(this.add(64, address, this.int(64, z / 8))));
    return value;
  }

  #stackAddress(pointer: Value): Value {
    return this.is64 ? pointer : this.zext(32, 64, this.zext(64, 32, pointer));
  }

  // ---- flags ----

  rflags(): Value {
    const others = this.and(32, this.field(OFFSET.rflags, 32), this.int(32, ~STATUS_FLAGS));
    return this.or(32, others, this.statusFlags());
  }

  setRflags(mask: number, value: Value): void {
    if ((mask & STATUS_FLAGS) !== 0) this.setStatusFlags(mask & STATUS_FLAGS, value);
    const rest = mask & ~STATUS_FLAGS;
    if (rest === 0) return;
    const old = this.and(32, this.field(OFFSET.rflags, 32), this.int(32, ~rest));
    this.setField(OFFSET.rflags, 32, this.or(32, old, this.and(32, value, this.int(32, rest))));
  }

  // ---- control ----

  jump(target: Value): void {
    this.control = { kind: 'jump', target: this.#canonical(target) };
  }

  jumpFar(target: Value): void {
    this.control = { kind: 'jumpFar', target: this.#canonical(target) };
  }

  /** The target in a local. */
  #canonical(target: Value): Value {
    // What the target is made of may be overwritten when the instruction's effects are: CALL RSP.
    this.put(target);
    const kept = this.take(ValueType.i64);
    // SDM vol. 2B "JMP", "RET": a target that is not canonical raises #GP, and nothing else happens.
    const extended = this.sar(64, this.shl(64, kept, this.int(32, 16)), this.int(32, 16));
    if (this.is64) this.faultIf(this.ne(64, kept, extended), Vector.GP);
    return kept;
  }

  jumpTo(target: Operand): void {
    this.control = { kind: 'jumpTo', target };
  }

  jumpIf(condition: Value, target: Operand): void {
    this.control = { kind: 'jumpIf', condition, target };
  }

  leave(reason: LeaveReason): void {
    this.control = { kind: 'leave', reason };
  }

  trap(trap: TrapKind, vector: Value): void {
    this.control = { kind: 'trap', trap, vector, condition: undefined };
  }

  trapIf(condition: Value, trap: TrapKind, vector: Value): void {
    this.control = { kind: 'trap', trap, vector, condition };
  }

  when(condition: Value, body: () => void): void {
    this.branch(condition, body);
  }

  shortcut(condition: Value, fast: () => void, exact: () => void): void {
    this.branch(condition, fast, exact);
  }

  /** One of two bodies is executed, or one or none. */
  protected branch(condition: Value, body: () => void, otherwise?: () => void): void {
    this.commit();
    this.beforeWhen();
    this.put(condition);
    this.f.if();
    this.#whenBody(body);
    if (otherwise !== undefined) {
      this.f.else();
      this.#whenBody(otherwise);
    }
    this.f.end();
  }

  /** What is computed in a body is not known behind it. */
  #whenBody(body: () => void): void {
    const [addresses, places] = [new Map(this.#addresses), new Map(this.#places)];
    body();
    this.commit();
    this.afterWhenBody();
    this.#addresses = addresses;
    this.#places = places;
  }

  // ---- state ----

  /** The address goes below the value: behind all other effects, from a temporary. */
  setField(offset: number, z: Width, value: Value, at?: Value): void {
    this.pend(value, () => {
      const kept = this.take(value.type);
      this.put(at ?? this.int(32, 0));
      this.put(kept);
      emitStore(this.f, z / 8, ENGINE, CONTEXT_AT + offset);
    });
  }

  // ---- parts ----

  /** A write at the end of the instruction, of the value that is on the stack then. */
  protected pend(value: Value, write: () => void): void {
    this.#values.push(value);
    this.#writes.push(write);
  }

  #readMemory(operand: Operand): Value {
    const linear = this.linearAddress(operand);
    const isAligned = mustBeAligned(this.instruction, operand);
    if (!this.isUpdated(operand)) return this.load(operand.bits, linear, isAligned);
    const place = this.findForUpdate(operand.bits, linear, isAligned);
    this.#places.set(operand, place);
    return this.loadAt(operand.bits, linear, place);
  }

  #writeMemory(operand: Operand, value: Value): void {
    const linear = this.linearAddress(operand);
    const place = this.#places.get(operand);
    if (place === undefined)
      this.store(operand.bits, linear, value, mustBeAligned(this.instruction, operand));
    else this.storeAt(operand.bits, linear, place, value);
  }

  /** Whether the memory operand is the destination of a read-modify-write: known from the instruction's recording. */
  protected abstract isUpdated(operand: Operand): boolean;

  /** An integer as a vector: the rest is zero. */
  #widened(bits: Bits, value: Value): Value {
    const zero = this.vector(ZEROS);
    if (bits === 64) return this.withLane('i64x2', zero, 0, value);
    if (bits === 32) return this.withLane('i32x4', zero, 0, value);
    if (bits === 16) return this.withLane('i16x8', zero, 0, value);
    return panic('functional CPU', `a vector operand of ${bits} bits`);
  }
}

const ZEROS = Array.from({ length: 16 }, () => 0);
