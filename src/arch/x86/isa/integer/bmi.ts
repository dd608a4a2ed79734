/**
 * BMI1 and BMI2: bit fields and masks, encoded with VEX. SDM vol. 2, by mnemonic.
 *
 * Undefined flags are AMD Zen's: PF is that of the result, and AF is clear; but BEXTR sets AF, and clears SF.
 */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { resultFlag } from '../lazy-flags.ts';
import { By, Ey, Gy } from '../operands.ts';
import type { Width } from '../ops.ts';

export const ANDN = inst('ANDN', {
  feature: 'bmi1',
  forms: [enc(0x0f38f2, Gy, By, Ey).np().vex(0)],
  crack(u, dst, inverted, src) {
    const z = dst.bits as Width;
    const r = u.and(z, u.not(z, u.read(inverted)), u.read(src));
    u.write(dst, r);
    u.flagsLogic(z, r);
  },
});

/** A field of bits: start and length are the first two bytes of the third operand. */
export const BEXTR = inst('BEXTR', {
  feature: 'bmi1',
  forms: [enc(0x0f38f7, Gy, Ey, By).np().vex(0)],
  crack(u, dst, src, field) {
    const z = dst.bits as 32 | 64;
    const what = u.zext(z, 32, u.read(field));
    const start = u.and(32, what, u.int(32, 0xff));
    const length = u.and(32, u.shr(32, what, u.int(32, 8)), u.int(32, 0xff));
    const inRange = u.ltU(32, start, u.int(32, z));
    const shifted = u.shr(z, u.read(src), u.and(32, start, u.int(32, z - 1)));
    const r = lowBits(u, z, u.select(inRange, shifted, u.int(z, 0)), length);
    u.write(dst, r);
    const zero = u.int(32, 0);
    const pf = () => resultFlag(u, z, r, 'pf');
    u.setFlags({ zf: u.isZero(z, r), pf, cf: zero, af: u.int(32, 1), sf: zero, of: zero });
  },
});

/** CF: the number of bits exceeds the operand. */
export const BZHI = inst('BZHI', {
  feature: 'bmi2',
  forms: [enc(0x0f38f5, Gy, Ey, By).np().vex(0)],
  crack(u, dst, src, index) {
    const z = dst.bits as 32 | 64;
    const n = u.and(32, u.zext(z, 32, u.read(index)), u.int(32, 0xff));
    const r = lowBits(u, z, u.read(src), n);
    u.write(dst, r);
    const zero = u.int(32, 0);
    u.setFlags({ result: { z, value: r }, cf: u.leU(32, u.int(32, z), n), af: zero, of: zero });
  },
});

/** The low n bits, of any n. */
function lowBits<V>(u: Cracker<V>, z: 32 | 64, a: V, n: V): V {
  const mask = u.sub(z, u.shl(z, u.int(z, 1), u.and(32, n, u.int(32, z - 1))), u.int(z, 1));
  return u.select(u.ltU(32, n, u.int(32, z)), u.and(z, a, mask), a);
}

export const BLSR = inst('BLSR', {
  feature: 'bmi1',
  forms: [enc(0x0f38f3, By, Ey).ext(1).np().vex(0)],
  crack(u, dst, src) {
    lowest(u, dst, src, (z, a) => u.and(z, a, u.sub(z, a, u.int(z, 1))));
  },
});

export const BLSMSK = inst('BLSMSK', {
  feature: 'bmi1',
  forms: [enc(0x0f38f3, By, Ey).ext(2).np().vex(0)],
  crack(u, dst, src) {
    lowest(u, dst, src, (z, a) => u.xor(z, a, u.sub(z, a, u.int(z, 1))));
  },
});

/** Unlike those of the other two, CF says that the source is not 0. */
export const BLSI = inst('BLSI', {
  feature: 'bmi1',
  forms: [enc(0x0f38f3, By, Ey).ext(3).np().vex(0)],
  crack(u, dst, src) {
    lowest(u, dst, src, (z, a) => u.and(z, a, u.neg(z, a)), true);
  },
});

function lowest<V>(
  u: Cracker<V>,
  dst: Operand,
  src: Operand,
  operation: (z: Width, a: V) => V,
  carriesNonZero = false,
): void {
  const z = src.bits as Width;
  const a = u.read(src);
  const r = operation(z, a);
  u.write(dst, r);
  const zero = u.int(32, 0);
  const cf = carriesNonZero ? u.ne(z, a, u.int(z, 0)) : u.isZero(z, a);
  u.setFlags({ result: { z, value: r }, cf, af: zero, of: zero });
}

/** The bits of the source where the mask has ones, moved together. */
export const PEXT = inst('PEXT', {
  feature: 'bmi2',
  forms: [enc(0x0f38f5, Gy, By, Ey).pf3().vex(0)],
  crack(u, dst, src, maskOperand) {
    const z = dst.bits as 32 | 64;
    const mask = u.read(maskOperand);
    let r = u.and(z, u.read(src), mask);
    for (const { moves, shift } of stages(u, z, mask)) {
      const moved = u.and(z, r, moves);
      r = u.or(z, u.xor(z, r, moved), u.shr(z, moved, u.int(32, shift)));
    }
    u.write(dst, r);
  },
});

/** The low bits of the source, spread to where the mask has ones: the stages of PEXT backwards. */
export const PDEP = inst('PDEP', {
  feature: 'bmi2',
  forms: [enc(0x0f38f5, Gy, By, Ey).pf2().vex(0)],
  crack(u, dst, src, maskOperand) {
    const z = dst.bits as 32 | 64;
    const mask = u.read(maskOperand);
    let r = u.read(src);
    for (const { moves, shift } of stages(u, z, mask).reverse()) {
      const moved = u.and(z, u.shl(z, r, u.int(32, shift)), moves);
      r = u.or(z, u.and(z, r, u.not(z, moves)), moved);
    }
    u.write(dst, u.and(z, r, mask));
  },
});

/**
 * Each one of the mask has as many zeros below it as it must move down. Stage i moves those by 2^i where bit i of this number
 * is set: they are found as the parity of the zeros below, which are then halved.
 */
function stages<V>(u: Cracker<V>, z: 32 | 64, mask: V): { readonly moves: V; readonly shift: number }[] {
  const found: { moves: V; shift: number }[] = [];
  let ones = mask;
  let zerosBelow = u.shl(z, u.not(z, mask), u.int(32, 1));
  for (let shift = 1; shift < z; shift *= 2) {
    let parity = zerosBelow;
    for (let step = 1; step < z; step *= 2) parity = u.xor(z, parity, u.shl(z, parity, u.int(32, step)));
    const moves = u.and(z, parity, ones);
    ones = u.or(z, u.xor(z, ones, moves), u.shr(z, moves, u.int(32, shift)));
    zerosBelow = u.and(z, zerosBelow, u.not(z, parity));
    found.push({ moves, shift });
  }
  return found;
}
