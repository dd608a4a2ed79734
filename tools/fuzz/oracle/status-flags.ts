// The status flags as the manual defines them (SDM vol. 1 §3.4.3.1, appendix B): computed at once, from exact sums and
// differences.

import { type Condition, FLAG_BITS, type FlagName } from '../../../src/arch/x86/isa/conditions.ts';
import type { Width } from '../../../src/arch/x86/isa/ops.ts';

export type StatusFlags = Partial<Record<FlagName, boolean>>;

const lowHalfByte = (a: bigint): bigint => a & 0xfn;

/** ZF, SF and PF: PF is set where the low byte has an even number of ones. */
export function flagsOfResult(z: Width, r: bigint): StatusFlags {
  const ones = [...(r & 0xffn).toString(2)].filter((digit) => digit === '1').length;
  return { zf: r === 0n, sf: BigInt.asIntN(z, r) < 0n, pf: ones % 2 === 0 };
}

/** Of a + b. AF is the carry out of the low four bits. */
export function flagsOfSum(z: Width, a: bigint, b: bigint): StatusFlags {
  const sum = a + b;
  const signedSum = BigInt.asIntN(z, a) + BigInt.asIntN(z, b);
  return {
    ...flagsOfResult(z, BigInt.asUintN(z, sum)),
    cf: sum !== BigInt.asUintN(z, sum),
    of: signedSum !== BigInt.asIntN(z, signedSum),
    af: lowHalfByte(a) + lowHalfByte(b) > 0xfn,
  };
}

/** Of a − b: CF and AF are borrows. */
export function flagsOfDifference(z: Width, a: bigint, b: bigint): StatusFlags {
  const signedDifference = BigInt.asIntN(z, a) - BigInt.asIntN(z, b);
  return {
    ...flagsOfResult(z, BigInt.asUintN(z, a - b)),
    cf: a < b,
    of: signedDifference !== BigInt.asIntN(z, signedDifference),
    af: lowHalfByte(a) < lowHalfByte(b),
  };
}

/** RFLAGS with these flags, the others as they were. */
export function withFlags(rflags: number, flags: StatusFlags): number {
  return (Object.entries(flags) as [FlagName, boolean][]).reduce(
    (word, [name, isSet]) => (isSet ? word | FLAG_BITS[name] : word & ~FLAG_BITS[name]),
    rflags,
  );
}

/** Whether a condition of Jcc holds. */
export function conditionHolds(rflags: number, condition: Condition): boolean {
  const is = (name: FlagName): boolean => (rflags & FLAG_BITS[name]) !== 0;
  const isLess = is('sf') !== is('of');
  const holds: Record<Condition, boolean> = {
    O: is('of'),
    NO: !is('of'),
    B: is('cf'),
    AE: !is('cf'),
    E: is('zf'),
    NE: !is('zf'),
    BE: is('cf') || is('zf'),
    A: !is('cf') && !is('zf'),
    S: is('sf'),
    NS: !is('sf'),
    P: is('pf'),
    NP: !is('pf'),
    L: isLess,
    GE: !isLess,
    LE: isLess || is('zf'),
    G: !isLess && !is('zf'),
  };
  return holds[condition];
}
