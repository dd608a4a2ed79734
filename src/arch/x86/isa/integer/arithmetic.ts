/** Addition and subtraction with carry, and with one operand. SDM vol. 2, by mnemonic. */

import type { Cracker, FlagValues } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { bitOf } from '../lazy-flags.ts';
import { Eb, Ev, Ey, Gy, Zv } from '../operands.ts';
import type { Width } from '../ops.ts';
import { groupForms } from './forms.ts';

export const ADC = inst('ADC', {
  lock: true,
  forms: groupForms(2),
  crack(u, dst, src) {
    const z = dst.bits as Width;
    const [a, b] = [u.read(dst), u.read(src)];
    const r = u.add(z, u.add(z, a, b), u.zext(32, z, u.flag('cf')));
    u.write(dst, r);
    u.setFlags({ ...sumFlags(u, z, a, b, r), cf: () => carryOut(u, z, a, b, r) });
  },
});

export const SBB = inst('SBB', {
  lock: true,
  forms: groupForms(3),
  crack(u, dst, src) {
    const z = dst.bits as Width;
    const [a, b] = [u.read(dst), u.read(src)];
    const r = u.sub(z, u.sub(z, a, b), u.zext(32, z, u.flag('cf')));
    u.write(dst, r);
    u.setFlags({
      result: { z, value: r },
      // A borrow is a carry out of ~a + b.
      cf: () => carryOut(u, z, u.not(z, a), b, u.not(z, r)),
      af: () => bitOf(u, z, u.xor(z, u.xor(z, a, b), r), 4),
      of: () => bitOf(u, z, u.and(z, u.xor(z, a, b), u.xor(z, a, r)), z - 1),
    });
  },
});

export const INC = inst('INC', {
  lock: true,
  forms: [enc(0xfe, Eb).ext(0), enc(0xff, Ev).ext(0), enc(0x40, Zv).i64()],
  crack(u, dst) {
    const z = dst.bits as Width;
    const r = u.add(z, u.read(dst), u.int(z, 1));
    u.write(dst, r);
    u.setFlags({
      result: { z, value: r },
      af: () => u.isZero(z, u.and(z, r, u.int(z, 0xf))),
      of: () => u.eq(z, r, u.int(z, 1n << BigInt(z - 1))),
    });
  },
});

export const DEC = inst('DEC', {
  lock: true,
  forms: [enc(0xfe, Eb).ext(1), enc(0xff, Ev).ext(1), enc(0x48, Zv).i64()],
  crack(u, dst) {
    const z = dst.bits as Width;
    const a = u.read(dst);
    const r = u.sub(z, a, u.int(z, 1));
    u.write(dst, r);
    u.setFlags({
      result: { z, value: r },
      af: () => u.eq(z, u.and(z, r, u.int(z, 0xf)), u.int(z, 0xf)),
      of: () => u.eq(z, r, u.int(z, (1n << BigInt(z - 1)) - 1n)),
    });
  },
});

export const NEG = inst('NEG', {
  lock: true,
  forms: [enc(0xf6, Eb).ext(3), enc(0xf7, Ev).ext(3)],
  crack(u, dst) {
    const z = dst.bits as Width;
    const zero = u.int(z, 0);
    const a = u.read(dst);
    const r = u.sub(z, zero, a);
    u.write(dst, r);
    u.flagsSub(z, zero, a, r);
  },
});

export const NOT = inst('NOT', {
  lock: true,
  forms: [enc(0xf6, Eb).ext(2), enc(0xf7, Ev).ext(2)],
  crack(u, dst) {
    u.write(dst, u.not(dst.bits as Width, u.read(dst)));
  },
});

/** ADX: additions whose carries are two chains, one in CF and one in OF. */
export const ADCX = inst('ADCX', {
  feature: 'adx',
  forms: [enc(0x0f38f6, Gy, Ey).p66()],
  crack(u, dst, src) {
    chain(u, dst, src, 'cf');
  },
});

export const ADOX = inst('ADOX', {
  feature: 'adx',
  forms: [enc(0x0f38f6, Gy, Ey).pf3()],
  crack(u, dst, src) {
    chain(u, dst, src, 'of');
  },
});

function chain<V>(u: Cracker<V>, dst: Operand, src: Operand, flag: 'cf' | 'of'): void {
  const z = dst.bits as Width;
  const [a, b] = [u.read(dst), u.read(src)];
  const r = u.add(z, u.add(z, a, b), u.zext(32, z, u.flag(flag)));
  u.write(dst, r);
  u.setFlags({ [flag]: () => carryOut(u, z, a, b, r) });
}

function sumFlags<V>(u: Cracker<V>, z: Width, a: V, b: V, r: V): FlagValues<V> {
  return {
    result: { z, value: r },
    af: () => bitOf(u, z, u.xor(z, u.xor(z, a, b), r), 4),
    of: () => bitOf(u, z, u.and(z, u.xor(z, a, r), u.xor(z, b, r)), z - 1),
  };
}

/** The carry of a + b + c = r: where both have their highest bit, or one has and the result has not. */
function carryOut<V>(u: Cracker<V>, z: Width, a: V, b: V, r: V): V {
  return bitOf(u, z, u.or(z, u.and(z, a, b), u.and(z, u.or(z, a, b), u.not(z, r))), z - 1);
}
