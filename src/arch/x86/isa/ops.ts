/**
 * Ops<V>: the operations out of which instructions are made, over values of any representation: places in generated
 * WebAssembly, bigints of an oracle, dependencies of a timing model. Integers are of a width and always zero-extended;
 * conditions are of width 32 and 0 or 1. Vectors have 128 bits.
 */

/** Bits of an integer value. */
export type Width = 8 | 16 | 32 | 64;

/** Vector operations with one and two operands, with WebAssembly's names and meanings (Core Specification §4.3.3–4.3.6). */
export type VectorUnary = (typeof VECTOR_UNARY)[number];
export type VectorBinary = (typeof VECTOR_BINARY)[number];
/** Shifts of all lanes by the same number of bits, less than the lane has. */
export type VectorShift = (typeof VECTOR_SHIFTS)[number];
export type LaneShape = 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2';

const SHAPES = ['i8x16', 'i16x8', 'i32x4', 'i64x2'] as const;
export const VECTOR_UNARY = [
  'v128.not',
  'i8x16.abs',
  'i16x8.abs',
  'i32x4.abs',
  'i8x16.neg',
  'i16x8.neg',
  'i32x4.neg',
  'i64x2.neg',
  'i8x16.popcnt',
  'i16x8.extend_low_i8x16_s',
  'i16x8.extend_high_i8x16_s',
  'i16x8.extend_low_i8x16_u',
  'i16x8.extend_high_i8x16_u',
  'i32x4.extend_low_i16x8_s',
  'i32x4.extend_high_i16x8_s',
  'i32x4.extend_low_i16x8_u',
  'i32x4.extend_high_i16x8_u',
  'i64x2.extend_low_i32x4_s',
  'i64x2.extend_high_i32x4_s',
  'i64x2.extend_low_i32x4_u',
  'i64x2.extend_high_i32x4_u',
  'i16x8.extadd_pairwise_i8x16_u',
  'i32x4.extadd_pairwise_i16x8_s',
] as const;
export const VECTOR_BINARY = [
  'v128.and',
  'v128.andnot',
  'v128.or',
  'v128.xor',
  'i8x16.swizzle',
  'i8x16.add',
  'i16x8.add',
  'i32x4.add',
  'i64x2.add',
  'i8x16.sub',
  'i16x8.sub',
  'i32x4.sub',
  'i64x2.sub',
  'i8x16.add_sat_s',
  'i8x16.add_sat_u',
  'i16x8.add_sat_s',
  'i16x8.add_sat_u',
  'i8x16.sub_sat_s',
  'i8x16.sub_sat_u',
  'i16x8.sub_sat_s',
  'i16x8.sub_sat_u',
  'i8x16.min_s',
  'i8x16.min_u',
  'i8x16.max_s',
  'i8x16.max_u',
  'i16x8.min_s',
  'i16x8.min_u',
  'i16x8.max_s',
  'i16x8.max_u',
  'i32x4.min_s',
  'i32x4.min_u',
  'i32x4.max_s',
  'i32x4.max_u',
  'i8x16.avgr_u',
  'i16x8.avgr_u',
  'i16x8.mul',
  'i32x4.mul',
  'i64x2.mul',
  'i32x4.dot_i16x8_s',
  'i16x8.q15mulr_sat_s',
  'i32x4.extmul_low_i16x8_s',
  'i32x4.extmul_high_i16x8_s',
  'i32x4.extmul_low_i16x8_u',
  'i32x4.extmul_high_i16x8_u',
  'i64x2.extmul_low_i32x4_s',
  'i64x2.extmul_low_i32x4_u',
  'i8x16.narrow_i16x8_s',
  'i8x16.narrow_i16x8_u',
  'i16x8.narrow_i32x4_s',
  'i16x8.narrow_i32x4_u',
  'i8x16.eq',
  'i16x8.eq',
  'i32x4.eq',
  'i64x2.eq',
  'i8x16.gt_s',
  'i16x8.gt_s',
  'i32x4.gt_s',
  'i64x2.gt_s',
] as const;
export const VECTOR_SHIFTS = SHAPES.flatMap((shape) => [
  `${shape}.shl` as const,
  `${shape}.shr_s` as const,
  `${shape}.shr_u` as const,
]);

export interface Ops<V> {
  // ---- integers ----

  /** The constant `value` modulo 2^z. */
  int(z: Width, value: number | bigint): V;
  add(z: Width, a: V, b: V): V;
  sub(z: Width, a: V, b: V): V;
  /** The low z bits of the product. */
  mul(z: Width, a: V, b: V): V;
  /** The high z bits of the product of two unsigned, or signed, numbers. */
  mulHighU(z: Width, a: V, b: V): V;
  mulHighS(z: Width, a: V, b: V): V;
  /** Quotient and remainder at width 32 or 64; the divisor is not zero, and the quotient does not overflow. */
  divU(z: Width, a: V, b: V): V;
  divS(z: Width, a: V, b: V): V;
  remU(z: Width, a: V, b: V): V;
  remS(z: Width, a: V, b: V): V;
  and(z: Width, a: V, b: V): V;
  or(z: Width, a: V, b: V): V;
  xor(z: Width, a: V, b: V): V;
  not(z: Width, a: V): V;
  neg(z: Width, a: V): V;
  /** Shifts and rotations by `count`, a value of width 32 that is less than z. */
  shl(z: Width, a: V, count: V): V;
  shr(z: Width, a: V, count: V): V;
  sar(z: Width, a: V, count: V): V;
  rotl(z: Width, a: V, count: V): V;
  rotr(z: Width, a: V, count: V): V;
  /** Leading and trailing zeros: z for 0. The result has width z. */
  clz(z: Width, a: V): V;
  ctz(z: Width, a: V): V;
  popcnt(z: Width, a: V): V;
  eq(z: Width, a: V, b: V): V;
  ne(z: Width, a: V, b: V): V;
  ltU(z: Width, a: V, b: V): V;
  ltS(z: Width, a: V, b: V): V;
  leU(z: Width, a: V, b: V): V;
  leS(z: Width, a: V, b: V): V;
  isZero(z: Width, a: V): V;
  /** `a` where the condition holds, else `b`; both have been computed. Vectors too. */
  select(condition: V, a: V, b: V): V;
  /** From one width to another: zero- or sign-extended where it is wider, else the low bits. */
  zext(from: Width, to: Width, a: V): V;
  sext(from: Width, to: Width, a: V): V;

  // ---- vectors ----

  /** A constant of 16 bytes, lowest first. */
  vector(bytes: readonly number[]): V;
  vector1(op: VectorUnary, a: V): V;
  vector2(op: VectorBinary, a: V, b: V): V;
  vectorShift(op: VectorShift, a: V, count: V): V;
  /** Bits of `a` where `mask` has ones, else of `b`. */
  bitselect(a: V, b: V, mask: V): V;
  /** Byte i of the result is byte lanes[i] of a (0 to 15) or b (16 to 31). */
  shuffle(a: V, b: V, lanes: readonly number[]): V;
  /** Lane `lane` as a zero-extended integer, or the vector with this integer there. */
  lane(shape: LaneShape, a: V, lane: number): V;
  withLane(shape: LaneShape, a: V, lane: number, value: V): V;
  /** All lanes the same integer. */
  splat(shape: LaneShape, value: V): V;
  /** One bit per lane: its highest. Width 32. */
  bitmask(shape: LaneShape, a: V): V;
  /** Width 32, 0 or 1. */
  anyTrue(a: V): V;
}
