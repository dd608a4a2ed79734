/** The status flags, and the conditions of Jcc, SETcc and CMOVcc in the order of their encoding (SDM vol. 1, appendix B). */

import { Rflags } from '../registers.ts';
import type { Ops } from './ops.ts';

export type FlagName = 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of';

/** Bits in RFLAGS. */
export const FLAG_BITS: Readonly<Record<FlagName, number>> = {
  cf: Rflags.CF,
  pf: Rflags.PF,
  af: Rflags.AF,
  zf: Rflags.ZF,
  sf: Rflags.SF,
  of: Rflags.OF,
};
export const FLAG_NAMES = ['cf', 'pf', 'af', 'zf', 'sf', 'of'] as const satisfies readonly FlagName[];
/** CF PF AF ZF SF OF. */
export const STATUS_FLAGS = 0x8d5;

export const CONDITIONS = [
  'O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G',
] as const; // biome-ignore format: the encoding's order in one line
export type Condition = (typeof CONDITIONS)[number];

/** A condition out of flags: the even encodings say it, the odd ones their opposite. */
export function evaluateCondition<V>(
  o: Pick<Ops<V>, 'or' | 'xor' | 'isZero'>,
  condition: Condition,
  flag: (name: FlagName) => V,
): V {
  const code = CONDITIONS.indexOf(condition);
  const holds = positive(o, code >> 1, flag);
  return (code & 1) === 0 ? holds : o.isZero(32, holds);
}

function positive<V>(o: Pick<Ops<V>, 'or' | 'xor'>, half: number, flag: (name: FlagName) => V): V {
  switch (half) {
    case 0:
      return flag('of');
    case 1:
      return flag('cf');
    case 2:
      return flag('zf');
    case 3:
      return o.or(32, flag('cf'), flag('zf'));
    case 4:
      return flag('sf');
    case 5:
      return flag('pf');
    case 6:
      return o.xor(32, flag('sf'), flag('of'));
    default:
      return o.or(32, o.xor(32, flag('sf'), flag('of')), flag('zf'));
  }
}
