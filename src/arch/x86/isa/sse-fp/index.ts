/** SSE: floating point. */

import { familyOf, type Instruction } from '../instruction.ts';
import * as arithmetic from './arithmetic.ts';
import * as compare from './compare.ts';
import * as convert from './convert.ts';
import * as horizontal from './horizontal.ts';
import * as round from './round.ts';

export const SSE_FP: readonly Instruction[] = [arithmetic, compare, convert, horizontal, round].flatMap(
  familyOf,
);
