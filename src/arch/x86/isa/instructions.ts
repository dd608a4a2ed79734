/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import * as alu from './integer/alu.ts';
import * as arithmetic from './integer/arithmetic.ts';
import * as bits from './integer/bits.ts';
import * as bmi from './integer/bmi.ts';
import * as control from './integer/control.ts';
import * as decimal from './integer/decimal.ts';
import * as exchange from './integer/exchange.ts';
import * as flags from './integer/flags.ts';
import * as hints from './integer/hints.ts';
import * as move from './integer/move.ts';
import * as multiply from './integer/multiply.ts';
import * as segment from './integer/segment.ts';
import * as shift from './integer/shift.ts';
import * as stack from './integer/stack.ts';
import * as string from './integer/string.ts';
import * as system from './integer/system.ts';

function all(family: Readonly<Record<string, Instruction | readonly Instruction[]>>): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}

const INTEGER = [
  alu,
  arithmetic,
  bits,
  bmi,
  control,
  decimal,
  exchange,
  flags,
  hints,
  move,
  multiply,
  segment,
  shift,
  stack,
  string,
  system,
];

export const INSTRUCTIONS: readonly Instruction[] = INTEGER.flatMap((family) => all(family));
