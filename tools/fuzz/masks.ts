// What the manual leaves undefined: the only bits in which a simulated processor may differ from the host's. SDM vol. 2, under
// "Flags Affected" of each instruction.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import { Rflags } from '../../src/arch/x86/registers.ts';

const { CF, PF, AF, ZF, SF, OF } = Rflags;

/** By mnemonic. */
const UNDEFINED_FLAGS: Readonly<Record<string, number>> = {
  // "The OF, SF, AF… flags are undefined" (BT, BTC, BTR, BTS: OF SF AF PF).
  BT: OF | SF | AF | PF,
  BTC: OF | SF | AF | PF,
  BTR: OF | SF | AF | PF,
  BTS: OF | SF | AF | PF,
  // "The CF, OF, SF, AF, and PF flags are undefined."
  BSF: CF | OF | SF | AF | PF,
  BSR: CF | OF | SF | AF | PF,
  // "The CF, OF, SF, ZF, AF, and PF flags are undefined."
  DIV: CF | OF | SF | ZF | AF | PF,
  IDIV: CF | OF | SF | ZF | AF | PF,
  // "The SF, ZF, AF, and PF flags are undefined."
  MUL: SF | ZF | AF | PF,
  IMUL: SF | ZF | AF | PF,
  // "The AF flag is undefined for a non-zero count"; OF for counts other than 1, CF for counts beyond the operand.
  SHL: AF | OF | CF,
  SHR: AF | OF | CF,
  SAR: AF | OF | CF,
  SHLD: AF | OF | CF | SF | ZF | PF,
  SHRD: AF | OF | CF | SF | ZF | PF,
  // "The OF flag is defined only for the 1-bit rotates."
  ROL: OF,
  ROR: OF,
  RCL: OF,
  RCR: OF,
  // "The AF flag is undefined" after logical operations.
  AND: AF,
  OR: AF,
  XOR: AF,
  TEST: AF,
};

export function undefinedFlagsOf({ instruction: { mnemonic } }: Form): number {
  return UNDEFINED_FLAGS[mnemonic] ?? 0;
}
