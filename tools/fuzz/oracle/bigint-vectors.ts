// Vector operations on numbers of 128 bits: taken apart into lanes, lowest first, computed lane by lane, and put together. Names
// and meanings are WebAssembly's (Core Specification §4.3.3 to §4.3.6): `i16x8.add_sat_u`.

import type { LaneShape, VectorBinary, VectorShift, VectorUnary } from '../../../src/arch/x86/isa/ops.ts';
import { panic } from '../../../src/sim/trouble.ts';

const VECTOR_BITS = 128;
const ALL_ONES = (1n << 128n) - 1n;

type Lanes = readonly bigint[];

/** Bits of a lane of a shape: 16 for `i16x8`. */
export function bitsOfLane(shape: string): 8 | 16 | 32 | 64 {
  return Number(/^i(\d+)x/.exec(shape)![1]) as 8 | 16 | 32 | 64;
}

/** The lanes of z bits, unsigned. */
export function lanesOf(z: number, a: bigint): bigint[] {
  return Array.from({ length: VECTOR_BITS / z }, (_, i) => BigInt.asUintN(z, a >> BigInt(i * z)));
}

/** A vector of lanes, of each of which the low z bits count. */
export function vectorOf(z: number, lanes: Lanes): bigint {
  return lanes.reduce((vector, lane, i) => vector | (BigInt.asUintN(z, lane) << BigInt(i * z)), 0n);
}

export function toBytes(a: bigint): number[] {
  return lanesOf(8, a).map(Number);
}

export function fromBytes(bytes: readonly number[]): bigint {
  return vectorOf(8, bytes.map(BigInt));
}

const signedLanes = (z: number, a: bigint): bigint[] => lanesOf(z, a).map((lane) => BigInt.asIntN(z, lane));

/** The nearest number that z bits can say. */
function saturated(z: number, sign: string, value: bigint): bigint {
  const [least, most] =
    sign === 's' ? [-(1n << BigInt(z - 1)), (1n << BigInt(z - 1)) - 1n] : [0n, (1n << BigInt(z)) - 1n];
  if (value < least) return least;
  return value > most ? most : value;
}

function popcnt(a: bigint): bigint {
  return a === 0n ? 0n : (a & 1n) + popcnt(a >> 1n);
}

/** One half of the lanes of a shape, as the numbers that they are by their sign: `low_i8x16_s`. */
function half(which: string, a: bigint): bigint[] {
  const [side, shape, sign] = which.split('_') as [string, string, string];
  const z = bitsOfLane(shape);
  const lanes = sign === 's' ? signedLanes(z, a) : lanesOf(z, a);
  const middle = lanes.length / 2;
  return side === 'low' ? lanes.slice(0, middle) : lanes.slice(middle);
}

/** Sums of neighbours. */
function pairwise(lanes: Lanes): bigint[] {
  return Array.from({ length: lanes.length / 2 }, (_, i) => lanes[2 * i]! + lanes[2 * i + 1]!);
}

export function vectorUnary(op: VectorUnary, a: bigint): bigint {
  if (op === 'v128.not') return a ^ ALL_ONES;
  const [shape, name] = op.split('.') as [LaneShape, string];
  const z = bitsOfLane(shape);
  switch (name) {
    case 'abs':
      return vectorOf(
        z,
        signedLanes(z, a).map((x) => (x < 0n ? -x : x)),
      );
    case 'neg':
      return vectorOf(
        z,
        lanesOf(z, a).map((x) => -x),
      );
    case 'popcnt':
      return vectorOf(z, lanesOf(z, a).map(popcnt));
    case 'extadd_pairwise_i8x16_u':
      return vectorOf(z, pairwise(lanesOf(8, a)));
    case 'extadd_pairwise_i16x8_s':
      return vectorOf(z, pairwise(signedLanes(16, a)));
    default:
      return vectorOf(z, half(name.slice('extend_'.length), a));
  }
}

export function vectorBinary(op: VectorBinary, a: bigint, b: bigint): bigint {
  const [shape, name] = op.split('.') as [string, string];
  if (shape === 'v128') return bitwise(name, a, b);
  const z = bitsOfLane(shape);
  if (name.startsWith('extmul_')) {
    const which = name.slice('extmul_'.length);
    const factors = half(which, b);
    return vectorOf(
      z,
      half(which, a).map((x, i) => x * factors[i]!),
    );
  }
  if (name.startsWith('narrow_')) {
    const wide = [...signedLanes(2 * z, a), ...signedLanes(2 * z, b)];
    return vectorOf(
      z,
      wide.map((x) => saturated(z, name.at(-1)!, x)),
    );
  }
  if (name === 'dot_i16x8_s') {
    const factors = signedLanes(16, b);
    return vectorOf(z, pairwise(signedLanes(16, a).map((x, i) => x * factors[i]!)));
  }
  if (name === 'swizzle') {
    const bytes = toBytes(a);
    return fromBytes(toBytes(b).map((index) => bytes[index] ?? 0));
  }
  const ofLanes = laneOperation(name, z);
  const others = name.endsWith('_s') ? signedLanes(z, b) : lanesOf(z, b);
  const ones = name.endsWith('_s') ? signedLanes(z, a) : lanesOf(z, a);
  return vectorOf(
    z,
    ones.map((x, i) => ofLanes(x, others[i]!)),
  );
}

function bitwise(name: string, a: bigint, b: bigint): bigint {
  switch (name) {
    case 'and':
      return a & b;
    case 'andnot':
      return a & (b ^ ALL_ONES);
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    default:
      return panic('oracle', `no vector operation v128.${name}`);
  }
}

/** What is done to a pair of lanes: signed numbers where the name ends in `_s`, else unsigned ones. */
function laneOperation(name: string, z: number): (x: bigint, y: bigint) => bigint {
  const sign = name.at(-1)!;
  const mask = (holds: boolean): bigint => (holds ? -1n : 0n);
  switch (name) {
    case 'add':
      return (x, y) => x + y;
    case 'sub':
      return (x, y) => x - y;
    case 'mul':
      return (x, y) => x * y;
    case 'add_sat_s':
    case 'add_sat_u':
      return (x, y) => saturated(z, sign, x + y);
    case 'sub_sat_s':
    case 'sub_sat_u':
      return (x, y) => saturated(z, sign, x - y);
    case 'min_s':
    case 'min_u':
      return (x, y) => (x < y ? x : y);
    case 'max_s':
    case 'max_u':
      return (x, y) => (x > y ? x : y);
    case 'avgr_u':
      return (x, y) => (x + y + 1n) >> 1n;
    case 'q15mulr_sat_s':
      return (x, y) => saturated(z, 's', (x * y + 0x4000n) >> 15n);
    case 'eq':
      return (x, y) => mask(x === y);
    case 'gt_s':
      return (x, y) => mask(x > y);
    default:
      return panic('oracle', `no lane operation ${name}`);
  }
}

/** Shifts by as many bits as a lane has, or more, are nobody's to use: they give all ones, as those of integers. */
export function shiftLanes(op: VectorShift, a: bigint, count: bigint): bigint {
  const [shape, name] = op.split('.') as [LaneShape, string];
  const z = bitsOfLane(shape);
  if (count >= BigInt(z)) return ALL_ONES;
  if (name === 'shl')
    return vectorOf(
      z,
      lanesOf(z, a).map((x) => x << count),
    );
  const lanes = name === 'shr_s' ? signedLanes(z, a) : lanesOf(z, a);
  return vectorOf(
    z,
    lanes.map((x) => x >> count),
  );
}
