/**
 * Which values the fast paths of floating point may trust WebAssembly with. Everything is asked of encodings, in integer
 * instructions.
 *
 *   ordinary      exponent field from 2 to 2 below its maximum + 1: neither zero, denormal, infinity nor NaN. The lowest
 *                 binade is left out, since a result that was rounded up to the least normal number has raised UE
 *                 (tininess is detected after rounding, SDM vol. 1 §4.9.1.5); the highest is left out for a cheaper test.
 *   moderate      far from the limits: exponent field from 64 to 1983, of singles from 32 to 223. A denormal number that is
 *                 added to anything makes no difference there: it is less than half of the last place.
 *   denormal      exponent field 0, but not zero
 */

import { Op, ValueType as Type, type ValueType } from './wasm/opcodes.ts';
import type { Value, WasmOps } from './wasm-ops.ts';

/** The formats of WebAssembly's floats. */
export interface Format {
  readonly type: ValueType;
  readonly integer: ValueType;
  readonly bits: 32 | 64;
  readonly fractionBits: number;
  /** All ones in the exponent's field. */
  readonly exponentMax: number;
}

export const SINGLE: Format = {
  type: Type.f32,
  integer: Type.i32,
  bits: 32,
  fractionBits: 23,
  exponentMax: 0xff,
};
export const DOUBLE: Format = {
  type: Type.f64,
  integer: Type.i64,
  bits: 64,
  fractionBits: 52,
  exponentMax: 0x7ff,
};

/** Instructions that both formats have, with a float as their result. */
type FloatOpName = 'abs' | 'ceil' | 'floor' | 'trunc' | 'nearest' | 'sqrt' | 'add' | 'sub' | 'mul' | 'div';

export class FloatChecks {
  readonly #o: WasmOps;

  constructor(o: WasmOps) {
    this.#o = o;
  }

  /** An instruction applied to values. */
  emit(op: Op, type: ValueType, ...values: readonly Value[]): Value {
    for (const value of values) this.#o.put(value);
    this.#o.f.code.op(op);
    return this.#o.take(type);
  }

  /** An instruction that the format has, with a float as its result. */
  arithmetic({ bits, type }: Format, name: FloatOpName, ...values: readonly Value[]): Value {
    return this.emit(Op[`f${bits}_${name}`], type, ...values);
  }

  /** A comparison: 0 or 1. */
  compare({ bits }: Format, name: 'eq' | 'ne' | 'lt' | 'gt' | 'le' | 'ge', a: Value, b: Value): Value {
    return this.emit(Op[`f${bits}_${name}`], Type.i32, a, b);
  }

  /** A float's constant. */
  constant({ bits, type }: Format, value: number): Value {
    this.#o.f.code.float(bits, value);
    return this.#o.take(type);
  }

  /** The encoding. */
  bits({ bits, integer }: Format, a: Value): Value {
    return this.emit(bits === 64 ? Op.i64_reinterpret_f64 : Op.i32_reinterpret_f32, integer, a);
  }

  /** The float of an encoding. */
  ofBits({ bits, type }: Format, a: Value): Value {
    return this.emit(bits === 64 ? Op.f64_reinterpret_i64 : Op.f32_reinterpret_i32, type, a);
  }

  /** Sign and exponent field as a number of width 32. */
  #top(format: Format, a: Value): Value {
    const { bits, fractionBits } = format;
    return this.#o.zext(bits, 32, this.#o.shr(bits, this.bits(format, a), this.#o.int(32, fractionBits)));
  }

  /** Not zero where it holds. */
  ordinary(format: Format, a: Value): Value {
    const o = this.#o;
    return o.and(32, o.add(32, this.#top(format, a), o.int(32, 2)), o.int(32, format.exponentMax - 3));
  }

  /** Not zero where it holds. */
  moderate(format: Format, a: Value): Value {
    const o = this.#o;
    const margin = (format.exponentMax + 1) / (format.bits === 64 ? 32 : 8);
    const mask = format.exponentMax + 1 - 2 * margin;
    return o.and(32, o.add(32, this.#top(format, a), o.int(32, margin)), o.int(32, mask));
  }

  /** Not zero where the encodings differ. */
  differ(format: Format, a: Value, b: Value): Value {
    return this.#o.ne(format.bits, this.bits(format, a), this.bits(format, b));
  }

  /** Not zero where the encodings differ in more than their signs. */
  differInMagnitude(format: Format, a: Value, b: Value): Value {
    const o = this.#o;
    const difference = o.xor(format.bits, this.bits(format, a), this.bits(format, b));
    return o.shl(format.bits, difference, o.int(32, 1));
  }

  /** Positive and normal: 0 or 1. */
  positiveNormal(format: Format, a: Value): Value {
    const o = this.#o;
    return o.ltU(32, o.sub(32, this.#top(format, a), o.int(32, 1)), o.int(32, format.exponentMax - 1));
  }

  /** Of the format's width: not zero unless it is denormal. Zero becomes the largest number when 1 is taken from it. */
  notDenormal(format: Format, a: Value): Value {
    const o = this.#o;
    const { bits, fractionBits } = format;
    const magnitude = o.shl(bits, this.bits(format, a), o.int(32, 1));
    const lessOne = o.sub(bits, magnitude, o.int(bits, 1));
    return o.shr(bits, lessOne, o.int(32, fractionBits + 1));
  }

  /** 0 or 1. */
  isNan(format: Format, a: Value): Value {
    return this.compare(format, 'ne', a, a);
  }

  isInfinite(format: Format, a: Value): Value {
    return this.compare(format, 'eq', this.arithmetic(format, 'abs', a), this.constant(format, Infinity));
  }

  isZeroFloat(format: Format, a: Value): Value {
    return this.compare(format, 'eq', a, this.constant(format, 0));
  }
}
