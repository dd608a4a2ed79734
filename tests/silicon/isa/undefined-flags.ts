// Status flags that the manual calls undefined (SDM vol. 1, appendix A), by mnemonic. The definitions follow AMD Zen, where all
// flags are compared; on other processors these are not.

import { Rflags } from '../../../src/arch/x86/registers.ts';

const { CF, PF, AF, ZF, SF, OF } = Rflags;

const UNDEFINED: Readonly<Record<string, number>> = {
  AAA: OF | SF | ZF | PF,
  AAS: OF | SF | ZF | PF,
  AAM: OF | AF | CF,
  AAD: OF | AF | CF,
  DAA: OF,
  DAS: OF,
  MUL: SF | ZF | AF | PF,
  IMUL: SF | ZF | AF | PF,
  DIV: CF | PF | AF | ZF | SF | OF,
  IDIV: CF | PF | AF | ZF | SF | OF,
  // OF of counts other than 1, CF of counts beyond the operand.
  SHL: AF | OF | CF,
  SHR: AF | OF | CF,
  SAR: AF | OF,
  ROL: OF,
  ROR: OF,
  RCL: OF,
  RCR: OF,
  SHLD: AF | OF,
  SHRD: AF | OF,
  AND: AF,
  OR: AF,
  XOR: AF,
  TEST: AF,
  BT: OF | SF | AF | PF,
  BTS: OF | SF | AF | PF,
  BTR: OF | SF | AF | PF,
  BTC: OF | SF | AF | PF,
  BSF: CF | OF | SF | AF | PF,
  BSR: CF | OF | SF | AF | PF,
  TZCNT: OF | SF | PF | AF,
  LZCNT: OF | SF | PF | AF,
  ANDN: AF | PF,
  BEXTR: AF | SF | PF,
  BZHI: AF | PF,
  BLSR: AF | PF,
  BLSMSK: AF | PF,
  BLSI: AF | PF,
};

export function undefinedFlagsOf(mnemonic: string): number {
  return UNDEFINED[mnemonic] ?? 0;
}

/** Of these sizes the result itself is undefined, or AMD's: compared on AMD only. */
export function isResultUndefined(mnemonic: string, operandBits: number): boolean {
  if (operandBits === 16) return ['SHLD', 'SHRD', 'BSWAP'].includes(mnemonic);
  return operandBits === 32 && ['CMPXCHG', 'BSF', 'BSR'].includes(mnemonic);
}
