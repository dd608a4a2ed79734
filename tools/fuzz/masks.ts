// What the manual leaves undefined: the only bits in which a simulated processor may differ from the host's. The engine does
// what AMD's Zen 4 does, and agrees with it without any of these; other hosts need them. SDM vol. 2, by mnemonic, "Flags
// Affected".

import { readFileSync } from 'node:fs';
import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import { Rflags } from '../../src/arch/x86/registers.ts';

const { CF, PF, AF, ZF, SF, OF } = Rflags;

/** By mnemonic: mask and place in the manual. */
const UNDEFINED_FLAGS: Readonly<Record<string, readonly [mask: number, source: string]>> = {
  AND: [AF, 'SDM vol. 2A "AND": AF'],
  OR: [AF, 'SDM vol. 2B "OR": AF'],
  XOR: [AF, 'SDM vol. 2D "XOR": AF'],
  TEST: [AF, 'SDM vol. 2B "TEST": AF'],
  BT: [OF | SF | AF | PF, 'SDM vol. 2A "BT": all but CF and ZF'],
  BTC: [OF | SF | AF | PF, 'SDM vol. 2A "BTC": as BT'],
  BTR: [OF | SF | AF | PF, 'SDM vol. 2A "BTR": as BT'],
  BTS: [OF | SF | AF | PF, 'SDM vol. 2A "BTS": as BT'],
  BSF: [CF | OF | SF | AF | PF, 'SDM vol. 2A "BSF": all but ZF'],
  BSR: [CF | OF | SF | AF | PF, 'SDM vol. 2A "BSR": all but ZF'],
  LZCNT: [OF | SF | AF | PF, 'SDM vol. 2A "LZCNT": all but CF and ZF'],
  TZCNT: [OF | SF | AF | PF, 'SDM vol. 2B "TZCNT": all but CF and ZF'],
  DIV: [CF | OF | SF | ZF | AF | PF, 'SDM vol. 2A "DIV": all'],
  IDIV: [CF | OF | SF | ZF | AF | PF, 'SDM vol. 2A "IDIV": all'],
  MUL: [SF | ZF | AF | PF, 'SDM vol. 2B "MUL": all but CF and OF'],
  IMUL: [SF | ZF | AF | PF, 'SDM vol. 2A "IMUL": all but CF and OF'],
  SHL: [
    AF | OF | CF,
    'SDM vol. 2B "SAL/SAR/SHL/SHR": AF; OF for counts above 1; CF for counts from the width on',
  ],
  SHR: [AF | OF | CF, 'SDM vol. 2B "SAL/SAR/SHL/SHR": as SHL'],
  SAR: [AF | OF, 'SDM vol. 2B "SAL/SAR/SHL/SHR": AF; OF for counts above 1'],
  SHLD: [
    AF | OF | CF | SF | ZF | PF,
    'SDM vol. 2B "SHLD": AF; OF for counts above 1; all for counts above the width',
  ],
  SHRD: [AF | OF | CF | SF | ZF | PF, 'SDM vol. 2B "SHRD": as SHLD'],
  ROL: [OF, 'SDM vol. 2B "RCL/RCR/ROL/ROR": OF for counts above 1'],
  ROR: [OF, 'SDM vol. 2B "RCL/RCR/ROL/ROR": OF for counts above 1'],
  RCL: [OF, 'SDM vol. 2B "RCL/RCR/ROL/ROR": OF for counts above 1'],
  RCR: [OF, 'SDM vol. 2B "RCL/RCR/ROL/ROR": OF for counts above 1'],
};

/**
 * Results that manuals promise to within one unit in the last place only, and with them the direction of rounding in C1 (SDM
 * vol. 1 §8.3.10): the functional CPU's are the correctly rounded ones, Zen 4 has another one in about two of a hundred.
 */
const INEXACT: ReadonlySet<string> = new Set([
  'F2XM1',
  'FYL2X',
  'FYL2XP1',
  'FPTAN',
  'FPATAN',
  'FSIN',
  'FCOS',
  'FSINCOS',
]);

/** Whether the last place of what an instruction of this form computes may differ. */
export function isInexact({ instruction: { mnemonic } }: Form): boolean {
  return INEXACT.has(mnemonic);
}

/** Bits of RFLAGS that are undefined behind an instruction of this form. */
export function undefinedFlagsOf({ instruction: { mnemonic } }: Form): number {
  return UNDEFINED_FLAGS[mnemonic]?.[0] ?? 0;
}

/** Whether this host's processor has undefined flags of its own. */
export function needsMasks(): boolean {
  return !readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD');
}
