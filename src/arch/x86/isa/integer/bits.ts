/**
 * Single bits and counts of bits. SDM vol. 2, by mnemonic.
 *
 * Undefined flags are AMD Zen's: BT and its like change CF only; BSF and BSR clear CF, AF, SF and OF and give the parity of
 * the index, or of 0; LZCNT and TZCNT clear AF, PF and SF and keep OF.
 */

import type { Cracker } from '../cracker.ts';
import { type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { resultFlag } from '../lazy-flags.ts';
import { Ev, Gv, Ib } from '../operands.ts';
import type { Width } from '../ops.ts';

function bitForms(opcode: number, digit: number): Form[] {
  return [enc(opcode, Ev, Gv), enc(0x0fba, Ev, Ib).ext(digit)];
}

/** CF is the bit; `change` says what the operand becomes, from it and the mask of the bit. */
function testBit<V>(
  u: Cracker<V>,
  dst: Operand,
  offset: Operand,
  change?: (z: Width, a: V, mask: V) => V,
): void {
  const z = dst.bits as 16 | 32 | 64;
  const index = locate(u, z, dst, offset);
  const a = u.read(dst);
  if (change !== undefined) u.write(dst, change(z, a, u.shl(z, u.int(z, 1), index)));
  u.setFlags({ cf: () => u.and(32, u.zext(z, 32, u.shr(z, a, index)), u.int(32, 1)) });
}

/** Index of the bit in the operand. In memory, a register may name a bit far beyond it, to either side. */
function locate<V>(u: Cracker<V>, z: 16 | 32 | 64, dst: Operand, offset: Operand): V {
  const inOperand = u.int(32, z - 1);
  if (offset.kind === OperandKind.immediate) return u.and(32, u.zext(8, 32, u.read(offset)), inOperand);
  const bit = u.read(offset);
  if (dst.kind === OperandKind.memory) {
    const units = u.sar(64, u.sext(z, 64, bit), u.int(32, Math.log2(z)));
    u.displace(dst, u.shl(64, units, u.int(32, Math.log2(z / 8))));
  }
  return u.and(32, u.zext(z, 32, bit), inOperand);
}

export const BT = inst('BT', {
  forms: bitForms(0x0fa3, 4),
  crack(u, dst, offset) {
    testBit(u, dst, offset);
  },
});

export const BTS = inst('BTS', {
  lock: true,
  forms: bitForms(0x0fab, 5),
  crack(u, dst, offset) {
    testBit(u, dst, offset, (z, a, mask) => u.or(z, a, mask));
  },
});

export const BTR = inst('BTR', {
  lock: true,
  forms: bitForms(0x0fb3, 6),
  crack(u, dst, offset) {
    testBit(u, dst, offset, (z, a, mask) => u.and(z, a, u.not(z, mask)));
  },
});

export const BTC = inst('BTC', {
  lock: true,
  forms: bitForms(0x0fbb, 7),
  crack(u, dst, offset) {
    testBit(u, dst, offset, (z, a, mask) => u.xor(z, a, mask));
  },
});

export const BSF = inst('BSF', {
  forms: [enc(0x0fbc, Gv, Ev)],
  crack(u, dst, src) {
    const z = src.bits as Width;
    const a = u.read(src);
    setIndex(u, dst, a, u.ctz(z, a));
  },
});

export const BSR = inst('BSR', {
  forms: [enc(0x0fbd, Gv, Ev)],
  crack(u, dst, src) {
    const z = src.bits as Width;
    const a = u.read(src);
    setIndex(u, dst, a, u.xor(z, u.clz(z, a), u.int(z, z - 1)));
  },
});

/** Of a source of 0 the whole destination stays as it is, of 32 bits too. */
function setIndex<V>(u: Cracker<V>, dst: Operand, a: V, index: V): void {
  const z = dst.bits as Width;
  const isZero = u.isZero(z, a);
  const zero = u.int(32, 0);
  const pf = () => resultFlag(u, z, u.select(isZero, u.int(z, 0), index), 'pf');
  u.setFlags({ zf: isZero, pf, cf: zero, af: zero, sf: zero, of: zero });
  u.when(u.isZero(32, isZero), () => u.write(dst, index));
}

export const TZCNT = inst('TZCNT', {
  feature: 'bmi1',
  forms: [enc(0x0fbc, Gv, Ev).pf3()],
  crack(u, dst, src) {
    setCount(u, dst, src, (z, a) => u.ctz(z, a));
  },
});

export const LZCNT = inst('LZCNT', {
  feature: 'abm',
  forms: [enc(0x0fbd, Gv, Ev).pf3()],
  crack(u, dst, src) {
    setCount(u, dst, src, (z, a) => u.clz(z, a));
  },
});

/** CF: there is no bit; ZF: it is at that end. */
function setCount<V>(u: Cracker<V>, dst: Operand, src: Operand, count: (z: Width, a: V) => V): void {
  const z = src.bits as Width;
  const a = u.read(src);
  const r = count(z, a);
  u.write(dst, r);
  const zero = u.int(32, 0);
  u.setFlags({ cf: u.isZero(z, a), zf: u.isZero(z, r), pf: zero, af: zero, sf: zero });
}

export const POPCNT = inst('POPCNT', {
  feature: 'popcnt',
  forms: [enc(0x0fb8, Gv, Ev).pf3()],
  crack(u, dst, src) {
    const z = src.bits as Width;
    const a = u.read(src);
    u.write(dst, u.popcnt(z, a));
    const zero = u.int(32, 0);
    u.setFlags({ zf: u.isZero(z, a), cf: zero, pf: zero, af: zero, sf: zero, of: zero });
  },
});
