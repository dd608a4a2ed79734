// Instructions that random cases leave out, with the reason: what they do differs from one time to the next, or shows the
// machine around a case.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import type { Instruction } from '../../src/arch/x86/isa/instruction.ts';

const EXCLUDED: Readonly<Record<string, string>> = {
  CPUID: 'shows the machine',
  RDTSC: 'differs each time',
  RDTSCP: 'differs each time',
  RDRAND: 'differs each time',
  RDSEED: 'differs each time',
  RDPID: 'shows the machine',
  XGETBV: 'shows the machine',
  SGDT: 'shows the machine',
  SIDT: 'shows the machine',
  SLDT: 'shows the machine',
  STR: 'shows the machine',
  SMSW: 'shows the machine',
  LAR: 'shows the machine',
  LSL: 'shows the machine',
  VERR: 'shows the machine',
  VERW: 'shows the machine',
  FXSAVE: 'MXCSR_MASK shows the machine: AMD has MXCSR.MM',
  INVPCID: 'always #GP in ring 3, in place of which PVM has #UD',
  XSAVES: 'as INVPCID',
  XRSTORS: 'as INVPCID',
  XSAVE: 'the processor has components that are not simulated: xsave.test.ts compares the others',
  XSAVEOPT: 'as XSAVE',
  XSAVEC: 'as XSAVE',
  XRSTOR: 'as XSAVE',
  'JMP FAR': 'takes selectors',
  'CALL FAR': 'takes selectors',
  RETF: 'takes selectors',
  IRET: 'takes selectors',
  INT: 'PVM raises #UD instead of #GP',
  INT1: 'PVM has no debug exceptions by instructions',
  FNSTENV: 'stores FCS and FDS, which are not kept, and the pointers of X87_POINTERS',
  FNSAVE: 'stores FCS and FDS, which are not kept, and the pointers of X87_POINTERS',
  LFS: 'loads a segment register: the executors have different descriptor tables',
  LGS: 'loads a segment register: the executors have different descriptor tables',
  LSS: 'loads a segment register: the executors have different descriptor tables',
};

/** Whether a form has a segment register: under PVM their selectors are not those that were set. */
export function hasSegmentRegister({ operands }: Form): boolean {
  return operands.some(({ file }) => file === 'segment');
}

/** Why an instruction is left out; undefined: it is not. */
export function excludedFromFuzzing(instruction: Instruction): string | undefined {
  return EXCLUDED[instruction.mnemonic];
}
