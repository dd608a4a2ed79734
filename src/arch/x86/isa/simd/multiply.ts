/** Products of packed integers, and sums of products and differences. SDM vol. 2B, by mnemonic. */

import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Vdq, Wdq } from '../operands.ts';
import type { VectorBinary } from '../ops.ts';
import {
  combining,
  elementwise,
  literalByte,
  mmxAndSse,
  repeated,
  series,
  sse,
  zeroVector,
} from './vectors.ts';

const HIGH_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];
/** Doublewords 0 and 2 to where WebAssembly multiplies those at the bottom. */
const EVEN_DWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];

function highWords<V>(u: Cracker<V>, a: V, b: V, sign: 's' | 'u'): V {
  const low = u.vector2(`i32x4.extmul_low_i16x8_${sign}`, a, b);
  const high = u.vector2(`i32x4.extmul_high_i16x8_${sign}`, a, b);
  return u.shuffle(low, high, HIGH_WORDS);
}

function evenDwords<V>(u: Cracker<V>, a: V, b: V, op: VectorBinary): V {
  return u.vector2(op, u.shuffle(a, a, EVEN_DWORDS), u.shuffle(b, b, EVEN_DWORDS));
}

/** Unsigned bytes of the first by signed ones of the second, neighbours added with saturation. No product overflows 16 bits. */
function multiplyAddBytes<V>(u: Cracker<V>, a: V, b: V): V {
  const eight = u.int(32, 8);
  const evenA = u.vector2('v128.and', a, repeated(u, 0xff, 0));
  const evenB = u.vectorShift('i16x8.shr_s', u.vectorShift('i16x8.shl', b, eight), eight);
  const oddA = u.vectorShift('i16x8.shr_u', a, eight);
  const oddB = u.vectorShift('i16x8.shr_s', b, eight);
  const even = u.vector2('i16x8.mul', evenA, evenB);
  return u.vector2('i16x8.add_sat_s', even, u.vector2('i16x8.mul', oddA, oddB));
}

/** −1 by −1 is −1 here; WebAssembly saturates it to just below 1. */
function roundedHigh<V>(u: Cracker<V>, a: V, b: V): V {
  const minusOne = repeated(u, 0, 0x80);
  const both = u.vector2('v128.and', u.vector2('i16x8.eq', a, minusOne), u.vector2('i16x8.eq', b, minusOne));
  return u.vector2('v128.xor', u.vector2('i16x8.q15mulr_sat_s', a, b), both);
}

/** |a − b| of unsigned bytes: one of the two differences saturates to 0. */
function distance<V>(u: Cracker<V>, a: V, b: V): V {
  return u.vector2('v128.or', u.vector2('i8x16.sub_sat_u', a, b), u.vector2('i8x16.sub_sat_u', b, a));
}

function sumOfDistances<V>(u: Cracker<V>, a: V, b: V): V {
  const words = u.vector1('i16x8.extadd_pairwise_i8x16_u', distance(u, a, b));
  const dwords = u.vector1('i32x4.extadd_pairwise_i16x8_s', words);
  const odd = u.vectorShift('i64x2.shr_u', dwords, u.int(32, 32));
  return u.vector2(
    'i32x4.add',
    u.vector2('v128.and', dwords, repeated(u, 255, 255, 255, 255, 0, 0, 0, 0)),
    odd,
  );
}

export const PRODUCTS: readonly Instruction[] = [
  elementwise('PMULLW', mmxAndSse(0x0fd5), 'i16x8.mul'),
  elementwise('PMULLD', sse(0x0f3840), 'i32x4.mul', 'sse4_1'),
  elementwise('PMADDWD', mmxAndSse(0x0ff5), 'i32x4.dot_i16x8_s'),
  combining('PMULHW', mmxAndSse(0x0fe5), (u, a, b) => highWords(u, a, b, 's')),
  combining('PMULHUW', mmxAndSse(0x0fe4), (u, a, b) => highWords(u, a, b, 'u')),
  combining('PMULUDQ', mmxAndSse(0x0ff4), (u, a, b) => evenDwords(u, a, b, 'i64x2.extmul_low_i32x4_u')),
  combining('PMULDQ', sse(0x0f3828), (u, a, b) => evenDwords(u, a, b, 'i64x2.extmul_low_i32x4_s'), 'sse4_1'),
  combining('PMADDUBSW', mmxAndSse(0x0f3804), multiplyAddBytes, 'ssse3'),
  combining('PMULHRSW', mmxAndSse(0x0f380b), roundedHigh, 'ssse3'),
  combining('PSADBW', mmxAndSse(0x0ff6), sumOfDistances),
];

/** Distances of a block of four bytes of the source from the eight that begin at successive bytes of the destination. */
export const MPSADBW = inst('MPSADBW', {
  forms: [enc(0x0f3a42, Vdq, Wdq, Ib).p66()],
  feature: 'sse4_1',
  literal: true,
  crack(u, dst, src, control) {
    const [a, b] = [u.readVector(dst), u.readVector(src)];
    const chosen = literalByte(u, control);
    const block = (chosen & 3) * 4;
    const start = ((chosen >> 2) & 1) * 4;
    let sum = zeroVector(u);
    for (let i = 0; i < 4; i++) {
      const window = u.shuffle(a, a, [...series(8, start + i), ...series(8, 0, 0)]);
      const byte = u.shuffle(b, b, series(16, block + i, 0));
      const distances = u.vector1('i16x8.extend_low_i8x16_u', distance(u, window, byte));
      sum = u.vector2('i16x8.add', sum, distances);
    }
    u.writeVector(dst, sum);
  },
});

/** The smallest of eight unsigned words, and its index behind it: the minimum of words with their indices below them. */
export const PHMINPOSUW = inst('PHMINPOSUW', {
  forms: sse(0x0f3841),
  feature: 'sse4_1',
  crack(u, dst, src) {
    const a = u.readVector(src);
    const indexed = (half: 'low' | 'high', first: number) => {
      const words = u.vectorShift('i32x4.shl', u.vector1(`i32x4.extend_${half}_i16x8_u`, a), u.int(32, 16));
      const indices = u.vector(series(4, first).flatMap((index) => [index, 0, 0, 0]));
      return u.vector2('v128.or', words, indices);
    };
    let least = u.vector2('i32x4.min_u', indexed('low', 0), indexed('high', 4));
    for (const step of [8, 4]) {
      const moved = u.shuffle(
        least,
        least,
        series(16).map((i) => (i + step) % 16),
      );
      least = u.vector2('i32x4.min_u', least, moved);
    }
    const both = u.rotl(32, u.lane('i32x4', least, 0), u.int(32, 16));
    u.writeVector(dst, u.withLane('i32x4', zeroVector(u), 0, both));
  },
});
