/**
 * Addition, multiplication, division, square root and fused multiply-add of x86 on encodings of any format,
 * rounded once and with every exception flag. Intel SDM vol. 1 §4.9 (exceptions and their precedence),
 * §8.5 (x87), §11.5.2 (SSE), §14.5 (FMA).
 */

import { type FloatEnvironment, FloatFlag, Rounding } from './environment.ts';
import {
  bitLength,
  FloatClass,
  type FloatFormat,
  infinity,
  isNan,
  type Unpacked,
  unpack,
  zero,
} from './format.ts';
import { invalid, propagateNan } from './nan.ts';
import { roundToFormat } from './rounding.ts';

/** An operation of two operands: `(env, format, a, b) → result`. */
export type BinaryOperation = (env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint) => bigint;

/** Raises DE if an operand is denormal (and not taken as zero). */
export function noteDenormals(env: FloatEnvironment, ...operands: readonly Unpacked[]): void {
  if (operands.some((x) => x.class === FloatClass.denormal)) env.flags |= FloatFlag.DE;
}

/** An exact result needs no rounding: C1 is clear. */
export function exact(env: FloatEnvironment, bits: bigint): bigint {
  env.roundedUp = false;
  return bits;
}

const isInfinite = (x: Unpacked): boolean => x.class === FloatClass.infinity;
const isZero = (x: Unpacked): boolean => x.class === FloatClass.zero;
const negated = (x: Unpacked): Unpacked => ({ ...x, sign: 1 - x.sign });

/** A finite nonzero value with sign, or exact zero, as `value` × 2^`exponent`. */
type Term = { readonly value: bigint; readonly exponent: number };

const termOf = (x: Unpacked): Term => ({
  value: x.sign ? -x.significand : x.significand,
  exponent: x.exponent,
});

/** How far below the lowest bit of a term another one cannot be told from any other that small. */
const STICKY_DISTANCE = 80;

/** Whether `small` only says on which side of `large` the sum lies: saves shifts by thousands of bits. */
function isNegligible(small: Term, large: Term): boolean {
  if (large.value === 0n || small.exponent >= large.exponent - 2 * STICKY_DISTANCE) return false;
  const magnitude = small.value < 0n ? -small.value : small.value;
  return small.exponent + bitLength(magnitude) < large.exponent - STICKY_DISTANCE;
}

function stickyBelow(large: Term, small: Term): Term {
  const value = small.value > 0n ? 1n : small.value < 0n ? -1n : 0n;
  return { value, exponent: large.exponent - STICKY_DISTANCE };
}

/** The rounded sum of two exact terms; `zeroSign` is the sign of a sum of zeros alike, −1 if they differ. */
function roundedSum(env: FloatEnvironment, fmt: FloatFormat, a: Term, b: Term, zeroSign: number): bigint {
  if (isNegligible(b, a)) return roundedSum(env, fmt, a, stickyBelow(a, b), zeroSign);
  if (isNegligible(a, b)) return roundedSum(env, fmt, stickyBelow(b, a), b, zeroSign);
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.value << BigInt(a.exponent - exponent)) + (b.value << BigInt(b.exponent - exponent));
  if (sum === 0n) {
    const sign = zeroSign >= 0 ? zeroSign : env.rounding === Rounding.down ? 1 : 0;
    return exact(env, zero(fmt, sign));
  }
  const sign = sum < 0n ? 1 : 0;
  return roundToFormat(env, fmt, sign, sign ? -sum : sum, exponent);
}

function sum(env: FloatEnvironment, fmt: FloatFormat, a: Unpacked, b: Unpacked): bigint {
  if (isInfinite(a) && isInfinite(b) && a.sign !== b.sign) return invalid(env, fmt);
  noteDenormals(env, a, b);
  if (isInfinite(a)) return exact(env, infinity(fmt, a.sign));
  if (isInfinite(b)) return exact(env, infinity(fmt, b.sign));
  return roundedSum(
    env,
    fmt,
    termOf(a),
    termOf(b),
    a.sign === b.sign && isZero(a) && isZero(b) ? a.sign : -1,
  );
}

/** a + b. */
export function add(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  if (isNan(x) || isNan(y)) return propagateNan(env, fmt, [x, y]);
  return sum(env, fmt, x, y);
}

/** a − b. */
export function sub(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  if (isNan(x) || isNan(y)) return propagateNan(env, fmt, [x, y]);
  return sum(env, fmt, x, negated(y));
}

/** a × b. */
export function mul(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  if (isNan(x) || isNan(y)) return propagateNan(env, fmt, [x, y]);
  if ((isInfinite(x) && isZero(y)) || (isZero(x) && isInfinite(y))) return invalid(env, fmt);
  noteDenormals(env, x, y);
  const sign = x.sign ^ y.sign;
  if (isInfinite(x) || isInfinite(y)) return exact(env, infinity(fmt, sign));
  if (isZero(x) || isZero(y)) return exact(env, zero(fmt, sign));
  return roundToFormat(env, fmt, sign, x.significand * y.significand, x.exponent + y.exponent);
}

/** a ÷ b. */
export function div(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  if (isNan(x) || isNan(y)) return propagateNan(env, fmt, [x, y]);
  if ((isInfinite(x) && isInfinite(y)) || (isZero(x) && isZero(y))) return invalid(env, fmt);
  const sign = x.sign ^ y.sign;
  if (isZero(y) && !isInfinite(x)) {
    env.flags |= FloatFlag.ZE;
    return exact(env, infinity(fmt, sign));
  }
  noteDenormals(env, x, y);
  if (isInfinite(x)) return exact(env, infinity(fmt, sign));
  if (isInfinite(y) || isZero(x)) return exact(env, zero(fmt, sign));
  const shift = Math.max(0, fmt.precision + 3 + bitLength(y.significand) - bitLength(x.significand));
  const dividend = x.significand << BigInt(shift);
  const quotient = dividend / y.significand;
  const sticky = quotient * y.significand === dividend ? 0n : 1n;
  return roundToFormat(env, fmt, sign, (quotient << 1n) | sticky, x.exponent - y.exponent - shift - 1);
}

/** The largest integer whose square is at most `n`. */
export function integerSqrt(n: bigint): bigint {
  if (n < 2n) return n;
  let root = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** The square root of `a`. */
export function sqrt(env: FloatEnvironment, fmt: FloatFormat, a: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  if (isNan(x)) return propagateNan(env, fmt, [x]);
  if (isZero(x)) return exact(env, zero(fmt, x.sign));
  if (x.sign) return invalid(env, fmt);
  noteDenormals(env, x);
  if (isInfinite(x)) return exact(env, infinity(fmt, 0));
  let shift = Math.max(0, 2 * (fmt.precision + 3) - bitLength(x.significand));
  if ((x.exponent - shift) & 1) shift++;
  const square = x.significand << BigInt(shift);
  const root = integerSqrt(square);
  const sticky = root * root === square ? 0n : 1n;
  return roundToFormat(env, fmt, 0, (root << 1n) | sticky, (x.exponent - shift) / 2 - 1);
}

/** a × b + c, rounded once; NaNs are looked for in the order a, b, c (SDM vol. 1 table 14-17). */
export function fma(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint, c: bigint): bigint {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  const z = unpack(fmt, c, env.daz);
  if (isNan(x) || isNan(y) || isNan(z)) return propagateNan(env, fmt, [x, y, z]);
  if ((isInfinite(x) && isZero(y)) || (isZero(x) && isInfinite(y))) return invalid(env, fmt);
  const sign = x.sign ^ y.sign;
  const infiniteProduct = isInfinite(x) || isInfinite(y);
  if (infiniteProduct && isInfinite(z) && z.sign !== sign) return invalid(env, fmt);
  noteDenormals(env, x, y, z);
  if (infiniteProduct) return exact(env, infinity(fmt, sign));
  if (isInfinite(z)) return exact(env, infinity(fmt, z.sign));
  const magnitude = x.significand * y.significand;
  const product = { value: sign ? -magnitude : magnitude, exponent: x.exponent + y.exponent };
  const zeros = magnitude === 0n && isZero(z);
  return roundedSum(env, fmt, product, termOf(z), zeros && sign === z.sign ? sign : -1);
}
