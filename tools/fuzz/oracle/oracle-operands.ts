// Registers, addresses and memory of one instruction: reads give what was there before it, writes are collected until `commit`.

import {
  BASE_RIP,
  type Bits,
  type Decoded,
  mustBeAligned,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from '../../../src/arch/x86/isa/decoded.ts';
import { effectsOf } from '../../../src/arch/x86/isa/effects.ts';
import type { OperandSource } from '../../../src/arch/x86/isa/operands.ts';
import type { Width } from '../../../src/arch/x86/isa/ops.ts';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET, SEGMENT, STRIDE, segmentOffset } from '../../../src/arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { panic } from '../../../src/sim/trouble.ts';
import { fit } from './bigint-ops.ts';
import { OracleFloats } from './oracle-floats.ts';
import { type Access, OracleMemory } from './oracle-memory.ts';

/** No object in memory that is accessed in pieces, from its operand's address on, is larger: FXSAVE's and XSAVE's areas. */
const LARGEST_BYTES = 4096n;

export class OracleOperands extends OracleFloats {
  protected instruction!: Decoded;
  protected readonly memory: OracleMemory;
  #effects: (() => void)[] = [];
  #addresses = new Map<Operand, bigint>();
  #updatesMemory = false;

  constructor(tc: X86ThreadContext, ram: Uint8Array) {
    super(tc);
    this.memory = new OracleMemory(tc, ram);
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

  // ---- effects ----

  protected begin(instruction: Decoded): void {
    this.#effects = [];
    this.#addresses.clear();
    if (this.instruction === instruction) return; // another round of REP
    this.instruction = instruction;
    this.#updatesMemory = effectsOf(instruction).updatesMemory;
  }

  /** An effect on registers or flags: it takes place at the end, those that are said last also last. */
  protected later(effect: () => void): void {
    this.#effects.push(effect);
  }

  /** What has been collected takes place. */
  protected commit(): void {
    for (const effect of this.#effects) effect();
    this.#effects = [];
  }

  // ---- operands ----

  read(operand: Operand): bigint {
    switch (operand.kind) {
      case OperandKind.memory:
        return this.memory.load(this.linearAddress(operand), operand.bits / 8, this.#accessTo(operand));
      case OperandKind.immediate:
        return BigInt.asUintN(operand.bits, BigInt(operand.value));
      case OperandKind.farPointer:
        return (BigInt(operand.selector) << 32n) | BigInt.asUintN(operand.bits, BigInt(operand.value));
      default:
        return this.#stateBytes(this.#registerAt(operand), operand.bits / 8);
    }
  }

  write(operand: Operand, value: bigint): void {
    fit(operand.bits, value);
    if (operand.kind === OperandKind.memory)
      this.memory.store(this.linearAddress(operand), operand.bits / 8, value, this.#accessTo(operand));
    else this.later(() => this.#writeRegister(operand, value));
  }

  /** Of fewer than 128 bits, zeros are above: to a bigint that is the same number. */
  readVector(operand: Operand): bigint {
    return this.read(operand);
  }

  writeVector(operand: Operand, value: bigint): void {
    this.write(operand, BigInt.asUintN(operand.bits, fit(128, value)));
  }

  readFloat(operand: Operand): bigint {
    return this.read(operand);
  }

  writeFloat(operand: Operand, value: bigint): void {
    this.write(operand, value);
  }

  constant(operand: Operand): number | undefined {
    if (operand.kind !== OperandKind.immediate) return undefined;
    const isKnown = this.instruction.form.instruction.literal || this.#sourceOf(operand) === 'fixed';
    return isKnown ? Number(operand.value) : undefined;
  }

  gpr(index: number): bigint {
    return this.tc.gpr(index);
  }

  setGpr(index: number, value: bigint): void {
    fit(64, value);
    this.later(() => this.tc.setGpr(index, value));
  }

  rip(): bigint {
    return this.tc.rip;
  }

  nextRip(): bigint {
    const next = this.tc.rip + BigInt(this.instruction.lengthBytes);
    return BigInt.asUintN(this.is64 ? 64 : 32, next);
  }

  // ---- addresses: SDM vol. 1 §3.7.5 ----

  effectiveAddress(operand: Operand): bigint {
    return BigInt.asUintN(this.addressBits, this.#offset(operand));
  }

  linearAddress(operand: Operand): bigint {
    return this.#addresses.get(operand) ?? this.#setAddress(operand, 0n);
  }

  displace(operand: Operand, bytes: bigint): void {
    this.#setAddress(operand, fit(64, bytes));
  }

  #setAddress(operand: Operand, displacement: bigint): bigint {
    const effective = BigInt.asUintN(this.addressBits, this.#offset(operand) + displacement);
    const { segment } = operand.memory!;
    // In 64-bit mode the bases of the other segments count as zero (SDM vol. 1 §3.4.2.1).
    const base = this.is64 && segment < Seg.FS ? 0n : this.tc.segmentBase(segment);
    const linear = BigInt.asUintN(this.is64 ? 64 : 32, base + effective);
    this.#addresses.set(operand, linear);
    return linear;
  }

  /** Base, index and displacement; XLAT has AL for an index. */
  #offset(operand: Operand): bigint {
    const { base, index, scale, displacement } = operand.memory!;
    let offset = BigInt(displacement);
    if (base === BASE_RIP) offset += this.nextRip();
    else if (base !== NO_REGISTER) offset += this.gpr(base);
    if (index !== NO_REGISTER) offset += this.gpr(index) << BigInt(scale);
    if (this.#sourceOf(operand) === 'xlat') offset += this.gpr(Gpr.RAX) & 0xffn;
    return offset;
  }

  #sourceOf(operand: Operand): OperandSource {
    const { form, operands } = this.instruction;
    return form.operands[operands.indexOf(operand)]!.source;
  }

  // ---- memory ----

  load(bits: Bits, linear: bigint): bigint {
    return this.memory.load(fit(64, linear), bits / 8, this.accessAt(linear));
  }

  store(bits: Bits, linear: bigint, value: bigint): void {
    this.memory.store(fit(64, linear), bits / 8, fit(bits, value), this.accessAt(linear));
  }

  probeStore(bits: Bits, linear: bigint): void {
    this.memory.load(fit(64, linear), bits / 8, { ...this.accessAt(linear), kind: 'write' });
  }

  push(z: Width, value: bigint): void {
    const top = this.#stackAddress(this.gpr(Gpr.RSP) - BigInt(z / 8));
    this.memory.store(top, z / 8, fit(z, value), STACK);
    this.setGpr(Gpr.RSP, top);
  }

  pop(z: Width): bigint {
    const top = this.#stackAddress(this.gpr(Gpr.RSP));
    const value = this.memory.load(top, z / 8, STACK);
    this.setGpr(Gpr.RSP, this.#stackAddress(top + BigInt(z / 8)));
    return value;
  }

  #stackAddress(pointer: bigint): bigint {
    return BigInt.asUintN(this.is64 ? 64 : 32, pointer);
  }

  /** An operand that is read and written back is looked up for writing when it is read. */
  #accessTo(operand: Operand): Access {
    return {
      kind: this.#updatesMemory ? 'write' : 'read',
      segment: operand.memory!.segment,
      isAligned: mustBeAligned(this.instruction, operand),
    };
  }

  /** What is accessed by an address lies in the instruction's memory operand, or on the stack. */
  protected accessAt(linear: bigint): Access {
    const operand = this.instruction.operands.find(({ kind }) => kind === OperandKind.memory);
    if (operand === undefined) return STACK;
    const isInside = BigInt.asUintN(64, linear - this.linearAddress(operand)) < LARGEST_BYTES;
    return isInside ? { ...STACK, segment: operand.memory!.segment } : STACK;
  }

  // ---- the bytes of the thread context ----

  field(offset: number, z: Width, at = 0n): bigint {
    return this.#stateBytes(offset + Number(at), z / 8);
  }

  setField(offset: number, z: Width, value: bigint, at = 0n): void {
    fit(z, value);
    this.later(() => this.#setStateBytes(offset + Number(at), z / 8, value));
  }

  #registerAt({ kind, index }: Operand): number {
    switch (kind) {
      case OperandKind.gpr:
        return OFFSET.gpr + index * STRIDE.gpr;
      case OperandKind.gprHigh:
        return OFFSET.gpr + index * STRIDE.gpr + 1;
      case OperandKind.xmm:
        return OFFSET.zmm + index * STRIDE.zmm;
      case OperandKind.mmx:
        return OFFSET.st + index * STRIDE.st;
      case OperandKind.segment:
        return segmentOffset(index) + SEGMENT.selector;
      default:
        return panic('oracle', `an operand of kind ${kind} is no register`);
    }
  }

  #writeRegister(operand: Operand, value: bigint): void {
    const at = this.#registerAt(operand);
    const isZeroExtended = operand.kind === OperandKind.gpr && operand.bits === 32;
    this.#setStateBytes(at, isZeroExtended ? 8 : operand.bits / 8, value);
    // SDM vol. 1 §9.5.1: an x87 register that MMX writes becomes a NaN or infinity.
    if (operand.kind === OperandKind.mmx) this.#setStateBytes(at + 8, 2, 0xffffn);
  }

  #stateBytes(at: number, count: number): bigint {
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.tc.u8[at + i]!);
    return value;
  }

  #setStateBytes(at: number, count: number, value: bigint): void {
    for (let i = 0; i < count; i++) this.tc.u8[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
}

const STACK: Access = { kind: 'read', segment: Seg.SS, isAligned: false };
