/** Moves of whole MMX and SSE registers, and between them and general registers. SDM vol. 2B "MOV…". */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ey, Mdq, Mq, Nq, Pq, Qq, Udq, Uq, Vdq, Vpd, Vps, Vq, Wdq, Wpd, Wps, Wq } from '../operands.ts';
import type { Width } from '../ops.ts';
import { shapeOf, widened } from './vectors.ts';

function copy<V>(u: Cracker<V>, dst: Operand, src: Operand): void {
  u.write(dst, u.read(src));
}

function move(mnemonic: string, forms: readonly Form[], alignment: 'aligned' | 'unaligned'): Instruction {
  return inst(mnemonic, { forms, unaligned: alignment === 'unaligned', crack: copy });
}

export const WHOLE: readonly Instruction[] = [
  move('MOVAPS', [enc(0x0f28, Vps, Wps).np(), enc(0x0f29, Wps, Vps).np()], 'aligned'),
  move('MOVAPD', [enc(0x0f28, Vpd, Wpd).p66(), enc(0x0f29, Wpd, Vpd).p66()], 'aligned'),
  move('MOVDQA', [enc(0x0f6f, Vdq, Wdq).p66(), enc(0x0f7f, Wdq, Vdq).p66()], 'aligned'),
  move('MOVUPS', [enc(0x0f10, Vps, Wps).np(), enc(0x0f11, Wps, Vps).np()], 'unaligned'),
  move('MOVUPD', [enc(0x0f10, Vpd, Wpd).p66(), enc(0x0f11, Wpd, Vpd).p66()], 'unaligned'),
  move('MOVDQU', [enc(0x0f6f, Vdq, Wdq).pf3(), enc(0x0f7f, Wdq, Vdq).pf3()], 'unaligned'),
  move('LDDQU', [enc(0x0ff0, Vdq, Mdq).pf2().feature('pni')], 'unaligned'),
];

/** What they say of caches is of no consequence to the architectural state. */
export const NON_TEMPORAL: readonly Instruction[] = [
  move('MOVNTPS', [enc(0x0f2b, Mdq, Vps).np()], 'aligned'),
  move('MOVNTPD', [enc(0x0f2b, Mdq, Vpd).p66()], 'aligned'),
  move('MOVNTDQ', [enc(0x0fe7, Mdq, Vdq).p66()], 'aligned'),
  move('MOVNTQ', [enc(0x0fe7, Mq, Pq).np()], 'aligned'),
  move('MOVNTDQA', [enc(0x0f382a, Vdq, Mdq).p66().feature('sse4_1')], 'aligned'),
];

/** With REX.W it is called MOVQ: 64 bits instead of 32. What is above them becomes zero. */
export const MOVD_LOAD = inst('MOVD', {
  forms: [enc(0x0f6e, Pq, Ey).np(), enc(0x0f6e, Vdq, Ey).p66()],
  crack(u, dst, src) {
    u.writeVector(dst, widened(u, src.bits as Width, u.read(src)));
  },
});

export const MOVD_STORE = inst('MOVD', {
  forms: [enc(0x0f7e, Ey, Pq).np(), enc(0x0f7e, Ey, Vdq).p66()],
  crack(u, dst, src) {
    u.write(dst, u.lane(shapeOf(dst.bits as Width), u.readVector(src), 0));
  },
});

export const MOVQ_MMX = inst('MOVQ', {
  forms: [enc(0x0f6f, Pq, Qq).np(), enc(0x0f7f, Qq, Pq).np()],
  crack: copy,
});

/** Into an SSE register: with zeros above. */
export const MOVQ = inst('MOVQ', {
  forms: [enc(0x0f7e, Vdq, Wq).pf3(), enc(0x0fd6, Udq, Vq).p66()],
  crack(u, dst, src) {
    u.writeVector(dst, u.readVector(src));
  },
});

export const MOVQ_STORE = inst('MOVQ', {
  forms: [enc(0x0fd6, Mq, Vq).p66()],
  crack: copy,
});

export const MOVDQ2Q = inst('MOVDQ2Q', {
  forms: [enc(0x0fd6, Pq, Uq).pf2()],
  crack: copy,
});

export const MOVQ2DQ = inst('MOVQ2DQ', {
  forms: [enc(0x0fd6, Vdq, Nq).pf3()],
  crack(u, dst, src) {
    u.writeVector(dst, u.readVector(src));
  },
});
