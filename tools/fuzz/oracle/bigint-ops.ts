// The operations of instructions as arithmetic of bigints: an integer of width z is a number from 0 to 2^z − 1, a vector one
// from 0 to 2^128 − 1. Each operation is what its name says in mathematics, and then modulo 2^z. Nothing here is quick.
//
// An operand that does not fit its width is an error of the definition: generated code would compute something with the bits
// above.

import type {
  LaneShape,
  Ops,
  VectorBinary,
  VectorShift,
  VectorUnary,
  Width,
} from '../../../src/arch/x86/isa/ops.ts';
import { panic } from '../../../src/sim/trouble.ts';
import {
  bitsOfLane,
  fromBytes,
  lanesOf,
  shiftLanes,
  toBytes,
  vectorBinary,
  vectorOf,
  vectorUnary,
} from './bigint-vectors.ts';

/** A value modulo 2^z, and as a number from −2^(z−1). */
const unsigned = (z: number, a: bigint): bigint => BigInt.asUintN(z, a);
const signed = (z: number, a: bigint): bigint => BigInt.asIntN(z, a);
const bit = (holds: boolean): bigint => (holds ? 1n : 0n);

export class BigIntOps implements Ops<bigint> {
  // ---- integers ----

  int(z: Width, value: number | bigint): bigint {
    return unsigned(z, BigInt(value));
  }

  add(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, fit(z, a) + fit(z, b));
  }

  sub(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, fit(z, a) - fit(z, b));
  }

  mul(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, fit(z, a) * fit(z, b));
  }

  mulHighU(z: Width, a: bigint, b: bigint): bigint {
    return (fit(z, a) * fit(z, b)) >> BigInt(z);
  }

  mulHighS(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, (signed(z, fit(z, a)) * signed(z, fit(z, b))) >> BigInt(z));
  }

  divU(z: Width, a: bigint, b: bigint): bigint {
    return fit(z, a) / fit(z, b);
  }

  /** Toward zero, as all divisions of bigints. */
  divS(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, signed(z, fit(z, a)) / signed(z, fit(z, b)));
  }

  remU(z: Width, a: bigint, b: bigint): bigint {
    return fit(z, a) % fit(z, b);
  }

  remS(z: Width, a: bigint, b: bigint): bigint {
    return unsigned(z, signed(z, fit(z, a)) % signed(z, fit(z, b)));
  }

  and(z: Width, a: bigint, b: bigint): bigint {
    return fit(z, a) & fit(z, b);
  }

  or(z: Width, a: bigint, b: bigint): bigint {
    return fit(z, a) | fit(z, b);
  }

  xor(z: Width, a: bigint, b: bigint): bigint {
    return fit(z, a) ^ fit(z, b);
  }

  not(z: Width, a: bigint): bigint {
    return unsigned(z, ~fit(z, a));
  }

  neg(z: Width, a: bigint): bigint {
    return unsigned(z, -fit(z, a));
  }

  shl(z: Width, a: bigint, count: bigint): bigint {
    return shifted(z, count, () => fit(z, a) << count);
  }

  shr(z: Width, a: bigint, count: bigint): bigint {
    return shifted(z, count, () => fit(z, a) >> count);
  }

  sar(z: Width, a: bigint, count: bigint): bigint {
    return shifted(z, count, () => signed(z, fit(z, a)) >> count);
  }

  rotl(z: Width, a: bigint, count: bigint): bigint {
    return shifted(z, count, () => (fit(z, a) << count) | (a >> (BigInt(z) - count)));
  }

  rotr(z: Width, a: bigint, count: bigint): bigint {
    return shifted(z, count, () => (fit(z, a) >> count) | (a << (BigInt(z) - count)));
  }

  clz(z: Width, a: bigint): bigint {
    let zeros = z as number;
    for (let rest = fit(z, a); rest !== 0n; rest >>= 1n) zeros--;
    return BigInt(zeros);
  }

  ctz(z: Width, a: bigint): bigint {
    let zeros = 0;
    while (zeros < z && ((fit(z, a) >> BigInt(zeros)) & 1n) === 0n) zeros++;
    return BigInt(zeros);
  }

  popcnt(z: Width, a: bigint): bigint {
    let ones = 0n;
    for (let rest = fit(z, a); rest !== 0n; rest >>= 1n) ones += rest & 1n;
    return ones;
  }

  eq(z: Width, a: bigint, b: bigint): bigint {
    return bit(fit(z, a) === fit(z, b));
  }

  ne(z: Width, a: bigint, b: bigint): bigint {
    return bit(fit(z, a) !== fit(z, b));
  }

  ltU(z: Width, a: bigint, b: bigint): bigint {
    return bit(fit(z, a) < fit(z, b));
  }

  ltS(z: Width, a: bigint, b: bigint): bigint {
    return bit(signed(z, fit(z, a)) < signed(z, fit(z, b)));
  }

  leU(z: Width, a: bigint, b: bigint): bigint {
    return bit(fit(z, a) <= fit(z, b));
  }

  leS(z: Width, a: bigint, b: bigint): bigint {
    return bit(signed(z, fit(z, a)) <= signed(z, fit(z, b)));
  }

  isZero(z: Width, a: bigint): bigint {
    return bit(fit(z, a) === 0n);
  }

  select(condition: bigint, a: bigint, b: bigint): bigint {
    return isTrue(condition) ? a : b;
  }

  zext(from: Width, to: Width, a: bigint): bigint {
    return unsigned(to, fit(from, a));
  }

  sext(from: Width, to: Width, a: bigint): bigint {
    return unsigned(to, signed(from, fit(from, a)));
  }

  // ---- vectors ----

  vector(bytes: readonly number[]): bigint {
    return fromBytes(bytes);
  }

  vector1(op: VectorUnary, a: bigint): bigint {
    return vectorUnary(op, a);
  }

  vector2(op: VectorBinary, a: bigint, b: bigint): bigint {
    return vectorBinary(op, a, b);
  }

  vectorShift(op: VectorShift, a: bigint, count: bigint): bigint {
    return shiftLanes(op, a, count);
  }

  bitselect(a: bigint, b: bigint, mask: bigint): bigint {
    return (a & mask) | (b & unsigned(128, ~mask));
  }

  shuffle(a: bigint, b: bigint, lanes: readonly number[]): bigint {
    const bytes = [...toBytes(a), ...toBytes(b)];
    return fromBytes(lanes.map((lane) => bytes[lane]!));
  }

  lane(shape: LaneShape, a: bigint, lane: number): bigint {
    return lanesOf(bitsOfLane(shape), a)[lane]!;
  }

  withLane(shape: LaneShape, a: bigint, lane: number, value: bigint): bigint {
    const z = bitsOfLane(shape);
    return vectorOf(z, lanesOf(z, a).with(lane, fit(z, value)));
  }

  splat(shape: LaneShape, value: bigint): bigint {
    const z = bitsOfLane(shape);
    return vectorOf(z, new Array<bigint>(128 / z).fill(fit(z, value)));
  }

  bitmask(shape: LaneShape, a: bigint): bigint {
    const z = bitsOfLane(shape);
    return lanesOf(z, a).reduce((mask, lane, i) => mask | ((lane >> BigInt(z - 1)) << BigInt(i)), 0n);
  }

  anyTrue(a: bigint): bigint {
    return bit(a !== 0n);
  }
}

/** The value, which must have at most `bits` bits. */
export function fit(bits: number, value: bigint): bigint {
  if (value >= 0n && value >> BigInt(bits) === 0n) return value;
  return panic('oracle', `0x${value.toString(16)} is no value of ${bits} bits`);
}

/** A condition: 0 or 1. */
export function isTrue(condition: bigint): boolean {
  return fit(1, condition) === 1n;
}

/**
 * A shift by less than the width. Definitions compute others, too, as long as nobody uses what comes of them: that is all ones
 * here, and something else in generated code.
 */
function shifted(z: Width, count: bigint, compute: () => bigint): bigint {
  return unsigned(z, fit(32, count) < BigInt(z) ? compute() : -1n);
}
