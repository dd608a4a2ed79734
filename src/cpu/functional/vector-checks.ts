/**
 * The conditions of float-checks.ts for all elements of a vector: each leaves a word per element that is zero where the
 * condition fails, so that the smallest of several words tells whether all hold.
 */

import { ValueType } from './wasm/opcodes.ts';
import { FloatVectorOp } from './wasm/vector-opcodes.ts';
import type { Value, WasmOps } from './wasm-ops.ts';

export type Lanes = 'f32x4' | 'f64x2';
type LaneOp =
  | 'abs'
  | 'neg'
  | 'sqrt'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pmin'
  | 'pmax'
  | 'eq'
  | 'ne'
  | 'lt'
  | 'le'
  | 'ge';
type Rounding = 'nearest' | 'floor' | 'ceil' | 'trunc';

/** Constants that are the same in each lane, by what they are for: the words of 32 bits from the lowest on. */
const CONSTANTS = {
  zero: { f32x4: [0], f64x2: [0, 0] },
  ones: { f32x4: [-1], f64x2: [-1, -1] },
  /** 2 in the exponent's field, and the field less its lowest two bits: see `FloatChecks.ordinary`. */
  two: { f32x4: [0x0100_0000], f64x2: [0, 0x0020_0000] },
  ordinary: { f32x4: [0x7e00_0000], f64x2: [0, 0x7fc0_0000] },
  /** The margin below and above moderate numbers in the exponent's field, and the field less what the margin takes. */
  margin: { f32x4: [0x1000_0000], f64x2: [0, 0x0400_0000] },
  moderate: { f32x4: [0x6000_0000], f64x2: [0, 0x7800_0000] },
  exponent: { f32x4: [0x7f80_0000], f64x2: [0, 0x7ff0_0000] },
  /** The exponent's field, one bit further up. */
  shiftedExponent: { f32x4: [-0x0100_0000], f64x2: [0, -0x0020_0000] },
  /** 2^31: bound of 32-bit integers. */
  bound: { f32x4: [0x4f00_0000], f64x2: [0, 0x41e0_0000] },
} as const satisfies Record<string, Record<Lanes, readonly number[]>>;
export type FloatConstant = keyof typeof CONSTANTS;

export class VectorChecks {
  readonly #o: WasmOps;
  readonly #constant: (lanes: Lanes, name: FloatConstant) => Value;

  /** @param constant where constants come from */
  constructor(o: WasmOps, constant: (lanes: Lanes, name: FloatConstant) => Value) {
    this.#o = o;
    this.#constant = constant;
  }

  /** A vector instruction applied to values. */
  emit(opcode: number, ...values: readonly Value[]): Value {
    for (const value of values) this.#o.put(value);
    this.#o.f.code.vector(opcode);
    return this.#o.take(ValueType.v128);
  }

  operation(lanes: Lanes, name: LaneOp | Rounding, ...values: readonly Value[]): Value {
    return this.emit(FloatVectorOp[`${lanes}_${name}`], ...values);
  }

  /** Not zero if a word of any lane is zero. Words of 64 bits count by their upper halves. */
  anyZero(lanes: Lanes, words: readonly Value[]): Value {
    const o = this.#o;
    const least = words.reduce((a, b) => o.vector2('i32x4.min_u', a, b));
    const shape = lanes === 'f64x2' ? 'i64x2' : 'i32x4';
    return o.bitmask(shape, o.vector2(`${shape}.eq`, least, this.#constant(lanes, 'zero')));
  }

  ordinary(lanes: Lanes, a: Value): Value {
    const raised = this.#o.vector2(addOf(lanes), a, this.#constant(lanes, 'two'));
    return this.#o.vector2('v128.and', raised, this.#constant(lanes, 'ordinary'));
  }

  moderate(lanes: Lanes, a: Value): Value {
    const raised = this.#o.vector2(addOf(lanes), a, this.#constant(lanes, 'margin'));
    return this.#o.vector2('v128.and', raised, this.#constant(lanes, 'moderate'));
  }

  nonzeroExponent(lanes: Lanes, a: Value): Value {
    return this.#o.vector2('v128.and', a, this.#constant(lanes, 'exponent'));
  }

  notDenormal(lanes: Lanes, a: Value): Value {
    const o = this.#o;
    const lessOne = o.vector2(addOf(lanes), o.vector2(addOf(lanes), a, a), this.#constant(lanes, 'ones'));
    return o.vector2('v128.and', lessOne, this.#constant(lanes, 'shiftedExponent'));
  }

  /** 0 or 1: no element of any operand is a NaN or denormal. */
  comparable(lanes: Lanes, ...operands: readonly Value[]): Value {
    const words = operands.flatMap((operand) => [
      this.notDenormal(lanes, operand),
      this.operation(lanes, 'eq', operand, operand),
    ]);
    return this.#o.isZero(32, this.anyZero(lanes, words));
  }

  isZeroFloat(lanes: Lanes, a: Value): Value {
    return this.operation(lanes, 'eq', a, this.#constant(lanes, 'zero'));
  }
}

function addOf(lanes: Lanes): 'i64x2.add' | 'i32x4.add' {
  return lanes === 'f64x2' ? 'i64x2.add' : 'i32x4.add';
}

/** The 16 bytes of a constant. */
export function floatConstantBytes(lanes: Lanes, name: FloatConstant): readonly number[] {
  return bytesOf(CONSTANTS[name][lanes]);
}

/** 16 bytes of these words of 32 bits, again and again. */
export function bytesOf(words: readonly number[]): number[] {
  return Array.from({ length: 16 }, (_, i) => (words[(i >> 2) % words.length]! >>> (8 * (i & 3))) & 0xff);
}
