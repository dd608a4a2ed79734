/**
 * String instructions: one round of each; who executes them repeats the rounds. SDM vol. 2, by mnemonic. rSI and rDI are
 * registers of the address size.
 */

import { Gpr, Rflags } from '../../registers.ts';
import { OFFSET } from '../../state-layout.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AL, rAX, Xb, Xv, Yb, Yv } from '../operands.ts';
import type { Width } from '../ops.ts';
import { getLow, setLow } from './registers.ts';

/** Moves these registers on by the operand, or back if DF is set. */
function advance<V>(u: Cracker<V>, operand: Operand, ...indices: number[]): void {
  const z = u.addressBits;
  const bytes = operand.bits / 8;
  const isUp = u.isZero(32, u.and(32, u.field(OFFSET.rflags, 32), u.int(32, Rflags.DF)));
  const step = u.select(isUp, u.int(z, bytes), u.int(z, -bytes));
  for (const index of indices) setLow(u, z, index, u.add(z, getLow(u, z, index), step));
}

export const MOVS = inst('MOVS', {
  repeat: 'rep',
  forms: [enc(0xa4, Yb, Xb), enc(0xa5, Yv, Xv)],
  crack(u, dst, src) {
    u.write(dst, u.read(src));
    advance(u, dst, Gpr.RSI, Gpr.RDI);
  },
});

export const STOS = inst('STOS', {
  repeat: 'rep',
  forms: [enc(0xaa, Yb, AL), enc(0xab, Yv, rAX)],
  crack(u, dst, src) {
    u.write(dst, u.read(src));
    advance(u, dst, Gpr.RDI);
  },
});

export const LODS = inst('LODS', {
  repeat: 'rep',
  forms: [enc(0xac, AL, Xb), enc(0xad, rAX, Xv)],
  crack(u, dst, src) {
    u.write(dst, u.read(src));
    advance(u, dst, Gpr.RSI);
  },
});

export const SCAS = inst('SCAS', {
  repeat: 'repe',
  forms: [enc(0xae, AL, Yb), enc(0xaf, rAX, Yv)],
  crack(u, accumulator, src) {
    const z = src.bits as Width;
    const [a, b] = [u.read(accumulator), u.read(src)];
    u.flagsSub(z, a, b, u.sub(z, a, b));
    advance(u, src, Gpr.RDI);
  },
});

export const CMPS = inst('CMPS', {
  repeat: 'repe',
  forms: [enc(0xa6, Xb, Yb), enc(0xa7, Xv, Yv)],
  crack(u, first, second) {
    const z = first.bits as Width;
    // rDI first: where both fault, AMD's processors report that one.
    const b = u.read(second);
    const a = u.read(first);
    u.flagsSub(z, a, b, u.sub(z, a, b));
    advance(u, first, Gpr.RSI, Gpr.RDI);
  },
});
