/** The x87 unit's instructions. */

import { familyOf, type Instruction } from '../instruction.ts';
import * as arithmetic from './arithmetic.ts';
import * as compare from './compare.ts';
import * as control from './control.ts';
import * as transfer from './transfer.ts';

export const X87: readonly Instruction[] = [transfer, arithmetic, compare, control].flatMap(familyOf);
