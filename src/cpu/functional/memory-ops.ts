/**
 * Memory accesses in generated code: an inline look-up in the TLB, and the core's slow path behind it.
 *
 *   slot   = (address >> 12) mod entries
 *   offset = tag[slot] ^ address                     the offset in the page, if the tag is that page
 *   hit    = offset <= 4096 - size                   so an access that crosses a page misses, too
 *   RAM[(u32) address + addend[slot]]
 *
 * Where the address must be a multiple of 16, offset & ~0xff0 must be 0: a misaligned access misses, and the miss raises #GP.
 * (A tag that is compared with the address, or an address that dies here, would be loaded twice by V8: for its trap, and as an
 * operand.)
 *
 * What misses: a handler of the interpreter calls the core's slow path; if that faults, the fault is in its cells, and the
 * handler stops with nothing changed. A region leaves the instruction to the interpreter: a call in a loop would cost all
 * that is kept in registers around it.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import type { Bits } from '../../arch/x86/isa/decoded.ts';
import { ENGINE, RAM } from './core-functions.ts';
import { emitLoad, emitStore } from './core-module.ts';
import { CELL, PAGE_SHIFT, TLB_ENTRIES, TLB_READ_AT, TLB_STRIDE, TLB_WRITE_AT } from './layout.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { VectorOp } from './wasm/vector-opcodes.ts';
import { type Value, WasmOps } from './wasm-ops.ts';

const STRIDE_SHIFT = Math.log2(TLB_STRIDE);
/** In a slot of the TLB. */
export const ADDEND = 8;
const PAGE_BYTES = 2 ** PAGE_SHIFT;
/** Of a canonical address: the bits above are copies of the highest of these. */
const ADDRESS_BITS = 48;
/** A place that is not in one page of RAM. */
const NO_PLACE = -1;

/** Where bytes lie in RAM: at `offset` from the place in a local. */
export interface KnownPlace {
  readonly local: number;
  readonly offset: number;
  /** To be called behind the instruction that has the offset as its last number. */
  readonly noteOffset: () => void;
}

export abstract class MemoryOps extends WasmOps {
  /** Label behind which a fault is reported. Appends what must be noted of the place that faulted. */
  protected abstract faultLabel(): number;
  /** Appends the way out of a region, to the interpreter, which executes the instruction; false: this is the interpreter. */
  protected abstract leaveInstruction(): boolean;
  abstract faultIf(condition: Value, vector: number, errorCode?: number): void;

  /** Where a region has found the place of an access already; undefined: it must be looked up. */
  protected knownPlace(
    _bits: Bits,
    _linear: Value,
    _isWrite: boolean,
    _isAligned: boolean,
  ): KnownPlace | undefined {
    return undefined;
  }

  /** @param isAligned the address must be a multiple of the size, or #GP(0) */
  load(bits: Bits, linear: Value, isAligned = false): Value {
    const { f } = this;
    const type = typeOf(bits);
    const known = this.knownPlace(bits, linear, false, isAligned);
    if (known !== undefined) {
      f.code.get(known.local);
      emitLoad(f, bits / 8, RAM, known.offset);
      known.noteOffset();
      return this.take(type);
    }
    const slot = this.#lookUp(bits, linear, TLB_READ_AT, isAligned);
    f.if(type, true);
    this.putRamAddress(linear, slot, TLB_READ_AT);
    emitLoad(f, bits / 8, RAM, 0);
    f.else();
    if (!this.leaveInstruction()) {
      if (isAligned) this.#checkAlignment(bits, linear);
      this.#slowLoad(bits, linear, false);
    }
    f.end();
    return this.take(type);
  }

  /** 32 or 64 bits in the low part of a vector, with zeros above. */
  loadWidened(bits: 32 | 64, linear: Value): Value {
    const { f } = this;
    const op = bits === 64 ? VectorOp.load64_zero : VectorOp.load32_zero;
    const known = this.knownPlace(bits, linear, false, false);
    if (known !== undefined) {
      f.code.get(known.local);
      f.code.vectorMemory(op, RAM, known.offset);
      known.noteOffset();
      return this.take(ValueType.v128);
    }
    const slot = this.#lookUp(bits, linear, TLB_READ_AT, false);
    f.if(ValueType.v128, true);
    this.putRamAddress(linear, slot, TLB_READ_AT);
    f.code.vectorMemory(op, RAM, 0);
    f.else();
    if (!this.leaveInstruction()) {
      this.#slowLoad(bits, linear, false);
      const value = this.take(bits === 64 ? ValueType.i64 : ValueType.i32);
      const zeros = this.vector(Array.from({ length: 16 }, () => 0));
      this.put(this.withLane(bits === 64 ? 'i64x2' : 'i32x4', zeros, 0, value));
    }
    f.end();
    return this.take(ValueType.v128);
  }

  /** A scalar float. */
  loadFloat(bits: 32 | 64, linear: Value): Value {
    const { f } = this;
    const type = bits === 64 ? ValueType.f64 : ValueType.f32;
    const op = bits === 64 ? Op.f64_load : Op.f32_load;
    const known = this.knownPlace(bits, linear, false, false);
    if (known !== undefined) {
      f.code.get(known.local);
      f.code.memory(op, RAM, known.offset);
      known.noteOffset();
      return this.take(type);
    }
    const slot = this.#lookUp(bits, linear, TLB_READ_AT, false);
    f.if(type, true);
    this.putRamAddress(linear, slot, TLB_READ_AT);
    f.code.memory(op, RAM, 0);
    f.else();
    if (!this.leaveInstruction()) {
      this.#slowLoad(bits, linear, false);
      f.code.op(bits === 64 ? Op.f64_reinterpret_i64 : Op.f32_reinterpret_i32);
    }
    f.end();
    return this.take(type);
  }

  store(bits: Bits, linear: Value, value: Value, isAligned = false): void {
    const { f } = this;
    const known = this.knownPlace(bits, linear, true, isAligned);
    if (known !== undefined) {
      f.code.get(known.local);
      this.put(value);
      emitStore(f, bits / 8, RAM, known.offset);
      known.noteOffset();
      return;
    }
    const slot = this.#lookUp(bits, linear, TLB_WRITE_AT, isAligned);
    f.if(undefined, true);
    this.putRamAddress(linear, slot, TLB_WRITE_AT);
    this.put(value);
    emitStore(f, bits / 8, RAM, 0);
    f.else();
    if (!this.leaveInstruction()) {
      if (isAligned) this.#checkAlignment(bits, linear);
      this.#slowStore(bits, linear, value);
    }
    f.end();
  }

  probeStore(bits: Bits, linear: Value): void {
    this.loadAt(bits, linear, this.findForUpdate(bits, linear));
  }

  /** Where memory lies that is read now and written later: an offset in RAM, or NO_PLACE. */
  protected findForUpdate(bits: Bits, linear: Value, isAligned = false): Value {
    const { f } = this;
    const known = this.knownPlace(bits, linear, true, isAligned);
    if (known !== undefined) {
      f.code.get(known.local);
      f.code.i32(known.offset);
      known.noteOffset();
      f.code.op(Op.i32_add);
      return this.take(ValueType.i32);
    }
    const slot = this.#lookUp(bits, linear, TLB_WRITE_AT, isAligned);
    f.if(ValueType.i32, true);
    this.putRamAddress(linear, slot, TLB_WRITE_AT);
    f.else();
    if (!this.leaveInstruction()) {
      if (isAligned) this.#checkAlignment(bits, linear);
      f.code.i32(NO_PLACE);
    }
    f.end();
    return this.take(ValueType.i32);
  }

  protected loadAt(bits: Bits, linear: Value, place: Value): Value {
    const { f } = this;
    const type = typeOf(bits);
    if (!this.mayHaveNoPlace) {
      this.put(place);
      emitLoad(f, bits / 8, RAM, 0);
      return this.take(type);
    }
    this.#putHasPlace(place);
    f.if(type, true);
    this.put(place);
    emitLoad(f, bits / 8, RAM, 0);
    f.else();
    this.#slowLoad(bits, linear, true);
    f.end();
    return this.take(type);
  }

  protected storeAt(bits: Bits, linear: Value, place: Value, value: Value): void {
    const { f } = this;
    if (!this.mayHaveNoPlace) {
      this.put(place);
      this.put(value);
      emitStore(f, bits / 8, RAM, 0);
      return;
    }
    this.#putHasPlace(place);
    f.if(undefined, true);
    this.put(place);
    this.put(value);
    emitStore(f, bits / 8, RAM, 0);
    f.else();
    this.#slowStore(bits, linear, value);
    f.end();
  }

  /** Whether a place that has been found may be NO_PLACE: not where the instruction has been left then. */
  protected abstract readonly mayHaveNoPlace: boolean;

  /** Leaves if the core has noted a fault. */
  protected branchIfFaulted(): void {
    const { code } = this.f;
    code.i32(0);
    code.memory(Op.i32_load, ENGINE, CELL.faultVector);
    code.i32(0);
    code.op(Op.i32_ge_s);
    this.f.if(undefined, false);
    if (!this.leaveInstruction()) this.f.branch(this.faultLabel());
    this.f.end();
  }

  #putHasPlace(place: Value): void {
    this.put(place);
    this.f.code.i32(NO_PLACE);
    this.f.code.op(Op.i32_ne);
  }

  /** Puts the tag for an address on the stack; returns the local that holds the offset of its slot. */
  protected putTag(linear: Value, tlb: number): number {
    const { code } = this.f;
    const slot = this.f.temporary(ValueType.i32);
    this.put(linear);
    code.op(Op.i32_wrap_i64);
    code.i32(PAGE_SHIFT - STRIDE_SHIFT);
    code.op(Op.i32_shr_u);
    code.i32((TLB_ENTRIES - 1) << STRIDE_SHIFT);
    code.op(Op.i32_and);
    code.tee(slot);
    code.memory(Op.i64_load, ENGINE, tlb);
    return slot;
  }

  /** Puts on the stack whether the TLB knows the page; returns the local that holds the offset of its slot. */
  #lookUp(bits: Bits, linear: Value, tlb: number, isAligned: boolean): number {
    const { code } = this.f;
    const slot = this.putTag(linear, tlb);
    this.put(linear);
    code.op(Op.i64_xor);
    if (isAligned) {
      code.i64(-PAGE_BYTES + bits / 8 - 1);
      code.op(Op.i64_and);
      code.op(Op.i64_eqz);
    } else {
      code.i64(PAGE_BYTES - bits / 8);
      code.op(Op.i64_le_u);
    }
    return slot;
  }

  protected putRamAddress(linear: Value, slot: number, tlb: number): void {
    const { code } = this.f;
    this.put(linear);
    code.op(Op.i32_wrap_i64);
    code.get(slot);
    code.memory(Op.i32_load, ENGINE, tlb + ADDEND);
    code.op(Op.i32_add);
  }

  /** Misaligned: #GP, if the address is canonical; else the slow path finds out, since that comes first (#SS on the stack). */
  #checkAlignment(bits: Bits, linear: Value): void {
    const offset = this.and(64, linear, this.int(64, bits / 8 - 1));
    const misaligned = this.ne(64, offset, this.int(64, 0));
    const unused = this.int(32, 64 - ADDRESS_BITS);
    const extended = this.sar(64, this.shl(64, linear, unused), unused);
    this.faultIf(this.and(32, misaligned, this.eq(64, extended, linear)), Vector.GP);
  }

  /** Leaves the value on the stack. */
  #slowLoad(bits: Bits, linear: Value, isUpdate: boolean): void {
    this.put(linear);
    this.f.code.i32(isUpdate ? 1 : 0);
    this.f.code.opIndex(Op.call, this.core[`load${bits as 8}`]);
    this.branchIfFaulted();
  }

  #slowStore(bits: Bits, linear: Value, value: Value): void {
    this.put(linear);
    this.put(value);
    this.f.code.opIndex(Op.call, this.core[`store${bits as 8}`]);
    this.branchIfFaulted();
  }
}

/** Of a value of so many bits. */
export function typeOf(bits: Bits): ValueType {
  if (bits === 128) return ValueType.v128;
  return bits === 64 ? ValueType.i64 : ValueType.i32;
}
