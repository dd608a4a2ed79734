/**
 * Comparison of two encodings, with the exceptions of its quiet and signalling kinds, and x86's minimum and
 * maximum. Intel SDM vol. 1 §4.9.1, vol. 2 "COMISD", "UCOMISD", "MINSD", "MAXSD".
 */

import { noteDenormals } from './arithmetic.ts';
import { type FloatEnvironment, FloatFlag } from './environment.ts';
import { FloatClass, type FloatFormat, isNan, type Unpacked, unpack, zero } from './format.ts';

/** How two values relate. */
export const Relation = { less: 0, equal: 1, greater: 2, unordered: 3 } as const;

function signedOrder(x: Unpacked, y: Unpacked): number {
  if (x.class === FloatClass.zero && y.class === FloatClass.zero) return 0;
  if (x.class === FloatClass.zero) return y.sign ? 1 : -1;
  if (y.class === FloatClass.zero || x.sign !== y.sign) return x.sign ? -1 : 1;
  return x.sign ? -magnitudeOrder(x, y) : magnitudeOrder(x, y);
}

function magnitudeOrder(x: Unpacked, y: Unpacked): number {
  const infinities = Number(x.class === FloatClass.infinity) - Number(y.class === FloatClass.infinity);
  if (infinities !== 0 || x.class === FloatClass.infinity) return infinities;
  const exponent = Math.min(x.exponent, y.exponent);
  const a = x.significand << BigInt(x.exponent - exponent);
  const b = y.significand << BigInt(y.exponent - exponent);
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Relation of `a` to `b`, a value of `Relation`. Raises IE for SNaNs and unsupported encodings, if
 * `signalling` for QNaNs too; DE for denormals where neither is a NaN.
 */
export function compare(
  env: FloatEnvironment,
  fmt: FloatFormat,
  a: bigint,
  b: bigint,
  signalling: boolean,
): number {
  const x = unpack(fmt, a, env.daz);
  const y = unpack(fmt, b, env.daz);
  if (isNan(x) || isNan(y)) {
    const raises = signalling || x.class > FloatClass.quietNan || y.class > FloatClass.quietNan;
    if (raises) env.flags |= FloatFlag.IE;
    return Relation.unordered;
  }
  noteDenormals(env, x, y);
  return signedOrder(x, y) + 1;
}

function select(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint, wanted: number): bigint {
  const first = compare(env, fmt, a, b, true) === wanted;
  const chosen = first ? a : b;
  const value = unpack(fmt, chosen, env.daz);
  return value.class === FloatClass.zero ? zero(fmt, value.sign) : chosen;
}

/** The smaller of two; the second if either is a NaN (unchanged) or both are zeros. */
export function min(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  return select(env, fmt, a, b, Relation.less);
}

/** The larger of two; the second if either is a NaN (unchanged) or both are zeros. */
export function max(env: FloatEnvironment, fmt: FloatFormat, a: bigint, b: bigint): bigint {
  return select(env, fmt, a, b, Relation.greater);
}
