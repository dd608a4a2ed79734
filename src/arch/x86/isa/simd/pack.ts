/** Packing with saturation, unpacking, and extension of packed integers. SDM vol. 2B "PACK…", "PUNPCK…", "PMOVSX…", "UNPCK…". */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { type OperandSpec, Pq, Qd, Vdq, Vpd, Vps, Wd, Wdq, Wpd, Wps, Wq, Ww } from '../operands.ts';
import type { VectorBinary, VectorUnary } from '../ops.ts';
import { combining, type Extension, elementCount, mmxAndSse, pick, series, sse } from './vectors.ts';

/** Of MMX registers both sources fit into one vector. */
function narrowed<V>(u: Cracker<V>, op: VectorBinary, a: V, b: V, dst: Operand): V {
  if (dst.bits === 128) return u.vector2(op, a, b);
  const both = pick(u, dst, 8, a, b, [0, 1]);
  return u.vector2(op, both, both);
}

function pack(mnemonic: string, forms: readonly Form[], op: VectorBinary, feature?: Extension): Instruction {
  return combining(mnemonic, forms, (u, a, b, dst) => narrowed(u, op, a, b, dst), feature);
}

export const PACKS: readonly Instruction[] = [
  pack('PACKSSWB', mmxAndSse(0x0f63), 'i8x16.narrow_i16x8_s'),
  pack('PACKUSWB', mmxAndSse(0x0f67), 'i8x16.narrow_i16x8_u'),
  pack('PACKSSDW', mmxAndSse(0x0f6b), 'i16x8.narrow_i32x4_s'),
  pack('PACKUSDW', sse(0x0f382b), 'i16x8.narrow_i32x4_u', 'sse4_1'),
];

/** Elements of the lower or upper halves of both, in turn. */
function interleaved<V>(
  u: Cracker<V>,
  half: 'low' | 'high',
  elementBytes: number,
  a: V,
  b: V,
  dst: Operand,
): V {
  const count = elementCount(dst, elementBytes);
  const first = half === 'low' ? 0 : count / 2;
  const indices = series(count / 2, first).flatMap((index) => [index, index + count]);
  return pick(u, dst, elementBytes, a, b, indices);
}

function unpack(mnemonic: string, half: 'low' | 'high', elementBytes: number, forms: Form[]): Instruction {
  return combining(mnemonic, forms, (u, a, b, dst) => interleaved(u, half, elementBytes, a, b, dst));
}

/** The lower half of an MMX register is unpacked with 32 bits of memory only. */
function lowForms(opcode: number): Form[] {
  return [enc(opcode, Pq, Qd).np(), enc(opcode, Vdq, Wdq).p66()];
}

export const UNPACKS: readonly Instruction[] = [
  unpack('PUNPCKLBW', 'low', 1, lowForms(0x0f60)),
  unpack('PUNPCKLWD', 'low', 2, lowForms(0x0f61)),
  unpack('PUNPCKLDQ', 'low', 4, lowForms(0x0f62)),
  unpack('PUNPCKLQDQ', 'low', 8, sse(0x0f6c)),
  unpack('PUNPCKHBW', 'high', 1, mmxAndSse(0x0f68)),
  unpack('PUNPCKHWD', 'high', 2, mmxAndSse(0x0f69)),
  unpack('PUNPCKHDQ', 'high', 4, mmxAndSse(0x0f6a)),
  unpack('PUNPCKHQDQ', 'high', 8, sse(0x0f6d)),
  unpack('UNPCKLPS', 'low', 4, [enc(0x0f14, Vps, Wps).np()]),
  unpack('UNPCKLPD', 'low', 8, [enc(0x0f14, Vpd, Wpd).p66()]),
  unpack('UNPCKHPS', 'high', 4, [enc(0x0f15, Vps, Wps).np()]),
  unpack('UNPCKHPD', 'high', 8, [enc(0x0f15, Vpd, Wpd).p66()]),
];

/** One or more doublings of the width, each of the lower half. */
function extension(
  mnemonic: string,
  opcode: number,
  src: OperandSpec,
  ops: readonly VectorUnary[],
): Instruction {
  return inst(mnemonic, {
    forms: [enc(opcode, Vdq, src).p66()],
    feature: 'sse4_1',
    crack(u, dst, source) {
      u.writeVector(
        dst,
        ops.reduce((value, op) => u.vector1(op, value), u.readVector(source)),
      );
    },
  });
}

function extensions(sign: 's' | 'u', letter: 'S' | 'Z', first: number): Instruction[] {
  const toWords = `i16x8.extend_low_i8x16_${sign}` as const;
  const toDwords = `i32x4.extend_low_i16x8_${sign}` as const;
  const toQwords = `i64x2.extend_low_i32x4_${sign}` as const;
  return [
    extension(`PMOV${letter}XBW`, first, Wq, [toWords]),
    extension(`PMOV${letter}XBD`, first + 1, Wd, [toWords, toDwords]),
    extension(`PMOV${letter}XBQ`, first + 2, Ww, [toWords, toDwords, toQwords]),
    extension(`PMOV${letter}XWD`, first + 3, Wq, [toDwords]),
    extension(`PMOV${letter}XWQ`, first + 4, Wd, [toDwords, toQwords]),
    extension(`PMOV${letter}XDQ`, first + 5, Wq, [toQwords]),
  ];
}

export const EXTENSIONS: readonly Instruction[] = [
  ...extensions('s', 'S', 0x0f3820),
  ...extensions('u', 'Z', 0x0f3830),
];
