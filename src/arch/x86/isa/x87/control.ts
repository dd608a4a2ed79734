/** x87 control. SDM vol. 1 §8.1.3, §8.1.10, §8.3.11, §8.3.12; vol. 2A, by mnemonic. FSTCW and its like are FWAIT and FNSTCW. */

import { FloatFlag } from '../../float/environment.ts';
import { OFFSET } from '../../state-layout.ts';
import { Fsw } from '../../x87/unit.ts';
import { checkX87 } from '../crack.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { AX, Menv, Mstate, Mw, STi } from '../operands.ts';
import { row, x87 } from './unit.ts';

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
export const FLDENV = x87('FLDENV', [row(0xd9, Menv).ext(4)]);
export const FNSTENV = x87('FNSTENV', [row(0xd9, Menv).ext(6)]);
export const FRSTOR = x87('FRSTOR', [row(0xdd, Mstate).ext(4)]);
export const FNSAVE = x87('FNSAVE', [row(0xdd, Mstate).ext(6)]);

/** Bits of the control word that are kept, and that reads as one (SDM vol. 1 figure 8-6). */
const FCW_WRITABLE = 0x1f3f;
const FCW_FIXED = 0x40;

/** No assist is needed for this and the next two, which surround conversions to integers and comparisons. */
export const FLDCW = inst('FLDCW', {
  forms: [enc(0xd9, Mw).ext(5)],
  unit: 'x87',
  crack(u, src) {
    checkX87(u);
    const control = u.or(16, u.and(16, u.read(src), u.int(16, FCW_WRITABLE)), u.int(16, FCW_FIXED));
    const status = u.field(OFFSET.fsw, 16);
    const unmasked = u.and(16, u.and(16, status, u.not(16, control)), u.int(16, FloatFlag.all));
    const summary = u.select(u.isZero(16, unmasked), u.int(16, 0), u.int(16, Fsw.ES | Fsw.B));
    u.setField(OFFSET.fcw, 16, control);
    u.setField(OFFSET.fsw, 16, u.or(16, u.and(16, status, u.int(16, ~(Fsw.ES | Fsw.B))), summary));
  },
});

export const FNSTCW = inst('FNSTCW', {
  forms: [enc(0xd9, Mw).ext(7)],
  unit: 'x87',
  crack(u, dst) {
    u.write(dst, u.field(OFFSET.fcw, 16));
  },
});

export const FNSTSW = inst('FNSTSW', {
  forms: [enc(0xdd, Mw).ext(7), enc(0xdf, AX).ext(4).rm(0)],
  unit: 'x87',
  crack(u, dst) {
    u.write(dst, u.field(OFFSET.fsw, 16));
  },
});

/** Unlike all others it heeds CR0.TS only with MP (SDM vol. 3 table 2-2). */
export const FWAIT = inst('FWAIT', {
  forms: [enc(0x9b)],
  unit: 'wait',
  crack(u) {
    checkX87(u);
  },
});
