/**
 * What the definitions of MMX and SSE instructions have in common: the rows of operations that exist for both kinds of
 * registers, and vectors put together from elements of others. A value has 128 bits in either case; of an MMX register
 * the low 64 count.
 */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Pq, Qq, Vdq, Wdq } from '../operands.ts';
import type { VectorBinary, Width } from '../ops.ts';

/** CPUID features, and whether the MMX form came with them. */
export type Extension = 'ssse3' | 'sse4_1' | 'sse4_2' | 'aes';

/** What becomes of the two operands. */
export type Combine = <V>(u: Cracker<V>, a: V, b: V, dst: Operand) => V;

/** The MMX form and the SSE2 form of an opcode. */
export function mmxAndSse(opcode: number): Form[] {
  return [enc(opcode, Pq, Qq).np(), enc(opcode, Vdq, Wdq).p66()];
}

/** The form of an opcode that exists for SSE registers only. */
export function sse(opcode: number): Form[] {
  return [enc(opcode, Vdq, Wdq).p66()];
}

/** An instruction with a source, and a destination that is the first source. */
export function combining(
  mnemonic: string,
  forms: readonly Form[],
  combine: Combine,
  feature?: Extension,
): Instruction {
  return inst(mnemonic, {
    forms,
    ...(feature === undefined ? {} : { feature }),
    crack(u, dst, src) {
      u.writeVector(dst, combine(u, u.readVector(dst), u.readVector(src), dst));
    },
  });
}

/** One whose operation is one of WebAssembly's. */
export function elementwise(
  mnemonic: string,
  forms: readonly Form[],
  op: VectorBinary,
  feature?: Extension,
): Instruction {
  return combining(mnemonic, forms, (u, a, b) => u.vector2(op, a, b), feature);
}

/**
 * Elements of two vectors, each as long as the operand: element i of the result is the element `indices[i]` of `a`, or,
 * counted on, of `b`.
 */
export function pick<V>(
  u: Cracker<V>,
  { bits }: Operand,
  elementBytes: number,
  a: V,
  b: V,
  indices: readonly number[],
): V {
  const sizeBytes = bits / 8;
  const lanes: number[] = [];
  for (const index of indices) {
    const first = index * elementBytes;
    lanes.push(...series(elementBytes, first < sizeBytes ? first : first - sizeBytes + 16));
  }
  // Above an MMX register: anything.
  while (lanes.length < 16) lanes.push(0);
  return u.shuffle(a, b, lanes);
}

/** How many elements an operand has. */
export function elementCount({ bits }: Operand, elementBytes: number): number {
  return bits / 8 / elementBytes;
}

/** first, first + step, …: `count` numbers. */
export function series(count: number, first = 0, step = 1): number[] {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) numbers.push(first + i * step);
  return numbers;
}

export function zeroVector<V>(u: Cracker<V>): V {
  return u.vector(series(16, 0, 0));
}

/** The same bytes again and again. */
export function repeated<V>(u: Cracker<V>, ...bytes: number[]): V {
  const all: number[] = [];
  while (all.length < 16) all.push(...bytes);
  return u.vector(all);
}

/** An integer in the lowest element; zeros above. */
export function widened<V>(u: Cracker<V>, z: Width, value: V): V {
  return u.withLane(shapeOf(z), zeroVector(u), 0, value);
}

export function shapeOf(z: Width): 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2' {
  return ({ 8: 'i8x16', 16: 'i16x8', 32: 'i32x4', 64: 'i64x2' } as const)[z];
}

/** An immediate of eight bits, of a row that is `literal`. */
export function literalByte<V>(u: Cracker<V>, immediate: Operand): number {
  return u.constant(immediate)! & 0xff;
}
