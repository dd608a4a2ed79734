/**
 * x87 addition to division in all forms, FSQRT, FABS, FCHS, FRNDINT, FSCALE, FXTRACT, FPREM and FPREM1.
 * Intel SDM vol. 1 §8.3.5, §8.3.6, vol. 2A under each name; results are rounded to FCW.PC where §8.1.5.2
 * says so.
 */

import { add, type BinaryOperation, div, exact, mul, noteDenormals, sqrt, sub } from '../float/arithmetic.ts';
import { fromInteger, roundToIntegral } from '../float/convert.ts';
import { type FloatEnvironment, FloatFlag, Rounding } from '../float/environment.ts';
import {
  BINARY32,
  BINARY64,
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
import { roundAt, roundToFormat } from '../float/rounding.ts';
import { integerOperand, readBytes, widened } from './memory.ts';
import { Fsw, row, type X87Instruction, type X87Unit } from './unit.ts';

const INDEFINITE = EXTENDED80.defaultNan;

/** Computes into a register unless an exception found beforehand is unmasked; then gives false. */
export function compute(unit: X87Unit, i: number, operation: (env: FloatEnvironment) => bigint): boolean {
  const env = unit.environment();
  const result = operation(env);
  if (unit.settle(env) & FloatFlag.preComputation) return false;
  unit.setSt(i, result);
  return true;
}

const reversed =
  (operation: BinaryOperation): BinaryOperation =>
  (env, fmt, a, b) =>
    operation(env, fmt, b, a);

/** The six operations with their digits: `subr` is source − destination. DC and DE swap the digits' meaning. */
const OPERATIONS: readonly (readonly [name: string, digit: number, operation: BinaryOperation])[] = [
  ['ADD', 0, add],
  ['MUL', 1, mul],
  ['SUB', 4, sub],
  ['SUBR', 5, reversed(sub)],
  ['DIV', 6, div],
  ['DIVR', 7, reversed(div)],
];

/** ST(`to`) = ST(`to`) op ST(`from`). */
function registers(unit: X87Unit, operation: BinaryOperation, to: number, from: number): boolean {
  const there = unit.needs(to, from);
  if (there === false) return false;
  if (there === true)
    return compute(unit, to, (env) => operation(env, EXTENDED80, unit.st(to), unit.st(from)));
  unit.setSt(to, INDEFINITE);
  return true;
}

/** ST(0) = ST(0) op a memory operand in the extended format; `denormal`: it was one before widening. */
function withMemory(unit: X87Unit, operation: BinaryOperation, value: bigint, denormal: boolean): void {
  const there = unit.needs(0);
  if (there === 'masked') unit.setSt(0, INDEFINITE);
  if (there !== true) return;
  compute(unit, 0, (env) => {
    const before = unpack(EXTENDED80, unit.st(0));
    const result = operation(env, EXTENDED80, unit.st(0), value);
    // The widened operand is normal: DE comes from what it was, and gives way to IE and ZE as always.
    if (denormal && !isNan(before) && !(env.flags & (FloatFlag.IE | FloatFlag.ZE))) env.flags |= FloatFlag.DE;
    return result;
  });
}

function arithmeticRows(): X87Instruction[] {
  return OPERATIONS.flatMap(([name, digit, operation]): X87Instruction[] => {
    const float = (fmt: typeof BINARY32): X87Instruction['run'] => {
      return (unit, { memory }) => {
        const bits = readBytes(memory, 0, fmt.widthBits >> 3);
        withMemory(unit, operation, widened(fmt, bits), unpack(fmt, bits).class === FloatClass.denormal);
      };
    };
    const integer = (sizeBytes: number): X87Instruction['run'] => {
      return (unit, { memory }) => withMemory(unit, operation, integerOperand(memory, sizeBytes), false);
    };
    // FSUB ST(i),ST(0) has FSUBR's digit of the D8 row, and so on for the other three.
    const swapped = digit < 4 ? digit : digit ^ 1;
    return [
      row(`F${name} m32fp`, 0xd8, digit, float(BINARY32), { sizeBytes: 4 }),
      row(`F${name} m64fp`, 0xdc, digit, float(BINARY64), { sizeBytes: 8 }),
      row(`FI${name} m32int`, 0xda, digit, integer(4), { sizeBytes: 4 }),
      row(`FI${name} m16int`, 0xde, digit, integer(2), { sizeBytes: 2 }),
      row(`F${name} ST(0),ST(i)`, 0xd8, 0xc0 + 8 * digit, (unit, { i }) => {
        registers(unit, operation, 0, i);
      }),
      row(`F${name} ST(i),ST(0)`, 0xdc, 0xc0 + 8 * swapped, (unit, { i }) => {
        registers(unit, operation, i, 0);
      }),
      row(`F${name}P ST(i),ST(0)`, 0xde, 0xc0 + 8 * swapped, (unit, { i }) => {
        if (registers(unit, operation, i, 0)) unit.pop();
      }),
    ];
  });
}

/** An instruction that replaces ST(0) by a function of it. */
function unary(operation: (env: FloatEnvironment, value: bigint) => bigint): X87Instruction['run'] {
  return (unit) => {
    const there = unit.needs(0);
    if (there === 'masked') unit.setSt(0, INDEFINITE);
    if (there === true) compute(unit, 0, (env) => operation(env, unit.st(0)));
  };
}

/** An instruction that replaces ST(0) by a function of ST(0) and ST(1). */
function binary(operation: (env: FloatEnvironment, a: bigint, b: bigint) => bigint): X87Instruction['run'] {
  return (unit) => {
    const there = unit.needs(0, 1);
    if (there === 'masked') unit.setSt(0, INDEFINITE);
    if (there === true) compute(unit, 0, (env) => operation(env, unit.st(0), unit.st(1)));
  };
}

const frndint = (env: FloatEnvironment, value: bigint): bigint =>
  roundToIntegral(env, EXTENDED80, value, { denormals: true });

const FULL_PRECISION = { precisionBits: 64 } as const;

/** Runs an operation that rounds to 64 bits whatever FCW.PC says. */
export function atFullPrecision(env: FloatEnvironment, operation: (env: FloatEnvironment) => bigint): bigint {
  const own = { ...env, ...FULL_PRECISION };
  const result = operation(own);
  env.flags = own.flags;
  env.roundedUp = own.roundedUp;
  return result;
}

/** Larger than any difference of exponents: what FSCALE's operand is cut to. */
const SCALE_LIMIT = 0x10000n;

/** ST(0) × 2^trunc(ST(1)). SDM vol. 2A table 3-31. */
function fscale(env: FloatEnvironment, value: bigint, scale: bigint): bigint {
  const x = unpack(EXTENDED80, value);
  const s = unpack(EXTENDED80, scale);
  if (isNan(x) || isNan(s)) return propagateNan(env, EXTENDED80, [x, s]);
  if (s.class === FloatClass.infinity) {
    const wrong = s.sign ? FloatClass.infinity : FloatClass.zero;
    if (x.class === wrong) return invalid(env, EXTENDED80);
    noteDenormals(env, x);
    return exact(env, s.sign ? zero(EXTENDED80, x.sign) : infinity(EXTENDED80, x.sign));
  }
  noteDenormals(env, x, s);
  if (x.class === FloatClass.infinity || x.class === FloatClass.zero) return exact(env, value);
  const whole =
    s.exponent > 0 ? SCALE_LIMIT : roundAt(Rounding.towardZero, 0, s.significand, s.exponent, 0).value;
  const magnitude = Number(whole > SCALE_LIMIT ? SCALE_LIMIT : whole);
  const exponent = x.exponent + (s.sign ? -magnitude : magnitude);
  return atFullPrecision(env, (own) => roundToFormat(own, EXTENDED80, x.sign, x.significand, exponent));
}

/** The exponent of a finite value other than zero. */
function exponentOf(x: Unpacked): number {
  return x.exponent + bitLength(x.significand) - 1;
}

/** ST(0) becomes its exponent, and its significand is pushed. */
function fxtract(unit: X87Unit): void {
  if (unit.isEmpty(0) || !unit.isEmpty(7)) {
    if (!unit.stackFault(!unit.isEmpty(0))) return;
    unit.setSt(0, INDEFINITE);
    unit.push(INDEFINITE);
    return;
  }
  let significand = INDEFINITE;
  const done = compute(unit, 0, (env) => {
    const value = unit.st(0);
    const x = unpack(EXTENDED80, value);
    if (isNan(x)) {
      significand = propagateNan(env, EXTENDED80, [x]);
      return significand;
    }
    significand = value;
    if (x.class === FloatClass.infinity) return exact(env, EXTENDED80.infinity);
    if (x.class === FloatClass.zero) {
      env.flags |= FloatFlag.ZE;
      return exact(env, infinity(EXTENDED80, 1));
    }
    noteDenormals(env, x);
    significand = roundToFormat(
      { ...env, ...FULL_PRECISION },
      EXTENDED80,
      x.sign,
      x.significand,
      x.exponent - exponentOf(x),
    );
    return fromInteger({ ...env, ...FULL_PRECISION }, EXTENDED80, BigInt(exponentOf(x)));
  });
  if (done) unit.push(significand);
}

/** By how many bits a partial remainder reduces: the exponent difference modulo 32, plus 32 (as AMD does). */
function partialBits(difference: number): number {
  return 32 + (difference & 31);
}

/** Quotient bits 2, 1, 0 as C0, C3, C1. */
function quotientConditions(quotient: bigint): number {
  const q = Number(quotient & 7n);
  return (q & 4 ? Fsw.C0 : 0) | (q & 2 ? Fsw.C3 : 0) | (q & 1 ? Fsw.C1 : 0);
}

type Remainder = { readonly value: bigint; readonly conditions: number };

/** The remainder of finite operands other than zero, or one step towards it (C2). */
function reduce(env: FloatEnvironment, x: Unpacked, y: Unpacked, nearest: boolean): Remainder {
  const full = { ...env, ...FULL_PRECISION };
  const difference = exponentOf(x) - exponentOf(y);
  const complete = difference < 64;
  const step = complete ? 0 : difference - partialBits(difference);
  const exponent = Math.min(x.exponent, y.exponent + step);
  const a = x.significand << BigInt(x.exponent - exponent);
  const b = y.significand << BigInt(y.exponent + step - exponent);
  let quotient = a / b;
  let rest = a - quotient * b;
  let sign = x.sign;
  if (complete && nearest && (2n * rest > b || (2n * rest === b && quotient & 1n))) {
    quotient++;
    rest = b - rest;
    sign = 1 - sign;
  }
  const value =
    rest === 0n ? zero(EXTENDED80, x.sign) : roundToFormat(full, EXTENDED80, sign, rest, exponent);
  env.flags |= full.flags;
  return { value, conditions: complete ? quotientConditions(quotient) : Fsw.C2 };
}

function remainder(nearest: boolean): X87Instruction['run'] {
  return (unit) => {
    const there = unit.needs(0, 1);
    unit.setConditions(Fsw.C2, 0);
    if (there === 'masked') unit.setSt(0, INDEFINITE);
    if (there !== true) return;
    let conditions: number | undefined;
    const done = compute(unit, 0, (env) => {
      const x = unpack(EXTENDED80, unit.st(0));
      const y = unpack(EXTENDED80, unit.st(1));
      if (isNan(x) || isNan(y)) return propagateNan(env, EXTENDED80, [x, y]);
      if (x.class === FloatClass.infinity || y.class === FloatClass.zero) return invalid(env, EXTENDED80);
      noteDenormals(env, x, y);
      conditions = 0;
      if (x.class === FloatClass.zero) return exact(env, unit.st(0));
      if (y.class === FloatClass.infinity) {
        // The operand itself, but as a result: a denormal one is tiny.
        return atFullPrecision(env, (own) =>
          roundToFormat(own, EXTENDED80, x.sign, x.significand, x.exponent),
        );
      }
      const result = reduce(env, x, y, nearest);
      conditions = result.conditions;
      return result.value;
    });
    if (done && conditions !== undefined) {
      unit.setConditions(Fsw.C0 | Fsw.C1 | Fsw.C2 | Fsw.C3, conditions);
    }
  };
}

/** FABS and FCHS touch the sign alone, of NaNs and unsupported encodings too. */
function signOperation(operation: (bits: bigint) => bigint): X87Instruction['run'] {
  return unary((env, value) => exact(env, operation(value)));
}

export const ARITHMETIC: readonly X87Instruction[] = [
  ...arithmeticRows(),
  row(
    'FCHS',
    0xd9,
    0xe0,
    signOperation((bits) => bits ^ EXTENDED80.signBit),
  ),
  row(
    'FABS',
    0xd9,
    0xe1,
    signOperation((bits) => bits & ~EXTENDED80.signBit),
  ),
  row('FXTRACT', 0xd9, 0xf4, fxtract),
  row('FPREM1', 0xd9, 0xf5, remainder(true)),
  row('FPREM', 0xd9, 0xf8, remainder(false)),
  row(
    'FSQRT',
    0xd9,
    0xfa,
    unary((env, value) => sqrt(env, EXTENDED80, value)),
  ),
  row('FRNDINT', 0xd9, 0xfc, unary(frndint)),
  row('FSCALE', 0xd9, 0xfd, binary(fscale)),
];
