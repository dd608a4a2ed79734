/**
 * What XSAVE, XSAVEOPT, XSAVEC, XRSTOR and XGETBV do, on an image of the area in memory. Intel SDM vol. 1 §13.4 (standard and
 * compacted format), §13.6 (components in use), §13.7 to §13.10 (the instructions). The SDM leaves to the processor which
 * components count as in use: here, as on AMD's Zen 4, those whose registers differ from their initial values. XSAVEOPT's
 * modified optimization, which a processor may leave out, is left out.
 */

import { FXSAVE, initX87, readMxcsr, readX87, writeMxcsr, writeX87 } from './fxsave.ts';
import { FCW_INIT, MXCSR_INIT, Xcr0 } from './registers.ts';
import { OFFSET } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';
import {
  COMPACTED_HIGH,
  checkedMask,
  checkMxcsr,
  MAPPINGS,
  type Mapping,
  mustBeZero,
  putComponent,
  takeComponent,
  XSAVE_HEADER,
  type XsaveFormat,
} from './xsave.ts';

/** XSAVE, XSAVEOPT and XSAVEC. */
export type SaveKind = 'standard' | 'optimized' | 'compacted';

/** What an instruction is asked for. */
export interface XsaveRequest {
  /** RFBM: the components of EDX:EAX that XCR0 enables. */
  readonly components: number;
  /** Outside 64-bit mode there are eight vector registers. */
  readonly is64: boolean;
  /** Form of the instruction and data pointers: 64 bits with REX.W, else 32 (SDM vol. 1 table 10-2). */
  readonly pointerBits: number;
}

/** An image, and the same bytes as words; at least as long as the area of all components. */
export interface XsaveImage {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** Bytes of the image, from the first to the one behind the last. */
export type ByteRange = readonly [start: number, end: number];

/** In front of MXCSR, and of the x87 registers, control words and pointers lie. */
const X87_RANGES: readonly ByteRange[] = [
  [0, FXSAVE.mxcsr],
  [FXSAVE.st, FXSAVE.xmm],
];
const MXCSR_RANGE: ByteRange = [FXSAVE.mxcsr, FXSAVE.st];
/** Components that hold parts of XMM, YMM and ZMM registers 0 to 15; outside 64-bit mode, the first eight count. */
const BY_LOW_REGISTER = Xcr0.SSE | Xcr0.AVX | Xcr0.ZMM_HI256;
/** There is none of these outside 64-bit mode. */
const BY_HIGH_REGISTER = Xcr0.HI16_ZMM;

function countOf({ bit, count }: Mapping, is64: boolean): number {
  if (is64) return count;
  if (bit & BY_HIGH_REGISTER) return 0;
  return bit & BY_LOW_REGISTER ? 8 : count;
}

/** Whether every part of x87 is as FNINIT leaves it, pointers and registers included. */
function isX87Initial(tc: X86ThreadContext): boolean {
  if (tc.u16[OFFSET.fcw >> 1] !== FCW_INIT) return false;
  if (!isZero(tc, OFFSET.fcw + 2, OFFSET.mxcsr)) return false;
  return isZero(tc, OFFSET.fip, OFFSET.fdp + 8) && isZero(tc, OFFSET.st, OFFSET.zmm);
}

function isZero({ u8 }: X86ThreadContext, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (u8[at] !== 0) return false;
  return true;
}

function isMxcsrInitial(tc: X86ThreadContext): boolean {
  return tc.u32[OFFSET.mxcsr >> 2] === MXCSR_INIT;
}

/** XINUSE: components of the given ones that are not in their initial state, MXCSR apart. SDM vol. 1 §13.6. */
function registersInUse(tc: X86ThreadContext, components: number): number {
  let inUse = components & Xcr0.X87 && !isX87Initial(tc) ? Xcr0.X87 : 0;
  for (const { bit, at, count, sizeBytes, stride } of MAPPINGS) {
    if (!(components & bit)) continue;
    for (let i = 0; i < count; i++)
      if (!isZero(tc, at + i * stride, at + i * stride + sizeBytes)) inUse |= bit;
  }
  return inUse;
}

/** The same with MXCSR as a part of SSE: what XGETBV tells with ECX = 1, and what XSAVEC goes by. */
export function componentsInUse(tc: X86ThreadContext, components: number): number {
  const ofMxcsr = isMxcsrInitial(tc) ? 0 : components & Xcr0.SSE;
  return registersInUse(tc, components) | ofMxcsr;
}

/** Where the components of a compacted image lie, by their bits, and how long it is. SDM vol. 1 §13.4.3. */
function compactedPlaces(
  format: XsaveFormat,
  components: number,
): { places: ReadonlyMap<number, number>; sizeBytes: number } {
  const places = new Map<number, number>([[Xcr0.SSE, FXSAVE.xmm]]);
  let at: number = XSAVE_HEADER.end;
  for (const { bit, sizeBytes } of format.extended) {
    if (!(components & bit)) continue;
    places.set(bit, at);
    at += sizeBytes;
  }
  return { places, sizeBytes: at };
}

/** Bytes from the start of the area to the end of the last of these components. */
export function areaBytes(format: XsaveFormat, components: number, isCompacted: boolean): number {
  if (isCompacted) return compactedPlaces(format, components).sizeBytes;
  let end: number = XSAVE_HEADER.end;
  for (const { bit, offset, sizeBytes } of format.extended)
    if (components & bit) end = Math.max(end, offset + sizeBytes);
  return end;
}

/**
 * Puts what is to be saved into the image, whose XSTATE_BV is that of memory.
 * @returns the bytes that the instruction writes to memory: all others of the area it leaves alone
 */
export function saveToImage(
  tc: X86ThreadContext,
  format: XsaveFormat,
  kind: SaveKind,
  { components, is64, pointerBits }: XsaveRequest,
  { bytes, words }: XsaveImage,
): ByteRange[] {
  const isCompacted = kind === 'compacted';
  const inUse = isCompacted ? componentsInUse(tc, components) : registersInUse(tc, components);
  const saved = kind === 'standard' ? components : inUse;
  const ranges: ByteRange[] = [];
  if (saved & Xcr0.X87) {
    writeX87(tc, bytes);
    if (pointerBits === 32) clearSelectors(bytes);
    ranges.push(...X87_RANGES);
  }
  if (isCompacted ? saved & Xcr0.SSE : components & (Xcr0.SSE | Xcr0.AVX)) {
    writeMxcsr(tc, bytes, format.mxcsrMask);
    ranges.push(MXCSR_RANGE);
  }
  const places = isCompacted ? compactedPlaces(format, components).places : undefined;
  for (const mapping of MAPPINGS) {
    if (!(saved & mapping.bit)) continue;
    const to = places?.get(mapping.bit) ?? format.offsetOf(mapping.bit);
    const count = countOf(mapping, is64);
    putComponent(tc, mapping, words, to, count);
    ranges.push([to, to + count * mapping.sizeBytes]);
  }
  const at = XSAVE_HEADER.xstateBv >> 2;
  words[at] = (isCompacted ? 0 : words[at]! & ~components) | inUse;
  if (isCompacted) words.set([0, components, COMPACTED_HIGH], at + 1);
  ranges.push([XSAVE_HEADER.xstateBv, isCompacted ? XSAVE_HEADER.reserved : XSAVE_HEADER.xcompBv]);
  return ranges;
}

/** What the header of an image says that XRSTOR is given. */
export interface XsaveHeader {
  /** XSTATE_BV: the others of the components that are asked for become initial. */
  readonly present: number;
  readonly isCompacted: boolean;
  /** Components that have a place in the image. */
  readonly placed: number;
}

/**
 * Reads the header of an image. SDM vol. 1 §13.8.
 * @param enabled XCR0
 * @param allowsCompacted whether the processor has XSAVEC
 * @throws XsaveImageError where XRSTOR raises #GP
 */
export function readHeader(words: Uint32Array, enabled: number, allowsCompacted: boolean): XsaveHeader {
  const isCompacted = allowsCompacted && (words[(XSAVE_HEADER.xcompBv + 4) >> 2]! & COMPACTED_HIGH) !== 0;
  if (!isCompacted) {
    mustBeZero(words, XSAVE_HEADER.xcompBv, XSAVE_HEADER.reserved + 8);
    const present = checkedMask(words, XSAVE_HEADER.xstateBv, enabled, 0);
    return { present, isCompacted, placed: enabled };
  }
  const placed = checkedMask(words, XSAVE_HEADER.xcompBv, enabled, COMPACTED_HIGH);
  const present = checkedMask(words, XSAVE_HEADER.xstateBv, placed, 0);
  mustBeZero(words, XSAVE_HEADER.reserved, XSAVE_HEADER.end);
  return { present, isCompacted, placed };
}

/**
 * Takes the registers from an image whose header is `header`.
 * @throws XsaveImageError where XRSTOR raises #GP; `tc` is unchanged then
 */
export function restoreFromImage(
  tc: X86ThreadContext,
  format: XsaveFormat,
  { present, isCompacted, placed }: XsaveHeader,
  { components, is64, pointerBits }: XsaveRequest,
  { bytes, words }: XsaveImage,
): void {
  const restored = components & present;
  if (isCompacted ? restored & Xcr0.SSE : components & (Xcr0.SSE | Xcr0.AVX)) {
    checkMxcsr(words, format.mxcsrMask);
    readMxcsr(bytes, tc);
  } else if (isCompacted && components & Xcr0.SSE) tc.u32[OFFSET.mxcsr >> 2] = MXCSR_INIT;
  if (restored & Xcr0.X87) {
    if (pointerBits === 32) clearSelectors(bytes);
    readX87(bytes, tc);
  } else if (components & Xcr0.X87) initX87(tc);
  const places = isCompacted ? compactedPlaces(format, placed).places : undefined;
  for (const mapping of MAPPINGS) {
    if (!(components & mapping.bit)) continue;
    const place = places?.get(mapping.bit) ?? format.offsetOf(mapping.bit);
    takeComponent(tc, mapping, words, restored & mapping.bit ? place : undefined, countOf(mapping, is64));
  }
}

/** Where a pointer's upper half would be, its selector is: zero, where the processor does not keep it (CPUID.7.0:EBX[13]). */
export function clearSelectors(area: Uint8Array): void {
  for (const at of [FXSAVE.fip, FXSAVE.fdp]) area.fill(0, at + 4, at + 8);
}
