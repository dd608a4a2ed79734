/**
 * Conversions between formats and to and from integers, and rounding to integral values. Intel SDM vol. 1
 * §4.8.3.6, §4.9.1.1 (invalid conversions give the integer indefinite), §11.5.2; AVX-512's unsigned
 * conversions give all ones instead.
 */

import { exact, noteDenormals } from './arithmetic.ts';
import { type FloatEnvironment, FloatFlag, Rounding } from './environment.ts';
import { FloatClass, type FloatFormat, infinity, isNan, type Unpacked, unpack, zero } from './format.ts';
import { invalid, propagateNan } from './nan.ts';
import { roundAt, roundToFormat } from './rounding.ts';

/** A NaN of another format: its payload keeps its upper bits. */
function convertedNan(env: FloatEnvironment, from: FloatFormat, to: FloatFormat, x: Unpacked): bigint {
  if (x.class === FloatClass.unsupported) return invalid(env, to);
  const shift = BigInt(Math.abs(to.precision - from.precision));
  const significand = to.precision < from.precision ? x.significand >> shift : x.significand << shift;
  return propagateNan(env, to, [{ ...x, significand }]);
}

/**
 * Converts between formats; SNaNs become quiet and raise IE.
 * @param denormals whether a denormal operand raises DE: all but x87's stores
 */
export function convert(
  env: FloatEnvironment,
  from: FloatFormat,
  to: FloatFormat,
  bits: bigint,
  denormals = true,
): bigint {
  const x = unpack(from, bits, env.daz);
  if (isNan(x)) return convertedNan(env, from, to, x);
  if (denormals) noteDenormals(env, x);
  if (x.class === FloatClass.infinity) return exact(env, infinity(to, x.sign));
  if (x.class === FloatClass.zero) return exact(env, zero(to, x.sign));
  return roundToFormat(env, to, x.sign, x.significand, x.exponent);
}

/** How a value becomes an integer. */
export type IntegerTarget = {
  readonly bits: number;
  readonly signed: boolean;
  /** Round toward zero whatever the environment says. */
  readonly truncate: boolean;
};

/** The integer indefinite: the most negative signed, the largest unsigned value. */
export function integerIndefinite({ bits, signed }: IntegerTarget): bigint {
  return signed ? 1n << BigInt(bits - 1) : (1n << BigInt(bits)) - 1n;
}

/**
 * Converts to an integer, as two's complement of `target.bits` bits. NaNs and what does not fit once
 * rounded raise IE alone; an inexact conversion raises PE.
 */
export function toInteger(
  env: FloatEnvironment,
  fmt: FloatFormat,
  bits: bigint,
  target: IntegerTarget,
): bigint {
  const x = unpack(fmt, bits, env.daz);
  env.roundedUp = false;
  if (isNan(x) || x.class === FloatClass.infinity) return outOfRange(env, target);
  if (x.class === FloatClass.zero) return 0n;
  // Larger than any integer type: not worth the shift by thousands of bits.
  if (x.exponent > 64) return outOfRange(env, target);
  const rounding = target.truncate ? Rounding.towardZero : env.rounding;
  const rounded = roundAt(rounding, x.sign, x.significand, x.exponent, 0);
  const value = x.sign ? -rounded.value : rounded.value;
  const width = BigInt(target.bits);
  const limit = target.signed ? 1n << (width - 1n) : 1n << width;
  if (value >= limit || value < (target.signed ? -limit : 0n)) return outOfRange(env, target);
  if (rounded.inexact) env.flags |= FloatFlag.PE;
  env.roundedUp = rounded.up;
  return BigInt.asUintN(target.bits, value);
}

function outOfRange(env: FloatEnvironment, target: IntegerTarget): bigint {
  env.flags |= FloatFlag.IE;
  return integerIndefinite(target);
}

/** Converts an integer of either sign, rounding once. */
export function fromInteger(env: FloatEnvironment, fmt: FloatFormat, value: bigint): bigint {
  if (value === 0n) return exact(env, 0n);
  return value < 0n ? roundToFormat(env, fmt, 1, -value, 0) : roundToFormat(env, fmt, 0, value, 0);
}

/**
 * Rounds to an integral value in the same format; zero results keep the sign. Raises IE for SNaNs, PE
 * unless `quiet`; never DE from SSE's ROUNDSD (x87's FRNDINT passes `denormals`).
 */
export function roundToIntegral(
  env: FloatEnvironment,
  fmt: FloatFormat,
  bits: bigint,
  { rounding = env.rounding, quiet = false, denormals = false } = {},
): bigint {
  const x = unpack(fmt, bits, env.daz);
  if (isNan(x)) return propagateNan(env, fmt, [x]);
  if (denormals) noteDenormals(env, x);
  if (x.class === FloatClass.infinity) return exact(env, bits);
  if (x.class === FloatClass.zero) return exact(env, zero(fmt, x.sign));
  if (x.exponent >= 0) return exact(env, bits);
  const rounded = roundAt(rounding, x.sign, x.significand, x.exponent, 0);
  if (rounded.inexact && !quiet) env.flags |= FloatFlag.PE;
  const result =
    rounded.value === 0n
      ? zero(fmt, x.sign)
      : roundToFormat({ ...env, precisionBits: fmt.precision }, fmt, x.sign, rounded.value, 0);
  env.roundedUp = rounded.up;
  return result;
}
