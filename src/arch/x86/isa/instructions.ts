/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import * as alu from './integer/alu.ts';
import * as control from './integer/control.ts';
import * as move from './integer/move.ts';
import * as sseArithmetic from './sse-fp/arithmetic.ts';
import * as sseCompare from './sse-fp/compare.ts';
import * as sseConvert from './sse-fp/convert.ts';
import * as sseHorizontal from './sse-fp/horizontal.ts';
import * as sseRound from './sse-fp/round.ts';

function all(family: Readonly<Record<string, Instruction | readonly Instruction[]>>): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}

export const INSTRUCTIONS: readonly Instruction[] = [
  alu,
  control,
  move,
  sseArithmetic,
  sseCompare,
  sseConvert,
  sseHorizontal,
  sseRound,
].flatMap((family) => all(family));
