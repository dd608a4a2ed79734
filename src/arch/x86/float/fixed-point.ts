/**
 * Elementary functions on fixed-point bigints: what x87's transcendental instructions are computed with. A
 * number n stands for n ÷ 2^bits; results are off by a few units. Series: Abramowitz and Stegun, Handbook of
 * Mathematical Functions, 4.1.27 (logarithm), 4.2.1 (exponential), 4.3.65 and 4.3.66 (sine, cosine), 4.4.42
 * (arctangent).
 */

import { integerSqrt } from './arithmetic.ts';

/** Working bits beyond what the caller asks for. */
const GUARD = 32;

/** Σ ±x^(2k+1) ÷ (2k+1) for x = 1 ÷ `n`: atan(1 ÷ n) where `alternate`, atanh(1 ÷ n) otherwise. */
function inverseSeries(n: bigint, bits: number, alternate: boolean): bigint {
  let power = (1n << BigInt(bits)) / n;
  let sum = power;
  for (let k = 3n, sign = -1n; power !== 0n; k += 2n, sign = -sign) {
    power /= n * n;
    sum += ((alternate ? sign : 1n) * power) / k;
  }
  return sum;
}

/** π, by Machin's formula. */
export function fixedPi(bits: number): bigint {
  const own = bits + GUARD;
  const pi = 16n * inverseSeries(5n, own, true) - 4n * inverseSeries(239n, own, true);
  return pi >> BigInt(GUARD);
}

/** ln 2 = 2 atanh(1/3). */
export function fixedLn2(bits: number): bigint {
  return (2n * inverseSeries(3n, bits + GUARD, false)) >> BigInt(GUARD);
}

/** e^x − 1 for |x| < 1. */
export function fixedExpm1(x: bigint, bits: number): bigint {
  const halvings = 8;
  const own = BigInt(bits + GUARD);
  const reduced = (x << BigInt(GUARD)) >> BigInt(halvings);
  let term = reduced;
  let sum = reduced;
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = ((term * reduced) >> own) / k;
    sum += term;
  }
  // e^2x − 1 = (e^x − 1)(e^x − 1 + 2) keeps small results as exact as large ones.
  for (let i = 0; i < halvings; i++) sum = (sum * (sum + (2n << own))) >> own;
  return sum >> BigInt(GUARD);
}

/** ln(numerator ÷ denominator) for a quotient between 1/2 and 2. */
export function fixedLog(numerator: bigint, denominator: bigint, bits: number): bigint {
  const own = BigInt(bits + GUARD);
  const z = ((numerator - denominator) << own) / (numerator + denominator);
  const square = (z * z) >> own;
  let power = z;
  let sum = z;
  for (let k = 3n; power !== 0n && power !== -1n; k += 2n) {
    power = (power * square) >> own;
    sum += power / k;
  }
  return (2n * sum) >> BigInt(GUARD);
}

/** sin x and cos x for |x| < 1. */
export function fixedSinCos(x: bigint, bits: number): readonly [sin: bigint, cos: bigint] {
  const own = BigInt(bits + GUARD);
  const angle = x << BigInt(GUARD);
  const square = (angle * angle) >> own;
  const series = (first: bigint, start: bigint): bigint => {
    let term = first;
    let sum = first;
    for (let k = start; term !== 0n; k += 2n) {
      term = -((term * square) >> own) / (k * (k + 1n));
      sum += term;
    }
    return sum >> BigInt(GUARD);
  };
  return [series(angle, 2n), series(1n << own, 1n)];
}

/** atan(numerator ÷ denominator) for 0 ≤ numerator ≤ denominator. */
export function fixedAtan(numerator: bigint, denominator: bigint, bits: number): bigint {
  const own = BigInt(bits + GUARD);
  const one = 1n << own;
  let x = (numerator << own) / denominator;
  const halvings = 3;
  // atan x = 2 atan(x ÷ (1 + √(1 + x²)))
  for (let i = 0; i < halvings; i++) x = (x << own) / (one + integerSqrt((one << own) + x * x));
  const square = (x * x) >> own;
  let power = x;
  let sum = x;
  for (let k = 3n, sign = -1n; power !== 0n; k += 2n, sign = -sign) {
    power = (power * square) >> own;
    sum += (sign * power) / k;
  }
  return (sum << BigInt(halvings)) >> BigInt(GUARD);
}
