/**
 * Floating point in the core: what generated code calls when a fast path does not hold. Three functions (`float64`,
 * `float32`, `floatPacked`) take the code of a routine and its operands. What is common, though not ordinary, is computed
 * here: zeros, infinities, quiet NaNs, and, while PE is not set, results that are exact. Everything else
 * goes to the exact routines, through the space of assists.
 *
 * The medium path holds if MXCSR rounds to nearest and masks everything, and no operand is denormal. By operation:
 *
 *   a quiet NaN     the first operand that is a NaN, no flags (SDM vol. 1 table 4-7)
 *   add, sub        zeros and infinities are exact unless finite operands overflow; a denormal result may be flushed: not here
 *   mul, div        exact with a zero or infinity (but x ÷ 0 raises ZE); otherwise the result is ordinary
 *   sqrt            exact of zeros and +infinity
 */

import { ASSISTS } from '../../arch/x86/isa/assists.ts';
import { FLOAT_OPERATIONS } from '../../arch/x86/isa/float-ops.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { type CoreFunctionName, type CoreFunctions, ENGINE, signatureOf } from './core-functions.ts';
import { DOUBLE, FloatChecks, type Format, SINGLE } from './float-checks.ts';
import { CELL, CONTEXT_AT } from './layout.ts';
import { floatConstantBytes, type Lanes, VectorChecks } from './vector-checks.ts';
import type { FunctionWriter } from './wasm/function.ts';
import type { ModuleWriter } from './wasm/module.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { FloatVectorOp, VectorOp } from './wasm/vector-opcodes.ts';
import { type Value, WasmOps } from './wasm-ops.ts';

const { i32, f64, v128 } = ValueType;

const MEDIUM = ['add', 'sub', 'mul', 'div', 'sqrt'] as const;
type Medium = (typeof MEDIUM)[number];
const ADDSUB = FLOAT_OPERATIONS.indexOf('addsub');

/** MXCSR: rounding control and masks; round to nearest and all masked; PE. */
const MODE = 0x7f80;
const MEDIUM_MODE = 0x1f80;
const PE = 0x20;

/** Functions of the core that compute one element: result, and 1 if it is right and no flag changes. */
class MediumPaths {
  readonly #f: FunctionWriter;
  readonly #o: WasmOps;
  readonly #checks: FloatChecks;
  readonly #format: Format;

  constructor(f: FunctionWriter, format: Format) {
    this.#f = f;
    this.#o = new WasmOps(f, {} as CoreFunctions);
    this.#checks = new FloatChecks(this.#o);
    this.#format = format;
  }

  /** The function `(operation, a, b) → (result, 1 or 0)`. */
  write(): void {
    const f = this.#f;
    const { type } = this.#format;
    const a = this.#o.ofLocal(1, type);
    const b = this.#o.ofLocal(2, type);
    this.#exitIf(this.#isDenormal(a), a, 0);
    this.#exitIf(this.#isDenormal(b), a, 0);
    this.#nans(a, b);
    const labels = MEDIUM.map(() => f.block());
    f.code.get(0);
    f.code.op(Op.br_table);
    f.code.u32(labels.length - 1);
    for (let i = 0; i < labels.length; i++) f.code.u32(i);
    for (const operation of MEDIUM) {
      f.end();
      this.#operation(operation, a, b);
      f.releaseTemporaries();
    }
    f.code.op(Op.unreachable);
  }

  #return(result: Value, isRight: 0 | 1): void {
    this.#o.put(result);
    this.#f.code.i32(isRight);
    this.#f.code.op(Op.return);
  }

  #exitIf(condition: Value, result: Value, isRight: 0 | 1): void {
    this.#o.put(condition);
    this.#f.if();
    this.#return(result, isRight);
    this.#f.end();
  }

  /** Leaves if an operand is a NaN. */
  #nans(a: Value, b: Value): void {
    const checks = this.#checks;
    const o = this.#o;
    for (const [operand, other] of [
      [a, b],
      [b, a],
    ] as const) {
      o.put(checks.isNan(this.#format, operand));
      this.#f.if();
      const signals = o.or(32, this.#isSignalling(operand), this.#isSignalling(other));
      this.#exitIf(signals, operand, 0);
      this.#return(operand, 1);
      this.#f.end();
    }
  }

  #isSignalling(a: Value): Value {
    const { bits, fractionBits } = this.#format;
    const o = this.#o;
    const shifted = o.shr(bits, this.#checks.bits(this.#format, a), o.int(32, fractionBits - 1));
    const quiet = o.and(32, o.zext(bits, 32, shifted), o.int(32, 1));
    return o.and(32, this.#checks.isNan(this.#format, a), o.xor(32, quiet, o.int(32, 1)));
  }

  #operation(operation: Medium, a: Value, b: Value): void {
    const checks = this.#checks;
    const r = checks.arithmetic(this.#format, operation, ...(operation === 'sqrt' ? [a] : [a, b]));
    this.#exitIf(checks.isNan(this.#format, r), r, 0);
    if (operation === 'add' || operation === 'sub') this.#sum(operation, a, b, r);
    else this.#product(operation, a, b, r);
  }

  #sum(operation: 'add' | 'sub', a: Value, b: Value, r: Value): void {
    const o = this.#o;
    const infinite = o.or(32, this.#isInfinite(a), this.#isInfinite(b));
    this.#exitIf(infinite, r, 1);
    this.#exitIf(this.#isInfinite(r), r, 0);
    this.#exitIf(this.#isDenormal(r), r, 0);
    this.#exitIf(this.#peIsSet(), r, 1);
    o.put(r);
    o.put(this.#sumIsExact(operation, a, b, r));
    this.#f.code.op(Op.return);
  }

  /** The rounding error of a sum, which is a number of the format (Knuth, TAOCP vol. 2 §4.2.2, theorem B), is zero. */
  #sumIsExact(operation: 'add' | 'sub', a: Value, b: Value, r: Value): Value {
    const add = (x: Value, y: Value) => this.#checks.arithmetic(this.#format, 'add', x, y);
    const sub = (x: Value, y: Value) => this.#checks.arithmetic(this.#format, 'sub', x, y);
    const addend = operation === 'add' ? b : sub(this.#checks.constant(this.#format, 0), b);
    const virtual = sub(r, a);
    const error = add(sub(a, sub(r, virtual)), sub(addend, virtual));
    return this.#checks.isZeroFloat(this.#format, error);
  }

  #product(operation: 'mul' | 'div' | 'sqrt', a: Value, b: Value, r: Value): void {
    const checks = this.#checks;
    const o = this.#o;
    const aIsInfinite = this.#isInfinite(a);
    this.#exitIf(aIsInfinite, r, 1);
    const bIsZero = checks.isZeroFloat(this.#format, b);
    if (operation === 'div') this.#exitIf(bIsZero, r, 0);
    else this.#exitIf(bIsZero, r, 1);
    this.#exitIf(o.or(32, checks.isZeroFloat(this.#format, a), this.#isInfinite(b)), r, 1);
    this.#exitIf(o.isZero(32, checks.ordinary(this.#format, r)), r, 0);
    this.#exitIf(this.#peIsSet(), r, 1);
    o.put(r);
    if (operation === 'mul') o.put(this.#isProduct(a, b, r));
    else if (operation === 'div') o.put(this.#isProduct(r, b, a));
    else o.put(this.#isProduct(r, r, a));
    this.#f.code.op(Op.return);
  }

  /** `x` times `y` is `product`, exactly: 0 or 1. Products of singles are exact as doubles. */
  #isProduct(x: Value, y: Value, product: Value): Value {
    const checks = this.#checks;
    const o = this.#o;
    if (this.#format === SINGLE) {
      const [wideX, wideY, wide] = [x, y, product].map((value) =>
        checks.emit(Op.f64_promote_f32, f64, value),
      );
      return checks.compare(DOUBLE, 'eq', checks.arithmetic(DOUBLE, 'mul', wideX!, wideY!), wide!);
    }
    // Significands of 53 − z bits each, their trailing zeros apart, have a product of at most 53 bits if the zeros are 53.
    const zeros = [x, y].map((value) =>
      o.zext(64, 32, o.ctz(64, o.or(64, checks.bits(DOUBLE, value), o.int(64, 2n ** 52n)))),
    );
    const fits = o.leU(32, o.int(32, 53), o.add(32, zeros[0]!, zeros[1]!));
    return o.and(32, fits, checks.compare(DOUBLE, 'eq', checks.arithmetic(DOUBLE, 'mul', x, y), product));
  }

  #isDenormal(a: Value): Value {
    return this.#o.isZero(this.#format.bits, this.#checks.notDenormal(this.#format, a));
  }

  #isInfinite(a: Value): Value {
    return this.#checks.isInfinite(this.#format, a);
  }

  #peIsSet(): Value {
    return this.#o.and(32, readMxcsr(this.#f, this.#o), this.#o.int(32, PE));
  }
}

function readMxcsr(f: FunctionWriter, o: WasmOps): Value {
  f.code.i32(0);
  f.code.memory(Op.i32_load, ENGINE, CONTEXT_AT + OFFSET.mxcsr);
  return o.take(i32);
}

/** Adds the core's functions of floating point and exports them. */
export function addFloatFunctions(module: ModuleWriter, f: FunctionWriter, assist: number): void {
  const medium = ([DOUBLE, SINGLE] as const).map((format) => {
    f.begin(3);
    new MediumPaths(f, format).write();
    const { body, hints } = f.finish();
    return module.addFunction(module.type([i32, format.type, format.type], [format.type, i32]), body, hints);
  });
  const [medium64, medium32] = medium as [number, number];
  const add = (name: CoreFunctionName, write: () => void) => {
    const { parameters, results } = signatureOf(name);
    f.begin(parameters.length);
    write();
    const { body, hints } = f.finish();
    module.export(name, module.addFunction(module.type(parameters, results), body, hints));
  };
  add('float64', () => writeScalar(f, DOUBLE, medium64, assist));
  add('float32', () => writeScalar(f, SINGLE, medium32, assist));
  add('floatPacked', () => writePacked(f, medium32, medium64, assist));
}

/** Opens a block that ends in front of the exact path and is left for it where the medium path cannot hold. */
function beginMedium(f: FunctionWriter, operations: number): number {
  const o = new WasmOps(f, {} as CoreFunctions);
  const exact = f.block();
  f.code.get(0);
  f.code.i32(operations * 4);
  f.code.op(Op.i32_ge_u);
  f.branchIf(exact);
  const mode = o.and(32, readMxcsr(f, o), o.int(32, MODE));
  o.put(o.ne(32, mode, o.int(32, MEDIUM_MODE)));
  f.branchIf(exact);
  return exact;
}

/** A product with a zero, if nothing is denormal: exact in every mode. The most common reason to come here, so it is first. */
function zeroProduct(f: FunctionWriter, format: Format): void {
  const o = new WasmOps(f, {} as CoreFunctions);
  const checks = new FloatChecks(o);
  const [a, b] = [o.ofLocal(1, format.type), o.ofLocal(2, format.type)];
  const product = checks.arithmetic(format, 'mul', a, b);
  const isMul = o.eq(32, o.shr(32, o.ofLocal(0, i32), o.int(32, 2)), o.int(32, MEDIUM.indexOf('mul')));
  const hasZero = o.or(32, checks.isZeroFloat(format, a), checks.isZeroFloat(format, b));
  o.put(o.and(32, isMul, o.and(32, checks.isZeroFloat(format, product), hasZero)));
  f.if();
  for (const operand of [a, b])
    o.put(o.ne(format.bits, checks.notDenormal(format, operand), o.int(format.bits, 0)));
  f.code.op(Op.i32_and);
  f.if();
  o.put(product);
  f.code.op(Op.return);
  f.end();
  f.end();
}

function writeScalar(f: FunctionWriter, format: Format, medium: number, assist: number): void {
  const { type } = format;
  const result = f.local(type);
  zeroProduct(f, format);
  const exact = beginMedium(f, MEDIUM.length);
  f.code.get(0);
  f.code.i32(2);
  f.code.op(Op.i32_shr_u);
  f.code.get(1);
  f.code.get(2);
  f.code.opIndex(Op.call, medium);
  f.code.op(Op.i32_eqz);
  const isWrong = f.local(i32);
  f.code.set(isWrong);
  f.code.set(result);
  f.code.get(isWrong);
  f.branchIf(exact);
  f.code.get(result);
  f.code.op(Op.return);
  f.end();
  const [load, store] = type === f64 ? [Op.f64_load, Op.f64_store] : [Op.f32_load, Op.f32_store];
  writeExact(f, assist, (local, at) => {
    f.code.i32(0);
    f.code.get(local);
    f.code.memory(store, ENGINE, at);
  });
  f.code.i32(0);
  f.code.memory(load, ENGINE, CELL.scratch);
}

function writeExact(f: FunctionWriter, assist: number, store: (local: number, at: number) => void): void {
  store(1, CELL.scratch);
  store(2, CELL.scratch + 16);
  f.code.i32(ASSISTS.indexOf('float'));
  f.code.get(0);
  f.code.i32(0);
  f.code.i32(0);
  f.code.opIndex(Op.call, assist);
  f.code.op(Op.drop);
}

/**
 * Sums and products with zeros among their elements, all at once: the reason why most vectors come here. MXCSR is in its common
 * state; results are ordinary, or zeros that are exact.
 */
function zeroElements(f: FunctionWriter, lanes: Lanes, operation: 'add' | 'sub' | 'mul'): void {
  const o = new WasmOps(f, {} as CoreFunctions);
  const vectors = new VectorChecks(o, (...constant) => o.vector(floatConstantBytes(...constant)));
  const [a, b] = [o.ofLocal(1, v128), o.ofLocal(2, v128)];
  const code = 4 * FLOAT_OPERATIONS.indexOf(operation) + (lanes === 'f64x2' ? 3 : 2);
  o.put(o.eq(32, o.ofLocal(0, i32), o.int(32, code)));
  f.if();
  const r = vectors.operation(lanes, operation, a, b);
  const isZero = vectors.isZeroFloat(lanes, r);
  const hasZero = () => o.vector2('v128.or', vectors.isZeroFloat(lanes, a), vectors.isZeroFloat(lanes, b));
  const isExactZero = operation === 'mul' ? o.vector2('v128.and', isZero, hasZero()) : isZero;
  const isRight = o.vector2('v128.or', vectors.ordinary(lanes, r), isExactZero);
  const words = [isRight, vectors.notDenormal(lanes, a), vectors.notDenormal(lanes, b)];
  o.put(o.isZero(32, vectors.anyZero(lanes, words)));
  f.if();
  o.put(r);
  f.code.op(Op.return);
  f.end();
  f.end();
  f.releaseTemporaries();
}

/** Element by element; right if all of them are. */
function writePacked(f: FunctionWriter, medium32: number, medium64: number, assist: number): void {
  const result = f.local(v128);
  const allRight = f.local(i32);
  const operation = f.local(i32);
  const exact = beginMedium(f, ADDSUB + 1);
  const o = new WasmOps(f, {} as CoreFunctions);
  o.put(o.and(32, readMxcsr(f, o), o.int(32, PE)));
  f.if();
  for (const lanes of ['f64x2', 'f32x4'] as const)
    for (const name of ['mul', 'add', 'sub'] as const) zeroElements(f, lanes, name);
  f.end();
  f.code.get(0);
  f.code.i32(2);
  f.code.op(Op.i32_shr_u);
  f.code.set(operation);
  f.code.i32(1);
  f.code.set(allRight);
  // The shapes of vectors are ps (2) and pd (3).
  f.code.get(0);
  f.code.i32(1);
  f.code.op(Op.i32_and);
  f.if();
  writeElements(f, DOUBLE, medium64, { result, allRight, operation });
  f.else();
  writeElements(f, SINGLE, medium32, { result, allRight, operation });
  f.end();
  f.code.get(allRight);
  f.code.op(Op.i32_eqz);
  f.branchIf(exact);
  f.code.get(result);
  f.code.op(Op.return);
  f.end();
  writeExact(f, assist, (local, at) => {
    f.code.i32(0);
    f.code.get(local);
    f.code.vectorMemory(VectorOp.store, ENGINE, at);
  });
  f.code.i32(0);
  f.code.vectorMemory(VectorOp.load, ENGINE, CELL.scratch);
}

interface ElementLocals {
  readonly result: number;
  readonly allRight: number;
  readonly operation: number;
}

function writeElements(
  f: FunctionWriter,
  { bits, type }: Format,
  medium: number,
  locals: ElementLocals,
): void {
  const { code } = f;
  const lanes = bits === 64 ? 'f64x2' : 'f32x4';
  const element = f.local(type);
  for (let lane = 0; lane < 128 / bits; lane++) {
    // ADDSUB subtracts even elements and adds odd ones.
    code.i32((lane & 1) === 0 ? MEDIUM.indexOf('sub') : MEDIUM.indexOf('add'));
    code.get(locals.operation);
    code.get(locals.operation);
    code.i32(ADDSUB);
    code.op(Op.i32_eq);
    code.op(Op.select);
    for (const operand of [1, 2]) {
      code.get(operand);
      code.vector(FloatVectorOp[`${lanes}_extract_lane`]);
      code.byte(lane);
    }
    code.opIndex(Op.call, medium);
    code.get(locals.allRight);
    code.op(Op.i32_and);
    code.set(locals.allRight);
    code.set(element);
    code.get(locals.result);
    code.get(element);
    code.vector(FloatVectorOp[`${lanes}_replace_lane`]);
    code.byte(lane);
    code.set(locals.result);
  }
}
