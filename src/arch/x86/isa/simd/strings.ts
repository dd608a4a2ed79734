/**
 * Comparison of strings in vectors: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. SDM vol. 2B §4.1. The
 * immediate is a literal, so that each mode is code of its own. The first operand (A) is a set, ranges or a needle; a result
 * bit belongs to each element of the second (B).
 */

import { Gpr } from '../../registers.ts';
import type { Cracker } from '../cracker.ts';
import { type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ib, Vdq, Wdq } from '../operands.ts';
import type { Width } from '../ops.ts';
import { literalByte, series, zeroVector } from './vectors.ts';

/** A comparison under way: masks have one bit per element, width 32. */
interface Comparison<V> {
  readonly shape: 'i8x16' | 'i16x8';
  readonly elementBytes: number;
  readonly count: number;
  readonly isSigned: boolean;
  readonly a: V;
  readonly b: V;
  readonly lengthA: V;
  readonly lengthB: V;
}

/** Bits below `length`, which is at most 16. */
function bitsBelow<V>(u: Cracker<V>, length: V): V {
  return u.sub(32, u.shl(32, u.int(32, 1), length), u.int(32, 1));
}

/** Element `index` in all places. */
function spread<V>(u: Cracker<V>, { elementBytes }: Comparison<V>, value: V, index: number): V {
  return u.shuffle(
    value,
    value,
    series(16).map((i) => index * elementBytes + (i % elementBytes)),
  );
}

/** All ones from here on, where the element of A lies within its length; else zero. Width 32. */
function ifWithin<V>(u: Cracker<V>, { lengthA }: Comparison<V>, index: number): V {
  return u.neg(32, u.ltU(32, u.int(32, index), lengthA));
}

/** Elements of B that are among those of A. */
function equalAny<V>(u: Cracker<V>, c: Comparison<V>): V {
  let found = u.int(32, 0);
  for (let i = 0; i < c.count; i++) {
    const equal = u.bitmask(c.shape, u.vector2(`${c.shape}.eq`, spread(u, c, c.a, i), c.b));
    found = u.or(32, found, u.and(32, equal, ifWithin(u, c, i)));
  }
  return u.and(32, found, bitsBelow(u, c.lengthB));
}

/** Elements of B that lie between two neighbours of A. */
function ranges<V>(u: Cracker<V>, c: Comparison<V>): V {
  const sign = c.isSigned ? 's' : 'u';
  const atLeast = (x: V, y: V): V => u.vector2(`${c.shape}.eq`, u.vector2(`${c.shape}.max_${sign}`, x, y), x);
  let found = u.int(32, 0);
  for (let i = 0; i < c.count; i += 2) {
    const above = atLeast(c.b, spread(u, c, c.a, i));
    const below = atLeast(spread(u, c, c.a, i + 1), c.b);
    const between = u.bitmask(c.shape, u.vector2('v128.and', above, below));
    found = u.or(32, found, u.and(32, between, ifWithin(u, c, i + 1)));
  }
  return u.and(32, found, bitsBelow(u, c.lengthB));
}

/** Places where A and B agree; behind the ends of both they do. */
function equalEach<V>(u: Cracker<V>, c: Comparison<V>): V {
  const equal = u.bitmask(c.shape, u.vector2(`${c.shape}.eq`, c.a, c.b));
  const [withinA, withinB] = [bitsBelow(u, c.lengthA), bitsBelow(u, c.lengthB)];
  const behindBoth = u.not(32, u.or(32, withinA, withinB));
  return u.or(32, u.and(32, equal, u.and(32, withinA, withinB)), behindBoth);
}

/** Places of B where A begins, as far as the vector goes: what would lie beyond it agrees. */
function equalOrdered<V>(u: Cracker<V>, c: Comparison<V>): V {
  const withinB = bitsBelow(u, c.lengthB);
  const beyond = u.int(32, -(2 ** c.count));
  let found = u.int(32, -1);
  for (let i = 0; i < c.count; i++) {
    const equal = u.bitmask(c.shape, u.vector2(`${c.shape}.eq`, spread(u, c, c.a, i), c.b));
    const agrees = u.or(32, u.and(32, equal, withinB), beyond);
    const here = u.sar(32, agrees, u.int(32, i));
    found = u.and(32, found, u.or(32, here, u.not(32, ifWithin(u, c, i))));
  }
  return found;
}

const AGGREGATIONS = [equalAny, ranges, equalEach, equalOrdered] as const;

/** The result bits after the polarity: bits 5:4 of the immediate. */
function resultBits<V>(u: Cracker<V>, c: Comparison<V>, control: number): V {
  const bits = AGGREGATIONS[(control >> 2) & 3]!(u, c);
  const all = u.int(32, 2 ** c.count - 1);
  const positive = u.and(32, bits, all);
  if ((control & 0x10) === 0) return positive;
  return u.xor(32, positive, (control & 0x20) === 0 ? all : bitsBelow(u, c.lengthB));
}

/** Up to the first zero element. */
function implicitLength<V>(u: Cracker<V>, shape: Comparison<V>['shape'], count: number, value: V): V {
  const zeros = u.bitmask(shape, u.vector2(`${shape}.eq`, value, zeroVector(u)));
  return u.ctz(32, u.or(32, zeros, u.int(32, 2 ** count)));
}

/** The absolute value of rAX or rDX, at most the number of elements. */
function explicitLength<V>(u: Cracker<V>, count: number, register: number): V {
  const z: Width = u.operandBits === 64 ? 64 : 32;
  const value = u.zext(64, z, u.gpr(register));
  const magnitude = u.select(u.ltS(z, value, u.int(z, 0)), u.neg(z, value), value);
  const isMore = u.ltU(z, u.int(z, count), magnitude);
  return u.zext(z, 32, u.select(isMore, u.int(z, count), magnitude));
}

function compare(mnemonic: string, form: Form, length: 'implicit' | 'explicit', result: 'index' | 'mask') {
  return inst(mnemonic, {
    forms: [form],
    feature: 'sse4_2',
    literal: true,
    unaligned: true,
    crack(u, first, second, immediate) {
      const control = literalByte(u, immediate);
      const c = comparison(u, control, length, u.readVector(first), u.readVector(second));
      const bits = resultBits(u, c, control);
      if (result === 'index') writeIndex(u, c, control, bits);
      else u.writeVector(XMM0_OPERAND, (control & 0x40) === 0 ? bitMask(u, bits) : elementMask(u, c, bits));
      setFlags(u, c, bits);
    },
  });
}

/** Bits 1:0 of the immediate: unsigned bytes, unsigned words, signed bytes, signed words. */
function comparison<V>(
  u: Cracker<V>,
  control: number,
  length: 'implicit' | 'explicit',
  a: V,
  b: V,
): Comparison<V> {
  const isWords = (control & 1) !== 0;
  const shape = isWords ? 'i16x8' : 'i8x16';
  const count = isWords ? 8 : 16;
  return {
    shape,
    elementBytes: isWords ? 2 : 1,
    count,
    isSigned: (control & 2) !== 0,
    a,
    b,
    lengthA: length === 'implicit' ? implicitLength(u, shape, count, a) : explicitLength(u, count, Gpr.RAX),
    lengthB: length === 'implicit' ? implicitLength(u, shape, count, b) : explicitLength(u, count, Gpr.RDX),
  };
}

/** ECX: the lowest or highest (bit 6) result bit, or the number of elements where there is none. */
function writeIndex<V>(u: Cracker<V>, { count }: Comparison<V>, control: number, bits: V): void {
  const lowest = (control & 0x40) === 0;
  const index = lowest
    ? u.ctz(32, u.or(32, bits, u.int(32, 2 ** count)))
    : u.select(u.isZero(32, bits), u.int(32, count), u.sub(32, u.int(32, 31), u.clz(32, bits)));
  u.setGpr(Gpr.RCX, u.zext(32, 64, index));
}

function bitMask<V>(u: Cracker<V>, bits: V): V {
  return u.withLane('i32x4', zeroVector(u), 0, bits);
}

/** All ones in the elements whose bits are set. */
function elementMask<V>(u: Cracker<V>, { shape, elementBytes }: Comparison<V>, bits: V): V {
  const spreadBits = u.splat('i16x8', bits);
  const inPlace =
    elementBytes === 2
      ? spreadBits
      : u.shuffle(
          spreadBits,
          spreadBits,
          series(16).map((i) => i >> 3),
        );
  const own = u.vector(series(16).map((i) => ownBit(i, elementBytes)));
  return u.vector2(`${shape}.eq`, u.vector2('v128.and', inPlace, own), own);
}

/** Byte i of a vector whose n-th element has only bit n (of a byte: n mod 8). */
function ownBit(i: number, elementBytes: number): number {
  if (elementBytes === 1) return 1 << (i & 7);
  return (i & 1) === 0 ? 1 << (i >> 1) : 0;
}

/** CF: there is a result bit; ZF, SF: B, A end before the vector does; OF: the first result bit. */
function setFlags<V>(u: Cracker<V>, { count, lengthA, lengthB }: Comparison<V>, bits: V): void {
  const end = u.int(32, count);
  u.setFlags({
    cf: u.ne(32, bits, u.int(32, 0)),
    zf: u.ltU(32, lengthB, end),
    sf: u.ltU(32, lengthA, end),
    of: u.and(32, bits, u.int(32, 1)),
    af: u.int(32, 0),
    pf: u.int(32, 0),
  });
}

const XMM0_OPERAND: Operand = {
  kind: OperandKind.xmm,
  bits: 128,
  index: 0,
  value: 0,
  selector: 0,
  memory: undefined,
};

/** REX.W makes the lengths 64 bits wide. */
export const COMPARE_STRINGS: readonly Instruction[] = [
  compare('PCMPESTRM', enc(0x0f3a60, Vdq, Wdq, Ib).p66(), 'explicit', 'mask'),
  compare('PCMPESTRI', enc(0x0f3a61, Vdq, Wdq, Ib).p66(), 'explicit', 'index'),
  compare('PCMPISTRM', enc(0x0f3a62, Vdq, Wdq, Ib).p66(), 'implicit', 'mask'),
  compare('PCMPISTRI', enc(0x0f3a63, Vdq, Wdq, Ib).p66(), 'implicit', 'index'),
];
