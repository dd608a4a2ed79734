/**
 * Lazy status flags: instead of flags, what they follow from is kept, and a flag is computed when somebody asks for it.
 *
 *   kind      A          B            meaning
 *   bits      flag word  –            the flags themselves, as in RFLAGS
 *   add z     a          b            flags of a + b
 *   sub z     a          b            flags of a − b
 *   result z  r          CF, AF, OF   ZF, SF and PF of r, the others as bits of RFLAGS
 *
 * One definition serves generated code (inline where the kind is known, a function where it is not) and TypeScript.
 */

import {
  CONDITIONS,
  type Condition,
  evaluateCondition,
  FLAG_BITS,
  FLAG_NAMES,
  type FlagName,
} from './conditions.ts';
import type { Ops, Width } from './ops.ts';

export type FlagKind = 'bits' | 'add' | 'sub' | 'result';
const KINDS: readonly FlagKind[] = ['bits', 'add', 'sub', 'result'];
const WIDTHS: readonly Width[] = [8, 16, 32, 64];

/** The number that stands for a kind and a width in memory. */
export function flagCode(kind: FlagKind, z: Width): number {
  return KINDS.indexOf(kind) * WIDTHS.length + WIDTHS.indexOf(z);
}

/** All codes, with what they stand for. */
export const FLAG_CODES: readonly { readonly kind: FlagKind; readonly z: Width }[] = KINDS.flatMap((kind) =>
  WIDTHS.map((z) => ({ kind, z })),
);

/** Flags in lazy form: A has width z (32 for `bits`), B width z, or 32 where it holds flags. */
export interface LazyFlags<V> {
  readonly kind: FlagKind;
  readonly z: Width;
  readonly a: V;
  readonly b: V;
  /** B is known to be 0: after logical operations. */
  readonly bIsZero?: boolean;
}

/** One flag: 0 or 1, width 32. */
export function lazyFlag<V>(o: Ops<V>, flags: LazyFlags<V>, name: FlagName): V {
  const { kind, a, b } = flags;
  switch (kind) {
    case 'bits':
      return bitOf(o, 32, a, log2(FLAG_BITS[name]));
    case 'result':
      if (name === 'cf' || name === 'af' || name === 'of')
        return flags.bIsZero ? o.int(32, 0) : bitOf(o, 32, b, log2(FLAG_BITS[name]));
      return resultFlag(o, flags.z, a, name);
    case 'add':
      return addFlag(o, flags, name);
    default:
      return subFlag(o, flags, name);
  }
}

/** A condition: 0 or 1, width 32. After a subtraction it is a comparison. */
export function lazyCondition<V>(o: Ops<V>, flags: LazyFlags<V>, condition: Condition): V {
  const { kind, z, a, b } = flags;
  if (kind === 'sub') {
    const compared = comparison(o, z, a, b, condition);
    if (compared !== undefined) return compared;
  }
  if (kind === 'result' && flags.bIsZero) {
    const compared = comparison(o, z, a, o.int(z, 0), condition);
    if (compared !== undefined) return compared;
  }
  return evaluateCondition(o, condition, (name) => lazyFlag(o, flags, name));
}

/** All status flags as in RFLAGS, width 32. */
export function lazyFlagWord<V>(o: Ops<V>, flags: LazyFlags<V>): V {
  if (flags.kind === 'bits') return flags.a;
  return FLAG_NAMES.map((name) =>
    o.shl(32, lazyFlag(o, flags, name), o.int(32, log2(FLAG_BITS[name]))),
  ).reduce((word, bit) => o.or(32, word, bit));
}

function comparison<V>(o: Ops<V>, z: Width, a: V, b: V, condition: Condition): V | undefined {
  switch (condition) {
    case 'B':
      return o.ltU(z, a, b);
    case 'AE':
      return o.leU(z, b, a);
    case 'E':
      return o.eq(z, a, b);
    case 'NE':
      return o.ne(z, a, b);
    case 'BE':
      return o.leU(z, a, b);
    case 'A':
      return o.ltU(z, b, a);
    case 'L':
      return o.ltS(z, a, b);
    case 'GE':
      return o.leS(z, b, a);
    case 'LE':
      return o.leS(z, a, b);
    case 'G':
      return o.ltS(z, b, a);
    default:
      return undefined;
  }
}

function addFlag<V>(o: Ops<V>, { z, a, b }: LazyFlags<V>, name: FlagName): V {
  const r = o.add(z, a, b);
  switch (name) {
    case 'cf':
      return o.ltU(z, r, a);
    case 'of':
      return bitOf(o, z, o.and(z, o.xor(z, a, r), o.xor(z, b, r)), z - 1);
    case 'af':
      return bitOf(o, z, o.xor(z, o.xor(z, a, b), r), 4);
    default:
      return resultFlag(o, z, r, name);
  }
}

function subFlag<V>(o: Ops<V>, { z, a, b }: LazyFlags<V>, name: FlagName): V {
  if (name === 'cf') return o.ltU(z, a, b);
  if (name === 'zf') return o.eq(z, a, b);
  const r = o.sub(z, a, b);
  switch (name) {
    case 'of':
      return bitOf(o, z, o.and(z, o.xor(z, a, b), o.xor(z, a, r)), z - 1);
    case 'af':
      return bitOf(o, z, o.xor(z, o.xor(z, a, b), r), 4);
    default:
      return resultFlag(o, z, r, name);
  }
}

/** ZF, SF and PF of a value; PF looks at the low byte only (SDM vol. 1 §3.4.3.1). */
export function resultFlag<V>(o: Ops<V>, z: Width, r: V, name: 'zf' | 'sf' | 'pf'): V {
  if (name === 'zf') return o.isZero(z, r);
  if (name === 'sf') return bitOf(o, z, r, z - 1);
  const ones = o.popcnt(32, o.zext(8, 32, o.zext(z, 8, r)));
  return o.xor(32, o.and(32, ones, o.int(32, 1)), o.int(32, 1));
}

/** Bit `bit` of a value: 0 or 1, width 32. */
export function bitOf<V>(o: Ops<V>, z: Width, value: V, bit: number): V {
  const shifted = bit === 0 ? value : o.shr(z, value, o.int(32, bit));
  const low = o.zext(z, 32, shifted);
  return bit === z - 1 ? low : o.and(32, low, o.int(32, 1));
}

function log2(bit: number): number {
  return 31 - Math.clz32(bit);
}

/** The condition's opposite. */
export function negated(condition: Condition): Condition {
  return CONDITIONS[CONDITIONS.indexOf(condition) ^ 1]!;
}
