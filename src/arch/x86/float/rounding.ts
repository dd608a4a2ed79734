/**
 * The one place where a result is rounded: an exact (or sticky) value to a format, with overflow, underflow
 * and inexactness. Intel SDM vol. 1 §4.8.4, §4.9.1.4 to §4.9.1.6 (tininess is detected after rounding),
 * §8.5.4 and §8.5.5 (x87's answers while unmasked), §10.2.3.3 (flush-to-zero).
 */

import { type FloatEnvironment, FloatFlag, Rounding } from './environment.ts';
import { bitLength, type FloatFormat, infinity, largestFinite, pack, zero } from './format.ts';

/** A magnitude cut to a multiple of a power of two. */
export type Rounded = { readonly value: bigint; readonly inexact: boolean; readonly up: boolean };

/** x87 adds or subtracts this where the overflow or underflow of a register result is unmasked. */
export const X87_BIAS_ADJUST = 24576;

/**
 * Rounds `significand` × 2^`exponent` to a multiple of 2^`lsb`.
 * @returns the multiple, whether it differs, and whether its magnitude is larger
 */
export function roundAt(
  rounding: number,
  sign: number,
  significand: bigint,
  exponent: number,
  lsb: number,
): Rounded {
  if (lsb <= exponent) {
    return { value: significand << BigInt(exponent - lsb), inexact: false, up: false };
  }
  const shift = BigInt(lsb - exponent);
  const value = significand >> shift;
  const rest = significand - (value << shift);
  if (rest === 0n) return { value, inexact: false, up: false };
  const up = roundsUp(rounding, sign, (value & 1n) === 1n, rest, 1n << (shift - 1n));
  return { value: up ? value + 1n : value, inexact: true, up };
}

function roundsUp(rounding: number, sign: number, odd: boolean, rest: bigint, half: bigint): boolean {
  if (rounding === Rounding.nearest) return rest > half || (rest === half && odd);
  if (rounding === Rounding.up) return sign === 0;
  return rounding === Rounding.down && sign === 1;
}

/**
 * The encoding of ±`significand` × 2^`exponent`, rounded as `env` says; raises OE, UE and PE. A caller that
 * cannot give the exact value gives at least two bits more than the precision, the lowest of them set if
 * anything below it is not zero.
 * @param significand positive
 */
export function roundToFormat(
  env: FloatEnvironment,
  fmt: FloatFormat,
  sign: number,
  significand: bigint,
  exponent: number,
): bigint {
  const precision = fmt.explicitInteger ? env.precisionBits : fmt.precision;
  const top = exponent + bitLength(significand) - 1;
  const free = roundAt(env.rounding, sign, significand, exponent, top - (precision - 1));
  const carry = free.value >> BigInt(precision) !== 0n;
  const resultExponent = carry ? top + 1 : top;
  const value = carry ? free.value >> 1n : free.value;
  const rounded = { ...free, value: value << BigInt(fmt.precision - precision) };
  if (resultExponent > fmt.maxExponent) return overflow(env, fmt, sign, rounded, resultExponent, precision);
  if (resultExponent < fmt.minExponent) {
    if (!(env.masks & FloatFlag.UE)) return unmaskedUnderflow(env, fmt, sign, rounded, resultExponent);
    return underflow(env, fmt, sign, significand, exponent, precision);
  }
  noteInexact(env, rounded);
  return pack(fmt, sign, rounded.value, resultExponent);
}

function noteInexact(env: FloatEnvironment, rounded: Rounded): void {
  env.roundedUp = rounded.up;
  if (rounded.inexact) env.flags |= FloatFlag.PE;
}

function overflow(
  env: FloatEnvironment,
  fmt: FloatFormat,
  sign: number,
  rounded: Rounded,
  exponent: number,
  precision: number,
): bigint {
  env.flags |= FloatFlag.OE;
  if (!(env.masks & FloatFlag.OE)) {
    return adjusted(env, fmt, sign, rounded, exponent - X87_BIAS_ADJUST);
  }
  env.flags |= FloatFlag.PE;
  const away = env.rounding === Rounding.nearest || env.rounding === (sign ? Rounding.down : Rounding.up);
  env.roundedUp = away;
  return away ? infinity(fmt, sign) : largestFinite(fmt, sign, precision);
}

/** Masked: the denormal nearest, or zero with FTZ. UE only together with inexactness, but FTZ always. */
function underflow(
  env: FloatEnvironment,
  fmt: FloatFormat,
  sign: number,
  significand: bigint,
  exponent: number,
  precision: number,
): bigint {
  if (env.ftz) {
    env.flags |= FloatFlag.UE | FloatFlag.PE;
    env.roundedUp = false;
    return zero(fmt, sign);
  }
  const lsb = fmt.minExponent - (precision - 1);
  const rounded = roundAt(env.rounding, sign, significand, exponent, lsb);
  noteInexact(env, rounded);
  if (rounded.inexact) env.flags |= FloatFlag.UE;
  return pack(fmt, sign, rounded.value << BigInt(fmt.precision - precision), fmt.minExponent);
}

function unmaskedUnderflow(
  env: FloatEnvironment,
  fmt: FloatFormat,
  sign: number,
  rounded: Rounded,
  exponent: number,
): bigint {
  env.flags |= FloatFlag.UE;
  return adjusted(env, fmt, sign, rounded, exponent + X87_BIAS_ADJUST);
}

/**
 * The answer to unmasked overflow and underflow: x87's registers get the rounded result with another
 * exponent; elsewhere there is no result. PE says whether it is inexact without regard to the exponent.
 */
function adjusted(
  env: FloatEnvironment,
  fmt: FloatFormat,
  sign: number,
  rounded: Rounded,
  exponent: number,
): bigint {
  noteInexact(env, rounded);
  if (env.rules !== 'x87' || !fmt.explicitInteger) return zero(fmt, sign);
  if (exponent >= fmt.minExponent && exponent <= fmt.maxExponent)
    return pack(fmt, sign, rounded.value, exponent);
  // Only FSCALE gets this far beyond the range: SDM vol. 2A table 3-31's note.
  env.flags |= FloatFlag.PE;
  env.roundedUp = exponent > fmt.maxExponent;
  return env.roundedUp ? infinity(fmt, sign) : zero(fmt, sign);
}
