/** The stack. SDM vol. 2, by mnemonic. Stacks of 16-bit addresses (SS.B clear) are not there. */

import { Gpr, Rflags } from '../../registers.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ev, Ib, IbSx, Iw, Iz, Zv } from '../operands.ts';
import { restoreFlags } from './privilege.ts';
import { setLow, stackAddress, truncated } from './registers.ts';

export const PUSH = inst('PUSH', {
  forms: [enc(0x50, Zv).d64(), enc(0xff, Ev).ext(6).d64(), enc(0x6a, IbSx).d64(), enc(0x68, Iz).d64()],
  crack(u, src) {
    u.push(u.operandBits, u.read(src));
  },
});

export const POP = inst('POP', {
  forms: [enc(0x58, Zv).d64(), enc(0x8f, Ev).ext(0).d64().afterPop()],
  crack(u, dst) {
    u.write(dst, u.pop(u.operandBits));
  },
});

/** RF and VM are pushed as zeros. */
const PUSHED_FLAGS = ~(Rflags.RF | Rflags.VM);

export const PUSHF = inst('PUSHF', {
  forms: [enc(0x9c).d64()],
  crack(u) {
    u.push(u.operandBits, u.zext(32, u.operandBits, u.and(32, u.rflags(), u.int(32, PUSHED_FLAGS))));
  },
});

export const POPF = inst('POPF', {
  forms: [enc(0x9d).d64()],
  crack(u) {
    const z = u.operandBits;
    restoreFlags(u, u.zext(z, 32, u.pop(z)));
    u.leave('flags');
  },
});

export const PUSHA = inst('PUSHA', {
  forms: [enc(0x60).i64()],
  crack(u) {
    const z = u.operandBits as 16 | 32;
    for (let i = 0; i < 8; i++) u.store(z, stackAddress(u, (-(i + 1) * z) / 8), u.zext(64, z, u.gpr(i)));
    u.setGpr(Gpr.RSP, stackAddress(u, -z));
  },
});

/** ESP is not popped. */
export const POPA = inst('POPA', {
  forms: [enc(0x61).i64()],
  crack(u) {
    const z = u.operandBits as 16 | 32;
    for (const [i, index] of [
      Gpr.RDI,
      Gpr.RSI,
      Gpr.RBP,
      Gpr.RSP,
      Gpr.RBX,
      Gpr.RDX,
      Gpr.RCX,
      Gpr.RAX,
    ].entries()) {
      if (index === Gpr.RSP) continue;
      setLow(u, z, index, u.load(z, stackAddress(u, (i * z) / 8)));
    }
    u.setGpr(Gpr.RSP, stackAddress(u, z));
  },
});

/** The nesting level, modulo 32, chooses what is done. The end of the frame must be writable. */
export const ENTER = inst('ENTER', {
  literal: true,
  forms: [enc(0xc8, Iw, Ib).d64()],
  crack(u, size, nesting) {
    const z = u.operandBits;
    const bytes = z / 8;
    const levels = u.constant(nesting)! & 31;
    u.store(z, stackAddress(u, -bytes), u.zext(64, z, u.gpr(Gpr.RBP)));
    const frame = stackAddress(u, -bytes);
    for (let i = 1; i < levels; i++) {
      const link = truncated(u, u.add(64, u.gpr(Gpr.RBP), u.int(64, -i * bytes)));
      u.store(z, stackAddress(u, -(i + 1) * bytes), u.load(z, link));
    }
    if (levels > 0) u.store(z, stackAddress(u, -(levels + 1) * bytes), u.zext(64, z, frame));
    setLow(u, z, Gpr.RBP, u.zext(64, z, frame));
    const links = u.add(64, u.gpr(Gpr.RSP), u.int(64, -(levels + 1) * bytes));
    const end = truncated(u, u.sub(64, links, u.zext(16, 64, u.read(size))));
    u.probeStore(z, end);
    u.setGpr(Gpr.RSP, end);
  },
});

export const LEAVE = inst('LEAVE', {
  forms: [enc(0xc9).d64()],
  crack(u) {
    const z = u.operandBits;
    const frame = truncated(u, u.gpr(Gpr.RBP));
    setLow(u, z, Gpr.RBP, u.load(z, frame));
    u.setGpr(Gpr.RSP, truncated(u, u.add(64, frame, u.int(64, z / 8))));
  },
});
