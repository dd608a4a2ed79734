/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import * as alu from './integer/alu.ts';
import * as control from './integer/control.ts';
import * as move from './integer/move.ts';

function all(family: Readonly<Record<string, Instruction | readonly Instruction[]>>): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}

export const INSTRUCTIONS: readonly Instruction[] = [alu, control, move].flatMap((family) => all(family));
