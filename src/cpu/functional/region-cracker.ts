/**
 * Instructions as part of a translated region: registers are locals, operands are constants, and status flags are known by
 * their kind wherever only one way leads to. The code around it (entry, exits, faults) is in region-writer.ts.
 */

import {
  type Condition,
  evaluateCondition,
  FLAG_BITS,
  type FlagName,
  STATUS_FLAGS,
} from '../../arch/x86/isa/conditions.ts';
import { BASE_RIP, NO_REGISTER, type Operand, OperandKind } from '../../arch/x86/isa/decoded.ts';
import {
  bitOf,
  flagCode,
  type LazyFlags,
  lazyCondition,
  lazyFlag,
  lazyFlagWord,
} from '../../arch/x86/isa/lazy-flags.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { Seg } from '../../arch/x86/registers.ts';
import { panic } from '../../sim/trouble.ts';
import type { BlockInstruction } from './blocks.ts';
import { ENGINE } from './core-functions.ts';
import { emitLoad, emitStore } from './core-module.ts';
import type { PendingFlags } from './flag-ops.ts';
import { CELL } from './layout.ts';
import { gprAt, registerAt, segmentBaseAt } from './operand-places.ts';
import { RegionMemory } from './region-memory.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { FloatVectorOp } from './wasm/vector-opcodes.ts';
import type { Control } from './wasm-cracker.ts';
import type { Value } from './wasm-ops.ts';

const { i32, i64, v128 } = ValueType;
const BUDGET_LOCAL = 1;

/** What is known of the status flags at a place in the code: their kind, or nothing (then their code is in a local). */
export type KnownFlags = Pick<LazyFlags<Value>, 'kind' | 'z' | 'bIsZero'> | undefined;

/** Where code goes that leaves an instruction to the interpreter, with its record in `recordLocal`. */
export interface WaysOut {
  readonly leaveLabel: number;
  /** If it is left because accesses share a look-up. */
  readonly missLabel: number;
  readonly recordLocal: number;
}

/** How a region is translated. */
export interface RegionOptions {
  /** It stops as hot after many entries. */
  readonly countsEntries: boolean;
  /** MXCSR is in its common state now. */
  readonly isCommonMode: boolean;
  /** Accesses to memory share look-ups. */
  readonly sharesPages: boolean;
}

/** A register that is kept in a local. */
interface RegisterLocal {
  readonly local: number;
  readonly type: ValueType;
  /** Offset in the engine's memory, and how many bytes live there. */
  readonly at: number;
  readonly sizeBytes: number;
  isDirty: boolean;
}

export class RegionCracker extends RegionMemory {
  readonly registers = new Map<number, RegisterLocal>();
  flags: KnownFlags;
  /** Locals of the function: set by `beginRegion`. */
  flagCodeLocal = 0;
  #flagA = 0;
  #flagB = 0;
  #recordLocal = 0;
  #leaveLabel = 0;
  #missLabel = 0;
  #at!: BlockInstruction;
  #record = 0;
  #refund = 0;
  #liveFlags = STATUS_FLAGS;

  /** Begins a region with these ways out, and makes its locals. */
  beginRegion({ leaveLabel, missLabel, recordLocal }: WaysOut, options: RegionOptions): void {
    this.registers.clear();
    this.flags = undefined;
    this.flagCodeLocal = this.f.local(i32);
    this.#flagA = this.f.local(i64);
    this.#flagB = this.f.local(i64);
    this.beginFloats(options.isCommonMode);
    this.beginPages(options.sharesPages);
    this.#recordLocal = recordLocal;
    this.#leaveLabel = leaveLabel;
    this.#missLabel = missLabel;
  }

  beginBlock(): void {
    this.forgetMode();
    this.beginBlockOfPages();
  }

  /** Locals of the lazy flags: code, A, B. */
  get flagLocals(): readonly [code: number, a: number, b: number] {
    return [this.flagCodeLocal, this.#flagA, this.#flagB];
  }

  /**
   * Appends one instruction.
   * @param record its record, for the interpreter
   * @param refund instructions of the block that remain, this one included
   * @param liveFlags status flags that somebody may read behind it: a mask of RFLAGS
   */
  crackAt(instruction: BlockInstruction, record: number, refund: number, liveFlags: number): Control {
    this.#record = record;
    this.#liveFlags = liveFlags;
    this.#at = instruction;
    this.#refund = refund;
    return this.crack(instruction.decoded);
  }

  /** Makes the code of the flags explicit: for places where several ways meet. */
  forgetFlags(): void {
    const { flags } = this;
    if (flags === undefined) return;
    this.f.code.i32(flagCode(flags.kind, flags.z));
    this.f.code.set(this.flagCodeLocal);
    this.flags = undefined;
  }

  // ---- registers ----

  #register(at: number, type: ValueType, sizeBytes: number): RegisterLocal {
    const known = this.registers.get(at);
    if (known !== undefined) return known;
    const fresh = { local: this.f.local(type), type, at, sizeBytes, isDirty: false };
    this.registers.set(at, fresh);
    return fresh;
  }

  #gpr(index: number): RegisterLocal {
    return this.#register(gprAt(index), i64, 8);
  }

  protected override wholeGpr(index: number): Value {
    return this.ofLocal(this.#gpr(index).local, i64);
  }

  override setGpr(index: number, value: Value): void {
    this.noteMove(index, value);
    super.setGpr(index, value);
  }

  override write(operand: Operand, value: Value): void {
    const { kind, index } = operand;
    if (kind === OperandKind.gpr || kind === OperandKind.gprHigh) this.noteMove(index, value);
    super.write(operand, value);
  }

  protected override writeGpr(index: number): void {
    this.forgetRegister(index);
    const register = this.#gpr(index);
    register.isDirty = true;
    this.f.code.set(register.local);
  }

  protected override readRegister(operand: Operand): Value {
    const { kind, index, bits } = operand;
    switch (kind) {
      case OperandKind.gpr:
        return this.zext(64, bits as Width, this.gpr(index));
      case OperandKind.gprHigh:
        return this.zext(64, 8, this.shr(64, this.gpr(index), this.int(32, 8)));
      case OperandKind.xmm:
        return this.#readXmm(operand);
      default:
        this.f.code.i32(0);
        emitLoad(this.f, bits / 8, ENGINE, registerAt(operand));
        return this.take(bits === 64 ? i64 : i32);
    }
  }

  #readXmm(operand: Operand): Value {
    const whole = this.ofLocal(this.#register(registerAt(operand), v128, 16).local, v128);
    switch (operand.bits) {
      case 128:
        return whole;
      case 64:
        return this.lane('i64x2', whole, 0);
      case 32:
        return this.lane('i32x4', whole, 0);
      default:
        return this.lane('i16x8', whole, 0);
    }
  }

  protected override writeRegister(operand: Operand): void {
    const { kind, index, bits } = operand;
    if (kind === OperandKind.gpr || kind === OperandKind.gprHigh)
      this.#writeGprPart(kind, index, bits as Width);
    else if (kind === OperandKind.xmm) this.#writeXmm(operand);
    else this.#writeToContext(operand);
  }

  protected override readFloatRegister(operand: Operand): Value {
    const { bits } = operand;
    this.f.code.get(this.#register(registerAt(operand), v128, 16).local);
    this.f.code.vector(FloatVectorOp[bits === 64 ? 'f64x2_extract_lane' : 'f32x4_extract_lane']);
    this.f.code.byte(0);
    return this.take(bits === 64 ? ValueType.f64 : ValueType.f32);
  }

  protected override writeFloatRegister(operand: Operand): void {
    const register = this.#register(registerAt(operand), v128, 16);
    register.isDirty = true;
    const value = this.take(operand.bits === 64 ? ValueType.f64 : ValueType.f32);
    this.f.code.get(register.local);
    this.put(value);
    this.f.code.vector(FloatVectorOp[operand.bits === 64 ? 'f64x2_replace_lane' : 'f32x4_replace_lane']);
    this.f.code.byte(0);
    this.f.code.set(register.local);
  }

  #writeGprPart(kind: OperandKind, index: number, z: Width): void {
    if (z === 32) this.f.code.op(Op.i64_extend_i32_u);
    if (z >= 32) {
      this.writeGpr(index);
      return;
    }
    const value = this.zext(z, 64, this.take(i32));
    const shift = kind === OperandKind.gprHigh ? 8 : 0;
    const mask = (2 ** z - 1) * 2 ** shift;
    const kept = this.and(64, this.gpr(index), this.int(64, -1 - mask));
    this.put(this.or(64, kept, shift === 0 ? value : this.shl(64, value, this.int(32, shift))));
    this.writeGpr(index);
  }

  #writeXmm(operand: Operand): void {
    const register = this.#register(registerAt(operand), v128, 16);
    register.isDirty = true;
    if (operand.bits !== 128) {
      const value = this.take(operand.bits === 64 ? i64 : i32);
      const whole = this.ofLocal(register.local, v128);
      this.put(this.withLane(operand.bits === 64 ? 'i64x2' : 'i32x4', whole, 0, value));
    }
    this.f.code.set(register.local);
  }

  /** MMX and segment registers stay where they are. Writing to MMX sets bits 64 to 79 (SDM vol. 1 §9.5.1). */
  #writeToContext(operand: Operand): void {
    const value = this.take(operand.bits === 64 ? i64 : i32);
    this.f.code.i32(0);
    this.put(value);
    emitStore(this.f, operand.bits / 8, ENGINE, registerAt(operand));
    if (operand.kind !== OperandKind.mmx) return;
    this.f.code.i32(0);
    this.f.code.i32(0xffff);
    emitStore(this.f, 2, ENGINE, registerAt(operand) + 8);
  }

  // ---- immediates and addresses ----

  protected override immediate(operand: Operand, z: Width): Value {
    return this.int(z, operand.value);
  }

  override constant(operand: Operand): number | undefined {
    return operand.kind === OperandKind.immediate ? Number(operand.value) : undefined;
  }

  override rip(): Value {
    return this.int(64, this.#at.rip);
  }

  override nextRip(): Value {
    return this.int(64, this.#at.rip + this.#at.decoded.lengthBytes);
  }

  protected override modrmOffset(operand: Operand): Value {
    const { base, index, scale, displacement } = operand.memory!;
    if (base === BASE_RIP) return this.int(64, Number(this.nextRip().constant) + Number(displacement));
    const parts: Value[] = [];
    if (base !== NO_REGISTER) parts.push(this.gpr(base));
    if (index !== NO_REGISTER) {
      const whole = this.gpr(index);
      parts.push(scale === 0 ? whole : this.shl(64, whole, this.int(32, scale)));
    }
    if (displacement !== 0 || parts.length === 0) parts.push(this.int(64, displacement));
    return parts.reduce((sum, part) => this.add(64, sum, part));
  }

  protected override segmentBase(operand: Operand): Value | undefined {
    const { segment } = operand.memory!;
    return this.is64 && segment < Seg.FS ? undefined : this.field(segmentBaseAt(segment), 64);
  }

  // ---- flags ----

  protected override get liveFlags(): number {
    return this.#liveFlags;
  }

  protected override writeFlags({ kind, z, a, b }: PendingFlags): void {
    const { code } = this.f;
    this.put(this.zext(z, 64, a));
    this.put(b === undefined ? this.int(64, 0) : this.zext(kind === 'result' ? 32 : z, 64, b));
    code.set(this.#flagB);
    code.set(this.#flagA);
    this.flags = { kind, z, bIsZero: b === undefined };
  }

  #lazyFlags({ kind, z, bIsZero = false }: NonNullable<KnownFlags>): LazyFlags<Value> {
    const a = this.zext(64, z, this.ofLocal(this.#flagA, i64));
    const b = this.zext(64, kind === 'result' ? 32 : z, this.ofLocal(this.#flagB, i64));
    return { kind, z, a, b, bIsZero };
  }

  protected override statusFlags(): Value {
    if (this.flags !== undefined) return lazyFlagWord(this, this.#lazyFlags(this.flags));
    for (const local of this.flagLocals) this.f.code.get(local);
    this.f.code.opIndex(Op.call, this.core.flagWord);
    return this.take(i32);
  }

  override flag(name: FlagName): Value {
    if (this.flags !== undefined) return lazyFlag(this, this.#lazyFlags(this.flags), name);
    return bitOf(this, 32, this.statusFlags(), 31 - Math.clz32(FLAG_BITS[name]));
  }

  override condition(condition: Condition): Value {
    if (this.flags !== undefined) return lazyCondition(this, this.#lazyFlags(this.flags), condition);
    const word = this.statusFlags();
    return evaluateCondition(this, condition, (name) =>
      bitOf(this, 32, word, 31 - Math.clz32(FLAG_BITS[name])),
    );
  }

  // ---- control ----

  protected override isUpdated(): boolean {
    return this.#at.effects.updatesMemory;
  }

  protected override readonly mayHaveNoPlace = false;

  protected override faultLabel(): number {
    return panic('region', 'raises no exceptions itself');
  }

  /** Nothing of the instruction has taken effect yet: the interpreter goes on with it and the block's rest, all paid for. */
  protected override leaveInstruction(): boolean {
    this.#leave(this.#leaveLabel);
    return true;
  }

  protected override leaveForPage(): void {
    this.#leave(this.#missLabel);
  }

  #leave(label: number): void {
    const { code } = this.f;
    const { flags } = this;
    if (flags !== undefined) {
      code.i32(flagCode(flags.kind, flags.z));
      code.set(this.flagCodeLocal);
    }
    code.i32(this.#record);
    code.set(this.#recordLocal);
    this.f.branch(label);
  }

  /** The rest of the block has been paid for. */
  protected override beforeClock(): void {
    const { code } = this.f;
    code.i32(0);
    code.get(BUDGET_LOCAL);
    code.i32(this.#refund);
    code.op(Op.i32_add);
    code.memory(Op.i32_store, ENGINE, CELL.budget);
  }

  protected override beforeWhen(): void {
    this.forgetFlags();
  }

  protected override afterWhenBody(): void {
    this.forgetFlags();
    this.forgetMode();
  }
}
