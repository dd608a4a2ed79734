/**
 * Arithmetic of the double extended format on ordinary values, in operations of Ops<V>: what the fast paths compute with. Results
 * are good only where the condition that comes with them holds: normal operands and results, rounding to nearest and to 64
 * bits. SDM vol. 1 §4.2.2, §4.8.
 */

import type { Ops, Width } from '../ops.ts';

/** A value of a register: 64 bits of significand, and sign and exponent in the low 16 bits of a value of width 32. */
export interface X87Number<V> {
  readonly significand: V;
  readonly signExponent: V;
}

/** A result, whether it is one, and how it was rounded: conditions of width 32. */
export interface Rounded<V> extends X87Number<V> {
  readonly holds: V;
  readonly inexact: V;
  readonly roundedUp: V;
}

export const SIGN = 0x8000;
export const EXPONENT_MAX = 0x7fff;
export const BIAS = 0x3fff;
const INTEGER_BIT = -0x8000_0000_0000_0000n;

export function exponentOf<V>(o: Ops<V>, { signExponent }: X87Number<V>): V {
  return o.and(32, signExponent, o.int(32, EXPONENT_MAX));
}

export function signOf<V>(o: Ops<V>, { signExponent }: X87Number<V>): V {
  return o.and(32, signExponent, o.int(32, SIGN));
}

/** A normal number: not zero, denormal, infinite, NaN or unsupported. */
export function isNormal<V>(o: Ops<V>, x: X87Number<V>): V {
  const integer = o.ltS(64, x.significand, o.int(64, 0));
  return o.and(32, integer, isNormalExponent(o, exponentOf(o, x)));
}

export function isZero<V>(o: Ops<V>, x: X87Number<V>): V {
  return o.and(32, o.isZero(64, x.significand), o.isZero(32, exponentOf(o, x)));
}

export function isOrdinary<V>(o: Ops<V>, x: X87Number<V>): V {
  return o.or(32, isNormal(o, x), isZero(o, x));
}

/** 1 to 7FFE. */
function isNormalExponent<V>(o: Ops<V>, exponent: V): V {
  return o.ltU(32, o.sub(32, exponent, o.int(32, 1)), o.int(32, EXPONENT_MAX - 1));
}

/** Binary32 and binary64. */
export interface NarrowFormat {
  readonly z: Width;
  readonly fractionBits: number;
  readonly exponentMax: number;
}
export const SINGLE: NarrowFormat = { z: 32, fractionBits: 23, exponentMax: 0xff };
export const DOUBLE: NarrowFormat = { z: 64, fractionBits: 52, exponentMax: 0x7ff };

/** Widens a value of a narrower format: all but denormals and NaNs. */
export function widen<V>(
  o: Ops<V>,
  { z, fractionBits, exponentMax }: NarrowFormat,
  bits: V,
): X87Number<V> & { readonly holds: V } {
  const wide = o.zext(z, 64, bits);
  const fraction = o.and(64, wide, o.int(64, 2n ** BigInt(fractionBits) - 1n));
  const top = o.zext(64, 32, o.shr(64, wide, o.int(32, fractionBits)));
  const exponent = o.and(32, top, o.int(32, exponentMax));
  const sign = o.shl(32, o.shr(32, top, o.int(32, Math.log2(exponentMax + 1))), o.int(32, 15));
  const isOrdinary = o.ltU(32, o.sub(32, exponent, o.int(32, 1)), o.int(32, exponentMax - 1));
  const isZeroExponent = o.isZero(32, exponent);
  const shifted = o.shl(64, fraction, o.int(32, 63 - fractionBits));
  const rebased = o.add(32, exponent, o.int(32, BIAS - (exponentMax >> 1)));
  const special = o.select(isZeroExponent, o.int(32, 0), o.int(32, EXPONENT_MAX));
  return {
    holds: o.or(32, isOrdinary, o.isZero(64, fraction)),
    significand: o.select(isZeroExponent, o.int(64, 0), o.or(64, shifted, o.int(64, INTEGER_BIT))),
    signExponent: o.or(32, sign, o.select(isOrdinary, rebased, special)),
  };
}

/** Narrows a normal number, or zero, to nearest: where the result is surely normal. The value is one of the format's width. */
export function narrow<V>(
  o: Ops<V>,
  { z, fractionBits, exponentMax }: NarrowFormat,
  x: X87Number<V>,
): { readonly bits: V; readonly holds: V; readonly inexact: V; readonly roundedUp: V } {
  const exponent = o.sub(32, exponentOf(o, x), o.int(32, BIAS - (exponentMax >> 1)));
  const zero = isZero(o, x);
  // One less than the largest: rounding may carry into the exponent.
  const fits = o.ltU(32, o.sub(32, exponent, o.int(32, 1)), o.int(32, exponentMax - 2));
  const dropped = 63 - fractionBits;
  const kept = o.shr(64, x.significand, o.int(32, dropped));
  const rest = o.shl(64, x.significand, o.int(32, 64 - dropped));
  const roundedUp = o.and(32, roundsUp(o, kept, rest), o.isZero(32, zero));
  const fraction = o.and(64, kept, o.int(64, 2n ** BigInt(fractionBits) - 1n));
  const packed = o.or(64, fraction, o.shl(64, o.zext(32, 64, exponent), o.int(32, fractionBits)));
  const magnitude = o.select(zero, o.int(64, 0), o.add(64, packed, o.zext(32, 64, roundedUp)));
  const sign = o.shl(64, o.zext(32, 64, signOf(o, x)), o.int(32, z - 16));
  return {
    bits: o.zext(64, z, o.or(64, magnitude, sign)),
    holds: o.or(32, zero, o.and(32, fits, o.ltS(64, x.significand, o.int(64, 0)))),
    inexact: o.ne(64, rest, o.int(64, 0)),
    roundedUp,
  };
}

/** Whether a significand with 64 more bits behind it is rounded up: to nearest, ties to even. */
function roundsUp<V>(o: Ops<V>, significand: V, rest: V): V {
  const half = o.int(64, INTEGER_BIT);
  const odd = o.zext(64, 32, o.and(64, significand, o.int(64, 1)));
  return o.or(32, o.ltU(64, half, rest), o.and(32, odd, o.eq(64, rest, half)));
}

/** Rounds a significand with its integer bit and 64 more bits behind it. */
function rounded<V>(o: Ops<V>, sign: V, exponent: V, significand: V, rest: V): Rounded<V> {
  const up = roundsUp(o, significand, rest);
  const sum = o.add(64, significand, o.zext(32, 64, up));
  const carry = o.and(32, up, o.isZero(64, sum));
  const finalExponent = o.add(32, exponent, carry);
  return {
    significand: o.select(carry, o.int(64, INTEGER_BIT), sum),
    signExponent: o.or(32, sign, finalExponent),
    holds: isNormalExponent(o, finalExponent),
    inexact: o.ne(64, rest, o.int(64, 0)),
    roundedUp: up,
  };
}

/** The product of two normal numbers. */
export function multiply<V>(o: Ops<V>, x: X87Number<V>, y: X87Number<V>): Rounded<V> {
  const high = o.mulHighU(64, x.significand, y.significand);
  const low = o.mul(64, x.significand, y.significand);
  const isLong = o.ltS(64, high, o.int(64, 0));
  const shifted = o.or(64, o.shl(64, high, o.int(32, 1)), o.shr(64, low, o.int(32, 63)));
  const exponent = o.add(
    32,
    o.sub(32, o.add(32, exponentOf(o, x), exponentOf(o, y)), o.int(32, BIAS)),
    isLong,
  );
  const sign = o.and(32, o.xor(32, x.signExponent, y.signExponent), o.int(32, SIGN));
  const significand = o.select(isLong, high, shifted);
  return rounded(o, sign, exponent, significand, o.select(isLong, low, o.shl(64, low, o.int(32, 1))));
}

/** The sum of two normal numbers, or of one and zero; not where it is zero. */
export function add<V>(o: Ops<V>, a: X87Number<V>, b: X87Number<V>): Rounded<V> {
  const [ea, eb] = [exponentOf(o, a), exponentOf(o, b)];
  const swaps = o.or(
    32,
    o.ltU(32, ea, eb),
    o.and(32, o.eq(32, ea, eb), o.ltU(64, a.significand, b.significand)),
  );
  const large = o.select(swaps, b.significand, a.significand);
  const small = o.select(swaps, a.significand, b.significand);
  const exponent = o.select(swaps, eb, ea);
  const sign = signOf(o, { ...a, signExponent: o.select(swaps, b.signExponent, a.signExponent) });
  const distance = o.sub(32, exponent, o.select(swaps, ea, eb));
  const [high, low] = shiftedRight(o, small, distance);
  const isSum = o.isZero(32, o.and(32, o.xor(32, a.signExponent, b.signExponent), o.int(32, SIGN)));
  const sum = sumOf(o, exponent, large, high, low);
  const difference = differenceOf(o, exponent, large, high, low);
  const pick = (name: keyof Aligned<V>) => o.select(isSum, sum[name], difference[name]);
  const result = rounded(o, sign, pick('exponent'), pick('significand'), pick('rest'));
  return { ...result, holds: o.and(32, result.holds, pick('holds')) };
}

/** A significand and 64 bits behind it; the lowest stands for all that are lower. */
interface Aligned<V> {
  readonly exponent: V;
  readonly significand: V;
  readonly rest: V;
  readonly holds: V;
}

function shiftedRight<V>(o: Ops<V>, significand: V, distance: V): readonly [high: V, low: V] {
  const [zero, one] = [o.int(64, 0), o.int(64, 1)];
  const count = o.and(32, distance, o.int(32, 63));
  const isShort = o.ltU(32, distance, o.int(32, 64));
  const down = o.shr(64, significand, count);
  const lost = o.shl(64, significand, o.and(32, o.neg(32, count), o.int(32, 63)));
  const out = o.select(o.ne(32, count, o.int(32, 0)), lost, zero);
  const sticky = o.select(o.isZero(64, out), zero, one);
  const far = o.select(o.isZero(64, significand), zero, one);
  const isMiddle = o.ltU(32, distance, o.int(32, 128));
  const low = o.select(isShort, out, o.select(isMiddle, o.or(64, down, sticky), far));
  return [o.select(isShort, down, zero), low];
}

function sumOf<V>(o: Ops<V>, exponent: V, large: V, high: V, low: V): Aligned<V> {
  const sum = o.add(64, large, high);
  const carry = o.ltU(64, sum, large);
  const halved = o.or(64, o.shr(64, sum, o.int(32, 1)), o.int(64, INTEGER_BIT));
  const fallen = o.or(64, o.shl(64, sum, o.int(32, 63)), o.shr(64, low, o.int(32, 1)));
  const sticky = o.or(64, fallen, o.and(64, low, o.int(64, 1)));
  return {
    exponent: o.add(32, exponent, carry),
    significand: o.select(carry, halved, sum),
    rest: o.select(carry, sticky, low),
    holds: o.int(32, 1),
  };
}

function differenceOf<V>(o: Ops<V>, exponent: V, large: V, high: V, low: V): Aligned<V> {
  const borrow = o.zext(32, 64, o.ne(64, low, o.int(64, 0)));
  const difference = o.sub(64, o.sub(64, large, high), borrow);
  const rest = o.neg(64, low);
  const zeros = o.clz(64, difference);
  const count = o.zext(64, 32, zeros);
  const fill = o.shr(64, rest, o.and(32, o.neg(32, count), o.int(32, 63)));
  const filled = o.or(64, o.shl(64, difference, count), fill);
  return {
    exponent: o.sub(32, exponent, count),
    significand: o.select(o.ne(32, count, o.int(32, 0)), filled, difference),
    rest: o.shl(64, rest, count),
    holds: o.ne(64, difference, o.int(64, 0)),
  };
}

/** The quotient of two normal numbers. */
export function divide<V>(o: Ops<V>, x: X87Number<V>, y: X87Number<V>): Rounded<V> {
  const isLong = o.leU(64, y.significand, x.significand);
  const high = o.select(isLong, o.shr(64, x.significand, o.int(32, 1)), x.significand);
  const low = o.select(isLong, o.shl(64, x.significand, o.int(32, 63)), o.int(64, 0));
  const [upper, between] = digit(o, y.significand, high, o.shr(64, low, o.int(32, 32)));
  const [lower, remainder] = digit(o, y.significand, between, o.int(64, 0));
  const quotient = o.or(64, o.shl(64, upper, o.int(32, 32)), lower);
  const beyond = o.sub(64, y.significand, remainder);
  const nearHalf = o.select(o.ltU(64, beyond, remainder), o.int(64, INTEGER_BIT + 1n), o.int(64, 1));
  const rest = o.select(o.eq(64, beyond, remainder), o.int(64, INTEGER_BIT), nearHalf);
  const difference = o.sub(32, exponentOf(o, x), exponentOf(o, y));
  const exponent = o.add(32, o.add(32, difference, o.int(32, BIAS - 1)), isLong);
  const sign = o.and(32, o.xor(32, x.signExponent, y.signExponent), o.int(32, SIGN));
  const exact = o.isZero(64, remainder);
  return rounded(o, sign, exponent, quotient, o.select(exact, o.int(64, 0), rest));
}

/**
 * 32 bits of a quotient: `high` with 32 more bits behind it by a divisor with its highest bit set. Knuth, The Art of Computer
 * Programming, vol. 2 §4.3.1, algorithm D, steps D3 and D4: the estimate is at most two too large.
 */
function digit<V>(o: Ops<V>, divisor: V, high: V, next: V): readonly [digit: V, remainder: V] {
  const low32 = o.int(64, 0xffff_ffffn);
  // The highest bit once more: a divisor that is not normal, whose quotient nobody uses, is not to trap.
  const top = o.or(64, o.shr(64, divisor, o.int(32, 32)), o.int(64, 0x8000_0000));
  const bottom = o.and(64, divisor, low32);
  let estimate = o.divU(64, high, top);
  let rest = o.sub(64, high, o.mul(64, estimate, top));
  for (let i = 0; i < 2; i++) {
    const isSmall = o.leU(64, rest, low32);
    const behind = o.or(64, o.shl(64, rest, o.int(32, 32)), next);
    const tooLarge = o.or(32, o.ltU(64, low32, estimate), o.ltU(64, behind, o.mul(64, estimate, bottom)));
    const corrects = o.zext(32, 64, o.and(32, isSmall, tooLarge));
    estimate = o.sub(64, estimate, corrects);
    rest = o.add(64, rest, o.mul(64, corrects, top));
  }
  const whole = o.or(64, o.shl(64, high, o.int(32, 32)), next);
  return [estimate, o.sub(64, whole, o.mul(64, estimate, divisor))];
}

/** How ordinary numbers (normal or zero) compare: conditions. */
export function compare<V>(
  o: Ops<V>,
  a: X87Number<V>,
  b: X87Number<V>,
): { readonly less: V; readonly equal: V } {
  const [ea, eb] = [exponentOf(o, a), exponentOf(o, b)];
  const sameExponent = o.eq(32, ea, eb);
  const smaller = o.or(
    32,
    o.ltU(32, ea, eb),
    o.and(32, sameExponent, o.ltU(64, a.significand, b.significand)),
  );
  const sameSize = o.and(32, sameExponent, o.eq(64, a.significand, b.significand));
  const bothZero = o.and(32, isZero(o, a), isZero(o, b));
  const signA = o.shr(32, a.signExponent, o.int(32, 15));
  const sameSign = o.eq(32, signA, o.shr(32, b.signExponent, o.int(32, 15)));
  const larger = o.isZero(32, o.or(32, smaller, sameSize));
  const ofSameSign = o.select(signA, larger, smaller);
  const less = o.select(sameSign, ofSameSign, o.and(32, signA, o.isZero(32, bothZero)));
  return { less, equal: o.or(32, bothZero, o.and(32, sameSign, sameSize)) };
}

/** A signed integer of so many bits: always exact. */
export function fromInteger<V>(o: Ops<V>, z: Width, value: V): X87Number<V> {
  const wide = z === 64 ? value : o.sext(z, 64, value);
  const isNegative = o.ltS(64, wide, o.int(64, 0));
  const magnitude = o.select(isNegative, o.neg(64, wide), wide);
  const zeros = o.zext(64, 32, o.clz(64, magnitude));
  const signExponent = o.or(32, o.shl(32, isNegative, o.int(32, 15)), o.sub(32, o.int(32, BIAS + 63), zeros));
  return {
    significand: o.shl(64, magnitude, o.and(32, zeros, o.int(32, 63))),
    signExponent: o.select(o.isZero(64, magnitude), o.int(32, 0), signExponent),
  };
}

/** An integer of so many bits, of normal numbers and zero that surely fit: to nearest, or towards zero. */
export function toInteger<V>(
  o: Ops<V>,
  z: Width,
  x: X87Number<V>,
  truncates: V,
): { readonly value: V; readonly holds: V; readonly inexact: V; readonly roundedUp: V } {
  const zero = isZero(o, x);
  const shift = o.sub(32, o.int(32, BIAS + 63), exponentOf(o, x));
  const isShort = o.ltU(32, shift, o.int(32, 64));
  const count = o.and(32, shift, o.int(32, 63));
  const whole = o.select(isShort, o.shr(64, x.significand, count), o.int(64, 0));
  const fallen = o.shl(64, x.significand, o.and(32, o.neg(32, count), o.int(32, 63)));
  const isHalf = o.eq(32, shift, o.int(32, 64));
  const below = o.select(isHalf, x.significand, o.int(64, 1));
  const rest = o.select(zero, o.int(64, 0), o.select(isShort, fallen, below));
  const roundedUp = o.and(32, roundsUp(o, whole, rest), o.isZero(32, truncates));
  const magnitude = o.add(64, whole, o.zext(32, 64, roundedUp));
  const value = o.select(o.ne(32, signOf(o, x), o.int(32, 0)), o.neg(64, magnitude), magnitude);
  // Below half of the range: rounding does not leave it. At least one bit falls, so that no shift is by nothing.
  const fits = o.ltS(32, o.int(32, 64 - z + 1), shift);
  return {
    value: o.zext(64, z, value),
    holds: o.or(32, zero, o.and(32, fits, isNormal(o, x))),
    inexact: o.ne(64, rest, o.int(64, 0)),
    roundedUp,
  };
}
