// Initial states of the fuzzer's cases: values at which instructions do something special more often than others. Everything
// comes from the seed of a `Random`.

import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import { Gpr, Rflags, Xcr0 } from '../../src/arch/x86/registers.ts';
import { OFFSET, STRIDE, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import type { Random } from '../../tests/support/random.ts';
import { CODE_ADDRESS, DATA_ADDRESS, ISLAND_ADDRESS, READ_ONLY_ADDRESS } from './address-space.ts';
import {
  canonicalize,
  emptyState,
  FIXED_RFLAGS,
  FS_BASE,
  GS_BASE,
  type StateSource,
  USER_RFLAGS,
} from './user-state.ts';

/** A 64-bit value as 32-bit halves. */
type Halves = readonly [lo: number, hi: number];

/** Ends of what operand sizes can hold, signed and unsigned, and addresses where the rules change. */
const EDGES: readonly Halves[] = [
  [0, 0],
  [1, 0],
  [0xffff_ffff, 0xffff_ffff],
  [0x7f, 0],
  [0x80, 0],
  [0xff, 0],
  [0xffff_ff80, 0xffff_ffff],
  [0x7fff, 0],
  [0x8000, 0],
  [0xffff, 0],
  [0xffff_8000, 0xffff_ffff],
  [0x7fff_ffff, 0],
  [0x8000_0000, 0],
  [0xffff_ffff, 0],
  [0x8000_0000, 0xffff_ffff],
  [0, 1],
  [0xffff_ffff, 0x7fff_ffff],
  [0, 0x8000_0000],
  [0x5555_5555, 0x5555_5555],
  [0x0102_0304, 0x0506_0708],
  [63, 0],
  [64, 0],
  [31, 0],
  [32, 0],
  // The last and the first canonical addresses, and one that is not.
  [0xffff_ffff, 0x7fff],
  [0, 0xffff_8000],
  [0, 0x8000],
];

/** Places near which accesses cross pages with the same or other rights, or leave the mapped ones. */
const PAGE_ENDS: readonly number[] = [
  DATA_ADDRESS,
  DATA_ADDRESS + PAGE_SIZE,
  READ_ONLY_ADDRESS,
  READ_ONLY_ADDRESS + PAGE_SIZE,
  ISLAND_ADDRESS,
  ISLAND_ADDRESS + PAGE_SIZE,
];
/** Of what most SSE instructions access in memory. */
const ALIGNMENT = 16;

/** Starts of pages with data. */
const PAGES: readonly number[] = [DATA_ADDRESS, DATA_ADDRESS + PAGE_SIZE, READ_ONLY_ADDRESS, ISLAND_ADDRESS];

/** Single precision: zeros, denormals, limits, one, infinities, quiet and signaling NaNs, limits of integers. IEEE 754. */
const FLOATS: readonly number[] = [
  0x0000_0000, 0x8000_0000, 0x0000_0001, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x8080_0000, 0x3f80_0000,
  0xbf80_0000, 0x3f80_0001, 0x3f7f_ffff, 0x3fc0_0000, 0x3f00_0000, 0x4020_0000, 0x7f7f_ffff, 0xff7f_ffff,
  0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffbf_ffff, 0x7fc1_2345, 0x4f00_0000,
  0xcf00_0000, 0x4eff_ffff, 0x4f80_0000, 0x5f00_0000, 0xdf00_0000, 0x4b00_0001, 0x2000_0000, 0x6000_0000,
];

/** Double precision, likewise. */
const DOUBLES: readonly Halves[] = [
  [0, 0],
  [0, 0x8000_0000],
  [1, 0],
  [0xffff_ffff, 0x000f_ffff],
  [0, 0x0010_0000],
  [0, 0x3ff0_0000],
  [0, 0xbff0_0000],
  [1, 0x3ff0_0000],
  [0xffff_ffff, 0x3fef_ffff],
  [0, 0x3ff8_0000],
  [0, 0x3fe0_0000],
  [0, 0x4004_0000],
  [0xffff_ffff, 0x7fef_ffff],
  [0, 0x7ff0_0000],
  [0, 0xfff0_0000],
  [0, 0x7ff8_0000],
  [0, 0xfff8_0000],
  [1, 0x7ff0_0000],
  [0x1234_5678, 0xfff4_0000],
  [0, 0x41e0_0000],
  [0xffc0_0000, 0x41df_ffff],
  [0, 0xc1e0_0000],
  [0, 0x43e0_0000],
  [0, 0xc3e0_0000],
  [0, 0x47ef_ffff],
  [0xe000_0000, 0x47ef_ffff],
  [0, 0x3690_0000],
  [0, 0x2000_0000],
];

/**
 * Double extended precision: sign and exponent, significand. With the encodings that newer processors refuse (SDM vol. 1
 * §8.2.2).
 */
const EXTENDED: readonly (readonly [signExponent: number, lo: number, hi: number])[] = [
  [0, 0, 0],
  [0x8000, 0, 0],
  [0, 1, 0],
  [0, 0xffff_ffff, 0x7fff_ffff],
  [0, 0, 0x8000_0000], // pseudo-denormal
  [1, 0, 0x8000_0000],
  [0x3fff, 0, 0x8000_0000],
  [0xbfff, 0, 0x8000_0000],
  [0x3fff, 1, 0x8000_0000],
  [0x3ffe, 0xffff_ffff, 0xffff_ffff],
  [0x4000, 0x2168_c235, 0xc90f_daa2],
  [0x4000, 0, 0xa000_0000],
  [0x7ffe, 0xffff_ffff, 0xffff_ffff],
  [0x7fff, 0, 0x8000_0000],
  [0xffff, 0, 0x8000_0000],
  [0x7fff, 0, 0xc000_0000],
  [0xffff, 0, 0xc000_0000],
  [0x7fff, 1, 0x8000_0000],
  [0xffff, 0x1234_5678, 0xa000_0000],
  [0x7fff, 0, 0], // pseudo-infinity
  [0x7fff, 1, 0], // pseudo-NaN
  [0x4000, 0, 0x4000_0000], // unnormal
  [0x403e, 0, 0x8000_0000],
  [0x403d, 0xffff_ffff, 0xffff_ffff],
  [0xc03e, 0, 0x8000_0000],
  [0x401e, 0, 0x8000_0000],
  [0x43ff, 0, 0x8000_0000],
  [0x3c00, 0, 0x8000_0000],
  [0x403f, 0, 0x8000_0000],
];

/** A pointer: into a page of data, near one of its ends, or to code. @param code where that begins */
export function randomPointer(random: Random, code = CODE_ADDRESS): number {
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2:
      if (random.oneIn(2)) return random.pick(PAGE_ENDS) + 16 * (random.below(5) - 4);
      return random.pick(PAGE_ENDS) + random.below(80) - 72;
    case 3:
      return code + random.below(0x100);
    case 4:
    case 5:
      return random.pick(PAGES) + 64 * random.below(PAGE_SIZE / 64);
    default:
      return random.pick(PAGES) + random.below(PAGE_SIZE);
  }
}

/** Writes an integer with a meaning of its own to a u64 of the state. */
function setInteger({ u32 }: X86ThreadContext, at: number, random: Random): void {
  let [lo, hi] = random.pick(EDGES);
  switch (random.below(8)) {
    case 0: // one bit
      [lo, hi] = random.oneIn(2) ? [(1 << random.below(32)) >>> 0, 0] : [0, (1 << random.below(32)) >>> 0];
      break;
    case 1:
      [lo, hi] = [random.u32(), random.u32()];
      break;
    case 2: // small, of either sign
      lo = random.below(32) - 16;
      hi = lo < 0 ? 0xffff_ffff : 0;
      break;
    case 3: // an edge and a bit
      lo ^= 1 << random.below(32);
      break;
    default:
  }
  u32[at >> 2] = lo;
  u32[(at >> 2) + 1] = hi;
}

/** A case's initial state, and which registers hold pointers. */
export interface RandomState {
  readonly state: X86ThreadContext;
  /** General registers (in encoding order) that point to pages of the case. */
  readonly pointers: readonly number[];
  /** Those of them whose values are multiples of 16. */
  readonly alignedPointers: readonly number[];
}

/**
 * A random initial state.
 * @param components state components beside x87 and SSE that get values: a mask of `Xcr0`  @param states where it is kept
 * @param code where the code pages of the case begin
 */
export function randomState(
  random: Random,
  components = 0,
  states?: StateSource,
  code = CODE_ADDRESS,
): RandomState {
  const state = emptyState(states);
  const pointers: number[] = [];
  const alignedPointers: number[] = [];
  for (let i = 0; i < 16; i++) {
    // RSP is nearly always good for something.
    if (i === Gpr.RSP ? random.oneIn(16) : !random.oneIn(3)) {
      setInteger(state, OFFSET.gpr + 8 * i, random);
      continue;
    }
    pointers.push(i);
    const pointer = randomPointer(random, code);
    state.setGprNumber(i, pointer);
    if (pointer % ALIGNMENT === 0) alignedPointers.push(i);
  }
  const flags = random.u32() & USER_RFLAGS & ~(Rflags.TF | Rflags.AC | Rflags.NT | Rflags.DF | Rflags.ID);
  const rare = random.oneIn(8) ? random.pick([Rflags.AC, Rflags.DF, Rflags.NT, Rflags.ID]) : 0;
  state.rflags = flags | rare | FIXED_RFLAGS;
  for (const at of [FS_BASE, GS_BASE]) {
    if (random.oneIn(4)) state.set(at, BigInt(randomPointer(random, code)));
    else if (random.oneIn(2)) state.set(at, BigInt(16 * random.below(16)));
  }
  setX87(state, random);
  setVectors(state, random, components);
  canonicalize(state);
  return { state, pointers, alignedPointers };
}

function setX87({ u8, u16, u32 }: X86ThreadContext, random: Random): void {
  if (random.oneIn(2))
    u16[OFFSET.fcw >> 1] = 0x40 | (random.u32() & 0xf00) | (random.oneIn(4) ? random.below(64) : 0x3f);
  u16[OFFSET.fsw >> 1] =
    (random.below(8) << 11) | (random.u32() & 0x4700) | (random.oneIn(4) ? random.below(64) : 0);
  u16[OFFSET.ftw >> 1] = random.pick([0, 0xff, random.below(256)]);
  for (let i = 0; i < 8; i++) {
    const at = OFFSET.st + i * STRIDE.st;
    if (random.oneIn(3)) {
      for (let b = 0; b < 10; b++) u8[at + b] = random.u32();
      continue;
    }
    const [signExponent, lo, hi] = random.pick(EXTENDED);
    u32[at >> 2] = lo;
    u32[(at >> 2) + 1] = hi;
    u16[(at + 8) >> 1] = signExponent;
  }
}

function setVectors(state: X86ThreadContext, random: Random, components: number): void {
  const { u32 } = state;
  if (random.oneIn(2)) {
    const masks = random.oneIn(4) ? random.below(64) << 7 : 0x1f80;
    u32[OFFSET.mxcsr >> 2] = masks | (random.u32() & 0xe03f) | (random.oneIn(4) ? 0x40 : 0);
  }
  const bytes = components & Xcr0.ZMM_HI256 ? 64 : components & Xcr0.AVX ? 32 : 16;
  const registers = components & Xcr0.HI16_ZMM ? 32 : 16;
  for (let i = 0; i < registers; i++) setVector(state, random, OFFSET.zmm + i * STRIDE.zmm, bytes);
  if ((components & Xcr0.OPMASK) === 0) return;
  for (let i = 0; i < 8; i++) setInteger(state, OFFSET.k + i * STRIDE.k, random);
}

/** A vector of elements of one kind. */
function setVector(state: X86ThreadContext, random: Random, at: number, bytes: number): void {
  const { u32 } = state;
  const kind = random.below(5);
  for (let word = at >> 2; word < (at + bytes) >> 2; word += 2) {
    if (kind === 0) setInteger(state, word << 2, random);
    else if (kind === 1) {
      u32[word] = random.u32();
      u32[word + 1] = random.u32();
    } else if (kind < 4) {
      u32[word] = random.pick(FLOATS);
      u32[word + 1] = random.pick(FLOATS);
    } else [u32[word], u32[word + 1]] = random.pick(DOUBLES) as [number, number];
  }
}
