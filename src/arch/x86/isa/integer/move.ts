/** Moves and addresses. SDM vol. 2, by mnemonic. */

import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AL, Eb, Ev, Gb, Gv, Ib, Iv, Iz, M, Ob, Ov, rAX, Zb, Zv } from '../operands.ts';

export const MOV = inst('MOV', {
  forms: [
    enc(0x88, Eb, Gb),
    enc(0x89, Ev, Gv),
    enc(0x8a, Gb, Eb),
    enc(0x8b, Gv, Ev),
    enc(0xa0, AL, Ob),
    enc(0xa1, rAX, Ov),
    enc(0xa2, Ob, AL),
    enc(0xa3, Ov, rAX),
    enc(0xb0, Zb, Ib),
    enc(0xb8, Zv, Iv),
    enc(0xc6, Eb, Ib).ext(0),
    enc(0xc7, Ev, Iz).ext(0),
  ],
  crack(u, dst, src) {
    u.write(dst, u.read(src));
  },
});

export const LEA = inst('LEA', {
  forms: [enc(0x8d, Gv, M)],
  crack(u, dst, src) {
    u.write(dst, u.zext(u.addressBits, u.operandBits, u.effectiveAddress(src)));
  },
});
