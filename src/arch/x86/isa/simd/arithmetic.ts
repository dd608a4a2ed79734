/** Addition, subtraction, averages, minima, maxima, absolute values and signs of packed integers. SDM vol. 2B, by mnemonic. */

import type { Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import type { VectorUnary } from '../ops.ts';
import { combining, elementwise, mmxAndSse, sse, zeroVector } from './vectors.ts';

export const SUMS: readonly Instruction[] = [
  elementwise('PADDB', mmxAndSse(0x0ffc), 'i8x16.add'),
  elementwise('PADDW', mmxAndSse(0x0ffd), 'i16x8.add'),
  elementwise('PADDD', mmxAndSse(0x0ffe), 'i32x4.add'),
  elementwise('PADDQ', mmxAndSse(0x0fd4), 'i64x2.add'),
  elementwise('PADDSB', mmxAndSse(0x0fec), 'i8x16.add_sat_s'),
  elementwise('PADDSW', mmxAndSse(0x0fed), 'i16x8.add_sat_s'),
  elementwise('PADDUSB', mmxAndSse(0x0fdc), 'i8x16.add_sat_u'),
  elementwise('PADDUSW', mmxAndSse(0x0fdd), 'i16x8.add_sat_u'),
  elementwise('PSUBB', mmxAndSse(0x0ff8), 'i8x16.sub'),
  elementwise('PSUBW', mmxAndSse(0x0ff9), 'i16x8.sub'),
  elementwise('PSUBD', mmxAndSse(0x0ffa), 'i32x4.sub'),
  elementwise('PSUBQ', mmxAndSse(0x0ffb), 'i64x2.sub'),
  elementwise('PSUBSB', mmxAndSse(0x0fe8), 'i8x16.sub_sat_s'),
  elementwise('PSUBSW', mmxAndSse(0x0fe9), 'i16x8.sub_sat_s'),
  elementwise('PSUBUSB', mmxAndSse(0x0fd8), 'i8x16.sub_sat_u'),
  elementwise('PSUBUSW', mmxAndSse(0x0fd9), 'i16x8.sub_sat_u'),
  elementwise('PAVGB', mmxAndSse(0x0fe0), 'i8x16.avgr_u'),
  elementwise('PAVGW', mmxAndSse(0x0fe3), 'i16x8.avgr_u'),
];

export const EXTREMES: readonly Instruction[] = [
  elementwise('PMINUB', mmxAndSse(0x0fda), 'i8x16.min_u'),
  elementwise('PMAXUB', mmxAndSse(0x0fde), 'i8x16.max_u'),
  elementwise('PMINSW', mmxAndSse(0x0fea), 'i16x8.min_s'),
  elementwise('PMAXSW', mmxAndSse(0x0fee), 'i16x8.max_s'),
  elementwise('PMINSB', sse(0x0f3838), 'i8x16.min_s', 'sse4_1'),
  elementwise('PMINSD', sse(0x0f3839), 'i32x4.min_s', 'sse4_1'),
  elementwise('PMINUW', sse(0x0f383a), 'i16x8.min_u', 'sse4_1'),
  elementwise('PMINUD', sse(0x0f383b), 'i32x4.min_u', 'sse4_1'),
  elementwise('PMAXSB', sse(0x0f383c), 'i8x16.max_s', 'sse4_1'),
  elementwise('PMAXSD', sse(0x0f383d), 'i32x4.max_s', 'sse4_1'),
  elementwise('PMAXUW', sse(0x0f383e), 'i16x8.max_u', 'sse4_1'),
  elementwise('PMAXUD', sse(0x0f383f), 'i32x4.max_u', 'sse4_1'),
];

function absolute(mnemonic: string, forms: readonly Form[], op: VectorUnary): Instruction {
  return inst(mnemonic, {
    forms,
    feature: 'ssse3',
    crack(u, dst, src) {
      u.writeVector(dst, u.vector1(op, u.readVector(src)));
    },
  });
}

export const ABSOLUTE: readonly Instruction[] = [
  absolute('PABSB', mmxAndSse(0x0f381c), 'i8x16.abs'),
  absolute('PABSW', mmxAndSse(0x0f381d), 'i16x8.abs'),
  absolute('PABSD', mmxAndSse(0x0f381e), 'i32x4.abs'),
];

/** The sign of the second operand upon the first: negated where it is negative, zero where it is zero. */
function sign(mnemonic: string, opcode: number, shape: 'i8x16' | 'i16x8' | 'i32x4'): Instruction {
  const combine: Parameters<typeof combining>[2] = (u, a, b) => {
    const zero = zeroVector(u);
    const signed = u.bitselect(u.vector1(`${shape}.neg`, a), a, u.vector2(`${shape}.gt_s`, zero, b));
    return u.vector2('v128.andnot', signed, u.vector2(`${shape}.eq`, b, zero));
  };
  return combining(mnemonic, mmxAndSse(opcode), combine, 'ssse3');
}

export const SIGN: readonly Instruction[] = [
  sign('PSIGNB', 0x0f3808, 'i8x16'),
  sign('PSIGNW', 0x0f3809, 'i16x8'),
  sign('PSIGND', 0x0f380a, 'i32x4'),
];

export const COMPARISONS: readonly Instruction[] = [
  elementwise('PCMPEQB', mmxAndSse(0x0f74), 'i8x16.eq'),
  elementwise('PCMPEQW', mmxAndSse(0x0f75), 'i16x8.eq'),
  elementwise('PCMPEQD', mmxAndSse(0x0f76), 'i32x4.eq'),
  elementwise('PCMPEQQ', sse(0x0f3829), 'i64x2.eq', 'sse4_1'),
  elementwise('PCMPGTB', mmxAndSse(0x0f64), 'i8x16.gt_s'),
  elementwise('PCMPGTW', mmxAndSse(0x0f65), 'i16x8.gt_s'),
  elementwise('PCMPGTD', mmxAndSse(0x0f66), 'i32x4.gt_s'),
  elementwise('PCMPGTQ', sse(0x0f3837), 'i64x2.gt_s', 'sse4_2'),
];
