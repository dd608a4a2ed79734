/** x87 comparisons. SDM vol. 1 §8.3.6; vol. 2A, by mnemonic. */

import { Md, Mq, Mw, ST0, STi } from '../operands.ts';
import { compareIntoConditions, compareIntoFlags } from './fast-compare.ts';
import { row, type X87Options, x87 } from './unit.ts';

export const FCOM = x87('FCOM', [row(0xd8, Md).ext(2), row(0xdc, Mq).ext(2), row(0xd8, STi).ext(2)], {
  fast: compareIntoConditions(0),
});
export const FCOMP = x87('FCOMP', [row(0xd8, Md).ext(3), row(0xdc, Mq).ext(3), row(0xd8, STi).ext(3)], {
  fast: compareIntoConditions(1),
});
/** FCOM and FCOMP by opcodes that the manual does not name. */
export const FCOM2 = x87('FCOM2', [row(0xdc, STi).ext(2)]);
export const FCOMP3 = x87('FCOMP3', [row(0xdc, STi).ext(3)]);
export const FCOMP5 = x87('FCOMP5', [row(0xde, STi).ext(2)]);
export const FCOMPP = x87('FCOMPP', [row(0xde).ext(3).rm(1)]);
export const FICOM = x87('FICOM', [row(0xda, Md).ext(2), row(0xde, Mw).ext(2)]);
export const FICOMP = x87('FICOMP', [row(0xda, Md).ext(3), row(0xde, Mw).ext(3)]);
export const FUCOM = x87('FUCOM', [row(0xdd, STi).ext(4)], { fast: compareIntoConditions(0) });
export const FUCOMP = x87('FUCOMP', [row(0xdd, STi).ext(5)], { fast: compareIntoConditions(1) });
export const FUCOMPP = x87('FUCOMPP', [row(0xda).ext(5).rm(1)]);
export const FTST = x87('FTST', [row(0xd9).ext(4).rm(4)]);
export const FXAM = x87('FXAM', [row(0xd9).ext(4).rm(5)]);

/** ZF, PF, CF by the relation; OF, SF, AF clear. */
export const FCOMI = x87('FCOMI', [row(0xdb, ST0, STi).ext(6)], intoFlags(0));
export const FCOMIP = x87('FCOMIP', [row(0xdf, ST0, STi).ext(6)], intoFlags(1));
export const FUCOMI = x87('FUCOMI', [row(0xdb, ST0, STi).ext(5)], intoFlags(0));
export const FUCOMIP = x87('FUCOMIP', [row(0xdf, ST0, STi).ext(5)], intoFlags(1));

function intoFlags(pops: 0 | 1): X87Options {
  return { setsFlags: true, fast: compareIntoFlags(pops) };
}
