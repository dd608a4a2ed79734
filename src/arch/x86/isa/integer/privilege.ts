/** Levels of privilege that instructions ask for. SDM vol. 3 §5.5. */

import { Rflags, Seg } from '../../registers.ts';
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

/** What any program may change; IF only as IOPL allows it, and IOPL only at privilege level 0 (SDM vol. 2B "POPF"). */
const FREE_FLAGS = 0x8d5 | Rflags.TF | Rflags.DF | Rflags.NT;
const FREE_FLAGS_HIGH = Rflags.AC | Rflags.ID;

/** RFLAGS become a value of width 32 from the stack, as far as the privilege level allows it: POPF, IRET. RF is cleared. */
export function restoreFlags<V>(u: Cracker<V>, value: V): void {
  const level = privilegeLevel(u);
  const old = u.rflags();
  const kept = (bits: number, isFree: V) => u.and(32, u.select(isFree, value, old), u.int(32, bits));
  const restricted = u.or(
    32,
    kept(Rflags.IF, u.leU(32, level, ioPrivilegeLevel(u))),
    kept(Rflags.IOPL, u.isZero(32, level)),
  );
  const free = FREE_FLAGS | (u.operandBits === 16 ? 0 : FREE_FLAGS_HIGH);
  const mask = free | Rflags.IF | Rflags.IOPL | Rflags.RF;
  u.setRflags(mask, u.or(32, u.and(32, value, u.int(32, free)), restricted));
}
