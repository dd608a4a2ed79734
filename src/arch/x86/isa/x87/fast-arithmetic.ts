/** Fast paths of addition to division: normal numbers or zero, rounding to nearest and to 64 bits. */

import type { Cracker } from '../cracker.ts';
import type { Width } from '../ops.ts';
import {
  add,
  DOUBLE,
  divide,
  isNormal,
  isOrdinary,
  multiply,
  type Rounded,
  SIGN,
  SINGLE,
  widen,
  type X87Number,
} from './numbers.ts';
import type { Source, X87Options } from './unit.ts';

/** Rounding to nearest (RC), 64 bits (PC), the precision exception masked. SDM vol. 1 figure 8-6. */
const CONTROL_MASK = 0xf20;
const CONTROL = 0x320;

/** A number and whether it is what it must be: a condition. */
export type Checked<V> = X87Number<V> & { readonly holds: V };

/** ST(i), or the memory operand: whether it holds a normal number or zero. */
export function ordinarySource<V>(u: Cracker<V>, { stack, register, memory, loaded }: Source<V>): Checked<V> {
  if (memory === undefined) {
    const number = stack.read(register);
    return { ...number, holds: u.and(32, stack.isFull(register), isOrdinary(u, number)) };
  }
  const wide = widen(u, (memory.bits as Width) === 64 ? DOUBLE : SINGLE, loaded[0]!);
  return { ...wide, holds: u.and(32, wide.holds, isOrdinary(u, wide)) };
}

type Operation = <V>(u: Cracker<V>, dst: X87Number<V>, src: X87Number<V>) => Rounded<V>;

function negated<V>(u: Cracker<V>, x: X87Number<V>): X87Number<V> {
  return { ...x, signExponent: u.xor(32, x.signExponent, u.int(32, SIGN)) };
}

/** Factors that are zero are left to the assist. */
function ofNormal<V>(u: Cracker<V>, result: Rounded<V>, ...operands: readonly X87Number<V>[]): Rounded<V> {
  const holds = operands.reduce((all, x) => u.and(32, all, isNormal(u, x)), result.holds);
  return { ...result, holds };
}

export const FAST_OPERATIONS: Readonly<Record<string, Operation>> = {
  ADD: add,
  SUB: (u, dst, src) => add(u, dst, negated(u, src)),
  SUBR: (u, dst, src) => add(u, negated(u, dst), src),
  MUL: (u, dst, src) => ofNormal(u, multiply(u, dst, src), dst, src),
  DIV: (u, dst, src) => ofNormal(u, divide(u, dst, src), dst, src),
  DIVR: (u, dst, src) => ofNormal(u, divide(u, src, dst), dst, src),
};

/** ST(0) = ST(0) op ST(i) or memory. */
export function intoTop(operation: Operation): X87Options {
  return {
    fast: (u, source) => {
      const { stack } = source;
      const top = stack.st(0);
      const dst = stack.read(top);
      const src = ordinarySource(u, source);
      const result = operation(u, dst, src);
      const ready = u.and(32, stack.isFull(top), isOrdinary(u, dst));
      const holds = u.and(32, u.and(32, ready, src.holds), result.holds);
      return {
        holds: u.and(32, holds, stack.hasControl(CONTROL_MASK, CONTROL)),
        effect: () => {
          stack.write(top, result);
          stack.update(result);
        },
      };
    },
  };
}

/** ST(i) = ST(i) op ST(0), and perhaps a pop. */
export function intoRegister(operation: Operation, pops: 0 | 1): X87Options {
  return {
    fast: (u, { stack, register }) => {
      const top = stack.st(0);
      const [dst, src] = [stack.read(register), stack.read(top)];
      const result = operation(u, dst, src);
      const full = u.and(32, stack.isFull(top), stack.isFull(register));
      const ordinary = u.and(32, isOrdinary(u, dst), isOrdinary(u, src));
      const holds = u.and(32, u.and(32, full, ordinary), result.holds);
      return {
        holds: u.and(32, holds, stack.hasControl(CONTROL_MASK, CONTROL)),
        effect: () => {
          stack.write(register, result);
          const { inexact, roundedUp } = result;
          stack.update({ inexact, roundedUp, rotate: pops, freed: pops === 1 ? top : undefined });
        },
      };
    },
  };
}
