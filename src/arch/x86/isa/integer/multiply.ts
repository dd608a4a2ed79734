/**
 * Multiplication and division. SDM vol. 2, by mnemonic.
 *
 * Undefined flags are AMD Zen's: multiplications keep SF, ZF, AF and PF; divisions keep CF and OF, set AF and clear SF,
 * ZF and PF.
 */

import { Vector } from '../../exceptions.ts';
import { Gpr } from '../../registers.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AX, By, Eb, Ev, Ey, Gv, Gy, IbSx, Iz, rAX, rDX } from '../operands.ts';
import type { Width } from '../ops.ts';

export const MUL = inst('MUL', {
  forms: [enc(0xf6, AX, Eb).ext(4), enc(0xf7, rDX, rAX, Ev).ext(4)],
  crack(u, ...operands) {
    multiply(u, operands, false);
  },
});

export const IMUL = inst('IMUL', {
  forms: [enc(0xf6, AX, Eb).ext(5), enc(0xf7, rDX, rAX, Ev).ext(5)],
  crack(u, ...operands) {
    multiply(u, operands, true);
  },
});

/** The product in the accumulator's double width: AX of eight bits, else rDX:rAX. CF and OF: it does not fit the low half. */
function multiply<V>(u: Cracker<V>, operands: readonly Operand[], isSigned: boolean): void {
  const src = operands.at(-1)!;
  const z = src.bits as Width;
  const accumulator = operands.at(-2)!;
  const a = u.zext(accumulator.bits as Width, z, u.read(accumulator));
  const b = u.read(src);
  const low = u.mul(z, a, b);
  const high = isSigned ? u.mulHighS(z, a, b) : u.mulHighU(z, a, b);
  if (z === 8) {
    u.write(accumulator, u.or(16, u.zext(8, 16, low), u.shl(16, u.zext(8, 16, high), u.int(32, 8))));
  } else {
    u.write(accumulator, low);
    u.write(operands[0]!, high);
  }
  const overflows = () => u.ne(z, high, isSigned ? u.sar(z, low, u.int(32, z - 1)) : u.int(z, 0));
  u.setFlags({ cf: overflows, of: overflows });
}

/** IMUL with two and three operands: the product in one width. */
export const IMUL_TRUNCATING = inst('IMUL', {
  forms: [enc(0x0faf, Gv, Ev), enc(0x69, Gv, Ev, Iz), enc(0x6b, Gv, Ev, IbSx)],
  crack(u, dst, first, second) {
    const z = dst.bits as Width;
    const [a, b] = second === undefined ? [u.read(dst), u.read(first)] : [u.read(first), u.read(second)];
    const low = u.mul(z, a, b);
    u.write(dst, low);
    const overflows = () => u.ne(z, u.mulHighS(z, a, b), u.sar(z, low, u.int(32, z - 1)));
    u.setFlags({ cf: overflows, of: overflows });
  },
});

/** Where both destinations are the same register, it has the high half. */
export const MULX = inst('MULX', {
  feature: 'bmi2',
  forms: [enc(0x0f38f6, Gy, By, Ey).pf2().vex(0)],
  crack(u, high, low, src) {
    const z = src.bits as Width;
    const a = u.zext(64, z, u.gpr(Gpr.RDX));
    const b = u.read(src);
    u.write(low, u.mul(z, a, b));
    u.write(high, u.mulHighU(z, a, b));
  },
});

export const DIV = inst('DIV', {
  forms: [enc(0xf6, AX, Eb).ext(6), enc(0xf7, rDX, rAX, Ev).ext(6)],
  crack(u, ...operands) {
    divide(u, operands, false);
  },
});

export const IDIV = inst('IDIV', {
  forms: [enc(0xf6, AX, Eb).ext(7), enc(0xf7, rDX, rAX, Ev).ext(7)],
  crack(u, ...operands) {
    divide(u, operands, true);
  },
});

function divide<V>(u: Cracker<V>, operands: readonly Operand[], isSigned: boolean): void {
  const src = operands.at(-1)!;
  const divisor = u.read(src);
  u.faultIf(u.isZero(src.bits as Width, divisor), Vector.DE);
  if (src.bits === 64) divideLong(u, divisor, isSigned);
  else divideShort(u, operands, divisor, isSigned);
}

/** A dividend of up to 64 bits: divided in 32 or 64, and then the quotient may be too large. */
function divideShort<V>(u: Cracker<V>, operands: readonly Operand[], divisor: V, isSigned: boolean): void {
  const z = operands.at(-1)!.bits as 8 | 16 | 32;
  const wide: Width = z === 32 ? 64 : 32;
  const dividend = dividendOf(u, operands, z, isSigned);
  const by = isSigned ? u.sext(z, wide, divisor) : u.zext(z, wide, divisor);
  if (isSigned && z > 8) {
    // The one quotient that does not even fit the wide result.
    const lowest = u.eq(wide, dividend, u.int(wide, -(1n << BigInt(wide - 1))));
    u.faultIf(u.and(32, lowest, u.eq(wide, by, u.int(wide, -1))), Vector.DE);
  }
  const quotient = isSigned ? u.divS(wide, dividend, by) : u.divU(wide, dividend, by);
  const remainder = isSigned ? u.remS(wide, dividend, by) : u.remU(wide, dividend, by);
  const low = u.zext(wide, z, quotient);
  u.faultIf(u.ne(wide, quotient, isSigned ? u.sext(z, wide, low) : u.zext(z, wide, low)), Vector.DE);
  if (z === 8) {
    const high = u.shl(16, u.zext(wide, 16, remainder), u.int(32, 8));
    u.write(operands[0]!, u.or(16, u.zext(8, 16, low), high));
  } else {
    u.write(operands[1]!, low);
    u.write(operands[0]!, u.zext(wide, z, remainder));
  }
  setFlagsOfDivision(u);
}

function setFlagsOfDivision<V>(u: Cracker<V>): void {
  const zero = u.int(32, 0);
  u.setFlags({ pf: zero, af: u.int(32, 1), zf: zero, sf: zero });
}

/** AX, DX:AX in 32 bits, or EDX:EAX in 64. */
function dividendOf<V>(u: Cracker<V>, operands: readonly Operand[], z: 8 | 16 | 32, isSigned: boolean): V {
  const first = u.read(operands[0]!);
  if (z === 8) return isSigned ? u.sext(16, 32, first) : u.zext(16, 32, first);
  const wide: Width = z === 32 ? 64 : 32;
  const high = u.shl(wide, u.zext(z, wide, first), u.int(32, z));
  return u.or(wide, high, u.zext(z, wide, u.read(operands[1]!)));
}

/** RDX:RAX. Nearly always the high half only extends the low one: then one division of 64 bits does it. */
function divideLong<V>(u: Cracker<V>, divisor: V, isSigned: boolean): void {
  const low = u.gpr(Gpr.RAX);
  const high = u.gpr(Gpr.RDX);
  const isShort = u.eq(64, high, isSigned ? u.sar(64, low, u.int(32, 63)) : u.int(64, 0));
  const isLong = u.isZero(32, isShort);
  u.when(isShort, () => {
    if (isSigned) {
      const lowest = u.eq(64, low, u.int(64, -(1n << 63n)));
      u.faultIf(u.and(32, lowest, u.eq(64, divisor, u.int(64, -1))), Vector.DE);
    }
    u.setGpr(Gpr.RAX, isSigned ? u.divS(64, low, divisor) : u.divU(64, low, divisor));
    u.setGpr(Gpr.RDX, isSigned ? u.remS(64, low, divisor) : u.remU(64, low, divisor));
    setFlagsOfDivision(u);
  });
  // At most one of the two bodies is executed: this one finds the registers as they were.
  u.when(isLong, () => {
    u.setArgument(0, 64, low);
    u.setArgument(8, 64, high);
    u.setArgument(16, 64, divisor);
    u.faultIf(u.assist('divide128', u.int(32, isSigned ? 1 : 0)), Vector.DE);
    u.setGpr(Gpr.RAX, u.assistResult(0, 64));
    u.setGpr(Gpr.RDX, u.assistResult(8, 64));
    setFlagsOfDivision(u);
  });
}
