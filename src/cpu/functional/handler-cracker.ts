/**
 * Handlers: the interpreter's code for one instruction of one shape. A handler is what the translator would generate
 * for the instruction, except that registers, immediates and addresses come from a record (layout.ts), so that it serves
 * every instruction of that shape. It ends by calling the handler of the next record, as a tail call.
 */

import type { FlagName } from '../../arch/x86/isa/conditions.ts';
import { type Condition, evaluateCondition, FLAG_BITS, STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import {
  type Decoded,
  isLiteral,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from '../../arch/x86/isa/decoded.ts';
import type { Effects } from '../../arch/x86/isa/effects.ts';
import {
  bitOf,
  type FlagKind,
  flagCode,
  type LazyFlags,
  lazyCondition,
} from '../../arch/x86/isa/lazy-flags.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { Gpr, Rflags, Seg } from '../../arch/x86/registers.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { CODE_TYPE_INDEX, ENGINE } from './core-functions.ts';
import { emitLoad, emitStore } from './core-module.ts';
import type { PendingFlags } from './flag-ops.ts';
import { CELL, CONTEXT_AT, RECORD, RECORD_BYTES, Stop } from './layout.ts';
import {
  gprAt,
  isRepeated,
  isReturn,
  registerAt,
  registerOperands,
  segmentBaseAt,
  sourceOf,
} from './operand-places.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { type Control, WasmCracker } from './wasm-cracker.ts';
import type { Value } from './wasm-ops.ts';

const { i32, i64, v128 } = ValueType;
const RECORD_LOCAL = 0;
const BUDGET_LOCAL = 1;
/** What is left by CMP, SUB, TEST, AND and the like. */
const LIKELY_FLAGS: readonly (readonly [kind: FlagKind, z: Width])[] = [
  ['sub', 64],
  ['sub', 32],
  ['result', 32],
  ['result', 64],
  ['sub', 8],
];
/** So many rounds of a repeated instruction run at a stretch. */
const ROUNDS = 4096;

export class HandlerCracker extends WasmCracker {
  #effects!: Effects;
  #faultLabel = 0;
  #flagWord: Value | undefined;

  /** Appends the whole handler of instructions with the shape of this one. */
  writeHandler(decoded: Decoded, effects: Effects): void {
    const { f } = this;
    this.#effects = effects;
    f.begin(2);
    this.#faultLabel = f.block();
    if (isRepeated(decoded)) this.#writeRounds(decoded);
    else this.#finish(this.#crackOne(decoded));
    f.end();
    this.#stop(Stop.fault);
  }

  #crackOne(decoded: Decoded): Control {
    this.#flagWord = undefined;
    return this.crack(decoded);
  }

  /** Where the instruction goes: every path ends in a tail call or returns. */
  #finish(control: Control): void {
    const { code } = this.f;
    switch (control.kind) {
      case 'trap':
        this.#trap(control);
        return;
      case 'next':
        this.#putRecord(RECORD_BYTES);
        code.get(BUDGET_LOCAL);
        code.get(RECORD_LOCAL);
        code.memory(Op.i32_load, ENGINE, RECORD_BYTES + RECORD.handler);
        code.opIndex(Op.return_call_indirect, CODE_TYPE_INDEX);
        code.u32(0);
        return;
      case 'jump':
        if (!isReturn(this.instruction)) this.#observe(control.target);
        this.put(control.target);
        break;
      case 'jumpFar':
        this.#setRip(control.target);
        this.#stop(Stop.far);
        return;
      case 'jumpTo':
        this.put(this.#recordField(RECORD.immediate));
        break;
      case 'jumpIf':
        this.put(this.#recordField(RECORD.immediate));
        this.put(this.nextRip());
        this.put(control.condition);
        code.select(i64);
        break;
      default:
        this.#setRip(this.nextRip());
        this.#stop(Stop[control.reason]);
        return;
    }
    code.get(BUDGET_LOCAL);
    code.opIndex(Op.return_call, this.core.dispatch);
  }

  #observe(target: Value): void {
    this.f.code.get(RECORD_LOCAL);
    this.put(target);
    this.f.code.opIndex(Op.call, this.core.observe);
  }

  /** An exception or interrupt behind the instruction. */
  #trap({ trap, vector, condition }: Extract<Control, { kind: 'trap' }>): void {
    if (condition !== undefined) {
      this.put(condition);
      this.f.if(undefined, false);
    }
    this.setFaultCells(vector, this.int(32, 0));
    this.#setRip(this.nextRip());
    this.#stop(trap === 'exception' ? Stop.trap : Stop.interrupt);
    if (condition === undefined) return;
    this.f.end();
    this.#finish({ kind: 'next' });
  }

  /**
   * A repeated string instruction: one round after another, each complete in itself (SDM vol. 2B "REP"). After some rounds it
   * goes on by being executed anew, so that nothing waits for it for long; with TF after each, for the trap behind it.
   */
  #writeRounds(decoded: Decoded): void {
    const { f } = this;
    const width: Width = decoded.addressBits;
    const rounds = f.local(i32);
    const traps = this.and(32, this.field(OFFSET.rflags, 32), this.int(32, Rflags.TF));
    this.put(this.select(traps, this.int(32, 1), this.int(32, ROUNDS)));
    f.code.set(rounds);
    const done = f.block();
    const pause = f.block();
    const again = f.loop();
    const count = this.zext(64, width, this.gpr(Gpr.RCX));
    this.put(this.isZero(width, count));
    f.branchIf(done);
    this.#crackOne(decoded);
    const left = this.sub(width, count, this.int(width, 1));
    this.setGpr(Gpr.RCX, this.#merged(width, left));
    this.commit();
    if (decoded.form.instruction.repeat === 'repe') {
      this.#flagWord = undefined;
      const goesOn = decoded.repeat === 'f3' ? this.flag('zf') : this.isZero(32, this.flag('zf'));
      this.put(this.isZero(32, goesOn));
      f.branchIf(done);
    }
    f.code.get(rounds);
    f.code.i32(1);
    f.code.op(Op.i32_sub);
    f.code.tee(rounds);
    f.branchIf(again);
    this.put(this.isZero(width, left));
    f.branchIf(done);
    f.branch(pause);
    f.end();
    f.end();
    this.#countUnfinished();
    this.put(this.#recordField(RECORD.rip));
    f.code.get(BUDGET_LOCAL);
    f.code.opIndex(Op.return_call, this.core.dispatch);
    f.end();
    this.#finish({ kind: 'next' });
  }

  #merged(width: Width, value: Value): Value {
    if (width !== 16) return this.zext(width, 64, value);
    const kept = this.and(64, this.gpr(Gpr.RCX), this.int(64, -0x1_0000));
    return this.or(64, kept, this.zext(16, 64, value));
  }

  /** The block's remaining instructions have been paid for, this one included, and are not executed. */
  #countUnfinished(): void {
    const { code } = this.f;
    code.i32(0);
    code.i32(0);
    code.memory(Op.i32_load, ENGINE, CELL.unfinished);
    code.get(RECORD_LOCAL);
    code.memory(Op.i32_load, ENGINE, RECORD.remaining);
    code.op(Op.i32_add);
    code.memory(Op.i32_store, ENGINE, CELL.unfinished);
  }

  #stop(reason: number): void {
    const { code } = this.f;
    for (const [cell, local] of [
      [CELL.stopRecord, RECORD_LOCAL],
      [CELL.budget, BUDGET_LOCAL],
    ] as const) {
      code.i32(0);
      code.get(local);
      code.memory(Op.i32_store, ENGINE, cell);
    }
    code.i32(reason);
    code.op(Op.return);
  }

  /** The rest of the block has been paid for. */
  protected override beforeClock(): void {
    const { code } = this.f;
    code.i32(0);
    code.get(BUDGET_LOCAL);
    code.get(RECORD_LOCAL);
    code.memory(Op.i32_load, ENGINE, RECORD.remaining);
    code.op(Op.i32_add);
    code.memory(Op.i32_store, ENGINE, CELL.budget);
  }

  #setRip(rip: Value): void {
    this.f.code.i32(0);
    this.put(rip);
    this.f.code.memory(Op.i64_store, ENGINE, CONTEXT_AT + OFFSET.rip);
  }

  // ---- registers ----

  protected override readRegister(operand: Operand): Value {
    this.#putRegisterAddress(operand);
    emitLoad(this.f, operand.bits / 8, ENGINE, 0);
    return this.take(typeOf(operand));
  }

  /** The value is on the stack already, above which the address cannot go: it takes a detour. */
  protected override writeRegister(operand: Operand): void {
    const value = this.take(typeOf(operand));
    this.#putRegisterAddress(operand);
    if (operand.kind === OperandKind.gpr && operand.bits === 32) {
      this.put(this.zext(32, 64, value));
      emitStore(this.f, 8, ENGINE, 0);
    } else {
      this.put(value);
      emitStore(this.f, operand.bits / 8, ENGINE, 0);
    }
    if (operand.kind === OperandKind.mmx) this.#fillMmx(operand);
  }

  /** Bits 64 to 79 of an x87 register become ones when MMX writes it (SDM vol. 1 §9.5.1). */
  #fillMmx(operand: Operand): void {
    this.#putRegisterAddress(operand);
    this.f.code.i32(0xffff);
    emitStore(this.f, 2, ENGINE, 8);
  }

  override gpr(index: number): Value {
    this.f.code.i32(0);
    this.f.code.memory(Op.i64_load, ENGINE, gprAt(index));
    return this.take(i64);
  }

  protected override writeGpr(index: number): void {
    const value = this.take(i64);
    this.f.code.i32(0);
    this.put(value);
    this.f.code.memory(Op.i64_store, ENGINE, gprAt(index));
  }

  #putRegisterAddress(operand: Operand): void {
    const ordinal = registerOperands(this.instruction).indexOf(operand);
    // An operand of which the row knows nothing: the definition has named the register itself.
    if (ordinal === -1) {
      this.f.code.i32(registerAt(operand));
      return;
    }
    this.f.code.get(RECORD_LOCAL);
    this.f.code.memory(Op.i32_load16_u, ENGINE, RECORD.registers + 2 * ordinal);
  }

  // ---- immediates and addresses ----

  protected override immediate(operand: Operand, z: Width): Value {
    if (isLiteral(this.instruction, operand)) return this.int(z, operand.value);
    return this.zext(64, z, this.#recordField(RECORD.immediate));
  }

  override rip(): Value {
    return this.#recordField(RECORD.rip);
  }

  override nextRip(): Value {
    return this.#recordField(RECORD.nextRip);
  }

  protected override modrmOffset(operand: Operand): Value {
    const base = this.#indirect(RECORD.base);
    const sum = this.add(64, base, this.#recordField(RECORD.displacement));
    if (operand.memory!.index === NO_REGISTER) return sum;
    this.f.code.get(RECORD_LOCAL);
    this.f.code.memory(Op.i32_load, ENGINE, RECORD.scale);
    const scale = this.take(i32);
    return this.add(64, sum, this.shl(64, this.#indirect(RECORD.index), scale));
  }

  protected override segmentBase(operand: Operand): Value | undefined {
    if (this.is64 && operand.memory!.segment < Seg.FS) return undefined;
    if (sourceOf(this.instruction, operand) === 'stringDestination')
      return this.field(segmentBaseAt(Seg.ES), 64);
    return this.#indirect(RECORD.segment);
  }

  /** The u64 whose offset is in the record. */
  #indirect(field: number): Value {
    this.f.code.get(RECORD_LOCAL);
    this.f.code.memory(Op.i32_load, ENGINE, field);
    this.f.code.memory(Op.i64_load, ENGINE, 0);
    return this.take(i64);
  }

  #recordField(field: number): Value {
    this.f.code.get(RECORD_LOCAL);
    this.f.code.memory(Op.i64_load, ENGINE, field);
    return this.take(i64);
  }

  #putRecord(offset: number): void {
    this.f.code.get(RECORD_LOCAL);
    this.f.code.i32(offset);
    this.f.code.op(Op.i32_add);
  }

  // ---- flags: in their cells between instructions ----

  protected override readonly liveFlags = STATUS_FLAGS;

  protected override writeFlags({ kind, z, a, b }: PendingFlags): void {
    const { code } = this.f;
    code.i32(0);
    code.i32(flagCode(kind, z));
    code.memory(Op.i32_store, ENGINE, CELL.flagCode);
    code.i32(0);
    this.put(this.zext(z, 64, a));
    code.memory(Op.i64_store, ENGINE, CELL.flagA);
    code.i32(0);
    this.put(this.#widenedB(kind, z, b));
    code.memory(Op.i64_store, ENGINE, CELL.flagB);
    this.#flagWord = undefined;
  }

  #widenedB(kind: PendingFlags['kind'], z: Width, b: Value | undefined): Value {
    if (b === undefined) return this.int(64, 0);
    return this.zext(kind === 'result' ? 32 : z, 64, b);
  }

  protected override statusFlags(): Value {
    if (this.#flagWord !== undefined) return this.#flagWord;
    const { code } = this.f;
    code.i32(0);
    code.memory(Op.i32_load, ENGINE, CELL.flagCode);
    for (const cell of [CELL.flagA, CELL.flagB]) {
      code.i32(0);
      code.memory(Op.i64_load, ENGINE, cell);
    }
    code.opIndex(Op.call, this.core.flagWord);
    this.#flagWord = this.take(i32);
    return this.#flagWord;
  }

  override flag(name: FlagName): Value {
    return bitOf(this, 32, this.statusFlags(), 31 - Math.clz32(FLAG_BITS[name]));
  }

  /** Kinds that are there most of the time are looked at one after the other, before all flags are computed. */
  override condition(condition: Condition): Value {
    if (this.#flagWord !== undefined) return this.#conditionOfWord(condition);
    const { f } = this;
    for (const [kind, z] of LIKELY_FLAGS) {
      this.#putCell(Op.i32_load, CELL.flagCode);
      f.code.i32(flagCode(kind, z));
      f.code.op(Op.i32_eq);
      f.if(i32);
      this.put(lazyCondition(this, this.#lazyFlags(kind, z), condition));
      f.else();
    }
    this.put(this.#conditionOfWord(condition));
    // What has been computed in there is not known behind it.
    this.#flagWord = undefined;
    for (const _ of LIKELY_FLAGS) f.end();
    return this.take(i32);
  }

  #conditionOfWord(condition: Condition): Value {
    return evaluateCondition(this, condition, (name) => this.flag(name));
  }

  #lazyFlags(kind: FlagKind, z: Width): LazyFlags<Value> {
    this.#putCell(Op.i64_load, CELL.flagA);
    const a = this.zext(64, z, this.take(i64));
    this.#putCell(Op.i64_load, CELL.flagB);
    return { kind, z, a, b: this.zext(64, kind === 'result' ? 32 : z, this.take(i64)) };
  }

  #putCell(op: Op, cell: number): void {
    this.f.code.i32(0);
    this.f.code.memory(op, ENGINE, cell);
  }

  // ---- control ----

  protected override isUpdated(): boolean {
    return this.#effects.updatesMemory;
  }

  protected override readonly mayHaveNoPlace = true;

  protected override leaveInstruction(): boolean {
    return false;
  }

  protected override faultLabel(): number {
    return this.#faultLabel;
  }

  protected override beforeWhen(): void {
    // Flags are in their cells already.
  }

  protected override afterWhenBody(): void {
    this.#flagWord = undefined;
  }
}

function typeOf({ bits }: Operand): ValueType {
  if (bits === 128) return v128;
  return bits === 64 ? i64 : i32;
}
