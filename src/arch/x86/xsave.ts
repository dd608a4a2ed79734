/**
 * The XSAVE area, to and from a thread context. Intel SDM vol. 1 §13.4 (layout), §13.8 and §13.9 (XRSTOR's rules). Where the
 * extended components lie is the processor's to say (CPUID leaf 0DH), so it comes in as a table. Images that the simulator
 * makes are in standard format, of others the compacted one is refused; what the instructions make of both is in
 * xsave-instructions.ts.
 */

import { panic } from '../../sim/trouble.ts';
import type { CpuidEntry } from './cpuid.ts';
import { FXSAVE, initX87, MXCSR_MASK, readMxcsr, readX87, writeMxcsr, writeX87 } from './fxsave.ts';
import { Xcr0 } from './registers.ts';
import { OFFSET, STRIDE } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** Place of one extended component (bit 2 and up) in the standard format. */
export type XsaveComponent = { readonly bit: number; readonly offset: number; readonly sizeBytes: number };

/** Header offsets from the start of the area. SDM vol. 1 §13.4.2. */
export const XSAVE_HEADER = { at: 512, xstateBv: 512, xcompBv: 520, reserved: 528, end: 576 } as const;

/** XCOMP_BV bit 63, of its upper word: the image is in compacted format. */
export const COMPACTED_HIGH = 0x8000_0000;

/** An XSAVE image that XRSTOR would refuse with #GP. */
export class XsaveImageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'XsaveImageError';
  }
}

/**
 * A run of equal pieces of a component: `count` pieces of `sizeBytes`, `stride` apart in the thread
 * context.
 */
export type Mapping = {
  readonly bit: number;
  readonly at: number;
  readonly count: number;
  readonly sizeBytes: number;
  readonly stride: number;
};

/** How the components but x87 map to the thread context, in the order of their bits. SDM vol. 1 §13.5. */
export const MAPPINGS: readonly Mapping[] = [
  { bit: Xcr0.SSE, at: OFFSET.zmm, count: 16, sizeBytes: 16, stride: STRIDE.zmm },
  { bit: Xcr0.AVX, at: OFFSET.zmm + 16, count: 16, sizeBytes: 16, stride: STRIDE.zmm },
  { bit: Xcr0.OPMASK, at: OFFSET.k, count: 8, sizeBytes: 8, stride: STRIDE.k },
  { bit: Xcr0.ZMM_HI256, at: OFFSET.zmm + 32, count: 16, sizeBytes: 32, stride: STRIDE.zmm },
  { bit: Xcr0.HI16_ZMM, at: OFFSET.zmm + 16 * STRIDE.zmm, count: 16, sizeBytes: 64, stride: STRIDE.zmm },
  { bit: Xcr0.PKRU, at: OFFSET.pkru, count: 1, sizeBytes: 4, stride: 4 },
];

/** Components that a thread context holds. */
export const XSAVE_HELD = MAPPINGS.reduce((mask, { bit }) => mask | bit, Xcr0.X87 as number);

/** Components in the legacy area, always in use in images written here. */
const LEGACY = Xcr0.X87 | Xcr0.SSE;

/**
 * Writes the pieces of a component to the words of an area from the byte offset `to` on.
 * @param count of pieces: all, unless only the registers outside 64-bit mode are meant
 * @returns whether any bit of them is set
 */
export function putComponent(
  tc: X86ThreadContext,
  { at, sizeBytes, stride }: Mapping,
  words: Uint32Array,
  to: number,
  count: number,
): boolean {
  let next = to >> 2;
  let bits = 0;
  for (let i = 0; i < count; i++) {
    const from = (at + i * stride) >> 2;
    for (let word = 0; word < sizeBytes >> 2; word++) bits |= words[next++] = tc.u32[from + word]!;
  }
  return bits !== 0;
}

/** Reads what {@link putComponent} writes; without an offset the pieces become zero, their initial state. */
export function takeComponent(
  tc: X86ThreadContext,
  { at, sizeBytes, stride }: Mapping,
  words: Uint32Array,
  from: number | undefined,
  count: number,
): void {
  let next = (from ?? 0) >> 2;
  for (let i = 0; i < count; i++) {
    const to = (at + i * stride) >> 2;
    for (let word = 0; word < sizeBytes >> 2; word++, next++)
      tc.u32[to + word] = from === undefined ? 0 : words[next]!;
  }
}

export class XsaveFormat {
  /** Components that have a place in the area, as an XCR0 mask. */
  readonly components: number;
  /** Bytes from the start of the area to the end of its last component. */
  readonly sizeBytes: number;
  /** MXCSR bits that the processor defines. */
  readonly mxcsrMask: number;
  /** Those beyond the legacy area, in the order of their bits. */
  readonly extended: readonly XsaveComponent[];
  readonly #offsets: ReadonlyMap<number, number>;
  /** The latest area, and its words: most callers have one and the same. */
  #area: Uint8Array = new Uint8Array();
  #words: Uint32Array = new Uint32Array();

  /** @param mxcsrMask the processor's (`mxcsrMaskOf` an image it wrote) */
  constructor(components: readonly XsaveComponent[], mxcsrMask: number = MXCSR_MASK) {
    let mask: number = LEGACY;
    let end: number = XSAVE_HEADER.end;
    for (const { bit, offset, sizeBytes } of components) {
      if (offset < XSAVE_HEADER.end) throw new RangeError(`XSAVE component ${bit} lies at ${offset}`);
      mask |= bit;
      end = Math.max(end, offset + sizeBytes);
    }
    this.components = mask;
    this.sizeBytes = end;
    this.mxcsrMask = mxcsrMask;
    this.extended = [...components].sort((a, b) => a.bit - b.bit);
    this.#offsets = new Map([
      [Xcr0.SSE, FXSAVE.xmm],
      ...components.map(({ bit, offset }): [number, number] => [bit, offset]),
    ]);
  }

  /** The layout that CPUID leaf 0DH describes, user components only (ECX bit 0 clear). */
  static fromCpuid(entries: readonly CpuidEntry[], mxcsrMask: number = MXCSR_MASK): XsaveFormat {
    const components: XsaveComponent[] = [];
    for (const entry of entries) {
      if (entry.leaf !== 0xd || entry.subleaf < 2 || entry.subleaf > 31) continue;
      if (entry.eax === 0 || entry.ecx & 1) continue;
      components.push({ bit: (1 << entry.subleaf) >>> 0, offset: entry.ebx, sizeBytes: entry.eax });
    }
    return new XsaveFormat(components, mxcsrMask);
  }

  /**
   * XSAVE: writes the given components of `tc`, sets XSTATE_BV and clears the rest of the header. x87 and
   * SSE count as in use always: Linux marks them so in signal frames, and its KVM takes MXCSR from an image
   * only if it names one of them. The others count when they are not in their initial state. MXCSR is
   * always written.
   */
  write(tc: X86ThreadContext, area: Uint8Array, components: number = this.components): void {
    const words = this.#wordsOf(area);
    const wanted = components & this.components & XSAVE_HELD;
    let inUse = wanted & LEGACY;
    area.fill(0, XSAVE_HEADER.at, XSAVE_HEADER.end);
    writeMxcsr(tc, area, this.mxcsrMask);
    if (wanted & Xcr0.X87) writeX87(tc, area);
    for (const mapping of MAPPINGS) {
      if (!(wanted & mapping.bit)) continue;
      if (putComponent(tc, mapping, words, this.offsetOf(mapping.bit), mapping.count)) inUse |= mapping.bit;
    }
    for (let i = 0; i < 4; i++) area[XSAVE_HEADER.xstateBv + i] = inUse >>> (8 * i);
  }

  /**
   * XRSTOR: reads the given components into `tc`; one whose XSTATE_BV bit is clear becomes its initial state.
   * MXCSR is read from the area whatever XSTATE_BV says.
   * @returns the components in use in the image that `tc` cannot hold (0 = nothing is lost)
   * @throws XsaveImageError where XRSTOR would raise #GP; `tc` is unchanged then
   */
  read(area: Uint8Array, tc: X86ThreadContext, components: number = this.components): number {
    const words = this.#wordsOf(area);
    const present = this.#checkedXstateBv(words);
    const wanted = components & this.components & XSAVE_HELD;
    if (wanted & (Xcr0.SSE | Xcr0.AVX)) readMxcsr(area, tc);
    if (wanted & Xcr0.X87) {
      if (present & Xcr0.X87) readX87(area, tc);
      else initX87(tc);
    }
    for (const mapping of MAPPINGS) {
      if (!(wanted & mapping.bit)) continue;
      const isPresent = (present & mapping.bit) !== 0;
      takeComponent(tc, mapping, words, isPresent ? this.offsetOf(mapping.bit) : undefined, mapping.count);
    }
    return (present & ~XSAVE_HELD) >>> 0;
  }

  /** Where a component other than x87 lies in the standard format. */
  offsetOf(bit: number): number {
    return this.#offsets.get(bit) ?? panic('XSAVE', `component ${bit} has no place in the area`);
  }

  /** The area lies at a multiple of 4 in its buffer. */
  #wordsOf(area: Uint8Array): Uint32Array {
    if (area === this.#area) return this.#words;
    if (area.length < this.sizeBytes)
      throw new RangeError(`XSAVE area of ${area.length} bytes, need ${this.sizeBytes}`);
    this.#words = new Uint32Array(area.buffer, area.byteOffset, this.sizeBytes >> 2);
    this.#area = area;
    return this.#words;
  }

  /** XSTATE_BV, after XRSTOR's checks of header and MXCSR. SDM vol. 1 §13.8.1. */
  #checkedXstateBv(words: Uint32Array): number {
    if (words[(XSAVE_HEADER.xcompBv + 4) >> 2]! & COMPACTED_HIGH)
      throw new XsaveImageError('XSAVE image is in compacted format (XCOMP_BV bit 63)');
    mustBeZero(words, XSAVE_HEADER.xcompBv, XSAVE_HEADER.reserved + 8);
    const present = checkedMask(words, XSAVE_HEADER.xstateBv, this.components, 0);
    checkMxcsr(words, this.mxcsrMask);
    return present;
  }
}

/** @throws XsaveImageError if a byte from `from` to `to`, in the header, is not zero */
export function mustBeZero(words: Uint32Array, from: number, to: number): void {
  for (let at = from; at < to; at += 4) {
    const word = words[at >> 2]!;
    if (word === 0) continue;
    const byte = at - XSAVE_HEADER.at + ((31 - Math.clz32(word & -word)) >> 3);
    throw new XsaveImageError(`XSAVE header byte ${byte} is not zero`);
  }
}

/**
 * A mask of components in the header.
 * @param high what its upper word must be: no component has a bit there
 * @throws XsaveImageError if it names others than the allowed ones
 */
export function checkedMask(words: Uint32Array, at: number, allowed: number, high: number): number {
  const mask = words[at >> 2]!;
  if (words[(at + 4) >> 2] !== high || (mask & ~allowed) !== 0) {
    const name = at === XSAVE_HEADER.xcompBv ? 'XCOMP_BV' : 'XSTATE_BV';
    throw new XsaveImageError(`${name} names components that are not enabled`);
  }
  return mask;
}

/** @throws XsaveImageError if the image's MXCSR has bits that are not in `mask` */
export function checkMxcsr(words: Uint32Array, mask: number): void {
  const mxcsr = words[FXSAVE.mxcsr >> 2]!;
  if (mxcsr & ~mask) throw new XsaveImageError(`MXCSR 0x${mxcsr.toString(16)} has reserved bits set`);
}
