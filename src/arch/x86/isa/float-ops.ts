/**
 * FloatOps<V>: the operations out of which the floating-point instructions of SSE are made. Unlike those of Ops<V> they
 * depend on MXCSR (rounding, DAZ, FTZ), raise its flags, and fault with #XM where an exception is unmasked: then nothing
 * of the instruction takes effect but the flags (SDM vol. 1 §11.5). Instructions that need several steps (DPPS) say several
 * operations: each settles its own exceptions.
 *
 * A scalar float is a value of its own kind: it comes from `readFloat` or an operation here and goes to `writeFloat` or
 * an operation here. An oracle may take it as the integer of its encoding. Packed floats are vectors.
 */

import type { Operand } from './decoded.ts';
import type { Width } from './ops.ts';

/** One element of 32 or 64 bits, or a vector of them. */
export const FLOAT_SHAPES = ['ss', 'sd', 'ps', 'pd'] as const;
export type FloatShape = (typeof FLOAT_SHAPES)[number];

/** Predicates of CMPccPS in the order of their encoding: EQ LT LE UNORD NEQ NLT NLE ORD. */
const PREDICATES = ['0', '1', '2', '3', '4', '5', '6', '7'] as const;
/** Immediates of ROUNDPS: bits 1:0 the mode, bit 2 takes it from MXCSR, bit 3 keeps PE quiet. */
const ROUNDINGS = [...PREDICATES, '8', '9', '10', '11', '12', '13', '14', '15'] as const;

/**
 * Operations whose result has the shape of their operands. The unary ones are given one operand; a comparison gives
 * elements of all ones or zeros; `addsub` subtracts even elements and adds odd ones.
 */
export const FLOAT_OPERATIONS = [
  'add',
  'sub',
  'mul',
  'div',
  'sqrt',
  'addsub',
  'min',
  'max',
  'rcp',
  'rsqrt',
  ...PREDICATES.map((predicate) => `cmp${predicate}` as const),
  ...ROUNDINGS.map((immediate) => `round${immediate}` as const),
] as const;
export type FloatOperation = (typeof FLOAT_OPERATIONS)[number];

/** Between scalars: the integer's width is part of the name, `t` is toward zero. */
export const SCALAR_CONVERSIONS = [
  'cvtsi32tosd',
  'cvtsi64tosd',
  'cvtsi32toss',
  'cvtsi64toss',
  'cvtsdtosi32',
  'cvtsdtosi64',
  'cvtsstosi32',
  'cvtsstosi64',
  'cvttsdtosi32',
  'cvttsdtosi64',
  'cvttsstosi32',
  'cvttsstosi64',
  'cvtsstosd',
  'cvtsdtoss',
] as const;
export type ScalarConversion = (typeof SCALAR_CONVERSIONS)[number];

/** Between vectors. Two elements come from the low half, or go there: the rest of the result is zero. */
export const VECTOR_CONVERSIONS = [
  'cvtdq2ps',
  'cvtdq2pd',
  'cvtps2dq',
  'cvttps2dq',
  'cvtpd2dq',
  'cvttpd2dq',
  'cvtps2pd',
  'cvtpd2ps',
] as const;
export type VectorConversion = (typeof VECTOR_CONVERSIONS)[number];

/** Comparisons into flags. */
export const FLAG_COMPARISONS = ['ucomiss', 'ucomisd', 'comiss', 'comisd'] as const;
export type FlagComparison = (typeof FLAG_COMPARISONS)[number];

export type FloatRoutineName =
  | `${FloatOperation}.${FloatShape}`
  | ScalarConversion
  | VectorConversion
  | FlagComparison;

/** All that have an exact routine (float/sse-routines.ts), by its code. First operations: code = 4 × operation + shape. */
export const FLOAT_ROUTINES: readonly FloatRoutineName[] = [
  ...FLOAT_OPERATIONS.flatMap((operation) => FLOAT_SHAPES.map((shape) => `${operation}.${shape}` as const)),
  ...SCALAR_CONVERSIONS,
  ...VECTOR_CONVERSIONS,
  ...FLAG_COMPARISONS,
];

const CODES: ReadonlyMap<string, number> = new Map(FLOAT_ROUTINES.map((name, code) => [name, code]));

/** The number of a routine. */
export function floatRoutineCode(name: FloatRoutineName): number {
  return CODES.get(name)!;
}

/** Bits of an element. */
export function elementBits(shape: FloatShape): 32 | 64 {
  return shape === 'ss' || shape === 'ps' ? 32 : 64;
}

/** Of the side of a scalar conversion in front of or behind "to". */
export function conversionSide(side: string): {
  readonly isFloat: boolean;
  readonly bits: Extract<Width, 32 | 64>;
} {
  return { isFloat: side.startsWith('s') && !side.startsWith('si'), bits: /sd|64/.test(side) ? 64 : 32 };
}

export interface FloatOps<V> {
  /** The value of an SSE operand: a scalar float of 32 or 64 bits, or a vector. */
  readFloat(operand: Operand): V;
  /** Sets it; the rest of a register keeps its value. */
  writeFloat(operand: Operand, value: V): void;
  float(operation: FloatOperation, shape: FloatShape, a: V, b?: V): V;
  /** ZF, PF and CF as in RFLAGS, width 32: COMIS, UCOMIS. */
  floatFlags(comparison: FlagComparison, a: V, b: V): V;
  /** Integers have the width in the name. */
  convertScalar(conversion: ScalarConversion, a: V): V;
  convertVector(conversion: VectorConversion, a: V): V;
}
