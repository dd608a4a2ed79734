// Values at the edges of formats and integers, and random ones beside them, for the floating-point instructions.

import { BINARY32, BINARY64 } from '../../../src/arch/x86/float/format.ts';
import { Operands } from '../float/operands.ts';

/** What the elements of an operand are. */
export type ElementKind = 'f32' | 'f64' | 'i32' | 'i64';

const view = new DataView(new ArrayBuffer(8));

function double(value: number): bigint {
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

function single(value: number): bigint {
  view.setFloat32(0, value);
  return BigInt(view.getUint32(0));
}

/** Numbers that either format rounds to one of its own: halfway cases, powers of two, bounds of integers. */
const NUMBERS = [
  0, 1, 1.5, 2.5, 3, 0.1, 0.5, 0.75, 1e-3, 1 + 2 ** -24, 1 + 2 ** -24 + 2 ** -50, 1 + 2 ** -23,
  2 ** 23 + 0.5, 2 ** 24 - 1, 2 ** 31 - 1, 2 ** 31 - 0.5, 2 ** 31 - 0.75, 2 ** 31, 2 ** 31 + 0.5, 2 ** 31 + 1,
  2 ** 52 + 0.5, 2 ** 53, 2 ** 53 - 1, 2 ** 63 - 2 ** 10, 2 ** 63, 2 ** 64, 2 ** 127,
  2 ** 128 - 2 ** 103, 2 ** -126, 2 ** -126 - 2 ** -150, 2 ** -149, 2 ** -150, Number.POSITIVE_INFINITY,
]; // biome-ignore format: one number after another

/** Encodings that no number above gives: ends of the binades, payloads of NaNs. */
const ENCODINGS = {
  f64: [1n, 0xf_ffff_ffff_ffffn, 0x10_0000_0000_0000n, 0x10_0000_0000_0001n, 0x20_0000_0000_0000n,
    0x7fef_ffff_ffff_ffffn, 0x7fe0_0000_0000_0000n, 0x3fef_ffff_ffff_ffffn,
    0x7ff8_0000_0000_0000n, 0x7ff8_dead_0000_beefn, 0x7ff0_0000_0000_0001n, 0x7ff4_0000_1234_0000n],
  f32: [1n, 0x7f_ffffn, 0x80_0000n, 0x80_0001n, 0x100_0000n, 0x7f7f_ffffn, 0x7f00_0000n, 0x3f7f_ffffn,
    0x7fc0_0000n, 0x7fc0_beefn, 0x7f80_0001n, 0x7fa1_2340n],
} as const; // biome-ignore format: one encoding after another

const INTEGERS = [0n, 1n, 2n, 0xff_ffffn, 0x100_0000n, 0x100_0001n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn,
  2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n + 1n, 2n ** 63n - 1n, 2n ** 63n]; // biome-ignore format: one line each

function withSigns(values: readonly bigint[], sign: bigint): bigint[] {
  return [...new Set(values.flatMap((value) => [value, value | sign]))];
}

/** Every edge value of a kind. */
export const EDGES: Readonly<Record<ElementKind, readonly bigint[]>> = {
  f64: withSigns([...NUMBERS.map(double), ...ENCODINGS.f64], BINARY64.signBit),
  f32: withSigns([...NUMBERS.map(single), ...ENCODINGS.f32], BINARY32.signBit),
  i32: [...new Set(INTEGERS.flatMap((n) => [BigInt.asUintN(32, n), BigInt.asUintN(32, -n)]))],
  i64: [...new Set(INTEGERS.flatMap((n) => [BigInt.asUintN(64, n), BigInt.asUintN(64, -n)]))],
};

export function bitsOf(kind: ElementKind): 32 | 64 {
  return kind === 'f64' || kind === 'i64' ? 64 : 32;
}

export class EdgeOperands extends Operands {
  /** One value: an edge, or something random; of floats often one that matters beside the other. */
  value(kind: ElementKind, other?: bigint): bigint {
    if (this.oneIn(2)) return this.pick(EDGES[kind]);
    if (kind === 'i32' || kind === 'i64') return this.integer(bitsOf(kind));
    const fmt = kind === 'f64' ? BINARY64 : BINARY32;
    return other === undefined ? this.float(fmt) : this.beside(fmt, other);
  }

  /** Sticky flags: mostly none or PE. */
  flags(): number {
    return this.pick([0, 0, 0x20, 0x20, this.below(64)]);
  }
}
