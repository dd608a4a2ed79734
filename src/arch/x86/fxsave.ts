/**
 * The 512-byte legacy area of FXSAVE64 and XSAVE, to and from a thread context; x87 tag words; the MMX
 * alias. Intel SDM vol. 1 §10.5.1 and table 10-2 (FXSAVE64 with REX.W: 64-bit FIP and FDP), §8.1.7 (tags),
 * §9.2 (MMX). The area holds ST0…ST7 in stack order, the thread context R0…R7 in physical order.
 */

import { FCW_INIT } from './registers.ts';
import { OFFSET, STRIDE } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** Byte offsets in the legacy area. SDM vol. 1 table 10-2. */
export const FXSAVE = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  sizeBytes: 512,
} as const;

/**
 * MXCSR bits that may be set on every processor with DAZ (SDM vol. 1 §11.6.6). AMD's add bit 17, MM; the
 * processor's own mask stands in every image it writes.
 */
export const MXCSR_MASK = 0xffff;

/** The mask of an image that the processor wrote; zero there means the mask of processors without DAZ. */
export function mxcsrMaskOf(area: Uint8Array): number {
  const at = FXSAVE.mxcsrMask;
  const mask = area[at]! | (area[at + 1]! << 8) | (area[at + 2]! << 16) | (area[at + 3]! << 24);
  return mask === 0 ? 0xffbf : mask >>> 0;
}

/** Contents of an x87 register as the full tag word names them. SDM vol. 1 §8.1.7. */
export const X87Tag = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

/** TOP, the physical number of ST0, from the status word. */
export function topOfStack(fsw: number): number {
  return (fsw >>> 11) & 7;
}

/** Physical register number of ST(`i`). */
export function physicalRegister(fsw: number, i: number): number {
  return (topOfStack(fsw) + i) & 7;
}

/** Copies `length` bytes between arrays; the runs here are too short for `set` and `subarray` to pay. */
export function copyBytes(
  to: Uint8Array,
  toAt: number,
  from: Uint8Array,
  fromAt: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}

/** Writes control words, x87 registers and their pointers of `tc` to the legacy area. */
export function writeX87(tc: X86ThreadContext, area: Uint8Array): void {
  copyBytes(area, FXSAVE.fcw, tc.u8, OFFSET.fcw, 8); // fcw, fsw, ftw (high byte zero), fop: the same order
  copyBytes(area, FXSAVE.fip, tc.u8, OFFSET.fip, 16); // fip, fdp
  const fsw = tc.u16[OFFSET.fsw >> 1]!;
  for (let i = 0; i < 8; i++) {
    const at = FXSAVE.st + i * 16;
    copyBytes(area, at, tc.u8, OFFSET.st + physicalRegister(fsw, i) * STRIDE.st, 10);
    for (let b = 10; b < 16; b++) area[at + b] = 0;
  }
}

/** Reads what {@link writeX87} writes. Reserved bytes of the area are ignored. */
export function readX87(area: Uint8Array, tc: X86ThreadContext): void {
  copyBytes(tc.u8, OFFSET.fcw, area, FXSAVE.fcw, 8);
  tc.u8[OFFSET.ftw + 1] = 0;
  copyBytes(tc.u8, OFFSET.fip, area, FXSAVE.fip, 16);
  const fsw = tc.u16[OFFSET.fsw >> 1]!;
  for (let i = 0; i < 8; i++) {
    const at = OFFSET.st + physicalRegister(fsw, i) * STRIDE.st;
    copyBytes(tc.u8, at, area, FXSAVE.st + i * 16, 10);
    for (let b = 10; b < 16; b++) tc.u8[at + b] = 0;
  }
}

/** Puts the x87 part into its state after FNINIT. */
export function initX87(tc: X86ThreadContext): void {
  tc.u8.fill(0, OFFSET.fcw, OFFSET.mxcsr);
  tc.u8.fill(0, OFFSET.fip, OFFSET.fdp + 8);
  tc.u8.fill(0, OFFSET.st, OFFSET.zmm);
  tc.u16[OFFSET.fcw >> 1] = FCW_INIT;
}

/** Writes XMM0…XMM15 to the legacy area. */
export function writeXmm(tc: X86ThreadContext, area: Uint8Array): void {
  for (let i = 0; i < 16; i++) copyBytes(area, FXSAVE.xmm + i * 16, tc.u8, OFFSET.zmm + i * STRIDE.zmm, 16);
}

/** Reads XMM0…XMM15; the upper parts of the vector registers stay. */
export function readXmm(area: Uint8Array, tc: X86ThreadContext): void {
  for (let i = 0; i < 16; i++) copyBytes(tc.u8, OFFSET.zmm + i * STRIDE.zmm, area, FXSAVE.xmm + i * 16, 16);
}

/** Writes MXCSR and the mask of its defined bits to the legacy area. */
export function writeMxcsr(tc: X86ThreadContext, area: Uint8Array, mask: number = MXCSR_MASK): void {
  copyBytes(area, FXSAVE.mxcsr, tc.u8, OFFSET.mxcsr, 4);
  for (let i = 0; i < 4; i++) area[FXSAVE.mxcsrMask + i] = mask >>> (8 * i);
}

/** Reads MXCSR. */
export function readMxcsr(area: Uint8Array, tc: X86ThreadContext): void {
  copyBytes(tc.u8, OFFSET.mxcsr, area, FXSAVE.mxcsr, 4);
}

/** FXSAVE64: all 512 bytes but the last 48, which are left to software. */
export function writeFxsave(tc: X86ThreadContext, area: Uint8Array): void {
  writeX87(tc, area);
  writeMxcsr(tc, area);
  writeXmm(tc, area);
}

/** FXRSTOR64. The caller has checked MXCSR's reserved bits. */
export function readFxsave(area: Uint8Array, tc: X86ThreadContext): void {
  readX87(area, tc);
  readMxcsr(area, tc);
  readXmm(area, tc);
}

/** Tag of an 80-bit value that is not empty, from its exponent and significand. SDM vol. 1 §8.1.7. */
function tagOf(u8: Uint8Array, at: number): number {
  const exponent = (u8[at + 8]! | (u8[at + 9]! << 8)) & 0x7fff;
  const integerBit = u8[at + 7]! >>> 7;
  if (exponent === 0x7fff) return X87Tag.special;
  if (exponent !== 0) return integerBit ? X87Tag.valid : X87Tag.special;
  for (let i = 0; i < 8; i++) if (u8[at + i] !== 0) return X87Tag.special;
  return X87Tag.zero;
}

/** The full 16-bit tag word (two bits per physical register, as FNSTENV stores it). */
export function fullTagWord(tc: X86ThreadContext): number {
  const abridged = tc.u16[OFFSET.ftw >> 1]!;
  let tags = 0;
  for (let i = 0; i < 8; i++) {
    const tag = abridged & (1 << i) ? tagOf(tc.u8, OFFSET.st + i * STRIDE.st) : X87Tag.empty;
    tags |= tag << (2 * i);
  }
  return tags;
}

/** The abridged tag byte of a full tag word: bit i set = R<i> not empty. */
export function abridgeTagWord(full: number): number {
  let abridged = 0;
  for (let i = 0; i < 8; i++) if (((full >>> (2 * i)) & 3) !== X87Tag.empty) abridged |= 1 << i;
  return abridged;
}

/** MM<`i`>: the significand of R<i>, whatever TOP is. */
export function mmx(tc: X86ThreadContext, i: number): bigint {
  return tc.get(OFFSET.st + i * STRIDE.st);
}

/**
 * Writes MM<`i`> as an MMX instruction does: exponent and sign all ones, TOP 0, every tag valid. SDM vol. 1
 * §9.5.1.
 */
export function setMmx(tc: X86ThreadContext, i: number, value: bigint): void {
  const at = OFFSET.st + i * STRIDE.st;
  tc.set(at, value);
  tc.u16[(at + 8) >> 1] = 0xffff;
  tc.u16[OFFSET.fsw >> 1]! &= ~0x3800;
  tc.u16[OFFSET.ftw >> 1] = 0xff;
}
