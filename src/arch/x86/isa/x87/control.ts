/** x87 control. SDM vol. 1 §8.1.3, §8.1.10, §8.3.11, §8.3.12; vol. 2A, by mnemonic. FSTCW and its like are FWAIT and FNSTCW. */

import { Vector } from '../../exceptions.ts';
import { Cr0 } from '../../registers.ts';
import { OFFSET } from '../../state-layout.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AX, Menv, Mstate, Mw, STi } from '../operands.ts';
import { checkAvailable, checkPending, row, x87 } from './unit.ts';

export const FNOP = x87('FNOP', [row(0xd9).ext(2).rm(0)]);
export const FDECSTP = x87('FDECSTP', [row(0xd9).ext(6).rm(6)]);
export const FINCSTP = x87('FINCSTP', [row(0xd9).ext(6).rm(7)]);
export const FFREE = x87('FFREE', [row(0xdd, STi).ext(0)]);
export const FFREEP = x87('FFREEP', [row(0xdf, STi).ext(0)]);
/** Without effect since the 80387 (SDM vol. 1 §8.1.9; vol. 3 §22.18.11). */
export const FNENI = x87('FNENI', [row(0xdb).ext(4).rm(0)]);
export const FNDISI = x87('FNDISI', [row(0xdb).ext(4).rm(1)]);
export const FNSETPM = x87('FNSETPM', [row(0xdb).ext(4).rm(4)]);
export const FNCLEX = x87('FNCLEX', [row(0xdb).ext(4).rm(2)]);
export const FNINIT = x87('FNINIT', [row(0xdb).ext(4).rm(3)]);
export const FLDCW = x87('FLDCW', [row(0xd9, Mw).ext(5)]);
export const FLDENV = x87('FLDENV', [row(0xd9, Menv).ext(4)]);
export const FNSTENV = x87('FNSTENV', [row(0xd9, Menv).ext(6)]);
export const FRSTOR = x87('FRSTOR', [row(0xdd, Mstate).ext(4)]);
export const FNSAVE = x87('FNSAVE', [row(0xdd, Mstate).ext(6)]);

/** No assist is needed for these, which surround conversions to integers and comparisons. */
export const FNSTCW = inst('FNSTCW', {
  forms: [enc(0xd9, Mw).ext(7)],
  crack(u, dst) {
    checkAvailable(u, Cr0.EM | Cr0.TS);
    u.write(dst, u.field(OFFSET.fcw, 16));
  },
});

export const FNSTSW = inst('FNSTSW', {
  forms: [enc(0xdd, Mw).ext(7), enc(0xdf, AX).ext(4).rm(0)],
  crack(u, dst) {
    checkAvailable(u, Cr0.EM | Cr0.TS);
    u.write(dst, u.field(OFFSET.fsw, 16));
  },
});

/** Unlike all others it heeds CR0.TS only with MP (SDM vol. 3 table 2-2). */
export const FWAIT = inst('FWAIT', {
  forms: [enc(0x9b)],
  crack(u) {
    const both = u.and(32, u.field(OFFSET.cr0, 32), u.int(32, Cr0.MP | Cr0.TS));
    u.faultIf(u.eq(32, both, u.int(32, Cr0.MP | Cr0.TS)), Vector.NM);
    checkPending(u);
  },
});
