/** MMX and SSE: integers and data movement. */

import { familyOf, type Instruction } from '../instruction.ts';
import * as aes from './aes.ts';
import * as arithmetic from './arithmetic.ts';
import * as clmul from './clmul.ts';
import * as insert from './insert.ts';
import * as logic from './logic.ts';
import * as move from './move.ts';
import * as movePartial from './move-partial.ts';
import * as multiply from './multiply.ts';
import * as pack from './pack.ts';
import * as sha from './sha.ts';
import * as shift from './shift.ts';
import * as shuffle from './shuffle.ts';
import * as state from './state.ts';
import * as strings from './strings.ts';

export const SIMD: readonly Instruction[] = [
  aes,
  arithmetic,
  clmul,
  insert,
  logic,
  move,
  movePartial,
  multiply,
  pack,
  sha,
  shift,
  shuffle,
  state,
  strings,
].flatMap(familyOf);
