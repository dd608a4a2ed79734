/**
 * Packed floating point in generated code: the fast paths of float-scalars.ts for all elements at once. Each condition leaves
 * a word per element that is zero where the condition fails; the smallest of them is compared with zero once.
 */

import {
  type FloatOperation,
  type FloatRoutineName,
  type FloatShape,
  floatRoutineCode,
  type VectorConversion,
} from '../../arch/x86/isa/float-ops.ts';
import { FloatScalars, type Holds } from './float-scalars.ts';
import { bytesOf, type Lanes } from './vector-checks.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { FloatVectorOp } from './wasm/vector-opcodes.ts';
import type { Value } from './wasm-ops.ts';

export abstract class FloatVectors extends FloatScalars {
  float(operation: FloatOperation, shape: FloatShape, a: Value, b: Value = a): Value {
    if (shape === 'ss' || shape === 'sd') return this.scalarFloat(operation, shape, a, b);
    const lanes = shape === 'pd' ? 'f64x2' : 'f32x4';
    const exact = () => this.#exactVector(`${operation}.${shape}`, a, b);
    switch (operation) {
      case 'add':
        return this.#sum(lanes, this.vectors.operation(lanes, 'add', a, b), [a, b], exact);
      case 'sub': {
        const negated = () => this.vectors.operation(lanes, 'neg', b);
        return this.#sum(lanes, this.vectors.operation(lanes, 'sub', a, b), [a, b], exact, negated);
      }
      case 'addsub': {
        const negated = this.vector2('v128.xor', b, this.vector(EVEN_SIGNS[lanes]));
        return this.#sum(lanes, this.vectors.operation(lanes, 'add', a, negated), [a, negated], exact);
      }
      case 'mul':
      case 'div': {
        const r = this.vectors.operation(lanes, operation, a, b);
        const exponents = [a, b].map((operand) => this.vectors.nonzeroExponent(lanes, operand));
        const words = () => [this.vectors.ordinary(lanes, r), ...exponents];
        return this.#guardedLanes(lanes, r, words, exact, () =>
          this.#zeroProduct(operation, lanes, [r, a, b]),
        );
      }
      case 'sqrt':
        return this.#squareRoot(lanes, a, exact);
      case 'min':
      case 'max': {
        const r = this.vectors.operation(lanes, `p${operation}`, b, a);
        return this.guarded(r, (holds) => holds(this.vectors.comparable(lanes, a, b)), exact);
      }
      case 'rcp':
      case 'rsqrt':
        exact();
        return this.take(ValueType.v128);
      default:
        return this.#numbered(operation, lanes, a, b, exact);
    }
  }

  #exactVector(name: FloatRoutineName, a: Value, b: Value): void {
    this.f.code.i32(floatRoutineCode(name));
    this.put(a);
    this.put(b);
    this.f.code.opIndex(Op.call, this.core.floatPacked);
    this.branchIfFaulted();
  }

  // ---- conditions ----

  #guardedLanes(
    lanes: Lanes,
    r: Value,
    words: () => readonly Value[],
    exact: () => void,
    orElse = words,
  ): Value {
    const { vectors } = this;
    const hold = (all: () => readonly Value[]) => this.isZero(32, vectors.anyZero(lanes, all()));
    return this.guarded(
      r,
      (holds) => {
        this.holdsInCommonMode(holds);
        holds(hold(words), orElse === words ? undefined : () => hold(orElse));
      },
      exact,
    );
  }

  /** @param negated what the second operand adds: of a difference */
  #sum(lanes: Lanes, r: Value, [a, b]: readonly [Value, Value], exact: () => void, negated = () => b): Value {
    const { vectors } = this;
    const differ = (operand: Value) => vectors.operation(lanes, 'ne', r, operand);
    const words = () => [vectors.moderate(lanes, r), differ(a), differ(negated())];
    const orElse = () => {
      const isPlain = this.vector2('v128.or', vectors.ordinary(lanes, r), vectors.isZeroFloat(lanes, r));
      return [isPlain, vectors.notDenormal(lanes, a), vectors.notDenormal(lanes, b)];
    };
    return this.#guardedLanes(lanes, r, words, exact, orElse);
  }

  /** Elements that are ordinary results of normal operands, or zero times a number, or zero by one. */
  #zeroProduct(operation: 'mul' | 'div', lanes: Lanes, [r, a, b]: readonly [Value, Value, Value]): Value[] {
    const { vectors } = this;
    const aIsZero = vectors.isZeroFloat(lanes, a);
    const isOfZero =
      operation === 'div' ? aIsZero : this.vector2('v128.or', aIsZero, vectors.isZeroFloat(lanes, b));
    const isZero = this.vector2('v128.and', isOfZero, vectors.isZeroFloat(lanes, r));
    const isPlain = this.vector2('v128.or', vectors.ordinary(lanes, r), isZero);
    return [isPlain, vectors.notDenormal(lanes, a), vectors.notDenormal(lanes, b)];
  }

  #squareRoot(lanes: Lanes, a: Value, exact: () => void): Value {
    const shape = lanes === 'f64x2' ? 'i64x2' : 'i32x4';
    return this.guarded(
      this.vectors.operation(lanes, 'sqrt', a),
      (holds) => {
        this.holdsInCommonMode(holds);
        const bad = this.or(
          32,
          this.bitmask(shape, a),
          this.vectors.anyZero(lanes, [this.vectors.ordinary(lanes, a)]),
        );
        holds(this.isZero(32, bad));
      },
      exact,
    );
  }

  // ---- comparisons and roundings ----

  #numbered(operation: FloatOperation, lanes: Lanes, a: Value, b: Value, exact: () => void): Value {
    const number = Number(/\d+$/.exec(operation)![0]);
    if (operation.startsWith('cmp')) {
      const mask = this.#predicate(number, lanes, a, b);
      return this.guarded(mask, (holds) => holds(this.vectors.comparable(lanes, a, b)), exact);
    }
    const rounded = this.vectors.operation(lanes, ROUNDINGS[number & 4 ? 0 : number & 3]!, a);
    return this.guarded(
      rounded,
      (holds) => {
        if ((number & 12) !== 8) this.holdsInCommonMode(holds);
        holds(this.vectors.comparable(lanes, a));
      },
      exact,
    );
  }

  #predicate(predicate: number, lanes: Lanes, a: Value, b: Value): Value {
    switch (predicate) {
      case 3:
        return this.vector(bytesOf([0]));
      case 5:
        return this.vectors.operation(lanes, 'le', b, a);
      case 6:
        return this.vectors.operation(lanes, 'lt', b, a);
      case 7:
        return this.vector(bytesOf([-1]));
      default:
        return this.vectors.operation(lanes, (['eq', 'lt', 'le', 'eq', 'ne'] as const)[predicate]!, a, b);
    }
  }

  // ---- conversions ----

  convertVector(conversion: VectorConversion, a: Value): Value {
    const exact = () => this.#exactVector(conversion, a, a);
    switch (conversion) {
      case 'cvtdq2ps':
        return this.guarded(
          this.vectors.emit(FloatVectorOp.f32x4_convert_i32x4_s, a),
          (holds) => this.holdsInCommonMode(holds),
          exact,
        );
      case 'cvtdq2pd':
        return this.vectors.emit(FloatVectorOp.f64x2_convert_low_i32x4_s, a);
      case 'cvtps2pd': {
        const r = this.vectors.emit(FloatVectorOp.f64x2_promote_low_f32x4, a);
        return this.guarded(r, (holds) => holds(this.vectors.comparable('f32x4', a)), exact);
      }
      case 'cvtpd2ps': {
        const r = this.vectors.emit(FloatVectorOp.f32x4_demote_f64x2_zero, a);
        const conditions = (holds: Holds) => {
          this.holdsInCommonMode(holds);
          const low = this.and(
            32,
            this.vectors.anyZero('f32x4', [this.vectors.ordinary('f32x4', r)]),
            this.int(32, 3),
          );
          holds(this.isZero(32, low));
        };
        return this.guarded(r, conditions, exact);
      }
      default:
        return this.#toIntegers(conversion, a, exact);
    }
  }

  /** With all elements in range; the upper half of a result from doubles is zero. */
  #toIntegers(conversion: VectorConversion, a: Value, exact: () => void): Value {
    const lanes = conversion.endsWith('pd2dq') ? 'f64x2' : 'f32x4';
    const rounded = conversion.startsWith('cvtt') ? a : this.vectors.operation(lanes, 'nearest', a);
    const opcode =
      lanes === 'f64x2' ? FloatVectorOp.i32x4_trunc_sat_f64x2_s_zero : FloatVectorOp.i32x4_trunc_sat_f32x4_s;
    const conditions = (holds: Holds) => {
      this.holdsInCommonMode(holds);
      const inRange = this.vectors.operation(
        lanes,
        'lt',
        this.vectors.operation(lanes, 'abs', rounded),
        this.floatConstant(lanes, 'bound'),
      );
      const shape = lanes === 'f64x2' ? 'i64x2' : 'i32x4';
      holds(this.eq(32, this.bitmask(shape, inRange), this.int(32, lanes === 'f64x2' ? 3 : 15)));
    };
    return this.guarded(this.vectors.emit(opcode, rounded), conditions, exact);
  }
}

const ROUNDINGS = ['nearest', 'floor', 'ceil', 'trunc'] as const;

/** The signs of the elements from which ADDSUB subtracts. */
const EVEN_SIGNS: Readonly<Record<Lanes, readonly number[]>> = {
  f32x4: bytesOf([1 << 31, 0]),
  f64x2: bytesOf([0, 1 << 31, 0, 0]),
};
