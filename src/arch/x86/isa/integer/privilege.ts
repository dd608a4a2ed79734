/** Levels of privilege that instructions ask for. SDM vol. 3 §5.5. */

import { Seg } from '../../registers.ts';
import { OFFSET, SEGMENT, segmentOffset } from '../../state-layout.ts';
import type { Cracker } from '../cracker.ts';

/** CPL, which is the DPL of SS (SDM vol. 3 §24.4.1). */
export function privilegeLevel<V>(u: Cracker<V>): V {
  const attributes = u.field(segmentOffset(Seg.SS) + SEGMENT.attributes, 32);
  return u.and(32, u.shr(32, attributes, u.int(32, 5)), u.int(32, 3));
}

/** RFLAGS.IOPL. */
export function ioPrivilegeLevel<V>(u: Cracker<V>): V {
  return u.and(32, u.shr(32, u.field(OFFSET.rflags, 32), u.int(32, 12)), u.int(32, 3));
}

/** Whether not all bits of `mask` are set in CR4 (its low half). */
export function lacksCr4<V>(u: Cracker<V>, mask: number): V {
  return u.isZero(32, u.and(32, u.field(OFFSET.cr4, 32), u.int(32, mask)));
}
