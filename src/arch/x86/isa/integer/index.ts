/** The general-purpose instructions. */

import { familyOf, type Instruction } from '../instruction.ts';
import * as alu from './alu.ts';
import * as arithmetic from './arithmetic.ts';
import * as bits from './bits.ts';
import * as bmi from './bmi.ts';
import * as control from './control.ts';
import * as decimal from './decimal.ts';
import * as exchange from './exchange.ts';
import * as far from './far.ts';
import * as flags from './flags.ts';
import * as hints from './hints.ts';
import * as move from './move.ts';
import * as multiply from './multiply.ts';
import * as segment from './segment.ts';
import * as shift from './shift.ts';
import * as stack from './stack.ts';
import * as string from './string.ts';
import * as system from './system.ts';
import * as xsave from './xsave.ts';

export const INTEGER: readonly Instruction[] = [
  alu,
  arithmetic,
  bits,
  bmi,
  control,
  decimal,
  exchange,
  far,
  flags,
  hints,
  move,
  multiply,
  segment,
  shift,
  stack,
  string,
  system,
  xsave,
].flatMap(familyOf);
