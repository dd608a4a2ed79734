/** The two-operand operations of the integer unit without carry, and what is closest to them. SDM vol. 2A–2D, by mnemonic. */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AL, Eb, Ev, Gb, Gv, Ib, Iz, rAX } from '../operands.ts';
import type { Width } from '../ops.ts';
import { groupForms } from './forms.ts';

export const ADD = inst('ADD', {
  lock: true,
  forms: groupForms(0),
  crack(u, dst, src) {
    const z = dst.bits as Width;
    const a = u.read(dst);
    const b = u.read(src);
    const r = u.add(z, a, b);
    u.write(dst, r);
    u.flagsAdd(z, a, b, r);
  },
});

export const OR = inst('OR', {
  lock: true,
  forms: groupForms(1),
  crack(u, dst, src) {
    logical(u, dst, u.or(dst.bits as Width, u.read(dst), u.read(src)));
  },
});

export const AND = inst('AND', {
  lock: true,
  forms: groupForms(4),
  crack(u, dst, src) {
    logical(u, dst, u.and(dst.bits as Width, u.read(dst), u.read(src)));
  },
});

export const SUB = inst('SUB', {
  lock: true,
  forms: groupForms(5),
  crack(u, dst, src) {
    const z = dst.bits as Width;
    const a = u.read(dst);
    const b = u.read(src);
    const r = u.sub(z, a, b);
    u.write(dst, r);
    u.flagsSub(z, a, b, r);
  },
});

export const XOR = inst('XOR', {
  lock: true,
  forms: groupForms(6),
  crack(u, dst, src) {
    logical(u, dst, u.xor(dst.bits as Width, u.read(dst), u.read(src)));
  },
});

export const CMP = inst('CMP', {
  forms: groupForms(7),
  crack(u, first, second) {
    const z = first.bits as Width;
    const a = u.read(first);
    const b = u.read(second);
    u.flagsSub(z, a, b, u.sub(z, a, b));
  },
});

export const TEST = inst('TEST', {
  forms: [
    enc(0x84, Eb, Gb),
    enc(0x85, Ev, Gv),
    enc(0xa8, AL, Ib),
    enc(0xa9, rAX, Iz),
    enc(0xf6, Eb, Ib).ext(0),
    enc(0xf6, Eb, Ib).ext(1),
    enc(0xf7, Ev, Iz).ext(0),
    enc(0xf7, Ev, Iz).ext(1),
  ],
  crack(u, first, second) {
    const z = first.bits as Width;
    u.flagsLogic(z, u.and(z, u.read(first), u.read(second)));
  },
});

function logical<V>(u: Cracker<V>, dst: Operand, r: V): void {
  u.write(dst, r);
  u.flagsLogic(dst.bits as Width, r);
}
