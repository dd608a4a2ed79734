/** Shuffles, alignments and blends. SDM vol. 2, by mnemonic. Immediates are literals: each is a shuffle of its own. */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Pq, Qq, Vdq, Vpd, Vps, Wdq, Wpd, Wps, XMM0 } from '../operands.ts';
import type { VectorShift } from '../ops.ts';
import {
  combining,
  elementCount,
  literalByte,
  mmxAndSse,
  pick,
  repeated,
  series,
  zeroVector,
} from './vectors.ts';

/** Bit 7 of an index gives zero; else its low bits count, of an MMX register one fewer. WebAssembly: from 16 on zero. */
export const PSHUFB = combining(
  'PSHUFB',
  mmxAndSse(0x0f3800),
  (u, a, b, dst) =>
    u.vector2('i8x16.swizzle', a, u.vector2('v128.and', b, repeated(u, dst.bits === 128 ? 0x8f : 0x87))),
  'ssse3',
);

/** The four fields of two bits of an immediate. */
function fields(control: number): number[] {
  return series(4).map((i) => (control >> (2 * i)) & 3);
}

/** A shuffle of one source: which element comes where follows from the immediate. */
function shuffleOne(
  mnemonic: string,
  form: Form,
  elementBytes: number,
  indices: (control: number) => number[],
): Instruction {
  return inst(mnemonic, {
    forms: [form],
    literal: true,
    crack(u, dst, src, control) {
      const a = u.readVector(src);
      u.writeVector(dst, pick(u, dst, elementBytes, a, a, indices(literalByte(u, control))));
    },
  });
}

export const SHUFFLES_OF_ONE: readonly Instruction[] = [
  shuffleOne('PSHUFD', enc(0x0f70, Vdq, Wdq, Ib).p66(), 4, fields),
  shuffleOne('PSHUFW', enc(0x0f70, Pq, Qq, Ib).np(), 2, fields),
  shuffleOne('PSHUFLW', enc(0x0f70, Vdq, Wdq, Ib).pf2(), 2, (control) => [...fields(control), 4, 5, 6, 7]),
  shuffleOne('PSHUFHW', enc(0x0f70, Vdq, Wdq, Ib).pf3(), 2, (control) => [
    ...series(4),
    ...fields(control).map((index) => 4 + index),
  ]),
];

/** Elements of both, chosen by the immediate. */
function shuffleTwo(
  mnemonic: string,
  forms: readonly Form[],
  elementBytes: number,
  feature: 'sse4_1' | undefined,
  indices: (control: number) => number[],
): Instruction {
  return inst(mnemonic, {
    forms,
    ...(feature === undefined ? {} : { feature }),
    literal: true,
    crack(u, dst, src, control) {
      const [a, b] = [u.readVector(dst), u.readVector(src)];
      u.writeVector(dst, pick(u, dst, elementBytes, a, b, indices(literalByte(u, control))));
    },
  });
}

/** Element i of the source where bit i is set, else of the destination. */
function chosenBy(control: number, count: number): number[] {
  return series(count).map((i) => i + ((control >> i) & 1) * count);
}

export const SHUFFLES_OF_TWO: readonly Instruction[] = [
  shuffleTwo('SHUFPS', [enc(0x0fc6, Vps, Wps, Ib).np()], 4, undefined, (control) =>
    fields(control).map((index, i) => (i < 2 ? index : 4 + index)),
  ),
  shuffleTwo('SHUFPD', [enc(0x0fc6, Vpd, Wpd, Ib).p66()], 8, undefined, (control) => [
    control & 1,
    2 + ((control >> 1) & 1),
  ]),
  shuffleTwo('BLENDPS', [enc(0x0f3a0c, Vps, Wps, Ib).p66()], 4, 'sse4_1', (control) => chosenBy(control, 4)),
  shuffleTwo('BLENDPD', [enc(0x0f3a0d, Vpd, Wpd, Ib).p66()], 8, 'sse4_1', (control) => chosenBy(control, 2)),
  shuffleTwo('PBLENDW', [enc(0x0f3a0e, Vdq, Wdq, Ib).p66()], 2, 'sse4_1', (control) => chosenBy(control, 8)),
];

/** The destination above the source, shifted right by bytes; zeros come in behind both. */
export const PALIGNR = inst('PALIGNR', {
  forms: [enc(0x0f3a0f, Pq, Qq, Ib).np(), enc(0x0f3a0f, Vdq, Wdq, Ib).p66()],
  feature: 'ssse3',
  literal: true,
  crack(u, dst, src, count) {
    const sizeBytes = elementCount(dst, 1);
    const by = literalByte(u, count);
    // Read even where nothing of it remains: it may fault.
    const [a, b] = [u.readVector(dst), u.readVector(src)];
    const [low, high] = by < sizeBytes ? [b, a] : [a, zeroVector(u)];
    const first = by < sizeBytes ? by : Math.min(by - sizeBytes, sizeBytes);
    u.writeVector(dst, pick(u, dst, 1, low, high, series(sizeBytes, first)));
  },
});

/** Elements of the source where the highest bit of XMM0's is set. */
function blend(mnemonic: string, opcode: number, shift: VectorShift, width: number): Instruction {
  return inst(mnemonic, {
    forms: [enc(opcode, Vdq, Wdq, XMM0).p66()],
    feature: 'sse4_1',
    crack(u, dst, src, chooser) {
      blendBy(u, dst, src, u.vectorShift(shift, u.readVector(chooser), u.int(32, width - 1)));
    },
  });
}

function blendBy<V>(u: Cracker<V>, dst: Operand, src: Operand, mask: V): void {
  u.writeVector(dst, u.bitselect(u.readVector(src), u.readVector(dst), mask));
}

export const BLENDS: readonly Instruction[] = [
  blend('PBLENDVB', 0x0f3810, 'i8x16.shr_s', 8),
  blend('BLENDVPS', 0x0f3814, 'i32x4.shr_s', 32),
  blend('BLENDVPD', 0x0f3815, 'i64x2.shr_s', 64),
];

// ---- horizontal ----

/** Sums or differences of neighbours: those of the destination, then those of the source. */
function horizontal(
  mnemonic: string,
  opcode: number,
  elementBytes: number,
  op: 'i16x8.add' | 'i32x4.add' | 'i16x8.add_sat_s' | 'i16x8.sub' | 'i32x4.sub' | 'i16x8.sub_sat_s',
): Instruction {
  return combining(
    mnemonic,
    mmxAndSse(opcode),
    (u, a, b, dst) => {
      const count = elementCount(dst, elementBytes);
      const even = pick(u, dst, elementBytes, a, b, series(count, 0, 2));
      const odd = pick(u, dst, elementBytes, a, b, series(count, 1, 2));
      return u.vector2(op, even, odd);
    },
    'ssse3',
  );
}

export const HORIZONTAL: readonly Instruction[] = [
  horizontal('PHADDW', 0x0f3801, 2, 'i16x8.add'),
  horizontal('PHADDD', 0x0f3802, 4, 'i32x4.add'),
  horizontal('PHADDSW', 0x0f3803, 2, 'i16x8.add_sat_s'),
  horizontal('PHSUBW', 0x0f3805, 2, 'i16x8.sub'),
  horizontal('PHSUBD', 0x0f3806, 4, 'i32x4.sub'),
  horizontal('PHSUBSW', 0x0f3807, 2, 'i16x8.sub_sat_s'),
];
