/**
 * Jumps, calls and returns within a segment, and software interrupts. SDM vol. 2, by mnemonic. With the prefix 66 near branches
 * of 64-bit mode have 16 bits, offset and target, as AMD has it (APM vol. 3 §1.2.2); Intel's ignore the prefix.
 */

import { Vector } from '../../exceptions.ts';
import { Gpr } from '../../registers.ts';
import { CONDITIONS } from '../conditions.ts';
import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ev, Gv, Ib, Iw, Jb, Jz, Mv } from '../operands.ts';
import type { Width } from '../ops.ts';
import { getLow, setLow } from './registers.ts';

export const JCC = CONDITIONS.map((condition, i) =>
  inst(`J${condition}`, {
    forms: [enc(0x70 + i, Jb).d64(), enc(0x0f80 + i, Jz).d64()],
    crack(u, target) {
      u.jumpIf(u.condition(condition), target);
    },
  }),
);

export const JMP = inst('JMP', {
  forms: [enc(0xeb, Jb).d64(), enc(0xe9, Jz).d64()],
  crack(u, target) {
    u.jumpTo(target);
  },
});

export const JMP_INDIRECT = inst('JMP', {
  forms: [enc(0xff, Ev).ext(4).d64()],
  crack(u, target) {
    u.jump(u.zext(u.operandBits, 64, u.read(target)));
  },
});

export const CALL = inst('CALL', {
  forms: [enc(0xe8, Jz).d64()],
  crack(u, target) {
    u.push(u.operandBits, u.zext(64, u.operandBits, u.nextRip()));
    u.jumpTo(target);
  },
});

/** Where the target is not canonical, nothing is pushed, but what is wrong with the stack comes first. */
export const CALL_INDIRECT = inst('CALL', {
  forms: [enc(0xff, Ev).ext(2).d64()],
  crack(u, target) {
    const where = u.zext(u.operandBits, 64, u.read(target));
    if (u.is64) u.when(isNotCanonical(u, where), () => u.probeStore(u.operandBits, stackTop(u)));
    u.jump(where);
    u.push(u.operandBits, u.zext(64, u.operandBits, u.nextRip()));
  },
});

function isNotCanonical<V>(u: Cracker<V>, address: V): V {
  const unused = u.int(32, 16);
  return u.ne(64, address, u.sar(64, u.shl(64, address, unused), unused));
}

/** Where the next push goes. */
function stackTop<V>(u: Cracker<V>): V {
  return u.sub(64, u.gpr(Gpr.RSP), u.int(64, u.operandBits / 8));
}

export const RET = inst('RET', {
  forms: [enc(0xc3).d64()],
  crack(u) {
    u.jump(u.zext(u.operandBits, 64, u.pop(u.operandBits)));
  },
});

export const SYSCALL = inst('SYSCALL', {
  forms: [enc(0x0f05).o64()],
  crack(u) {
    u.setGpr(1, u.nextRip());
    u.setGpr(11, u.zext(32, 64, u.rflags()));
    u.leave('syscall');
  },
});

export const RET_IMMEDIATE = inst('RET', {
  forms: [enc(0xc2, Iw).d64()],
  crack(u, bytes) {
    u.jump(u.zext(u.operandBits, 64, u.pop(u.operandBits)));
    const address: Width = u.is64 ? 64 : 32;
    const beyond = u.add(address, u.zext(16, address, u.read(bytes)), u.int(address, u.operandBits / 8));
    setLow(u, address, Gpr.RSP, u.add(address, getLow(u, address, Gpr.RSP), beyond));
  },
});

// ---- loops: rCX in the width of an address ----

export const JCXZ = inst('JCXZ', {
  forms: [enc(0xe3, Jb).d64()],
  crack(u, target) {
    u.jumpIf(u.isZero(u.addressBits, getLow(u, u.addressBits, Gpr.RCX)), target);
  },
});

export const LOOP = inst('LOOP', {
  forms: [enc(0xe2, Jb).d64()],
  crack(u, target) {
    u.jumpIf(countDown(u), target);
  },
});

export const LOOPE = inst('LOOPE', {
  forms: [enc(0xe1, Jb).d64()],
  crack(u, target) {
    u.jumpIf(u.and(32, countDown(u), u.flag('zf')), target);
  },
});

export const LOOPNE = inst('LOOPNE', {
  forms: [enc(0xe0, Jb).d64()],
  crack(u, target) {
    u.jumpIf(u.and(32, countDown(u), u.isZero(32, u.flag('zf'))), target);
  },
});

/** Whether the count is not yet 0. */
function countDown<V>(u: Cracker<V>): V {
  const z = u.addressBits;
  const left = u.sub(z, getLow(u, z, Gpr.RCX), u.int(z, 1));
  setLow(u, z, Gpr.RCX, left);
  return u.ne(z, left, u.int(z, 0));
}

// ---- exceptions and interrupts that a program asks for ----

export const INT3 = inst('INT3', {
  forms: [enc(0xcc)],
  crack(u) {
    u.trap('exception', u.int(32, Vector.BP));
  },
});

/** Bits of DR6 are the business of who delivers #DB. */
export const INT1 = inst('INT1', {
  forms: [enc(0xf1)],
  crack(u) {
    u.trap('exception', u.int(32, Vector.DB));
  },
});

export const INT = inst('INT', {
  forms: [enc(0xcd, Ib)],
  crack(u, vector) {
    u.trap('interrupt', u.zext(8, 32, u.read(vector)));
  },
});

export const INTO = inst('INTO', {
  forms: [enc(0xce).i64()],
  crack(u) {
    u.trapIf(u.flag('of'), 'exception', u.int(32, Vector.OF));
  },
});

/** The index must lie between two signed numbers in memory. */
export const BOUND = inst('BOUND', {
  forms: [enc(0x62, Gv, Mv).i64()],
  crack(u, index, bounds) {
    const z = index.bits as Width;
    const at = u.linearAddress(bounds);
    const next = u.zext(32, 64, u.zext(64, 32, u.add(64, at, u.int(64, z / 8))));
    const value = u.read(index);
    const isBelow = u.ltS(z, value, u.load(z, at));
    u.faultIf(u.or(32, isBelow, u.ltS(z, u.load(z, next), value)), Vector.BR);
  },
});

/** UD0 and UD1 have a ModRM byte, which makes no difference to #UD. */
export const UD = inst('UD2', {
  forms: [enc(0x0fff), enc(0x0fb9), enc(0x0f0b)],
  crack(u) {
    u.fault(Vector.UD);
  },
});
