/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import * as alu from './integer/alu.ts';
import * as control from './integer/control.ts';
import * as move from './integer/move.ts';
import * as x87Arithmetic from './x87/arithmetic.ts';
import * as x87Compare from './x87/compare.ts';
import * as x87Control from './x87/control.ts';
import * as x87Transfer from './x87/transfer.ts';

function all(family: Readonly<Record<string, Instruction | readonly Instruction[]>>): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}

const INTEGER = [alu, control, move];
const X87 = [x87Transfer, x87Arithmetic, x87Compare, x87Control];

export const INSTRUCTIONS: readonly Instruction[] = [...INTEGER, ...X87].flatMap((family) => all(family));
