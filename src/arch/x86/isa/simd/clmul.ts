/** PCLMULQDQ: products without carries. SDM vol. 2B "PCLMULQDQ". */

import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ib, Vdq, Wdq } from '../operands.ts';
import { literalByte, repeated, series, zeroVector } from './vectors.ts';

/** Every fourth bit, from bit 0. */
const EVERY_FOURTH = 0x1111_1111_1111_1111n;

/**
 * The low 64 bits of the product. Numbers with three zeros between their bits are multiplied with carries: at most 16 bits meet
 * in one place, and only in the last one as many, so that carries do not reach the next of its kind. What they reach in
 * between is masked out.
 */
function lowProduct<V>(u: Cracker<V>, a: V, b: V): V {
  const masks = series(4).map((i) => u.int(64, BigInt.asIntN(64, EVERY_FOURTH << BigInt(i))));
  const [partsA, partsB] = [a, b].map((value) => masks.map((mask) => u.and(64, value, mask)));
  let product: V | undefined;
  for (let place = 0; place < 4; place++) {
    let sum: V | undefined;
    for (let i = 0; i < 4; i++) {
      const term = u.mul(64, partsA![i]!, partsB![(place - i) & 3]!);
      sum = sum === undefined ? term : u.xor(64, sum, term);
    }
    const bits = u.and(64, sum!, masks[place]!);
    product = product === undefined ? bits : u.or(64, product, bits);
  }
  return product!;
}

/** The bits of both halves in reverse order: bytes, then nibbles, then bits by a table. */
function reversed<V>(u: Cracker<V>, value: V): V {
  const bytes = u.shuffle(value, value, [...series(8, 7, -1), ...series(8, 15, -1)]);
  const nibble = repeated(u, 0x0f);
  const low = series(16).map((n) => ((n & 1) << 3) | ((n & 2) << 1) | ((n & 4) >> 1) | (n >> 3));
  const high = u.vector(low.map((n) => n << 4));
  const fromLow = u.vector2('i8x16.swizzle', high, u.vector2('v128.and', bytes, nibble));
  const shifted = u.vectorShift('i8x16.shr_u', bytes, u.int(32, 4));
  return u.vector2('v128.or', fromLow, u.vector2('i8x16.swizzle', u.vector(low), shifted));
}

/** Bit 0 of the immediate chooses the half of the first operand, bit 4 that of the second. */
export const PCLMULQDQ = inst('PCLMULQDQ', {
  forms: [enc(0x0f3a44, Vdq, Wdq, Ib).p66()],
  feature: 'pclmulqdq',
  literal: true,
  crack(u, dst, src, immediate) {
    const control = literalByte(u, immediate);
    const a = u.lane('i64x2', u.readVector(dst), control & 1);
    const b = u.lane('i64x2', u.readVector(src), (control >> 4) & 1);
    // A product read backwards is the product of its factors read backwards: its high half, but for one bit.
    const both = reversed(u, u.withLane('i64x2', u.splat('i64x2', a), 1, b));
    const backwards = lowProduct(u, u.lane('i64x2', both, 0), u.lane('i64x2', both, 1));
    const low = lowProduct(u, a, b);
    const halves = reversed(u, u.withLane('i64x2', zeroVector(u), 0, backwards));
    const high = u.shr(64, u.lane('i64x2', halves, 0), u.int(32, 1));
    u.writeVector(dst, u.withLane('i64x2', u.withLane('i64x2', halves, 0, low), 1, high));
  },
});
