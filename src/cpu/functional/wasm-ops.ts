/**
 * Ops<V> as WebAssembly code: a value is a local or a constant, and each operation appends the instructions that compute
 * it into a new local. Values of up to 32 bits are i32, those of 64 i64, vectors v128; all integers are zero-extended.
 */

import type {
  LaneShape,
  Ops,
  VectorBinary,
  VectorShift,
  VectorUnary,
  Width,
} from '../../arch/x86/isa/ops.ts';
import type { CoreFunctions } from './core-functions.ts';
import type { FunctionWriter } from './wasm/function.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { LANE_OPCODES, VECTOR_OPCODES, VectorOp } from './wasm/vector-opcodes.ts';

/** A value in generated code. */
export interface Value {
  readonly type: ValueType;
  /** Local that holds it; −1 for constants. */
  readonly local: number;
  readonly constant: number | bigint | undefined;
  /** In a region: the value is that of a general register plus a displacement, as long as neither is written. */
  readonly address?: RegisterAddress;
}

export interface RegisterAddress {
  /** Number of the general register. */
  readonly base: number;
  readonly displacement: number;
}

/** The i32 and i64 instruction of one operation. */
type Pair = readonly [i32: Op, i64: Op];

const ADD: Pair = [Op.i32_add, Op.i64_add];
const SUB: Pair = [Op.i32_sub, Op.i64_sub];
const MUL: Pair = [Op.i32_mul, Op.i64_mul];
const AND: Pair = [Op.i32_and, Op.i64_and];
const OR: Pair = [Op.i32_or, Op.i64_or];
const XOR: Pair = [Op.i32_xor, Op.i64_xor];
const SHL: Pair = [Op.i32_shl, Op.i64_shl];
const SHR: Pair = [Op.i32_shr_u, Op.i64_shr_u];
const SAR: Pair = [Op.i32_shr_s, Op.i64_shr_s];

export class WasmOps implements Ops<Value> {
  readonly f: FunctionWriter;
  protected readonly core: CoreFunctions;

  constructor(f: FunctionWriter, core: CoreFunctions) {
    this.f = f;
    this.core = core;
  }

  // ---- values and the stack ----

  /** Puts a value on the stack. */
  put(value: Value): void {
    const { code } = this.f;
    if (value.constant === undefined) code.getOrTee(value.local);
    else if (value.type === ValueType.i64) code.i64(value.constant);
    else code.i32(Number(value.constant));
  }

  /** Takes what is on the stack into a new value. */
  take(type: ValueType): Value {
    const local = this.f.temporary(type);
    this.f.code.set(local);
    return { type, local, constant: undefined };
  }

  /** The value that a local of the whole function has now. Only good until the local is set. */
  ofLocal(local: number, type: ValueType): Value {
    return { type, local, constant: undefined };
  }

  // ---- integers ----

  int(z: Width, value: number | bigint): Value {
    if (z === 64) return { type: ValueType.i64, local: -1, constant: value };
    const bits = typeof value === 'bigint' ? Number(BigInt.asIntN(32, value)) : value | 0;
    return { type: ValueType.i32, local: -1, constant: z === 32 ? bits : bits & (2 ** z - 1) };
  }

  add(z: Width, a: Value, b: Value): Value {
    return this.#masked(z, ADD, a, b);
  }

  sub(z: Width, a: Value, b: Value): Value {
    return this.#masked(z, SUB, a, b);
  }

  mul(z: Width, a: Value, b: Value): Value {
    return this.#masked(z, MUL, a, b);
  }

  mulHighU(z: Width, a: Value, b: Value): Value {
    if (z === 64) return this.#call(this.core.mulHighU64, ValueType.i64, a, b);
    if (z === 32) {
      const product = this.mul(64, this.zext(32, 64, a), this.zext(32, 64, b));
      return this.zext(64, 32, this.shr(64, product, this.int(32, 32)));
    }
    return this.shr(32, this.mul(32, a, b), this.int(32, z));
  }

  mulHighS(z: Width, a: Value, b: Value): Value {
    if (z === 64) return this.#call(this.core.mulHighS64, ValueType.i64, a, b);
    const wide = z === 32 ? 64 : 32;
    const product = this.mul(wide, this.sext(z, wide, a), this.sext(z, wide, b));
    return this.zext(wide, z, this.shr(wide, product, this.int(32, z)));
  }

  divU(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, [Op.i32_div_u, Op.i64_div_u], a, b);
  }

  divS(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, [Op.i32_div_s, Op.i64_div_s], a, b);
  }

  remU(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, [Op.i32_rem_u, Op.i64_rem_u], a, b);
  }

  remS(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, [Op.i32_rem_s, Op.i64_rem_s], a, b);
  }

  and(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, AND, a, b);
  }

  or(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, OR, a, b);
  }

  xor(z: Width, a: Value, b: Value): Value {
    return this.#plain(z, XOR, a, b);
  }

  not(z: Width, a: Value): Value {
    return this.xor(z, a, this.int(z, -1));
  }

  neg(z: Width, a: Value): Value {
    return this.sub(z, this.int(z, 0), a);
  }

  shl(z: Width, a: Value, count: Value): Value {
    return this.#shift(z, SHL, a, count, true);
  }

  shr(z: Width, a: Value, count: Value): Value {
    return this.#shift(z, SHR, a, count, false);
  }

  sar(z: Width, a: Value, count: Value): Value {
    const wide = z < 32 ? this.sext(z, 32, a) : a;
    return this.#shift(z, SAR, wide, count, true);
  }

  rotl(z: Width, a: Value, count: Value): Value {
    if (z >= 32) return this.#shift(z, [Op.i32_rotl, Op.i64_rotl], a, count, false);
    const back = this.sub(32, this.int(32, z), count);
    const both = this.or(32, this.shl(32, a, count), this.shr(32, a, back));
    return this.#low(z, both);
  }

  rotr(z: Width, a: Value, count: Value): Value {
    if (z >= 32) return this.#shift(z, [Op.i32_rotr, Op.i64_rotr], a, count, false);
    const back = this.sub(32, this.int(32, z), count);
    const both = this.or(32, this.shr(32, a, count), this.shl(32, a, back));
    return this.#low(z, both);
  }

  clz(z: Width, a: Value): Value {
    const zeros = this.#unary(z, [Op.i32_clz, Op.i64_clz], a);
    return z < 32 ? this.sub(32, zeros, this.int(32, 32 - z)) : zeros;
  }

  ctz(z: Width, a: Value): Value {
    const guarded = z < 32 ? this.or(32, a, this.int(32, 2 ** z)) : a;
    return this.#unary(z, [Op.i32_ctz, Op.i64_ctz], guarded);
  }

  popcnt(z: Width, a: Value): Value {
    return this.#unary(z, [Op.i32_popcnt, Op.i64_popcnt], a);
  }

  eq(z: Width, a: Value, b: Value): Value {
    return this.#compare(z, [Op.i32_eq, Op.i64_eq], a, b);
  }

  ne(z: Width, a: Value, b: Value): Value {
    return this.#compare(z, [Op.i32_ne, Op.i64_ne], a, b);
  }

  ltU(z: Width, a: Value, b: Value): Value {
    return this.#compare(z, [Op.i32_lt_u, Op.i64_lt_u], a, b);
  }

  ltS(z: Width, a: Value, b: Value): Value {
    return this.#compareSigned(z, [Op.i32_lt_s, Op.i64_lt_s], a, b);
  }

  leU(z: Width, a: Value, b: Value): Value {
    return this.#compare(z, [Op.i32_le_u, Op.i64_le_u], a, b);
  }

  leS(z: Width, a: Value, b: Value): Value {
    return this.#compareSigned(z, [Op.i32_le_s, Op.i64_le_s], a, b);
  }

  isZero(z: Width, a: Value): Value {
    this.put(a);
    this.f.code.op(z === 64 ? Op.i64_eqz : Op.i32_eqz);
    return this.take(ValueType.i32);
  }

  select(condition: Value, a: Value, b: Value): Value {
    this.put(a);
    this.put(b);
    this.put(condition);
    this.f.code.select(a.type);
    return this.take(a.type);
  }

  zext(from: Width, to: Width, a: Value): Value {
    if (from === to) return a;
    if (a.constant !== undefined) return this.#extendedConstant(from, to, a.constant, false);
    if (to === 64) return this.#convert(Op.i64_extend_i32_u, ValueType.i64, a);
    if (to > from) return a;
    const low = from === 64 ? this.#convert(Op.i32_wrap_i64, ValueType.i32, a) : a;
    return this.#low(to, low);
  }

  sext(from: Width, to: Width, a: Value): Value {
    if (to <= from) return this.zext(from, to, a);
    if (a.constant !== undefined) return this.#extendedConstant(from, to, a.constant, true);
    if (from === 32) return this.#convert(Op.i64_extend_i32_s, ValueType.i64, a);
    const extended = this.#convert(from === 8 ? Op.i32_extend8_s : Op.i32_extend16_s, ValueType.i32, a);
    return to === 64 ? this.#convert(Op.i64_extend_i32_s, ValueType.i64, extended) : this.#low(to, extended);
  }

  // ---- vectors ----

  vector(bytes: readonly number[]): Value {
    const { code } = this.f;
    code.vector(VectorOp.const);
    for (const byte of bytes) code.byte(byte);
    return this.take(ValueType.v128);
  }

  vector1(op: VectorUnary, a: Value): Value {
    this.put(a);
    return this.#vectorResult(VECTOR_OPCODES[op]);
  }

  vector2(op: VectorBinary, a: Value, b: Value): Value {
    this.put(a);
    this.put(b);
    return this.#vectorResult(VECTOR_OPCODES[op]);
  }

  vectorShift(op: VectorShift, a: Value, count: Value): Value {
    this.put(a);
    this.put(count);
    return this.#vectorResult(VECTOR_OPCODES[op]);
  }

  bitselect(a: Value, b: Value, mask: Value): Value {
    this.put(a);
    this.put(b);
    this.put(mask);
    return this.#vectorResult(VectorOp.bitselect);
  }

  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    const { code } = this.f;
    this.put(a);
    this.put(b);
    code.vector(VectorOp.shuffle);
    for (const lane of lanes) code.byte(lane);
    return this.take(ValueType.v128);
  }

  lane(shape: LaneShape, a: Value, lane: number): Value {
    this.put(a);
    this.f.code.vector(LANE_OPCODES[shape].extract);
    this.f.code.byte(lane);
    return this.take(shape === 'i64x2' ? ValueType.i64 : ValueType.i32);
  }

  withLane(shape: LaneShape, a: Value, lane: number, value: Value): Value {
    this.put(a);
    this.put(value);
    this.f.code.vector(LANE_OPCODES[shape].replace);
    this.f.code.byte(lane);
    return this.take(ValueType.v128);
  }

  splat(shape: LaneShape, value: Value): Value {
    this.put(value);
    return this.#vectorResult(LANE_OPCODES[shape].splat);
  }

  bitmask(shape: LaneShape, a: Value): Value {
    this.put(a);
    this.f.code.vector(LANE_OPCODES[shape].bitmask);
    return this.take(ValueType.i32);
  }

  anyTrue(a: Value): Value {
    this.put(a);
    this.f.code.vector(VectorOp.any_true);
    return this.take(ValueType.i32);
  }

  // ---- parts ----

  #vectorResult(opcode: number): Value {
    this.f.code.vector(opcode);
    return this.take(ValueType.v128);
  }

  #plain(z: Width, [i32, i64]: Pair, a: Value, b: Value): Value {
    this.put(a);
    this.put(b);
    this.f.code.op(z === 64 ? i64 : i32);
    return this.take(z === 64 ? ValueType.i64 : ValueType.i32);
  }

  #masked(z: Width, pair: Pair, a: Value, b: Value): Value {
    return this.#low(z, this.#plain(z, pair, a, b));
  }

  /** The low bits of an i32, where z is 8 or 16. */
  #low(z: Width, value: Value): Value {
    return z < 32 ? this.and(32, value, this.int(32, 2 ** z - 1)) : value;
  }

  #shift(z: Width, pair: Pair, a: Value, count: Value, overflows: boolean): Value {
    const shifted = this.#plain(z, pair, a, z === 64 ? this.zext(32, 64, count) : count);
    return overflows ? this.#low(z, shifted) : shifted;
  }

  #unary(z: Width, [i32, i64]: Pair, a: Value): Value {
    this.put(a);
    this.f.code.op(z === 64 ? i64 : i32);
    return this.take(z === 64 ? ValueType.i64 : ValueType.i32);
  }

  #compare(z: Width, [i32, i64]: Pair, a: Value, b: Value): Value {
    this.put(a);
    this.put(b);
    this.f.code.op(z === 64 ? i64 : i32);
    return this.take(ValueType.i32);
  }

  #compareSigned(z: Width, pair: Pair, a: Value, b: Value): Value {
    if (z >= 32) return this.#compare(z, pair, a, b);
    return this.#compare(32, pair, this.sext(z, 32, a), this.sext(z, 32, b));
  }

  #convert(op: Op, type: ValueType, a: Value): Value {
    this.put(a);
    this.f.code.op(op);
    return this.take(type);
  }

  #extendedConstant(from: Width, to: Width, constant: number | bigint, signed: boolean): Value {
    const value = BigInt(constant);
    return this.int(to, signed ? BigInt.asIntN(from, value) : BigInt.asUintN(from, value));
  }

  #call(index: number, type: ValueType, ...values: Value[]): Value {
    for (const value of values) this.put(value);
    this.f.code.opIndex(Op.call, index);
    return this.take(type);
  }
}
