/**
 * AES rounds and key generation. SDM vol. 2 "AESENC" and vol. 1 §12.13; FIPS 197 §4, §5. A column of the state is a
 * doubleword of the register. Bytes are substituted by looking all of them up in the sixteen rows of the S-box: where the
 * row is not the byte's own, swizzling gives zero.
 */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Vdq, Wdq } from '../operands.ts';
import { type Combine, combining, repeated, series, sse, zeroVector } from './vectors.ts';

/** The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 §4.2). */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 7; bit >= 0; bit--) {
    sum = (sum << 1) ^ ((sum & 0x80) === 0 ? 0 : 0x11b);
    if (((b >> bit) & 1) !== 0) sum ^= a;
  }
  return sum;
}

/** FIPS 197 §5.1.1: the inverse, then an affine map of its bits. */
function substitute(byte: number): number {
  const inverse = byte === 0 ? 0 : series(255, 1).find((candidate) => product(byte, candidate) === 1)!;
  const doubled = inverse | (inverse << 8);
  return (inverse ^ (doubled >> 4) ^ (doubled >> 5) ^ (doubled >> 6) ^ (doubled >> 7) ^ 0x63) & 0xff;
}

const S_BOX: readonly number[] = series(256).map(substitute);
const INVERSE_S_BOX: readonly number[] = series(256).map((byte) => S_BOX.indexOf(byte));

/** FIPS 197 §5.1.2: row r of column c comes from column c + r; and back. */
const SHIFT_ROWS = series(16).map((i) => (i + 4 * (i & 3)) & 15);
const INVERSE_SHIFT_ROWS = series(16).map((i) => (i - 4 * (i & 3)) & 15);

function substituted<V>(u: Cracker<V>, box: readonly number[], value: V): V {
  const sixteen = repeated(u, 16);
  let index = value;
  let result: V | undefined;
  for (let row = 0; row < 16; row++) {
    if (row > 0) index = u.vector2('i8x16.sub', index, sixteen);
    const found = u.vector2('i8x16.swizzle', u.vector(box.slice(16 * row, 16 * row + 16)), index);
    result = result === undefined ? found : u.vector2('v128.or', result, found);
  }
  return result!;
}

/** Each byte of a column replaced by the one so many rows below it. */
function rotated<V>(u: Cracker<V>, value: V, rows: number): V {
  return u.shuffle(
    value,
    value,
    series(16).map((i) => (i & 12) | ((i + rows) & 3)),
  );
}

/** All bytes times x. */
function doubled<V>(u: Cracker<V>, value: V): V {
  const overflow = u.vectorShift('i8x16.shr_s', value, u.int(32, 7));
  const reduction = u.vector2('v128.and', overflow, repeated(u, 0x1b));
  return u.vector2('v128.xor', u.vector2('i8x16.add', value, value), reduction);
}

/** FIPS 197 §5.1.3: 2·s0 + 3·s1 + s2 + s3 = 2·(s0 + s1) + s1 + (s2 + s3). */
function mixColumns<V>(u: Cracker<V>, value: V): V {
  const next = rotated(u, value, 1);
  const pairs = u.vector2('v128.xor', value, next);
  const rest = u.vector2('v128.xor', next, rotated(u, pairs, 2));
  return u.vector2('v128.xor', doubled(u, pairs), rest);
}

/** Its inverse is itself behind a map: s0 + 4·(s0 + s2). */
function inverseMixColumns<V>(u: Cracker<V>, value: V): V {
  const pairs = u.vector2('v128.xor', value, rotated(u, value, 2));
  const quadrupled = doubled(u, doubled(u, pairs));
  return mixColumns(u, u.vector2('v128.xor', value, quadrupled));
}

const encryptLast: Combine = (u, state, key) =>
  u.vector2('v128.xor', substituted(u, S_BOX, u.shuffle(state, state, SHIFT_ROWS)), key);

const encrypt: Combine = (u, state, key) =>
  u.vector2('v128.xor', mixColumns(u, substituted(u, S_BOX, u.shuffle(state, state, SHIFT_ROWS))), key);

const decryptLast: Combine = (u, state, key) =>
  u.vector2('v128.xor', substituted(u, INVERSE_S_BOX, u.shuffle(state, state, INVERSE_SHIFT_ROWS)), key);

const decrypt: Combine = (u, state, key) => {
  const shifted = u.shuffle(state, state, INVERSE_SHIFT_ROWS);
  return u.vector2('v128.xor', inverseMixColumns(u, substituted(u, INVERSE_S_BOX, shifted)), key);
};

export const ROUNDS: readonly Instruction[] = [
  combining('AESENC', sse(0x0f38dc), encrypt, 'aes'),
  combining('AESENCLAST', sse(0x0f38dd), encryptLast, 'aes'),
  combining('AESDEC', sse(0x0f38de), decrypt, 'aes'),
  combining('AESDECLAST', sse(0x0f38df), decryptLast, 'aes'),
  combining('AESIMC', sse(0x0f38db), (u, _, key) => inverseMixColumns(u, key), 'aes'),
];

/** SubWord and RotWord (FIPS 197 §5.2) of doublewords 1 and 3, the rotated ones with the round constant. */
export const AESKEYGENASSIST = inst('AESKEYGENASSIST', {
  forms: [enc(0x0f3adf, Vdq, Wdq, Ib).p66()],
  feature: 'aes',
  crack(u, dst, src, constant) {
    const words = substituted(u, S_BOX, u.readVector(src));
    const rotations = u.shuffle(words, words, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
    u.writeVector(dst, u.vector2('v128.xor', rotations, inOddDwords(u, constant)));
  },
});

function inOddDwords<V>(u: Cracker<V>, constant: Operand): V {
  const value = u.read(constant);
  return u.withLane('i8x16', u.withLane('i8x16', zeroVector(u), 4, value), 12, value);
}
