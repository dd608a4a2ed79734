/**
 * F2XM1, FYL2X, FYL2XP1 and FPATAN, correctly rounded. Intel SDM vol. 1 §8.3.8 to §8.3.11, vol. 2A tables
 * 3-36 (FPATAN), 3-52 and 3-53 (FYL2X, FYL2XP1). Processors promise one unit in the last place; where they
 * are wrong by that much, the last bit and C1 differ. Results have 64 bits whatever FCW.PC says.
 */

import { exact, noteDenormals } from '../float/arithmetic.ts';
import { type FloatEnvironment, FloatFlag } from '../float/environment.ts';
import { fixedAtan, fixedExpm1, fixedLn2, fixedLog, fixedPi } from '../float/fixed-point.ts';
import {
  bitLength,
  EXTENDED80,
  FloatClass,
  infinity,
  isNan,
  type Unpacked,
  unpack,
  zero,
} from '../float/format.ts';
import { invalid, propagateNan } from '../float/nan.ts';
import { roundToFormat } from '../float/rounding.ts';
import { atFullPrecision, compute } from './arithmetic.ts';
import { row, type X87Instruction, type X87Unit } from './unit.ts';

/** Bits that a result is computed to, relative to its own size. */
const BITS = 256;
/** Below 2^−this an argument's own square no longer shows in a result. */
const TINY_EXPONENT = -140;

/** π and ln 2 to so many bits after the point. */
export const PI_BITS = 512;
export const PI = fixedPi(PI_BITS);
const LN2_BITS = 512;
const LN2 = fixedLn2(LN2_BITS);

/** floor(log2 |x|) of a finite value other than zero. */
export function exponentOf(x: Unpacked): number {
  return x.exponent + bitLength(x.significand) - 1;
}

/** Rounds a value that is not exact: ±`magnitude` × 2^`exponent`. */
export function roundInexact(
  env: FloatEnvironment,
  sign: number,
  magnitude: bigint,
  exponent: number,
): bigint {
  return atFullPrecision(env, (own) =>
    roundToFormat(own, EXTENDED80, sign, (magnitude << 1n) | 1n, exponent - 1),
  );
}

/** 1 as a register holds it. */
export const ONE = 0x3fff_8000_0000_0000_0000n;
const MINUS_HALF = 0xbffe_8000_0000_0000_0000n;

/** x as a fixed-point number of `bits` bits after the point. */
export function fixed(x: Unpacked, bits: number): bigint {
  const shift = x.exponent + bits;
  const magnitude = shift >= 0 ? x.significand << BigInt(shift) : x.significand >> BigInt(-shift);
  return x.sign ? -magnitude : magnitude;
}

/** 2^ST(0) − 1. Outside −1…1, where the result is undefined, the operand stays. */
function f2xm1(env: FloatEnvironment, value: bigint): bigint {
  const x = unpack(EXTENDED80, value);
  if (isNan(x)) return propagateNan(env, EXTENDED80, [x]);
  if (x.class === FloatClass.zero) return exact(env, value);
  if (x.class === FloatClass.infinity) return exact(env, x.sign ? ONE | EXTENDED80.signBit : value);
  noteDenormals(env, x);
  const top = exponentOf(x);
  if (top >= 0) {
    env.flags |= FloatFlag.PE;
    if (value === ONE) return exact(env, value);
    return exact(env, value === (ONE | EXTENDED80.signBit) ? MINUS_HALF : value);
  }
  if (top < TINY_EXPONENT) return roundInexact(env, x.sign, x.significand * LN2, x.exponent - LN2_BITS);
  const bits = BITS - top;
  const power = fixedExpm1((fixed(x, bits) * LN2) >> BigInt(LN2_BITS), bits);
  return roundInexact(env, x.sign, power < 0n ? -power : power, -bits);
}

/** log2(`significand` × 2^`exponent`), the argument positive, as a fixed-point number of `bits` bits. */
function log2(significand: bigint, exponent: number, bits: number): bigint {
  // Between 3/4 and 3/2 without an integer part, so that no digits cancel near 1.
  const size = BigInt(bitLength(significand) - 1);
  const upper = 2n * significand >= 3n << size;
  const whole = exponent + Number(size) + (upper ? 1 : 0);
  const fraction = fixedLog(significand, 1n << (upper ? size + 1n : size), bits);
  return (BigInt(whole) << BigInt(bits)) + (fraction << BigInt(LN2_BITS)) / LN2;
}

/** y times a logarithm other than zero. */
function scaledLog(env: FloatEnvironment, y: Unpacked, log: bigint, bits: number): bigint {
  const negative = log < 0n;
  const magnitude = (negative ? -log : log) * y.significand;
  return roundInexact(env, y.sign ^ (negative ? 1 : 0), magnitude, y.exponent - bits);
}

/** Whether the arguments are infinite or zero, and if so the result: `logSign` is the logarithm's. */
function logarithmLimit(
  env: FloatEnvironment,
  y: Unpacked,
  log: 'zero' | 'finite' | 'infinite',
  logSign: number,
): bigint | undefined {
  const sign = y.sign ^ logSign;
  if (y.class === FloatClass.infinity) {
    return log === 'zero' ? invalid(env, EXTENDED80) : exact(env, infinity(EXTENDED80, sign));
  }
  if (log === 'infinite') {
    return y.class === FloatClass.zero ? invalid(env, EXTENDED80) : exact(env, infinity(EXTENDED80, sign));
  }
  if (y.class === FloatClass.zero || log === 'zero') return exact(env, zero(EXTENDED80, sign));
  return undefined;
}

/** ST(1) × log2 ST(0). */
function fyl2x(env: FloatEnvironment, xBits: bigint, yBits: bigint): bigint {
  const x = unpack(EXTENDED80, xBits);
  const y = unpack(EXTENDED80, yBits);
  if (isNan(x) || isNan(y)) return propagateNan(env, EXTENDED80, [x, y]);
  if (x.class === FloatClass.zero) {
    if (y.class === FloatClass.normal || y.class === FloatClass.denormal) env.flags |= FloatFlag.ZE;
    return logarithmLimit(env, y, 'infinite', 1)!;
  }
  if (x.sign) return invalid(env, EXTENDED80);
  const isInfinite = x.class === FloatClass.infinity;
  const top = isInfinite ? 0 : exponentOf(x);
  const power = !isInfinite && x.significand === 1n << BigInt(bitLength(x.significand) - 1);
  const kind = isInfinite ? 'infinite' : power && top === 0 ? 'zero' : 'finite';
  const flags = env.flags;
  noteDenormals(env, x, y);
  const limit = logarithmLimit(env, y, kind, top < 0 ? 1 : 0);
  if (limit !== undefined) {
    if (env.flags & FloatFlag.IE) env.flags = flags | FloatFlag.IE;
    return limit;
  }
  if (power) {
    const sign = y.sign ^ (top < 0 ? 1 : 0);
    const magnitude = y.significand * BigInt(Math.abs(top));
    const result = atFullPrecision(env, (own) => roundToFormat(own, EXTENDED80, sign, magnitude, y.exponent));
    // Processors report the exact result as inexact.
    const isTiny = (result & ~EXTENDED80.signBit) >> BigInt(EXTENDED80.fieldBits) === 0n;
    env.flags |= isTiny ? FloatFlag.PE | FloatFlag.UE : FloatFlag.PE;
    return result;
  }
  return scaledLog(env, y, log2(x.significand, x.exponent, 2 * BITS), 2 * BITS);
}

/** ST(1) × log2(ST(0) + 1). */
function fyl2xp1(env: FloatEnvironment, xBits: bigint, yBits: bigint): bigint {
  const x = unpack(EXTENDED80, xBits);
  const y = unpack(EXTENDED80, yBits);
  if (isNan(x) || isNan(y)) return propagateNan(env, EXTENDED80, [x, y]);
  if (x.class === FloatClass.infinity && x.sign) return invalid(env, EXTENDED80);
  const kind = x.class === FloatClass.zero ? 'zero' : x.class === FloatClass.infinity ? 'infinite' : 'finite';
  const flags = env.flags;
  noteDenormals(env, x, y);
  const limit = logarithmLimit(env, y, kind, x.sign);
  if (limit !== undefined) {
    if (env.flags & FloatFlag.IE) env.flags = flags | FloatFlag.IE;
    return limit;
  }
  const top = exponentOf(x);
  if (top < TINY_EXPONENT) {
    const quotient = ((x.significand * y.significand) << BigInt(LN2_BITS + BITS)) / LN2;
    return roundInexact(env, x.sign ^ y.sign, quotient, x.exponent + y.exponent - BITS);
  }
  // The manuals define |x| < 1 − √½ alone. AMD Zen 4 goes on from there, and gives x where there is no result.
  if (x.sign && top >= 0) {
    env.flags |= FloatFlag.PE;
    return exact(env, xBits);
  }
  if (top > -TINY_EXPONENT) return scaledLog(env, y, log2(x.significand, x.exponent, BITS), BITS);
  const bits = BITS - Math.min(top, 0);
  const exponent = Math.min(x.exponent, 0);
  const term = x.significand << BigInt(x.exponent - exponent);
  const sum = (1n << BigInt(-exponent)) + (x.sign ? -term : term);
  return scaledLog(env, y, log2(sum, exponent, bits), bits);
}

/** ±`quarters` × π ÷ 4. */
function quartersOfPi(env: FloatEnvironment, sign: number, quarters: bigint): bigint {
  return roundInexact(env, sign, PI * quarters, -PI_BITS - 2);
}

/** The angle of the point (ST(0), ST(1)). */
function fpatan(env: FloatEnvironment, xBits: bigint, yBits: bigint): bigint {
  const x = unpack(EXTENDED80, xBits);
  const y = unpack(EXTENDED80, yBits);
  if (isNan(x) || isNan(y)) return propagateNan(env, EXTENDED80, [x, y]);
  noteDenormals(env, x, y);
  if (y.class === FloatClass.infinity) {
    return quartersOfPi(env, y.sign, x.class !== FloatClass.infinity ? 2n : x.sign ? 3n : 1n);
  }
  if (y.class === FloatClass.zero || x.class === FloatClass.infinity) {
    return x.sign ? quartersOfPi(env, y.sign, 4n) : exact(env, zero(EXTENDED80, y.sign));
  }
  if (x.class === FloatClass.zero) return quartersOfPi(env, y.sign, 2n);
  return angle(env, x, y);
}

/** FPATAN of finite values other than zero. */
function angle(env: FloatEnvironment, x: Unpacked, y: Unpacked): bigint {
  const difference = exponentOf(y) - exponentOf(x);
  if (difference < TINY_EXPONENT && !x.sign) {
    const quotient = (y.significand << BigInt(BITS)) / x.significand;
    const isExact = quotient * x.significand === y.significand << BigInt(BITS);
    // Slightly less than the quotient.
    const below = isExact ? (quotient << BigInt(BITS)) - 1n : quotient << BigInt(BITS);
    return roundInexact(env, y.sign, below, y.exponent - x.exponent - 2 * BITS);
  }
  const bits = BITS + Math.min(Math.max(-difference, 0), -TINY_EXPONENT);
  const pi = PI >> BigInt(PI_BITS - bits);
  let result: bigint;
  if (Math.abs(difference) > -TINY_EXPONENT) {
    // Too far apart to put on one scale: the smaller one only says on which side of a multiple of π/2.
    result = difference > 0 ? (pi >> 1n) + (x.sign ? 1n : -1n) : pi - 1n;
  } else {
    const exponent = Math.min(x.exponent, y.exponent);
    const a = y.significand << BigInt(y.exponent - exponent);
    const b = x.significand << BigInt(x.exponent - exponent);
    const first = a <= b ? fixedAtan(a, b, bits) : (pi >> 1n) - fixedAtan(b, a, bits);
    result = x.sign ? pi - first : first;
  }
  return roundInexact(env, y.sign, result, -bits);
}

/** An instruction of ST(0) and ST(1) whose result replaces ST(1), which is then popped to. */
function popping(
  operation: (env: FloatEnvironment, x: bigint, y: bigint) => bigint,
): (unit: X87Unit) => void {
  return (unit) => {
    const there = unit.needs(0, 1);
    if (there === false) return;
    if (there === 'masked') unit.setSt(1, EXTENDED80.defaultNan);
    else if (!compute(unit, 1, (env) => operation(env, unit.st(0), unit.st(1)))) return;
    unit.pop();
  };
}

function f2xm1Instruction(unit: X87Unit): void {
  const there = unit.needs(0);
  if (there === 'masked') unit.setSt(0, EXTENDED80.defaultNan);
  if (there === true) compute(unit, 0, (env) => f2xm1(env, unit.st(0)));
}

export const LOGARITHMS: readonly X87Instruction[] = [
  row('F2XM1', 0xd9, 0xf0, f2xm1Instruction),
  row('FYL2X', 0xd9, 0xf1, popping(fyl2x)),
  row('FPATAN', 0xd9, 0xf3, popping(fpatan)),
  row('FYL2XP1', 0xd9, 0xf9, popping(fyl2xp1)),
];
