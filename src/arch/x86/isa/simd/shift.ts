/**
 * Shifts of packed integers, and of whole registers by bytes. SDM vol. 2B "PSLL…", "PSRA…", "PSRL…". A count is not
 * reduced: from the width on, all bits are shifted out. A count in a register is the whole low 64 bits.
 */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Nq, Udq } from '../operands.ts';
import type { VectorShift } from '../ops.ts';
import { literalByte, mmxAndSse, pick, series, zeroVector } from './vectors.ts';

interface Shift {
  readonly op: VectorShift;
  readonly width: number;
  /** Copies of the sign come in, not zeros: more than width − 1 of them are no more than that. */
  readonly isArithmetic: boolean;
}

function shiftBy<V>(u: Cracker<V>, { op, width, isArithmetic }: Shift, value: V, count: V): V {
  const last = u.int(64, width - 1);
  const isMore = u.ltU(64, last, count);
  if (isArithmetic) return u.vectorShift(op, value, u.zext(64, 32, u.select(isMore, last, count)));
  const shifted = u.vectorShift(op, value, u.zext(64, 32, count));
  return u.select(isMore, zeroVector(u), shifted);
}

function shiftByConstant<V>(u: Cracker<V>, { op, width, isArithmetic }: Shift, value: V, count: number): V {
  if (count >= width && !isArithmetic) return zeroVector(u);
  return u.vectorShift(op, value, u.int(32, Math.min(count, width - 1)));
}

/** @param group the opcode of the forms with an immediate, and `digit` their ModRM.reg */
function shift(
  mnemonic: string,
  opcode: number,
  group: number,
  digit: number,
  op: VectorShift,
): Instruction[] {
  const width = { i8x16: 8, i16x8: 16, i32x4: 32, i64x2: 64 }[op.split('.')[0] as 'i16x8'];
  const what: Shift = { op, width, isArithmetic: op.endsWith('shr_s') };
  return [
    inst(mnemonic, {
      forms: mmxAndSse(opcode),
      crack(u, dst, src) {
        const count = u.lane('i64x2', u.readVector(src), 0);
        u.writeVector(dst, shiftBy(u, what, u.readVector(dst), count));
      },
    }),
    inst(mnemonic, {
      forms: [enc(group, Nq, Ib).ext(digit).np(), enc(group, Udq, Ib).ext(digit).p66()],
      literal: true,
      crack(u, dst, count) {
        u.writeVector(dst, shiftByConstant(u, what, u.readVector(dst), literalByte(u, count)));
      },
    }),
  ];
}

export const SHIFTS: readonly Instruction[] = [
  shift('PSRLW', 0x0fd1, 0x0f71, 2, 'i16x8.shr_u'),
  shift('PSRAW', 0x0fe1, 0x0f71, 4, 'i16x8.shr_s'),
  shift('PSLLW', 0x0ff1, 0x0f71, 6, 'i16x8.shl'),
  shift('PSRLD', 0x0fd2, 0x0f72, 2, 'i32x4.shr_u'),
  shift('PSRAD', 0x0fe2, 0x0f72, 4, 'i32x4.shr_s'),
  shift('PSLLD', 0x0ff2, 0x0f72, 6, 'i32x4.shl'),
  shift('PSRLQ', 0x0fd3, 0x0f73, 2, 'i64x2.shr_u'),
  shift('PSLLQ', 0x0ff3, 0x0f73, 6, 'i64x2.shl'),
].flat();

function bytes<V>(u: Cracker<V>, dst: Operand, first: number, low: V, high: V): void {
  u.writeVector(dst, pick(u, dst, 1, low, high, series(16, first)));
}

export const PSRLDQ = inst('PSRLDQ', {
  forms: [enc(0x0f73, Udq, Ib).ext(3).p66()],
  literal: true,
  crack(u, dst, count) {
    bytes(u, dst, Math.min(literalByte(u, count), 16), u.readVector(dst), zeroVector(u));
  },
});

export const PSLLDQ = inst('PSLLDQ', {
  forms: [enc(0x0f73, Udq, Ib).ext(7).p66()],
  literal: true,
  crack(u, dst, count) {
    bytes(u, dst, 16 - Math.min(literalByte(u, count), 16), zeroVector(u), u.readVector(dst));
  },
});
