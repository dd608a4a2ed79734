/** Single elements out of and into vectors. SDM vol. 2 "PEXTR…", "PINSR…", "EXTRACTPS", "INSERTPS". */

import type { Cracker } from '../cracker.ts';
import { type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ed, Ey, Gd, Ib, Nq, Pq, RdMb, RdMw, Udq, UdqMd, Vdq } from '../operands.ts';
import type { Width } from '../ops.ts';
import { elementCount, literalByte, shapeOf, zeroVector } from './vectors.ts';

/** Which element the immediate names: as many bits count as there are elements. */
function indexIn<V>(u: Cracker<V>, vector: Operand, width: number, immediate: Operand): number {
  return literalByte(u, immediate) & (elementCount(vector, width / 8) - 1);
}

/** An element, zero-extended in a general register. */
function extract(mnemonic: string, forms: readonly Form[], z: Width | 'y', feature?: 'sse4_1'): Instruction {
  return inst(mnemonic, {
    forms,
    ...(feature === undefined ? {} : { feature }),
    literal: true,
    crack(u, dst, src, immediate) {
      const width = z === 'y' ? (dst.bits as Width) : z;
      const element = u.lane(shapeOf(width), u.readVector(src), indexIn(u, src, width, immediate));
      u.write(dst, u.zext(width, dst.bits as Width, element));
    },
  });
}

export const EXTRACT: readonly Instruction[] = [
  extract('PEXTRW', [enc(0x0fc5, Gd, Nq, Ib).np(), enc(0x0fc5, Gd, Udq, Ib).p66()], 16),
  extract('PEXTRB', [enc(0x0f3a14, RdMb, Vdq, Ib).p66()], 8, 'sse4_1'),
  extract('PEXTRW', [enc(0x0f3a15, RdMw, Vdq, Ib).p66()], 16, 'sse4_1'),
  // With REX.W it is called PEXTRQ.
  extract('PEXTRD', [enc(0x0f3a16, Ey, Vdq, Ib).p66()], 'y', 'sse4_1'),
  extract('EXTRACTPS', [enc(0x0f3a17, Ed, Vdq, Ib).p66()], 32, 'sse4_1'),
];

function insert(mnemonic: string, forms: readonly Form[], z: Width | 'y', feature?: 'sse4_1'): Instruction {
  return inst(mnemonic, {
    forms,
    ...(feature === undefined ? {} : { feature }),
    literal: true,
    crack(u, dst, src, immediate) {
      const width = z === 'y' ? (src.bits as Width) : z;
      const element = u.zext(src.bits as Width, width, u.read(src));
      const index = indexIn(u, dst, width, immediate);
      u.writeVector(dst, u.withLane(shapeOf(width), u.readVector(dst), index, element));
    },
  });
}

export const INSERT: readonly Instruction[] = [
  insert('PINSRW', [enc(0x0fc4, Pq, RdMw, Ib).np(), enc(0x0fc4, Vdq, RdMw, Ib).p66()], 16),
  insert('PINSRB', [enc(0x0f3a20, Vdq, RdMb, Ib).p66()], 8, 'sse4_1'),
  // With REX.W it is called PINSRQ.
  insert('PINSRD', [enc(0x0f3a22, Vdq, Ey, Ib).p66()], 'y', 'sse4_1'),
];

/** Bits 7:6: element of a source register; 5:4: where it goes; 3:0: elements that become zero. */
export const INSERTPS = inst('INSERTPS', {
  forms: [enc(0x0f3a21, Vdq, UdqMd, Ib).p66()],
  feature: 'sse4_1',
  literal: true,
  crack(u, dst, src, immediate) {
    const control = literalByte(u, immediate);
    const element =
      src.kind === OperandKind.memory ? u.read(src) : u.lane('i32x4', u.readVector(src), control >> 6);
    const inserted = u.withLane('i32x4', u.readVector(dst), (control >> 4) & 3, element);
    const lanes = Array.from({ length: 16 }, (_, i) => ((control >> (i >> 2)) & 1) * 16 + i);
    u.writeVector(dst, u.shuffle(inserted, zeroVector(u), lanes));
  },
});
