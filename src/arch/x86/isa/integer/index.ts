/** The general-purpose instructions. */

import { familyOf, type Instruction } from '../instruction.ts';
import * as alu from './alu.ts';
import * as control from './control.ts';
import * as move from './move.ts';

export const INTEGER: readonly Instruction[] = [alu, control, move].flatMap(familyOf);
