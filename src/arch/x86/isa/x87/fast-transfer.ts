/** Fast paths of loads, stores and moves: registers that are not empty, or empty for a push, and ordinary numbers. */

import type { Cracker } from '../cracker.ts';
import type { Width } from '../ops.ts';
import {
  BIAS,
  DOUBLE,
  fromInteger,
  narrow,
  SIGN,
  SINGLE,
  toInteger,
  widen,
  type X87Number,
} from './numbers.ts';
import type { Place, Stack } from './stack.ts';
import { addressOf, type FastPath, type Source, type X87Options } from './unit.ts';

/** Rounding to nearest, the precision exception masked; and rounding towards zero. */
const CONTROL_MASK = 0xc20;
const TO_NEAREST = 0x020;
const TOWARDS_ZERO = 0xc20;

function push<V>(u: Cracker<V>, stack: Stack<V>, number: X87Number<V>, holds?: V): FastPath<V> {
  const place = stack.st(7);
  const empty = stack.isEmpty(place);
  return {
    holds: holds === undefined ? empty : u.and(32, empty, holds),
    effect: () => {
      stack.write(place, number);
      stack.update({ rotate: -1, filled: place });
    },
  };
}

/** FLD of memory or of a register. */
export const FAST_LOAD: X87Options = {
  fast: (u, { stack, register, memory, loaded }) => {
    if (memory === undefined) return push(u, stack, stack.read(register), stack.isFull(register));
    if (memory.bits === 80)
      return push(u, stack, { significand: loaded[0]!, signExponent: u.zext(16, 32, loaded[1]!) });
    const number = widen(u, memory.bits === 64 ? DOUBLE : SINGLE, loaded[0]!);
    return push(u, stack, number, number.holds);
  },
};

export const FAST_LOAD_INTEGER: X87Options = {
  fast: (u, { stack, memory, loaded }) => push(u, stack, fromInteger(u, memory!.bits as Width, loaded[0]!)),
};

/** FLD1 and FLDZ. */
export function fastConstant(value: 0 | 1): X87Options {
  return {
    fast: (u, { stack }) => {
      const significand = u.int(64, value === 0 ? 0 : -0x8000_0000_0000_0000n);
      return push(u, stack, { significand, signExponent: u.int(32, value === 0 ? 0 : BIAS) });
    },
  };
}

function after<V>(stack: Stack<V>, pops: 0 | 1): { readonly rotate: number; readonly freed?: Place<V> } {
  return pops === 1 ? { rotate: 1, freed: stack.st(0) } : { rotate: 0 };
}

/** FST and FSTP. */
export function fastStore(pops: 0 | 1): X87Options {
  return {
    fast: (u, source) => {
      const { memory } = source;
      if (memory === undefined) return storeToRegister(source, pops);
      return memory.bits === 80 ? storeExtended(u, source) : storeNarrow(u, source, pops);
    },
  };
}

function storeToRegister<V>({ stack, register }: Source<V>, pops: 0 | 1): FastPath<V> {
  const top = stack.st(0);
  return {
    holds: stack.isFull(top),
    effect: () => {
      stack.write(register, stack.read(top));
      stack.update({ filled: register, ...after(stack, pops) });
    },
  };
}

function storeExtended<V>(u: Cracker<V>, { stack, memory }: Source<V>): FastPath<V> {
  const top = stack.st(0);
  return {
    holds: stack.isFull(top),
    effect: () => {
      const { significand, signExponent } = stack.read(top);
      u.probeStore(64, addressOf(u, memory!, 0));
      u.probeStore(16, addressOf(u, memory!, 8));
      u.store(64, addressOf(u, memory!, 0), significand);
      u.store(16, addressOf(u, memory!, 8), u.zext(32, 16, signExponent));
      stack.update(after(stack, 1));
    },
  };
}

function storeNarrow<V>(u: Cracker<V>, { stack, memory }: Source<V>, pops: 0 | 1): FastPath<V> {
  const top = stack.st(0);
  const { bits } = memory!;
  const result = narrow(u, bits === 64 ? DOUBLE : SINGLE, stack.read(top));
  const ready = u.and(32, stack.isFull(top), stack.hasControl(CONTROL_MASK, TO_NEAREST));
  return {
    holds: u.and(32, ready, result.holds),
    effect: () => {
      u.store(bits, u.linearAddress(memory!), result.bits);
      const { inexact, roundedUp } = result;
      stack.update({ inexact, roundedUp, ...after(stack, pops) });
    },
  };
}

/** FIST, FISTP and FISTTP: to nearest or towards zero as FCW says, or always towards zero. */
export function fastStoreInteger(pops: 0 | 1, truncates = false): X87Options {
  return {
    fast: (u, { stack, memory }) => {
      const top = stack.st(0);
      const toNearest = stack.hasControl(CONTROL_MASK, TO_NEAREST);
      const towardsZero = truncates ? u.int(32, 1) : stack.hasControl(CONTROL_MASK, TOWARDS_ZERO);
      const { bits } = memory!;
      const result = toInteger(u, bits as Width, stack.read(top), towardsZero);
      const isMasked = stack.hasControl(TO_NEAREST, TO_NEAREST);
      const ready = truncates ? isMasked : u.or(32, toNearest, towardsZero);
      return {
        holds: u.and(32, u.and(32, ready, stack.isFull(top)), result.holds),
        effect: () => {
          u.store(bits, u.linearAddress(memory!), result.value);
          const { inexact, roundedUp } = result;
          stack.update({ inexact, roundedUp, ...after(stack, pops) });
        },
      };
    },
  };
}

export const FAST_EXCHANGE: X87Options = {
  fast: (u, { stack, register }) => {
    const top = stack.st(0);
    return {
      holds: u.and(32, stack.isFull(top), stack.isFull(register)),
      effect: () => {
        const [a, b] = [stack.read(top), stack.read(register)];
        stack.write(top, b);
        stack.write(register, a);
        stack.update({});
      },
    };
  },
};

/** FCHS and FABS. */
export function fastSign(how: 'negate' | 'clear'): X87Options {
  return {
    fast: (u, { stack }) => {
      const top = stack.st(0);
      return {
        holds: stack.isFull(top),
        effect: () => {
          const { significand, signExponent } = stack.read(top);
          const changed =
            how === 'negate'
              ? u.xor(32, signExponent, u.int(32, SIGN))
              : u.and(32, signExponent, u.int(32, SIGN - 1));
          stack.write(top, { significand, signExponent: changed });
          stack.update({});
        },
      };
    },
  };
}
