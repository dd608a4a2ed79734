/**
 * What one element of the SSE to SSE4.1 floating-point instructions computes, MXCSR being the environment.
 * Intel SDM vol. 1 §11.5 (exceptions), vol. 2 "CMPPD" (predicates), "COMISD", "CVT…", "ROUNDPD", APM vol. 4
 * likewise. Elements are encodings; packed forms are in sse-packed.ts.
 */

import { add, type BinaryOperation, div, mul, sqrt, sub } from './arithmetic.ts';
import { compare, max, min, Relation } from './compare.ts';
import { convert, fromInteger, roundToIntegral, toInteger } from './convert.ts';
import type { FloatEnvironment } from './environment.ts';
import { BINARY16, BINARY32, BINARY64, type FloatFormat } from './format.ts';

const OPERATIONS = { add, sub, mul, div, min, max } as const satisfies Record<string, BinaryOperation>;

/** The operations of two elements. */
export type SseArithmetic = keyof typeof OPERATIONS;

/** ADD, SUB, MUL, DIV, MIN or MAX of destination `a` and source `b`. */
export function sseArith(
  op: SseArithmetic,
  fmt: FloatFormat,
  a: bigint,
  b: bigint,
  env: FloatEnvironment,
): bigint {
  return OPERATIONS[op](env, fmt, a, b);
}

/** SQRT of an element. */
export function sseSqrt(fmt: FloatFormat, a: bigint, env: FloatEnvironment): bigint {
  return sqrt(env, fmt, a);
}

/** A predicate of CMPccPD: the relations for which it holds (bit per `Relation`), whether QNaNs raise IE. */
export type ComparePredicate = { readonly holds: number; readonly signalling: boolean };

const LT = 1 << Relation.less;
const EQ = 1 << Relation.equal;
const GT = 1 << Relation.greater;
const UN = 1 << Relation.unordered;

/** Predicates 0 to 15: EQ LT LE UNORD NEQ NLT NLE ORD EQ_UQ NGE NGT FALSE NEQ_OQ GE GT TRUE. */
const LOW_PREDICATES: readonly (readonly [holds: number, signalling: boolean])[] = [
  [EQ, false],
  [LT, true],
  [LT | EQ, true],
  [UN, false],
  [LT | GT | UN, false],
  [EQ | GT | UN, true],
  [GT | UN, true],
  [LT | EQ | GT, false],
  [EQ | UN, false],
  [LT | UN, true],
  [LT | EQ | UN, true],
  [0, false],
  [LT | GT, false],
  [EQ | GT, true],
  [GT, true],
  [LT | EQ | GT | UN, false],
];

/**
 * The 32 predicates of VCMPPD in encoding order; CMPPD has the first eight. Those from 16 on are the first
 * sixteen with the other treatment of QNaNs. SDM vol. 2A "CMPPD", table 3-1.
 */
export const COMPARE_PREDICATES: readonly ComparePredicate[] = [false, true].flatMap((other) =>
  LOW_PREDICATES.map(([holds, signalling]) => ({ holds, signalling: signalling !== other })),
);

/** CMPccSS and CMPccSD: all ones where the predicate holds, else zero. */
export function sseCompare(
  predicate: number,
  fmt: FloatFormat,
  a: bigint,
  b: bigint,
  env: FloatEnvironment,
): bigint {
  const { holds, signalling } = COMPARE_PREDICATES[predicate & 31]!;
  const relation = compare(env, fmt, a, b, signalling);
  return holds & (1 << relation) ? (1n << BigInt(fmt.widthBits)) - 1n : 0n;
}

/** RFLAGS after COMISD and UCOMISD by relation: ZF 0x40, PF 4, CF 1; OF, AF and SF are cleared. */
const COMPARE_RFLAGS = [0x01, 0x40, 0x00, 0x45] as const;

/** COMI (`signalling`) and UCOMI: the ZF, PF and CF bits of RFLAGS. Not to be used if #XM is due. */
export function sseCompareFlags(
  signalling: boolean,
  fmt: FloatFormat,
  a: bigint,
  b: bigint,
  env: FloatEnvironment,
): number {
  return COMPARE_RFLAGS[compare(env, fmt, a, b, signalling)]!;
}

/** An element of a conversion: an integer of that many bits, or a format. */
type ConversionSide = { readonly integerBits: number; readonly signed: boolean } | FloatFormat;

const I32 = { integerBits: 32, signed: true } as const;
const I64 = { integerBits: 64, signed: true } as const;
const U32 = { integerBits: 32, signed: false } as const;
const U64 = { integerBits: 64, signed: false } as const;

/** Conversions of one element: source, destination, and whether toward zero. */
type Conversion = { readonly from: ConversionSide; readonly to: ConversionSide; readonly truncate: boolean };

const FLOAT_SIDES = { ss: BINARY32, sd: BINARY64 } as const;
const INTEGER_SIDES = { si32: I32, si64: I64, usi32: U32, usi64: U64 } as const;

type FloatSide = keyof typeof FLOAT_SIDES;
type IntegerSide = keyof typeof INTEGER_SIDES;

/**
 * Mnemonics of conversions with the integer's size written out. The packed ones use the same: CVTDQ2PD is
 * `cvtsi32tosd` per element, CVTTPS2DQ `cvttsstosi32`.
 */
export type SseConversion =
  | `cvt${IntegerSide}to${FloatSide}`
  | `${'cvt' | 'cvtt'}${FloatSide}to${IntegerSide}`
  | 'cvtsstosd'
  | 'cvtsdtoss';

function conversions(): Map<string, Conversion> {
  const all = new Map<string, Conversion>();
  for (const [f, float] of Object.entries(FLOAT_SIDES)) {
    for (const [i, integer] of Object.entries(INTEGER_SIDES)) {
      all.set(`cvt${i}to${f}`, { from: integer, to: float, truncate: false });
      all.set(`cvt${f}to${i}`, { from: float, to: integer, truncate: false });
      all.set(`cvtt${f}to${i}`, { from: float, to: integer, truncate: true });
    }
  }
  all.set('cvtsstosd', { from: BINARY32, to: BINARY64, truncate: false });
  all.set('cvtsdtoss', { from: BINARY64, to: BINARY32, truncate: false });
  return all;
}

const CONVERSIONS: ReadonlyMap<string, Conversion> = conversions();

/** The shape of conversion `name`. */
export function conversion(name: SseConversion): Conversion {
  return CONVERSIONS.get(name)!;
}

/** Width in bits of one side of a conversion. */
export function sideBits(side: ConversionSide): number {
  return 'integerBits' in side ? side.integerBits : side.widthBits;
}

/** Converts one element; integers go in and come out as two's complement of their width. */
export function sseConvert(name: SseConversion, value: bigint, env: FloatEnvironment): bigint {
  const { from, to, truncate } = conversion(name);
  if ('integerBits' in from) {
    const integer = from.signed ? BigInt.asIntN(from.integerBits, value) : value;
    return fromInteger(env, to as FloatFormat, integer);
  }
  if ('integerBits' in to) {
    return toInteger(env, from, value, { bits: to.integerBits, signed: to.signed, truncate });
  }
  return convert(env, from, to, value);
}

/**
 * ROUNDSS, ROUNDSD and the elements of ROUNDPS, ROUNDPD. Bit 3 of `imm8` suppresses PE, bit 2 takes the
 * rounding mode from MXCSR instead of bits 1:0. SDM vol. 2B "ROUNDPD", figure 4-24.
 */
export function sseRound(imm8: number, fmt: FloatFormat, a: bigint, env: FloatEnvironment): bigint {
  const rounding = imm8 & 4 ? env.rounding : imm8 & 3;
  return roundToIntegral(env, fmt, a, { rounding, quiet: (imm8 & 8) !== 0 });
}

/** The element of VCVTPH2PS: exact, so DAZ and DE do not exist for it. SDM vol. 2C "VCVTPH2PS". */
export function halfToSingle(a: bigint, env: FloatEnvironment): bigint {
  const own = { ...env, daz: false };
  const result = convert(own, BINARY16, BINARY32, a, false);
  env.flags |= own.flags;
  return result;
}

/**
 * The element of VCVTPS2PH: FTZ does not hold for its results. Bit 2 of `imm8` takes the rounding mode from
 * MXCSR instead of bits 1:0. SDM vol. 2C "VCVTPS2PH".
 */
export function singleToHalf(imm8: number, a: bigint, env: FloatEnvironment): bigint {
  const own = { ...env, ftz: false, rounding: imm8 & 4 ? env.rounding : imm8 & 3 };
  const result = convert(own, BINARY32, BINARY16, a);
  env.flags |= own.flags;
  return result;
}
