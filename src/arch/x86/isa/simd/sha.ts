/**
 * SHA-1 and SHA-256: rounds and message schedules. SDM vol. 2 "SHA1RNDS4" and following; FIPS 180-4 §4.1, §6.1, §6.2. Memory
 * operands need no alignment on AMD's processors (Zen 4 executes them); the SDM has them raise #GP.
 */

import type { Cracker } from '../cracker.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Vdq, Wdq, XMM0 } from '../operands.ts';
import { type Combine, literalByte, zeroVector } from './vectors.ts';

const FEATURE = 'sha_ni';

/** Source and destination combined, without alignment. */
function message(mnemonic: string, forms: readonly Form[], combine: Combine): Instruction {
  return inst(mnemonic, {
    forms,
    feature: FEATURE,
    unaligned: true,
    crack(u, dst, src) {
      u.writeVector(dst, combine(u, u.readVector(dst), u.readVector(src), dst));
    },
  });
}

function dwords<V>(u: Cracker<V>, value: V): [V, V, V, V] {
  const at = (lane: number): V => u.lane('i32x4', value, lane);
  return [at(0), at(1), at(2), at(3)];
}

function vectorOf<V>(u: Cracker<V>, lanes: readonly V[]): V {
  return lanes.reduce((vector, value, i) => u.withLane('i32x4', vector, i, value), zeroVector(u));
}

function sum<V>(u: Cracker<V>, ...terms: V[]): V {
  return terms.reduce((total, term) => u.add(32, total, term));
}

function xorOf<V>(u: Cracker<V>, ...terms: V[]): V {
  return terms.reduce((total, term) => u.xor(32, total, term));
}

function rotl<V>(u: Cracker<V>, value: V, by: number): V {
  return u.rotl(32, value, u.int(32, by));
}

function rotr<V>(u: Cracker<V>, value: V, by: number): V {
  return u.rotr(32, value, u.int(32, by));
}

/** FIPS 180-4 §4.1.1 and §4.1.2. */
function choose<V>(u: Cracker<V>, x: V, y: V, z: V): V {
  return u.xor(32, u.and(32, x, u.xor(32, y, z)), z);
}

function majority<V>(u: Cracker<V>, x: V, y: V, z: V): V {
  return u.or(32, u.and(32, x, y), u.and(32, z, u.or(32, x, y)));
}

// ---- SHA-1: the highest doubleword is the first ----

/** FIPS 180-4 §4.1.1, §4.2.1: function and constant of each of the four quarters. */
const SHA1_QUARTERS: readonly { readonly mix: typeof choose; readonly constant: number }[] = [
  { mix: choose, constant: 0x5a82_7999 },
  { mix: xorOf, constant: 0x6ed9_eba1 },
  { mix: majority, constant: 0x8f1b_bcdc },
  { mix: xorOf, constant: 0xca62_c1d6 },
];

/** Four rounds; E has already been added to the first word of the message. */
export const SHA1RNDS4 = inst('SHA1RNDS4', {
  forms: [enc(0x0f3acc, Vdq, Wdq, Ib).np()],
  feature: FEATURE,
  unaligned: true,
  literal: true,
  crack(u, dst, src, quarter) {
    const { mix, constant } = SHA1_QUARTERS[literalByte(u, quarter) & 3]!;
    let [d, c, b, a] = dwords(u, u.readVector(dst));
    const words = dwords(u, u.readVector(src)).reverse();
    let e = u.int(32, 0);
    for (const word of words) {
      const next = sum(u, mix(u, b, c, d), rotl(u, a, 5), word, e, u.int(32, constant));
      [e, d, c, b, a] = [d, c, rotl(u, b, 30), a, next];
    }
    u.writeVector(dst, vectorOf(u, [d, c, b, a]));
  },
});

export const SHA1: readonly Instruction[] = [
  message('SHA1NEXTE', [enc(0x0f38c8, Vdq, Wdq).np()], (u, state, words) => {
    const e = rotl(u, u.lane('i32x4', state, 3), 30);
    return u.withLane('i32x4', words, 3, u.add(32, u.lane('i32x4', words, 3), e));
  }),
  message(
    'SHA1MSG1',
    [enc(0x0f38c9, Vdq, Wdq).np()],
    // Each word with the one two behind it.
    (u, a, b) =>
      u.vector2('v128.xor', a, u.shuffle(a, b, [24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7])),
  ),
  message('SHA1MSG2', [enc(0x0f38ca, Vdq, Wdq).np()], (u, a, b) => {
    const [a0, a1, a2, a3] = dwords(u, a);
    const [b0, b1, b2] = dwords(u, b);
    const first = rotl(u, u.xor(32, a3, b2), 1);
    const second = rotl(u, u.xor(32, a2, b1), 1);
    const third = rotl(u, u.xor(32, a1, b0), 1);
    return vectorOf(u, [rotl(u, u.xor(32, a0, first), 1), third, second, first]);
  }),
];

// ---- SHA-256 ----

/** Two rounds: the destination holds C D G H, the source A B E F, XMM0 two words with their constants added. */
export const SHA256RNDS2 = inst('SHA256RNDS2', {
  forms: [enc(0x0f38cb, Vdq, Wdq, XMM0).np()],
  feature: FEATURE,
  unaligned: true,
  crack(u, dst, src, words) {
    let [h, g, d, c] = dwords(u, u.readVector(dst));
    let [f, e, b, a] = dwords(u, u.readVector(src));
    const both = u.readVector(words);
    for (let round = 0; round < 2; round++) {
      const word = u.lane('i32x4', both, round);
      const sigma1 = xorOf(u, rotr(u, e, 6), rotr(u, e, 11), rotr(u, e, 25));
      const first = sum(u, choose(u, e, f, g), sigma1, word, h);
      const sigma0 = xorOf(u, rotr(u, a, 2), rotr(u, a, 13), rotr(u, a, 22));
      const second = sum(u, majority(u, a, b, c), sigma0);
      [h, g, f, e, d, c, b, a] = [g, f, e, u.add(32, first, d), c, b, a, u.add(32, first, second)];
    }
    u.writeVector(dst, vectorOf(u, [f, e, b, a]));
  },
});

/** σ of a message word: two rotations and a shift. Of all four at once. */
function sigma<V>(u: Cracker<V>, value: V, first: number, second: number, shift: number): V {
  const rotated = (by: number): V =>
    u.vector2(
      'v128.or',
      u.vectorShift('i32x4.shr_u', value, u.int(32, by)),
      u.vectorShift('i32x4.shl', value, u.int(32, 32 - by)),
    );
  const both = u.vector2('v128.xor', rotated(first), rotated(second));
  return u.vector2('v128.xor', both, u.vectorShift('i32x4.shr_u', value, u.int(32, shift)));
}

export const SHA256: readonly Instruction[] = [
  message('SHA256MSG1', [enc(0x0f38cc, Vdq, Wdq).np()], (u, a, b) => {
    const next = u.shuffle(a, b, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    return u.vector2('i32x4.add', a, sigma(u, next, 7, 18, 3));
  }),
  message('SHA256MSG2', [enc(0x0f38cd, Vdq, Wdq).np()], (u, a, b) => {
    // Words 2 and 3 need words 0 and 1 of the result.
    const known = sigma(
      u,
      u.shuffle(b, b, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]),
      17,
      19,
      10,
    );
    const low = u.vector2('i32x4.add', a, known);
    const doubled = u.shuffle(low, low, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
    const high = u.vector2('i32x4.add', a, sigma(u, doubled, 17, 19, 10));
    return u.shuffle(low, high, [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]);
  }),
];
