/**
 * Scalar floating point in generated code: a fast path of WebAssembly's own instructions where their result and x86's are
 * the same and MXCSR cannot change, and a call of the exact routines for everything else.
 *
 * The fast path of an inexact operation needs MXCSR in its common state: round to nearest, everything masked, PE set. DAZ
 * and FTZ do not matter, since denormals never take it. What each operation asks of its values, so that no flag but PE
 * could be raised (SDM vol. 1 §4.9, §11.5.2):
 *
 *   add, sub    The result is moderate: no operand is an infinity or NaN, no overflow, no underflow. It is so large that a
 *               denormal operand (DE) would vanish in it: the result is the other operand then. So if it differs from both in
 *               magnitude, neither is denormal; else they are looked at. The same for a result that is not moderate, but
 *               ordinary or zero.
 *   mul, div    The result is ordinary: no operand is zero, infinity or NaN. Denormal operands need a look of their own. Or it is
 *               zero, since an operand is.
 *   sqrt        The operand is positive and normal: so is the result.
 *   min, max, compare: exact, no MXCSR. Operands are neither NaN (IE, or x86's choice) nor denormal (DE).
 *   round       The operand is neither NaN nor denormal (DAZ). Exact; a changed value raises PE, if it may.
 *   to integer  The operand is in range (a NaN is not); DE does not exist. Inexact unless it is an integer.
 *   from int    From 32 bits to double: always exact. Otherwise inexact.
 *   sd to ss    The result is ordinary: then the operand is not denormal.
 *   ss to sd    Exact; the operand is neither NaN nor denormal.
 *
 * Operands are looked at side by side in a vector: one branch and one move to an integer register instead of two.
 */

import {
  conversionSide,
  elementBits,
  type FlagComparison,
  type FloatOperation,
  type FloatRoutineName,
  type FloatShape,
  floatRoutineCode,
  type ScalarConversion,
} from '../../arch/x86/isa/float-ops.ts';
import { DOUBLE, FloatChecks, type Format, SINGLE } from './float-checks.ts';
import { StateOps } from './state-ops.ts';
import { type FloatConstant, floatConstantBytes, type Lanes, VectorChecks } from './vector-checks.ts';
import { MiscOp, Op, ValueType } from './wasm/opcodes.ts';
import { FloatVectorOp } from './wasm/vector-opcodes.ts';
import type { Value } from './wasm-ops.ts';

const { i32, i64, v128 } = ValueType;

/** MXCSR: rounding control, masks and PE; and their common state. SDM vol. 1 §10.2.3. */
export const MXCSR_MODE = 0x7fa0;
export const MXCSR_COMMON = 0x1fa0;

/** Conditions under which a fast path holds, and what it computes: see {@link FloatScalars.guarded}. */
export type Holds = (condition: Value, orElse?: () => Value) => void;

export abstract class FloatScalars extends StateOps {
  protected readonly checks = new FloatChecks(this);
  protected readonly vectors = new VectorChecks(this, (lanes, name) => this.floatConstant(lanes, name));

  /** A constant of fast paths: a region may keep it in a local. */
  protected floatConstant(lanes: Lanes, name: FloatConstant): Value {
    return this.vector(floatConstantBytes(lanes, name));
  }

  /** MXCSR, width 32. */
  protected abstract mxcsr(): Value;

  /**
   * Not zero where MXCSR is in its common state. Routines only set flags there: an engine that remembers the answer is
   * still right, until MXCSR is loaded.
   */
  protected mxcsrIsCommon(): Value {
    return this.eq(32, this.and(32, this.mxcsr(), this.int(32, MXCSR_MODE)), this.int(32, MXCSR_COMMON));
  }

  /** The mode is common: the first condition of an inexact operation. */
  protected holdsInCommonMode(holds: Holds): void {
    holds(this.mxcsrIsCommon());
  }

  /** The mode is common, or the result is exact. */
  protected holdsIfExact(holds: Holds, isExact: () => Value): void {
    holds(this.or(32, this.mxcsrIsCommon(), isExact()));
  }

  /**
   * A result that a fast path has computed already into its local, and that an exact routine computes anew where a condition of
   * the fast path does not hold.
   * @param conditions calls its argument with each condition: not zero where it holds; where it does not, a second one may do
   * @param exact appends code that leaves the exact result on the stack
   */
  protected guarded(result: Value, conditions: (holds: Holds) => void, exact: () => void): Value {
    const { f } = this;
    const done = f.block();
    const slow = f.block();
    conditions((condition, orElse) => {
      this.put(this.fails(condition));
      if (orElse === undefined) {
        f.branchIf(slow, false);
        return;
      }
      f.if(undefined, false);
      this.put(this.fails(orElse()));
      f.branchIf(slow);
      f.end();
    });
    f.branch(done);
    f.end();
    exact();
    f.code.set(result.local);
    f.end();
    return result;
  }

  /** 1 where a condition is zero. */
  protected fails(condition: Value): Value {
    return this.isZero(condition.type === i64 ? 64 : 32, condition);
  }

  protected scalarFloat(operation: FloatOperation, shape: FloatShape, a: Value, b: Value): Value {
    const format = elementBits(shape) === 64 ? DOUBLE : SINGLE;
    const exact = () => this.#exactScalar(operation, shape, a, b);
    const lanes = lanesOf(format);
    const { checks } = this;
    const arithmetic = (name: 'add' | 'sub' | 'mul' | 'div') => checks.arithmetic(format, name, a, b);
    switch (operation) {
      case 'add':
      case 'sub': {
        const r = arithmetic(operation);
        const conditions = (holds: Holds) => {
          this.holdsInCommonMode(holds);
          holds(checks.moderate(format, r), () => this.#isPlainSum(format, r, a, b));
          holds(checks.differ(format, r, a), () => checks.notDenormal(format, b));
          const magnitudesDiffer =
            operation === 'add' ? checks.differ(format, r, b) : checks.differInMagnitude(format, r, b);
          holds(magnitudesDiffer, () => checks.notDenormal(format, a));
        };
        return this.guarded(r, conditions, exact);
      }
      case 'mul':
      case 'div': {
        const r = arithmetic(operation);
        const conditions = (holds: Holds) => {
          this.holdsInCommonMode(holds);
          const words = [
            this.vectors.nonzeroExponent(lanes, this.#pair(format, a, b)),
            this.vectors.ordinary(lanes, this.#splat(format, r)),
          ];
          holds(this.isZero(32, this.vectors.anyZero(lanes, words)), () =>
            this.#isZeroProduct(operation, format, [r, a, b]),
          );
        };
        return this.guarded(r, conditions, exact);
      }
      case 'sqrt': {
        const conditions = (holds: Holds) => {
          this.holdsInCommonMode(holds);
          holds(checks.positiveNormal(format, a));
        };
        return this.guarded(checks.arithmetic(format, 'sqrt', a), conditions, exact);
      }
      case 'min':
      case 'max':
        return this.guarded(
          this.#pick(operation, format, a, b),
          (holds) => holds(this.#comparable(format, a, b)),
          exact,
        );
      case 'addsub':
      case 'rcp':
      case 'rsqrt':
        exact();
        return this.take(format.type);
      default:
        return this.#numbered(operation, format, a, b, exact);
    }
  }

  /** 0 or 1: a sum that is ordinary or zero, of operands that are not denormal. */
  #isPlainSum(format: Format, r: Value, a: Value, b: Value): Value {
    const { checks } = this;
    const isOrdinary = this.ne(32, checks.ordinary(format, r), this.int(32, 0));
    const isPlain = this.or(32, isOrdinary, checks.isZeroFloat(format, r));
    return [a, b].reduce(
      (holds, operand) =>
        this.and(
          32,
          holds,
          this.ne(format.bits, checks.notDenormal(format, operand), this.int(format.bits, 0)),
        ),
      isPlain,
    );
  }

  /** 0 or 1: zero times a number, or zero by one. An infinity or NaN would make the result a NaN. */
  #isZeroProduct(operation: 'mul' | 'div', format: Format, [r, a, b]: readonly [Value, Value, Value]): Value {
    const { checks } = this;
    const aIsZero = checks.isZeroFloat(format, a);
    const isOfZero = operation === 'div' ? aIsZero : this.or(32, aIsZero, checks.isZeroFloat(format, b));
    return this.and(32, isOfZero, this.#isPlainSum(format, r, a, b));
  }

  /** A float in all lanes. */
  #splat({ bits }: Format, a: Value): Value {
    return this.vectors.emit(bits === 64 ? FloatVectorOp.f64x2_splat : FloatVectorOp.f32x4_splat, a);
  }

  /** Two floats side by side, and the first in all other lanes. */
  #pair(format: Format, a: Value, b: Value): Value {
    this.put(this.#splat(format, a));
    this.put(b);
    this.f.code.vector(
      format.bits === 64 ? FloatVectorOp.f64x2_replace_lane : FloatVectorOp.f32x4_replace_lane,
    );
    this.f.code.byte(1);
    return this.take(v128);
  }

  /** Comparisons and roundings: the number is the predicate or the immediate. */
  #numbered(operation: FloatOperation, format: Format, a: Value, b: Value, exact: () => void): Value {
    const number = Number(/\d+$/.exec(operation)![0]);
    if (operation.startsWith('cmp')) {
      const mask = this.neg(format.bits, this.zext(32, format.bits, this.#predicate(number, format, a, b)));
      const result = this.checks.ofBits(format, mask);
      return this.guarded(result, (holds) => holds(this.#comparable(format, a, b)), exact);
    }
    const rounded = this.checks.arithmetic(format, ROUNDING_OPS[number & 4 ? 0 : number & 3]!, a);
    const conditions = (holds: Holds) => {
      holds(this.checks.notDenormal(format, a));
      holds(this.checks.compare(format, 'eq', a, a));
      const isQuietAndFixed = (number & 12) === 8;
      if (!isQuietAndFixed) this.holdsIfExact(holds, () => this.checks.compare(format, 'eq', rounded, a));
    };
    return this.guarded(rounded, conditions, exact);
  }

  /** MIN gives `a` where a < b, else `b`: WebAssembly's pmin the other way round. */
  #pick(operation: 'min' | 'max', { bits, type }: Format, a: Value, b: Value): Value {
    const { code } = this.f;
    const [splat, extract] =
      bits === 64
        ? [FloatVectorOp.f64x2_splat, FloatVectorOp.f64x2_extract_lane]
        : [FloatVectorOp.f32x4_splat, FloatVectorOp.f32x4_extract_lane];
    const op = `${bits === 64 ? 'f64x2' : 'f32x4'}_p${operation}` as const;
    for (const value of [b, a]) {
      this.put(value);
      code.vector(splat);
    }
    code.vector(FloatVectorOp[op]);
    code.vector(extract);
    code.byte(0);
    return this.take(type);
  }

  /** 0 or 1: neither is a NaN or denormal. */
  #comparable(format: Format, a: Value, b: Value): Value {
    return this.vectors.comparable(lanesOf(format), this.#pair(format, a, b));
  }

  /** Of operands that can be compared: EQ LT LE false NEQ GE GT true. */
  #predicate(predicate: number, format: Format, a: Value, b: Value): Value {
    if ((predicate & 3) === 3) return this.int(32, predicate >> 2);
    return this.checks.compare(
      format,
      (['eq', 'lt', 'le', 'eq', 'ne', 'ge', 'gt'] as const)[predicate]!,
      a,
      b,
    );
  }

  #exactScalar(operation: FloatOperation, shape: FloatShape, a: Value, b: Value): void {
    this.f.code.i32(floatRoutineCode(`${operation}.${shape}`));
    this.put(a);
    this.put(b);
    this.f.code.opIndex(Op.call, elementBits(shape) === 64 ? this.core.float64 : this.core.float32);
    this.branchIfFaulted();
  }

  // ---- comparisons into flags ----

  floatFlags(comparison: FlagComparison, a: Value, b: Value): Value {
    const format = comparison.endsWith('d') ? DOUBLE : SINGLE;
    const { checks } = this;
    const less = checks.compare(format, 'lt', a, b);
    const equal = checks.compare(format, 'eq', a, b);
    // ZF is bit 6, CF bit 0.
    const word = this.or(32, less, this.shl(32, equal, this.int(32, 6)));
    this.put(word);
    const exact = () => this.#exactByBits(comparison, [a, b], 32);
    return this.guarded(this.take(i32), (holds) => holds(this.#comparable(format, a, b)), exact);
  }

  /**
   * Calls a routine with any scalar operands, through the function for doubles: the encodings travel in its operands and its
   * result. The result's encoding is left on the stack.
   */
  #exactByBits(name: FloatRoutineName, operands: readonly [Value, Value], resultBits: 32 | 64): void {
    const { code } = this.f;
    code.i32(floatRoutineCode(name));
    for (const operand of operands) {
      this.put(operand);
      if (operand.type === ValueType.f32) code.op(Op.i32_reinterpret_f32);
      if (operand.type === ValueType.f32 || operand.type === i32) code.op(Op.i64_extend_i32_u);
      if (operand.type !== ValueType.f64) code.op(Op.f64_reinterpret_i64);
    }
    code.opIndex(Op.call, this.core.float64);
    this.branchIfFaulted();
    code.op(Op.i64_reinterpret_f64);
    if (resultBits === 32) code.op(Op.i32_wrap_i64);
  }

  // ---- conversions ----

  convertScalar(conversion: ScalarConversion, a: Value): Value {
    const [from, to] = conversion.replace(/^cvtt?/, '').split('to') as [string, string];
    const source = conversionSide(from);
    const target = conversionSide(to);
    const exact = () => {
      this.#exactByBits(conversion, [a, a], target.bits);
      if (!target.isFloat) return;
      this.f.code.op(target.bits === 64 ? Op.f64_reinterpret_i64 : Op.f32_reinterpret_i32);
    };
    if (!source.isFloat) return this.#fromInteger(source.bits, target.bits, a, exact);
    if (target.isFloat) return source.bits === 64 ? this.#narrow(a, exact) : this.#widen(a, exact);
    return this.#toInteger(source.bits, target.bits, conversion.startsWith('cvtt'), a, exact);
  }

  #fromInteger(bits: 32 | 64, floatBits: 32 | 64, a: Value, exact: () => void): Value {
    const type = floatBits === 64 ? ValueType.f64 : ValueType.f32;
    const result = this.checks.emit(Op[`f${floatBits}_convert_i${bits}_s`], type, a);
    if (bits === 32 && floatBits === 64) return result;
    const conditions = (holds: Holds) =>
      this.holdsIfExact(holds, () => this.#fitsExactly(bits, floatBits, a));
    return this.guarded(result, conditions, exact);
  }

  /** The integer has no more bits than the significand. */
  #fitsExactly(bits: 32 | 64, floatBits: 32 | 64, a: Value): Value {
    const precision = floatBits === 64 ? 53 : 24;
    const biased = this.add(bits, a, this.int(bits, 2n ** BigInt(precision)));
    return this.ltU(bits, biased, this.int(bits, 2n ** BigInt(precision + 1)));
  }

  #toInteger(bits: 32 | 64, integerBits: 32 | 64, truncates: boolean, a: Value, exact: () => void): Value {
    const { checks } = this;
    const format = bits === 64 ? DOUBLE : SINGLE;
    const rounded = truncates ? a : checks.arithmetic(format, 'nearest', a);
    this.put(rounded);
    this.f.code.misc(MiscOp[`i${integerBits}_trunc_sat_f${bits}_s`]);
    const result = this.take(integerBits === 64 ? i64 : i32);
    const conditions = (holds: Holds) => {
      const limit = checks.constant(format, 2 ** (integerBits - 1));
      holds(checks.compare(format, 'lt', checks.arithmetic(format, 'abs', rounded), limit));
      this.holdsIfExact(holds, () => {
        const back = checks.emit(Op[`f${bits}_convert_i${integerBits}_s`], format.type, result);
        return checks.compare(format, 'eq', back, a);
      });
    };
    return this.guarded(result, conditions, exact);
  }

  #narrow(a: Value, exact: () => void): Value {
    const { checks } = this;
    const result = checks.emit(Op.f32_demote_f64, ValueType.f32, a);
    const conditions = (holds: Holds) => {
      holds(checks.ordinary(SINGLE, result), () => checks.isZeroFloat(DOUBLE, a));
      this.holdsIfExact(holds, () => {
        const back = checks.emit(Op.f64_promote_f32, ValueType.f64, result);
        return checks.compare(DOUBLE, 'eq', back, a);
      });
    };
    return this.guarded(result, conditions, exact);
  }

  #widen(a: Value, exact: () => void): Value {
    const { checks } = this;
    const result = checks.emit(Op.f64_promote_f32, ValueType.f64, a);
    const conditions = (holds: Holds) => {
      holds(checks.notDenormal(SINGLE, a));
      holds(checks.compare(SINGLE, 'eq', a, a));
    };
    return this.guarded(result, conditions, exact);
  }
}

const ROUNDING_OPS = ['nearest', 'floor', 'ceil', 'trunc'] as const;

function lanesOf({ bits }: Format): Lanes {
  return bits === 64 ? 'f64x2' : 'f32x4';
}
