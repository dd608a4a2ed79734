/** Registers that an instruction implies, in the width of an operand or an address. */

import { Gpr } from '../../registers.ts';
import type { Cracker } from '../cracker.ts';
import type { Width } from '../ops.ts';

/** The low bits of general register `index`. */
export function getLow<V>(u: Cracker<V>, z: Width, index: number): V {
  return u.zext(64, z, u.gpr(index));
}

/** Sets them as an operand of this width would: 32 bits are zero-extended, fewer keep the others. */
export function setLow<V>(u: Cracker<V>, z: Width, index: number, value: V): void {
  if (z >= 32) {
    u.setGpr(index, u.zext(z, 64, value));
    return;
  }
  const others = u.and(64, u.gpr(index), u.int(64, -(2 ** z)));
  u.setGpr(index, u.or(64, others, u.zext(z, 64, value)));
}

/** An address so many bytes from RSP; of 32 bits outside 64-bit mode. */
export function stackAddress<V>(u: Cracker<V>, bytes: number): V {
  return truncated(u, u.add(64, u.gpr(Gpr.RSP), u.int(64, bytes)));
}

/** A linear address of width 64: outside 64-bit mode addresses wrap around at 4 GiB. */
export function truncated<V>(u: Cracker<V>, address: V): V {
  return u.is64 ? address : u.zext(32, 64, u.zext(64, 32, address));
}
