/**
 * FSIN, FCOS, FSINCOS and FPTAN, correctly rounded once the argument is reduced. Intel SDM vol. 1 §8.3.8
 * (with the 66-bit π of the reduction), vol. 2A under each name; APM vol. 5 likewise.
 */

import { exact, noteDenormals } from '../float/arithmetic.ts';
import { type FloatEnvironment, FloatFlag } from '../float/environment.ts';
import { fixedSinCos } from '../float/fixed-point.ts';
import { EXTENDED80, FloatClass, isNan, type Unpacked, unpack } from '../float/format.ts';
import { invalid, propagateNan } from '../float/nan.ts';
import { roundToFormat } from '../float/rounding.ts';
import { atFullPrecision, compute } from './arithmetic.ts';
import { exponentOf, fixed, ONE, PI, PI_BITS, roundInexact } from './logarithm.ts';
import { Fsw, row, type X87Instruction, type X87Unit } from './unit.ts';

/** Bits after the point of reduced arguments: 64 of the result, 64 that may cancel, 64 of the quotient. */
const BITS = 320;
/**
 * π cut to 64 bits after the point, by which arguments are reduced: Intel documents these 66 bits, and AMD
 * Zen 4's results agree with them and not with π itself.
 */
const REDUCTION_PI = (PI >> BigInt(PI_BITS - 64)) << BigInt(BITS - 64);
const HALF_PI = REDUCTION_PI >> 1n;
/** Arguments from 2^63 on are out of range: C2, and nothing else happens. */
const RANGE_EXPONENT = 63;
/** Below 2^−this only the first terms of the series show. */
const TINY_EXPONENT = -100;

type Trigonometric = 'sin' | 'cos' | 'tan';

/** Sine and cosine of |x|, as fixed-point numbers. */
function sinCos(x: Unpacked): readonly [sin: bigint, cos: bigint] {
  const angle = fixed({ ...x, sign: 0 }, BITS);
  const quarter = (2n * angle + HALF_PI) / (2n * HALF_PI);
  const [sin, cos] = fixedSinCos(angle - quarter * HALF_PI, BITS);
  switch (Number(quarter & 3n)) {
    case 0:
      return [sin, cos];
    case 1:
      return [cos, -sin];
    case 2:
      return [-sin, -cos];
    default:
      return [-cos, sin];
  }
}

/** Where x is so small that sin x is just below x and cos x just below 1; tan x is taken as x, as by AMD. */
function tiny(env: FloatEnvironment, x: Unpacked, what: Trigonometric): bigint {
  if (what === 'cos') return roundInexact(env, 0, (1n << BigInt(BITS)) - 1n, -BITS);
  if (what === 'sin')
    return roundInexact(env, x.sign, (x.significand << BigInt(BITS)) - 1n, x.exponent - BITS);
  const result = atFullPrecision(env, (own) =>
    roundToFormat(own, EXTENDED80, x.sign, x.significand, x.exponent),
  );
  env.flags |= exponentOf(x) < EXTENDED80.minExponent ? FloatFlag.UE | FloatFlag.PE : FloatFlag.PE;
  return result;
}

/** A function of a value within range. */
function evaluate(env: FloatEnvironment, value: bigint, what: Trigonometric): bigint {
  const x = unpack(EXTENDED80, value);
  if (isNan(x)) return propagateNan(env, EXTENDED80, [x]);
  if (x.class === FloatClass.infinity) return invalid(env, EXTENDED80);
  if (x.class === FloatClass.zero) return exact(env, what === 'cos' ? ONE : value);
  noteDenormals(env, x);
  if (exponentOf(x) < TINY_EXPONENT) return tiny(env, x, what);
  const [sin, cos] = sinCos(x);
  const result = what === 'sin' ? sin : what === 'cos' ? cos : (sin << BigInt(BITS)) / cos;
  const negative = result < 0n;
  const sign = (negative ? 1 : 0) ^ (what === 'cos' ? 0 : x.sign);
  return roundInexact(env, sign, negative ? -result : result, -BITS);
}

/** Whether ST(0) is finite and beyond the range; then C2 is set and nothing else done. */
function outOfRange(unit: X87Unit): boolean {
  const x = unpack(EXTENDED80, unit.st(0));
  const finite = x.class === FloatClass.normal && exponentOf(x) >= RANGE_EXPONENT;
  unit.setConditions(Fsw.C1 | Fsw.C2, finite ? Fsw.C2 : 0);
  return finite;
}

function single(what: Trigonometric): X87Instruction['run'] {
  return (unit) => {
    unit.setConditions(Fsw.C2, 0);
    const there = unit.needs(0);
    if (there === 'masked') unit.setSt(0, EXTENDED80.defaultNan);
    if (there !== true || outOfRange(unit)) return;
    compute(unit, 0, (env) => evaluate(env, unit.st(0), what));
  };
}

/** Replaces ST(0) by one function of it and pushes another. */
function double(first: Trigonometric, pushed: 'cos' | 'one'): X87Instruction['run'] {
  return (unit) => {
    unit.setConditions(Fsw.C2, 0);
    if (unit.isEmpty(0) || !unit.isEmpty(7)) {
      if (!unit.stackFault(!unit.isEmpty(0))) return;
      unit.setSt(0, EXTENDED80.defaultNan);
      unit.push(EXTENDED80.defaultNan);
      return;
    }
    if (outOfRange(unit)) return;
    let second = ONE;
    const done = compute(unit, 0, (env) => {
      const value = unit.st(0);
      const result = evaluate(env, value, first);
      const special = unpack(EXTENDED80, value).class >= FloatClass.infinity;
      if (special) second = result;
      else if (pushed === 'cos') {
        // C1 is that of the sine on Zen 4.
        const { roundedUp } = env;
        second = evaluate(env, value, 'cos');
        env.roundedUp = roundedUp;
      }
      return result;
    });
    if (done) unit.push(second);
  };
}

export const TRIGONOMETRY: readonly X87Instruction[] = [
  row('FPTAN', 0xd9, 0xf2, double('tan', 'one')),
  row('FSINCOS', 0xd9, 0xfb, double('sin', 'cos')),
  row('FSIN', 0xd9, 0xfe, single('sin')),
  row('FCOS', 0xd9, 0xff, single('cos')),
];
