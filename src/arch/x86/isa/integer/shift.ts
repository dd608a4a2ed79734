/**
 * Shifts and rotations. SDM vol. 2, by mnemonic. The count is taken modulo 32, or 64 for operands of 64 bits; where it is
 * then 0, no flag changes.
 *
 * Undefined flags are AMD Zen's: AF is set; OF follows the rule for a count of 1 whatever the count (to the left CF xor the
 * result's highest bit, to the right the two highest bits of the result differ); shifts of more bits than the operand has
 * shift out zeros. Into double shifts of 16 bits by more than 16 the second operand comes twice; their CF is that of the
 * first operand shifted alone, as is OF of SHLD.
 */

import type { Cracker, FlagValues } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { bitOf } from '../lazy-flags.ts';
import { By, CL, Eb, Ev, Ey, Gv, Gy, Ib, One } from '../operands.ts';
import type { Width } from '../ops.ts';

/** Forms of /n of the shift group. */
function shiftForms(...digits: number[]): Form[] {
  return digits.flatMap((n) => [
    enc(0xc0, Eb, Ib).ext(n),
    enc(0xc1, Ev, Ib).ext(n),
    enc(0xd0, Eb, One).ext(n),
    enc(0xd1, Ev, One).ext(n),
    enc(0xd2, Eb, CL).ext(n),
    enc(0xd3, Ev, CL).ext(n),
  ]);
}

function maskOf(z: Width): number {
  return z === 64 ? 63 : 31;
}

/** The masked count, of width 32. */
function countOf<V>(u: Cracker<V>, z: Width, operand: Operand): V {
  return u.and(32, u.zext(8, 32, u.read(operand)), u.int(32, maskOf(z)));
}

/** Sets flags unless the masked count is 0. */
function setFlagsOfCount<V>(u: Cracker<V>, z: Width, operand: Operand, count: V, flags: FlagValues<V>): void {
  const known = u.constant(operand);
  if (known === undefined) u.setFlagsIf(u.ne(32, count, u.int(32, 0)), flags);
  else if ((known & maskOf(z)) !== 0) u.setFlags(flags);
}

/** OF behind a shift or rotation to the left, and to the right. */
function leftOverflow<V>(u: Cracker<V>, z: Width, r: V, cf: V): V {
  return u.xor(32, cf, bitOf(u, z, r, z - 1));
}

function rightOverflow<V>(u: Cracker<V>, z: Width, r: V): V {
  return u.xor(32, bitOf(u, z, r, z - 1), u.and(32, bitOf(u, z, r, z - 2), u.int(32, 1)));
}

/** a >> n of any n below 64, where the last bit that is shifted out is `cf`; n − 1 and the like are taken modulo z. */
function modulo<V>(u: Cracker<V>, z: Width, n: V): V {
  return u.and(32, n, u.int(32, z - 1));
}

/** SAL is SHL: /6 is an alias of /4. */
export const SHL = inst('SHL', {
  forms: shiftForms(4, 6),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const a = u.read(dst);
    const n = countOf(u, z, by);
    if (z < 32) {
      const wide = u.shl(32, u.zext(z, 32, a), n);
      const r = u.zext(32, z, wide);
      setShifted(
        u,
        dst,
        by,
        n,
        r,
        () => u.and(32, u.shr(32, wide, u.int(32, z)), u.int(32, 1)),
        leftOverflow,
      );
    } else {
      const cf = () => bitOf(u, z, u.shr(z, a, modulo(u, z, u.sub(32, u.int(32, 0), n))), 0);
      setShifted(u, dst, by, n, u.shl(z, a, n), cf, leftOverflow);
    }
  },
});

export const SHR = inst('SHR', {
  forms: shiftForms(5),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const wide: Width = z < 32 ? 32 : z;
    const a = u.zext(z, wide, u.read(dst));
    const n = countOf(u, z, by);
    const cf = () => bitOf(u, wide, u.shr(wide, a, modulo(u, wide, u.sub(32, n, u.int(32, 1)))), 0);
    setShifted(u, dst, by, n, u.zext(wide, z, u.shr(wide, a, n)), cf, rightOverflow);
  },
});

export const SAR = inst('SAR', {
  forms: shiftForms(7),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const wide: Width = z < 32 ? 32 : z;
    const a = u.sext(z, wide, u.read(dst));
    const n = countOf(u, z, by);
    const cf = () => bitOf(u, wide, u.sar(wide, a, modulo(u, wide, u.sub(32, n, u.int(32, 1)))), 0);
    setShifted(u, dst, by, n, u.zext(wide, z, u.sar(wide, a, n)), cf, () => u.int(32, 0));
  },
});

function setShifted<V>(
  u: Cracker<V>,
  dst: Operand,
  by: Operand,
  n: V,
  r: V,
  carry: () => V,
  overflow: (u: Cracker<V>, z: Width, r: V, cf: V) => V,
): void {
  const z = dst.bits as Width;
  u.write(dst, r);
  const of = () => overflow(u, z, r, carry());
  setFlagsOfCount(u, z, by, n, { result: { z, value: r }, cf: carry, af: u.int(32, 1), of });
}

export const ROL = inst('ROL', {
  forms: shiftForms(0),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const n = countOf(u, z, by);
    const r = u.rotl(z, u.read(dst), modulo(u, z, n));
    u.write(dst, r);
    const cf = () => bitOf(u, z, r, 0);
    setFlagsOfCount(u, z, by, n, { cf, of: () => leftOverflow(u, z, r, cf()) });
  },
});

export const ROR = inst('ROR', {
  forms: shiftForms(1),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const n = countOf(u, z, by);
    const r = u.rotr(z, u.read(dst), modulo(u, z, n));
    u.write(dst, r);
    setFlagsOfCount(u, z, by, n, { cf: () => bitOf(u, z, r, z - 1), of: () => rightOverflow(u, z, r) });
  },
});

export const RCL = inst('RCL', {
  forms: shiftForms(2),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const n = countOf(u, z, by);
    const [r, cf] = z === 64 ? rotateLong(u, dst, n, true) : rotateShort(u, dst, n, true);
    u.write(dst, r);
    setFlagsOfCount(u, z, by, n, { cf, of: () => leftOverflow(u, z, r, cf) });
  },
});

export const RCR = inst('RCR', {
  forms: shiftForms(3),
  crack(u, dst, by) {
    const z = dst.bits as Width;
    const n = countOf(u, z, by);
    const [r, cf] = z === 64 ? rotateLong(u, dst, n, false) : rotateShort(u, dst, n, false);
    u.write(dst, r);
    setFlagsOfCount(u, z, by, n, { cf, of: () => rightOverflow(u, z, r) });
  },
});

/** Rotates z + 1 bits, CF on top of the operand, in a wider integer. Gives the low z bits and the new CF. */
function rotateShort<V>(u: Cracker<V>, dst: Operand, count: V, toLeft: boolean): [result: V, cf: V] {
  const z = dst.bits as 8 | 16 | 32;
  const wide: Width = z === 32 ? 64 : 32;
  const n = z === 32 ? count : u.remU(32, count, u.int(32, z + 1));
  const back = u.sub(32, u.int(32, z + 1), n);
  const carry = u.shl(wide, u.zext(32, wide, u.flag('cf')), u.int(32, z));
  const whole = u.or(wide, carry, u.zext(z, wide, u.read(dst)));
  const [left, right] = toLeft ? [n, back] : [back, n];
  const rotated = u.or(wide, u.shl(wide, whole, left), u.shr(wide, whole, right));
  const cf = u.zext(wide, 32, u.shr(wide, rotated, u.int(32, z)));
  return [u.zext(wide, z, rotated), u.and(32, cf, u.int(32, 1))];
}

/** The same of 64 bits, with the carry put in by itself. */
function rotateLong<V>(u: Cracker<V>, dst: Operand, n: V, toLeft: boolean): [result: V, cf: V] {
  const a = u.read(dst);
  const back = modulo(u, 64, u.sub(32, u.int(32, 0), n));
  const before = modulo(u, 64, u.sub(32, n, u.int(32, 1)));
  const one = u.int(32, 1);
  const carry = u.zext(32, 64, u.flag('cf'));
  const [main, rest, out] = toLeft
    ? [u.shl(64, a, n), u.shr(64, u.shr(64, a, one), back), u.shr(64, a, back)]
    : [u.shr(64, a, n), u.shl(64, u.shl(64, a, one), back), u.shr(64, a, before)];
  const into = u.shl(64, carry, toLeft ? before : back);
  const isZero = u.isZero(32, n);
  const r = u.select(isZero, a, u.or(64, u.or(64, main, rest), into));
  return [r, bitOf(u, 64, out, 0)];
}

export const SHLD = inst('SHLD', {
  forms: [enc(0x0fa4, Ev, Gv, Ib), enc(0x0fa5, Ev, Gv, CL)],
  crack(u, dst, src, by) {
    const z = dst.bits as 16 | 32 | 64;
    const [a, b] = [u.read(dst), u.read(src)];
    const n = countOf(u, z, by);
    let r: ReturnType<typeof u.read>;
    let cf: () => typeof r;
    let of = () => leftOverflow(u, z, r, cf());
    if (z === 16) {
      const isBeyond = u.ltU(32, u.int(32, 16), n);
      const pair = pairOf(u, u.select(isBeyond, b, a), b);
      const left = u.sub(32, n, u.select(isBeyond, u.int(32, 16), u.int(32, 0)));
      r = u.shr(32, u.shl(32, pair, left), u.int(32, 16));
      const alone = u.shl(32, a, n);
      cf = () => u.and(32, u.shr(32, alone, u.int(32, 16)), u.int(32, 1));
      of = () => u.xor(32, cf(), u.and(32, u.shr(32, alone, u.int(32, 15)), u.int(32, 1)));
    } else {
      r = u.or(z, u.shl(z, a, n), fillOf(u, z, b, n, true));
      cf = () => bitOf(u, z, u.shr(z, a, modulo(u, z, u.sub(32, u.int(32, 0), n))), 0);
    }
    u.write(dst, r);
    setFlagsOfCount(u, z, by, n, {
      result: { z, value: r },
      cf: () => cf(),
      af: u.int(32, 1),
      of: () => of(),
    });
  },
});

export const SHRD = inst('SHRD', {
  forms: [enc(0x0fac, Ev, Gv, Ib), enc(0x0fad, Ev, Gv, CL)],
  crack(u, dst, src, by) {
    const z = dst.bits as 16 | 32 | 64;
    const [a, b] = [u.read(dst), u.read(src)];
    const n = countOf(u, z, by);
    const before = modulo(u, z === 16 ? 32 : z, u.sub(32, n, u.int(32, 1)));
    let r: ReturnType<typeof u.read>;
    let cf: () => typeof r;
    if (z === 16) {
      const isBeyond = u.ltU(32, u.int(32, 16), n);
      const pair = pairOf(u, b, u.select(isBeyond, b, a));
      const right = u.sub(32, n, u.select(isBeyond, u.int(32, 16), u.int(32, 0)));
      r = u.zext(32, 16, u.shr(32, pair, right));
      cf = () => u.and(32, u.shr(32, a, before), u.int(32, 1));
    } else {
      r = u.or(z, u.shr(z, a, n), fillOf(u, z, b, n, false));
      cf = () => bitOf(u, z, u.shr(z, a, before), 0);
    }
    u.write(dst, r);
    const of = () => rightOverflow(u, z, r);
    setFlagsOfCount(u, z, by, n, { result: { z, value: r }, cf, af: u.int(32, 1), of });
  },
});

function pairOf<V>(u: Cracker<V>, high: V, low: V): V {
  return u.or(32, u.shl(32, u.zext(16, 32, high), u.int(32, 16)), u.zext(16, 32, low));
}

/** What comes in from the other operand: b by z − n to the other side, nothing where n is 0. */
function fillOf<V>(u: Cracker<V>, z: 32 | 64, b: V, n: V, toLeft: boolean): V {
  const one = u.int(32, 1);
  const rest = u.xor(32, n, u.int(32, z - 1));
  return toLeft ? u.shr(z, u.shr(z, b, one), rest) : u.shl(z, u.shl(z, b, one), rest);
}

// ---- BMI2: without flags ----

export const RORX = inst('RORX', {
  feature: 'bmi2',
  forms: [enc(0x0f3af0, Gy, Ey, Ib).pf2().vex(0)],
  crack(u, dst, src, by) {
    const z = dst.bits as Width;
    u.write(dst, u.rotr(z, u.read(src), modulo(u, z, u.zext(8, 32, u.read(by)))));
  },
});

function countRegister<V>(u: Cracker<V>, z: Width, by: Operand): V {
  return modulo(u, z, u.zext(z, 32, u.read(by)));
}

export const SARX = inst('SARX', {
  feature: 'bmi2',
  forms: [enc(0x0f38f7, Gy, Ey, By).pf3().vex(0)],
  crack(u, dst, src, by) {
    const z = dst.bits as Width;
    u.write(dst, u.sar(z, u.read(src), countRegister(u, z, by)));
  },
});

export const SHLX = inst('SHLX', {
  feature: 'bmi2',
  forms: [enc(0x0f38f7, Gy, Ey, By).p66().vex(0)],
  crack(u, dst, src, by) {
    const z = dst.bits as Width;
    u.write(dst, u.shl(z, u.read(src), countRegister(u, z, by)));
  },
});

export const SHRX = inst('SHRX', {
  feature: 'bmi2',
  forms: [enc(0x0f38f7, Gy, Ey, By).pf2().vex(0)],
  crack(u, dst, src, by) {
    const z = dst.bits as Width;
    u.write(dst, u.shr(z, u.read(src), countRegister(u, z, by)));
  },
});
