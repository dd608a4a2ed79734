/** Jumps, calls and returns within a segment. SDM vol. 2, by mnemonic. */

import { CONDITIONS } from '../conditions.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ev, Jb, Jz } from '../operands.ts';

export const JCC = CONDITIONS.map((condition, i) =>
  inst(`J${condition}`, {
    forms: [enc(0x70 + i, Jb).f64(), enc(0x0f80 + i, Jz).f64()],
    crack(u, target) {
      u.jumpIf(u.condition(condition), target);
    },
  }),
);

export const JMP = inst('JMP', {
  forms: [enc(0xeb, Jb).f64(), enc(0xe9, Jz).f64()],
  crack(u, target) {
    u.jumpTo(target);
  },
});

export const JMP_INDIRECT = inst('JMP', {
  forms: [enc(0xff, Ev).ext(4).f64()],
  crack(u, target) {
    u.jump(u.zext(u.operandBits, 64, u.read(target)));
  },
});

export const CALL = inst('CALL', {
  forms: [enc(0xe8, Jz).f64()],
  crack(u, target) {
    u.push(u.operandBits, u.zext(64, u.operandBits, u.nextRip()));
    u.jumpTo(target);
  },
});

export const CALL_INDIRECT = inst('CALL', {
  forms: [enc(0xff, Ev).ext(2).f64()],
  crack(u, target) {
    // First: nothing is pushed where the target is not canonical.
    u.jump(u.zext(u.operandBits, 64, u.read(target)));
    u.push(u.operandBits, u.zext(64, u.operandBits, u.nextRip()));
  },
});

export const RET = inst('RET', {
  forms: [enc(0xc3).f64()],
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
