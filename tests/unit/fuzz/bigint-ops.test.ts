// The oracle's operations and those of generated code are the same: each is compiled, executed by WebAssembly, and computed with
// bigints, with random values and edges.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type LaneShape,
  type Ops,
  VECTOR_BINARY,
  VECTOR_SHIFTS,
  VECTOR_UNARY,
  type Width,
} from '../../../src/arch/x86/isa/ops.ts';
import { CodeTable } from '../../../src/cpu/functional/code-table.ts';
import { ENGINE, importCore } from '../../../src/cpu/functional/core-functions.ts';
import { buildCoreModule, emitLoad, emitStore } from '../../../src/cpu/functional/core-module.ts';
import { FunctionWriter } from '../../../src/cpu/functional/wasm/function.ts';
import { ModuleWriter } from '../../../src/cpu/functional/wasm/module.ts';
import { ValueType } from '../../../src/cpu/functional/wasm/opcodes.ts';
import { WasmOps } from '../../../src/cpu/functional/wasm-ops.ts';
import { BigIntOps } from '../../../tools/fuzz/oracle/bigint-ops.ts';
import { Random } from '../../support/random.ts';

const ROUNDS = 64;
const WIDTHS: readonly Width[] = [8, 16, 32, 64];
const SHAPES: readonly LaneShape[] = ['i8x16', 'i16x8', 'i32x4', 'i64x2'];
const RESULT_AT = 64;
const OPERAND_BYTES = 16;

type Bits = Width | 128;

/** An operation: bits of its operands and its result, and how it is said. */
interface Operation {
  readonly name: string;
  readonly operands: readonly Bits[];
  readonly result: Bits;
  /** Makes operands those that the operation is defined for. */
  readonly adjusted?: (operands: readonly bigint[]) => readonly bigint[];
  compute<V>(o: Ops<V>, ...operands: V[]): V;
}

const ofTwo = ['add', 'sub', 'mul', 'mulHighU', 'mulHighS', 'and', 'or', 'xor'] as const;
const ofOne = ['not', 'neg', 'clz', 'ctz', 'popcnt'] as const;
const shifts = ['shl', 'shr', 'sar', 'rotl', 'rotr'] as const;
const comparisons = ['eq', 'ne', 'ltU', 'ltS', 'leU', 'leS'] as const;
const divisions = ['divU', 'divS', 'remU', 'remS'] as const;

const unchanged = (operands: readonly bigint[]): readonly bigint[] => operands;

const belowWidth =
  (z: number) =>
  ([a, count]: readonly bigint[]): readonly bigint[] => [a!, count! % BigInt(z)];

/** No division by zero, and none whose quotient overflows. */
const divisible =
  (z: number) =>
  ([a, b]: readonly bigint[]): readonly bigint[] => [a! % (1n << BigInt(z - 1)), b === 0n ? 1n : b!];

const INTEGERS: readonly Operation[] = WIDTHS.flatMap((z): Operation[] => [
  ...ofTwo.map(
    (op): Operation => ({
      name: `${op} ${z}`,
      operands: [z, z],
      result: z,
      compute: (o, a, b) => o[op](z, a!, b!),
    }),
  ),
  ...ofOne.map(
    (op): Operation => ({
      name: `${op} ${z}`,
      operands: [z],
      result: z,
      compute: (o, a) => o[op](z, a!),
    }),
  ),
  ...shifts.map(
    (op): Operation => ({
      name: `${op} ${z}`,
      operands: [z, 32],
      result: z,
      adjusted: belowWidth(z),
      compute: (o, a, count) => o[op](z, a!, count!),
    }),
  ),
  ...comparisons.map(
    (op): Operation => ({
      name: `${op} ${z}`,
      operands: [z, z],
      result: 32,
      compute: (o, a, b) => o[op](z, a!, b!),
    }),
  ),
  { name: `isZero ${z}`, operands: [z], result: 32, compute: (o, a) => o.isZero(z, a!) },
  {
    name: `select ${z}`,
    operands: [32, z, z],
    result: z,
    adjusted: ([condition, a, b]) => [condition! & 1n, a!, b!],
    compute: (o, condition, a, b) => o.select(condition!, a!, b!),
  },
  ...WIDTHS.flatMap((to) =>
    (['zext', 'sext'] as const).map(
      (op): Operation => ({
        name: `${op} ${z} ${to}`,
        operands: [z],
        result: to,
        compute: (o, a) => o[op](z, to, a!),
      }),
    ),
  ),
]);

const DIVISIONS: readonly Operation[] = ([32, 64] as const).flatMap((z) =>
  divisions.map(
    (op): Operation => ({
      name: `${op} ${z}`,
      operands: [z, z],
      result: z,
      adjusted: divisible(z),
      compute: (o, a, b) => o[op](z, a!, b!),
    }),
  ),
);

const LANES: readonly Operation[] = SHAPES.flatMap((shape): Operation[] => {
  const bits = Number(/^i(\d+)/.exec(shape)![1]) as Width;
  const last = 128 / bits - 1;
  return [
    { name: `lane ${shape}`, operands: [128], result: bits, compute: (o, a) => o.lane(shape, a!, last) },
    {
      name: `withLane ${shape}`,
      operands: [128, bits],
      result: 128,
      compute: (o, a, b) => o.withLane(shape, a!, 1, b!),
    },
    { name: `splat ${shape}`, operands: [bits], result: 128, compute: (o, a) => o.splat(shape, a!) },
    { name: `bitmask ${shape}`, operands: [128], result: 32, compute: (o, a) => o.bitmask(shape, a!) },
  ];
});

const CHOSEN = [0, 31, 16, 15, 7, 7, 24, 3, 1, 30, 9, 12, 20, 5, 27, 2];

const VECTORS: readonly Operation[] = [
  ...VECTOR_UNARY.map(
    (op): Operation => ({
      name: op,
      operands: [128],
      result: 128,
      compute: (o, a) => o.vector1(op, a!),
    }),
  ),
  ...VECTOR_BINARY.map(
    (op): Operation => ({
      name: op,
      operands: [128, 128],
      result: 128,
      compute: (o, a, b) => o.vector2(op, a!, b!),
    }),
  ),
  ...VECTOR_SHIFTS.map(
    (op): Operation => ({
      name: op,
      operands: [128, 32],
      result: 128,
      adjusted: belowWidth(Number(/^i(\d+)/.exec(op)![1])),
      compute: (o, a, count) => o.vectorShift(op, a!, count!),
    }),
  ),
  {
    name: 'bitselect',
    operands: [128, 128, 128],
    result: 128,
    compute: (o, a, b, mask) => o.bitselect(a!, b!, mask!),
  },
  { name: 'shuffle', operands: [128, 128], result: 128, compute: (o, a, b) => o.shuffle(a!, b!, CHOSEN) },
  { name: 'vector', operands: [], result: 128, compute: (o) => o.vector(CHOSEN) },
  { name: 'anyTrue', operands: [128], result: 32, compute: (o, a) => o.anyTrue(a!) },
];

/** One function for each operation: operands in memory from 0 on, the result at RESULT_AT. */
function compiled(
  operations: readonly Operation[],
): [DataView, readonly ((...values: number[]) => number)[]] {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const ram = new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true });
  const none = () => 0;
  const { core } = new CodeTable(buildCoreModule(), {
    memory,
    ram,
    translate: none,
    commit: none,
    assist: none,
  });
  const module = new ModuleWriter('test');
  const functions = importCore(module);
  const type = module.type([], []);
  const f = new FunctionWriter();
  for (const [i, { operands, result, compute }] of operations.entries()) {
    f.begin(0);
    const o = new WasmOps(f, functions);
    const values = operands.map((bits, n) => {
      f.code.i32(0);
      emitLoad(f, bits / 8, ENGINE, n * OPERAND_BYTES);
      return o.take(typeOf(bits));
    });
    const value = compute(o, ...values);
    f.code.i32(0);
    o.put(value);
    emitStore(f, result / 8, ENGINE, RESULT_AT);
    const { body, hints } = f.finish();
    module.export(`${i}`, module.addFunction(type, body, hints));
  }
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
  const imports = { engine: { memory, ram, table }, core };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), imports);
  return [new DataView(memory.buffer), operations.map((_, i) => exports[`${i}`]!)];
}

function typeOf(bits: Bits): ValueType {
  if (bits === 128) return ValueType.v128;
  return bits === 64 ? ValueType.i64 : ValueType.i32;
}

/** Bytes that are often 0, 0x7f, 0x80 or 0xff: the ends of lanes of all sizes. */
function randomValue(random: Random, bits: Bits): bigint {
  let value = 0n;
  const isPlain = random.oneIn(2);
  for (let i = 0; i < bits / 8; i++) {
    const byte = isPlain ? random.below(256) : random.pick([0, 0, 1, 0x7f, 0x80, 0xff, 0xff]);
    value = (value << 8n) | BigInt(byte);
  }
  return value;
}

function setBytes(view: DataView, at: number, value: bigint): void {
  view.setBigUint64(at, BigInt.asUintN(64, value), true);
  view.setBigUint64(at + 8, value >> 64n, true);
}

for (const [kind, operations] of Object.entries({ INTEGERS, DIVISIONS, LANES, VECTORS }))
  test(`${kind.toLowerCase()}: bigints and generated code agree`, () => {
    const random = new Random(1);
    const [view, functions] = compiled(operations);
    for (const [i, { name, operands, result, adjusted = unchanged, compute }] of operations.entries())
      for (let round = 0; round < ROUNDS; round++) {
        const given = adjusted(operands.map((bits) => randomValue(random, bits)));
        for (const [n, value] of given.entries()) setBytes(view, n * OPERAND_BYTES, value);
        setBytes(view, RESULT_AT, 0n);
        functions[i]!();
        const low = view.getBigUint64(RESULT_AT, true);
        const generated = (view.getBigUint64(RESULT_AT + 8, true) << 64n) | low;
        const computed = compute(new BigIntOps(), ...given);
        const text = `${name} of ${given.map((value) => value.toString(16))}, ${result} bits`;
        assert.equal(computed.toString(16), generated.toString(16), text);
      }
  });

test('a value that does not fit its width is the definition’s mistake', () => {
  assert.throws(() => new BigIntOps().add(8, 0x100n, 1n), /0x100 is no value of 8 bits/);
  assert.throws(() => new BigIntOps().select(2n, 1n, 0n), /0x2 is no value of 1 bits/);
});
