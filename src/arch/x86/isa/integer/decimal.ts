/**
 * Decimal adjustments, which 64-bit mode does not have. SDM vol. 2, by mnemonic.
 *
 * Undefined flags are AMD Zen's. AAA and AAS: SF, ZF, PF and OF of the 16-bit sum or difference before AL loses its upper
 * half; DAA and DAS: OF where the highest bit of AL becomes 1, or 0; AAM: CF, AF and OF clear; AAD: CF, AF and OF of the
 * addition in AL.
 */

import { Vector } from '../../exceptions.ts';
import { Gpr } from '../../registers.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { bitOf } from '../lazy-flags.ts';
import { AL, AX, Ib } from '../operands.ts';
import { getLow } from './registers.ts';

/** Whether the lower half of AL is no digit. */
function lowHalfOverflows<V>(u: Cracker<V>, al: V): V {
  return u.or(32, u.ltU(8, u.int(8, 9), u.and(8, al, u.int(8, 0xf))), u.flag('af'));
}

export const AAA = inst('AAA', {
  forms: [enc(0x37, AX).i64()],
  crack(u, ax) {
    adjustUnpacked(u, ax, 0x106, (a, r) => u.and(16, u.not(16, a), r));
  },
});

export const AAS = inst('AAS', {
  forms: [enc(0x3f, AX).i64()],
  crack(u, ax) {
    adjustUnpacked(u, ax, -0x106, (a, r) => u.and(16, a, u.not(16, r)));
  },
});

function adjustUnpacked<V>(u: Cracker<V>, ax: Operand, by: number, overflow: (a: V, r: V) => V): void {
  const a = u.read(ax);
  const adjusts = lowHalfOverflows(u, u.zext(16, 8, a));
  const r = u.add(16, a, u.select(adjusts, u.int(16, by), u.int(16, 0)));
  u.write(ax, u.and(16, r, u.int(16, 0xff0f)));
  u.setFlags({
    result: { z: 16, value: r },
    cf: adjusts,
    af: adjusts,
    of: () => bitOf(u, 16, overflow(a, r), 15),
  });
}

export const DAA = inst('DAA', {
  forms: [enc(0x27, AL).i64()],
  crack(u, al) {
    adjustPacked(u, al, 1, (a, r) => u.and(8, u.not(8, a), r));
  },
});

export const DAS = inst('DAS', {
  forms: [enc(0x2f, AL).i64()],
  crack(u, al) {
    adjustPacked(u, al, -1, (a, r) => u.and(8, a, u.not(8, r)));
  },
});

/** Of a subtraction CF is also the borrow of the lower digit. */
function adjustPacked<V>(u: Cracker<V>, al: Operand, sign: 1 | -1, overflow: (a: V, r: V) => V): void {
  const a = u.read(al);
  const low = lowHalfOverflows(u, a);
  const high = u.or(32, u.ltU(8, u.int(8, 0x99), a), u.flag('cf'));
  const zero = u.int(8, 0);
  const byLow = u.select(low, u.int(8, sign * 6), zero);
  const r = u.add(8, u.add(8, a, byLow), u.select(high, u.int(8, sign * 0x60), zero));
  u.write(al, r);
  const borrow = sign < 0 ? u.and(32, low, u.ltU(8, a, u.int(8, 6))) : u.int(32, 0);
  const of = () => bitOf(u, 8, overflow(a, r), 7);
  u.setFlags({ result: { z: 8, value: r }, cf: u.or(32, high, borrow), af: low, of });
}

export const AAM = inst('AAM', {
  forms: [enc(0xd4, AX, Ib).i64()],
  crack(u, ax, base) {
    const divisor = u.zext(8, 32, u.read(base));
    u.faultIf(u.isZero(32, divisor), Vector.DE);
    const a = u.zext(8, 32, getLow(u, 8, Gpr.RAX));
    const low = u.remU(32, a, divisor);
    const high = u.shl(32, u.divU(32, a, divisor), u.int(32, 8));
    u.write(ax, u.zext(32, 16, u.or(32, high, low)));
    const zero = u.int(32, 0);
    u.setFlags({ result: { z: 8, value: u.zext(32, 8, low) }, cf: zero, af: zero, of: zero });
  },
});

export const AAD = inst('AAD', {
  forms: [enc(0xd5, AX, Ib).i64()],
  crack(u, ax, base) {
    const whole = u.read(ax);
    const a = u.zext(16, 8, whole);
    const b = u.mul(8, u.zext(16, 8, u.shr(16, whole, u.int(32, 8))), u.read(base));
    const r = u.add(8, a, b);
    u.write(ax, u.zext(8, 16, r));
    u.flagsAdd(8, a, b, r);
  },
});
