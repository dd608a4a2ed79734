/** Exchanges between registers and memory: the atomic operations. SDM vol. 2, by mnemonic. */

import { Vector } from '../../exceptions.ts';
import { Gpr } from '../../registers.ts';
import { OperandKind } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AL, Eb, Ev, Gb, Gv, Mdq, Mq, rAX, Zv } from '../operands.ts';
import type { Width } from '../ops.ts';

/** 90 is NOP unless REX.B names R8. */
export const XCHG = inst('XCHG', {
  lock: true,
  forms: [enc(0x86, Eb, Gb), enc(0x87, Ev, Gv), enc(0x90, Zv, rAX)],
  crack(u, first, second) {
    const [a, b] = [u.read(first), u.read(second)];
    u.write(first, b);
    u.write(second, a);
  },
});

/** Of one register with itself, it holds the sum. */
export const XADD = inst('XADD', {
  lock: true,
  forms: [enc(0x0fc0, Eb, Gb), enc(0x0fc1, Ev, Gv)],
  crack(u, dst, src) {
    const z = dst.bits as Width;
    const [a, b] = [u.read(dst), u.read(src)];
    const r = u.add(z, a, b);
    u.write(src, a);
    u.write(dst, r);
    u.flagsAdd(z, a, b, r);
  },
});

/** Memory is written in any case, a register only where the comparison holds: its upper half stays. */
export const CMPXCHG = inst('CMPXCHG', {
  lock: true,
  forms: [enc(0x0fb0, Eb, Gb, AL), enc(0x0fb1, Ev, Gv, rAX)],
  crack(u, dst, src, accumulator) {
    const z = dst.bits as Width;
    const [a, b] = [u.read(accumulator), u.read(dst)];
    const isEqual = u.eq(z, a, b);
    // Only of EAX it matters whether it is written: RAX would be zero-extended.
    if (z === 32) u.setGpr(Gpr.RAX, u.select(isEqual, u.gpr(Gpr.RAX), u.zext(32, 64, b)));
    else u.write(accumulator, b);
    u.flagsSub(z, a, b, u.sub(z, a, b));
    const fresh = u.read(src);
    if (dst.kind === OperandKind.memory) u.write(dst, u.select(isEqual, fresh, b));
    else u.when(isEqual, () => u.write(dst, fresh));
  },
});

export const CMPXCHG8B = inst('CMPXCHG8B', {
  feature: 'cx8',
  lock: true,
  forms: [enc(0x0fc7, Mq).ext(1)],
  crack(u, dst) {
    const low = (index: number) => u.and(64, u.gpr(index), u.int(64, 0xffff_ffff));
    const pair = (high: number, index: number) => u.or(64, u.shl(64, u.gpr(high), u.int(32, 32)), low(index));
    const old = u.read(dst);
    const isEqual = u.eq(64, old, pair(Gpr.RDX, Gpr.RAX));
    u.write(dst, u.select(isEqual, pair(Gpr.RCX, Gpr.RBX), old));
    u.setGpr(Gpr.RAX, u.select(isEqual, u.gpr(Gpr.RAX), u.and(64, old, u.int(64, 0xffff_ffff))));
    u.setGpr(Gpr.RDX, u.select(isEqual, u.gpr(Gpr.RDX), u.shr(64, old, u.int(32, 32))));
    u.setFlags({ zf: isEqual });
  },
});

export const CMPXCHG16B = inst('CMPXCHG16B', {
  feature: 'cx16',
  lock: true,
  forms: [enc(0x0fc7, Mdq).ext(1).w1().o64()],
  crack(u, dst) {
    const address = u.linearAddress(dst);
    const isMisaligned = u.ne(64, u.and(64, address, u.int(64, 15)), u.int(64, 0));
    // What is wrong with an address that is not canonical comes first: #SS on the stack.
    const isCanonical = u.eq(64, address, u.sar(64, u.shl(64, address, u.int(32, 16)), u.int(32, 16)));
    u.faultIf(u.and(32, isMisaligned, isCanonical), Vector.GP);
    const old = u.read(dst);
    const [low, high] = [u.lane('i64x2', old, 0), u.lane('i64x2', old, 1)];
    const isEqual = u.and(32, u.eq(64, low, u.gpr(Gpr.RAX)), u.eq(64, high, u.gpr(Gpr.RDX)));
    const fresh = u.withLane('i64x2', u.withLane('i64x2', old, 0, u.gpr(Gpr.RBX)), 1, u.gpr(Gpr.RCX));
    u.write(dst, u.select(isEqual, fresh, old));
    u.setGpr(Gpr.RAX, low);
    u.setGpr(Gpr.RDX, high);
    u.setFlags({ zf: isEqual });
  },
});
