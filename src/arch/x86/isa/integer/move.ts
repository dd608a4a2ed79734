/** Moves, extensions and addresses. SDM vol. 2, by mnemonic. */

import { Gpr } from '../../registers.ts';
import { CONDITIONS } from '../conditions.ts';
import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import {
  AL,
  Eb,
  Ed,
  Ev,
  Ew,
  Gb,
  Gv,
  Gy,
  Ib,
  Iv,
  Iz,
  M,
  Mv,
  My,
  Ob,
  Ov,
  rAX,
  rDX,
  XlatByte,
  Zb,
  Zv,
} from '../operands.ts';
import type { Width } from '../ops.ts';

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

export const MOVNTI = inst('MOVNTI', {
  forms: [enc(0x0fc3, My, Gy).np()],
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

export const MOVZX = inst('MOVZX', {
  forms: [enc(0x0fb6, Gv, Eb), enc(0x0fb7, Gv, Ew)],
  crack(u, dst, src) {
    u.write(dst, u.zext(src.bits as Width, dst.bits as Width, u.read(src)));
  },
});

export const MOVSX = inst('MOVSX', {
  forms: [enc(0x0fbe, Gv, Eb), enc(0x0fbf, Gv, Ew)],
  crack(u, dst, src) {
    u.write(dst, u.sext(src.bits as Width, dst.bits as Width, u.read(src)));
  },
});

/** Without REX.W it only moves. The source has 32 bits even with the prefix 66, as on AMD (Intel: 16 bits, not recommended). */
export const MOVSXD = inst('MOVSXD', {
  forms: [enc(0x63, Gv, Ed).o64()],
  crack(u, dst, src) {
    u.write(dst, u.sext(32, dst.bits as Width, u.read(src)));
  },
});

/** CBW, CWDE, CDQE: the lower half of the accumulator, sign-extended. */
export const CBW = inst('CBW', {
  forms: [enc(0x98, rAX)],
  crack(u, accumulator) {
    const z = accumulator.bits as 16 | 32 | 64;
    const half = (z / 2) as Width;
    u.write(accumulator, u.sext(half, z, u.zext(z, half, u.read(accumulator))));
  },
});

/** CWD, CDQ, CQO: the sign of the accumulator in all bits of rDX. */
export const CWD = inst('CWD', {
  forms: [enc(0x99, rDX, rAX)],
  crack(u, dst, accumulator) {
    const z = accumulator.bits as Width;
    u.write(dst, u.sar(z, u.read(accumulator), u.int(32, z - 1)));
  },
});

/** A load takes place, and a register of 32 bits is zero-extended, whether or not the condition holds. */
export const CMOVCC = CONDITIONS.map((condition, i) =>
  inst(`CMOV${condition}`, {
    forms: [enc(0x0f40 + i, Gv, Ev)],
    crack(u, dst, src) {
      u.write(dst, u.select(u.condition(condition), u.read(src), u.read(dst)));
    },
  }),
);

export const SETCC = CONDITIONS.map((condition, i) =>
  inst(`SET${condition}`, {
    forms: [enc(0x0f90 + i, Eb)],
    crack(u, dst) {
      u.write(dst, u.zext(32, 8, u.condition(condition)));
    },
  }),
);

export const XLAT = inst('XLAT', {
  forms: [enc(0xd7, AL, XlatByte)],
  crack(u, dst, src) {
    u.write(dst, u.read(src));
  },
});

/** Undefined of 16 bits: zero. */
export const BSWAP = inst('BSWAP', {
  forms: [enc(0x0fc8, Zv)],
  crack(u, dst) {
    const z = dst.bits as Width;
    u.write(dst, z === 16 ? u.int(16, 0) : swapped(u, z, u.read(dst)));
  },
});

export const MOVBE = inst('MOVBE', {
  feature: 'movbe',
  forms: [enc(0x0f38f0, Gv, Mv).np(), enc(0x0f38f1, Mv, Gv).np()],
  crack(u, dst, src) {
    u.write(dst, swapped(u, dst.bits as Width, u.read(src)));
  },
});

function swapped<V>(u: Cracker<V>, z: Width, value: V): V {
  if (z === 16) return u.rotl(16, value, u.int(32, 8));
  if (z === 32) {
    const left = u.and(32, u.rotl(32, value, u.int(32, 8)), u.int(32, 0x00ff_00ff));
    const right = u.and(32, u.rotr(32, value, u.int(32, 8)), u.int(32, 0xff00_ff00));
    return u.or(32, left, right);
  }
  const low = swapped(u, 32, u.zext(64, 32, value));
  const high = swapped(u, 32, u.zext(64, 32, u.shr(64, value, u.int(32, 32))));
  return u.or(64, u.shl(64, u.zext(32, 64, low), u.int(32, 32)), u.zext(32, 64, high));
}

/** AL = CF ? FF : 00. Not in the SDM's list of instructions, but in every processor (APM vol. 3, appendix A). */
export const SALC = inst('SALC', {
  forms: [enc(0xd6, AL).i64()],
  crack(u, dst) {
    u.write(dst, u.zext(32, 8, u.and(32, u.neg(32, u.flag('cf')), u.int(32, 0xff))));
  },
});

/** RAX as a register of the row would need AH: the flags are its second byte. */
const AH_SHIFT = 8;
const LAHF_FLAGS = 0xd5;

export const LAHF = inst('LAHF', {
  forms: [enc(0x9f)],
  crack(u) {
    const flags = u.or(32, u.and(32, u.rflags(), u.int(32, LAHF_FLAGS)), u.int(32, 2));
    const others = u.and(64, u.gpr(Gpr.RAX), u.int(64, ~0xff00));
    u.setGpr(Gpr.RAX, u.or(64, others, u.shl(64, u.zext(32, 64, flags), u.int(32, AH_SHIFT))));
  },
});

export const SAHF = inst('SAHF', {
  forms: [enc(0x9e)],
  crack(u) {
    const accumulator = u.zext(64, 32, u.gpr(Gpr.RAX));
    u.setRflags(LAHF_FLAGS, u.shr(32, accumulator, u.int(32, AH_SHIFT)));
  },
});
