/**
 * The XSAVE area in standard format, to and from a thread context. Intel SDM vol. 1 §13.4 (layout), §13.8 and
 * §13.9 (XRSTOR's rules). Where the extended components lie is the processor's to say (CPUID leaf 0DH), so it
 * comes in as a table. The compacted format is refused.
 */

import type { CpuidEntry } from './cpuid.ts';
import { FXSAVE, initX87, MXCSR_MASK, readMxcsr, readX87, writeMxcsr, writeX87 } from './fxsave.ts';
import { Xcr0 } from './registers.ts';
import { OFFSET, STRIDE } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** Place of one extended component (bit 2 and up) in the standard format. */
export type XsaveComponent = { readonly bit: number; readonly offset: number; readonly sizeBytes: number };

/** Header offsets from the start of the area. SDM vol. 1 §13.4.2. */
export const XSAVE_HEADER = { at: 512, xstateBv: 512, xcompBv: 520, reserved: 528, end: 576 } as const;

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
type Mapping = {
  readonly bit: number;
  readonly at: number;
  readonly count: number;
  readonly sizeBytes: number;
  readonly stride: number;
};

/** How the components but x87 map to the thread context. SDM vol. 1 §13.5. */
const MAPPINGS: readonly Mapping[] = [
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

export class XsaveFormat {
  /** Components that have a place in the area, as an XCR0 mask. */
  readonly components: number;
  /** Bytes from the start of the area to the end of its last component. */
  readonly sizeBytes: number;
  /** MXCSR bits that the processor defines. */
  readonly mxcsrMask: number;
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
      let to = this.#offsets.get(mapping.bit)! >> 2;
      let nonZero = 0;
      for (let i = 0; i < mapping.count; i++) {
        const from = (mapping.at + i * mapping.stride) >> 2;
        for (let word = 0; word < mapping.sizeBytes >> 2; word++)
          nonZero |= words[to++] = tc.u32[from + word]!;
      }
      if (nonZero) inUse |= mapping.bit;
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
      let from = this.#offsets.get(mapping.bit)! >> 2;
      const isPresent = (present & mapping.bit) !== 0;
      for (let i = 0; i < mapping.count; i++) {
        const to = (mapping.at + i * mapping.stride) >> 2;
        for (let word = 0; word < mapping.sizeBytes >> 2; word++, from++)
          tc.u32[to + word] = isPresent ? words[from]! : 0;
      }
    }
    return (present & ~XSAVE_HELD) >>> 0;
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
    if (words[(XSAVE_HEADER.xcompBv + 4) >> 2]! >>> 31)
      throw new XsaveImageError('XSAVE image is in compacted format (XCOMP_BV bit 63)');
    for (let at: number = XSAVE_HEADER.xcompBv; at < XSAVE_HEADER.reserved + 8; at += 4) {
      const word = words[at >> 2]!;
      if (word === 0) continue;
      const byte = at - XSAVE_HEADER.at + ((31 - Math.clz32(word & -word)) >> 3);
      throw new XsaveImageError(`XSAVE header byte ${byte} is not zero`);
    }
    const present = words[XSAVE_HEADER.xstateBv >> 2]!;
    if (words[(XSAVE_HEADER.xstateBv + 4) >> 2] !== 0 || (present & ~this.components) !== 0) {
      throw new XsaveImageError('XSTATE_BV names components that are not enabled');
    }
    const mxcsr = words[FXSAVE.mxcsr >> 2]!;
    if (mxcsr & ~this.mxcsrMask)
      throw new XsaveImageError(`MXCSR 0x${mxcsr.toString(16)} has reserved bits set`);
    return present;
  }
}
