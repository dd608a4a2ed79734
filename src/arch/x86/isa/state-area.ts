/** What the instructions have in common that keep the state of several units in an area of memory: FXSAVE, XSAVE and so on. */

import { Vector } from '../exceptions.ts';
import type { Cracker } from './cracker.ts';
import type { Operand } from './decoded.ts';

/** The linear address of the area, which must be a multiple of so many bytes. */
export function areaAt<V>(u: Cracker<V>, memory: Operand, alignment: number): V {
  const linear = u.linearAddress(memory);
  const offset = u.and(64, linear, u.int(64, alignment - 1));
  u.faultIf(u.ne(64, offset, u.int(64, 0)), Vector.GP);
  return linear;
}

/** The form of instruction and data pointers: 64 bits with REX.W, else 32 and a selector (SDM vol. 1 table 10-2). */
export function pointerBits<V>(u: Cracker<V>): V {
  return u.int(32, u.operandBits === 64 ? 64 : 32);
}
