/** Fast paths of comparisons: both registers hold normal numbers or zero. */

import { Fsw } from '../../x87/unit.ts';
import type { Cracker } from '../cracker.ts';
import { ordinarySource } from './fast-arithmetic.ts';
import { compare, isOrdinary } from './numbers.ts';
import type { Source, X87Options } from './unit.ts';

type Fast = NonNullable<X87Options['fast']>;

/** ST(0) against ST(i) or memory; what comes of it, of conditions of width 32, is told to `into`. */
function comparing(into: <V>(u: Cracker<V>, source: Source<V>, less: V, equal: V) => void): Fast {
  return (u, source) => {
    const { stack } = source;
    const top = stack.st(0);
    const a = stack.read(top);
    const b = ordinarySource(u, source);
    const holds = u.and(32, u.and(32, stack.isFull(top), isOrdinary(u, a)), b.holds);
    const { less, equal } = compare(u, a, b);
    return { holds, effect: () => into(u, source, less, equal) };
  };
}

/** C3, C2, C0. SDM vol. 1 table 8-6. */
export function compareIntoConditions(pops: 0 | 1): Fast {
  return comparing((u, { stack }, less, equal) => {
    const [c3, c0] = [Fsw.C3, Fsw.C0].map((bit) => u.int(32, bit)) as [typeof less, typeof less];
    const conditions = u.or(32, u.mul(32, equal, c3), u.mul(32, less, c0));
    stack.update({ conditions, rotate: pops, freed: pops === 1 ? stack.st(0) : undefined });
  });
}

/** ZF, PF, CF. SDM vol. 1 table 8-7. C1 stays as it is on Zen 4. */
export function compareIntoFlags(pops: 0 | 1): Fast {
  return comparing((u, { stack }, less, equal) => {
    const zero = u.int(32, 0);
    u.setFlags({ zf: equal, cf: less, pf: zero, of: zero, sf: zero, af: zero });
    stack.update({ keepsC1: true, rotate: pops, freed: pops === 1 ? stack.st(0) : undefined });
  });
}
