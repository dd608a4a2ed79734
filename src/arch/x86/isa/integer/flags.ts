/** Single flags. SDM vol. 2, by mnemonic. */

import { Vector } from '../../exceptions.ts';
import { Rflags } from '../../registers.ts';
import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { ioPrivilegeLevel, privilegeLevel } from './privilege.ts';

export const CLC = inst('CLC', {
  forms: [enc(0xf8)],
  crack(u) {
    u.setFlags({ cf: u.int(32, 0) });
  },
});

export const STC = inst('STC', {
  forms: [enc(0xf9)],
  crack(u) {
    u.setFlags({ cf: u.int(32, 1) });
  },
});

export const CMC = inst('CMC', {
  forms: [enc(0xf5)],
  crack(u) {
    u.setFlags({ cf: u.isZero(32, u.flag('cf')) });
  },
});

export const CLD = inst('CLD', {
  forms: [enc(0xfc)],
  crack(u) {
    u.setRflags(Rflags.DF, u.int(32, 0));
  },
});

export const STD = inst('STD', {
  forms: [enc(0xfd)],
  crack(u) {
    u.setRflags(Rflags.DF, u.int(32, Rflags.DF));
  },
});

export const CLI = inst('CLI', {
  forms: [enc(0xfa)],
  crack(u) {
    setInterruptFlag(u, 0);
  },
});

/** The shadow that holds interrupts back for one instruction is not there: nothing is delivered before the run ends. */
export const STI = inst('STI', {
  forms: [enc(0xfb)],
  crack(u) {
    setInterruptFlag(u, Rflags.IF);
  },
});

/** Only for those as privileged as RFLAGS.IOPL; virtual interrupts (CR4.PVI) are not there. */
function setInterruptFlag<V>(u: Cracker<V>, value: number): void {
  u.faultIf(u.ltU(32, ioPrivilegeLevel(u), privilegeLevel(u)), Vector.GP);
  u.setRflags(Rflags.IF, u.int(32, value));
  u.leave('flags');
}
