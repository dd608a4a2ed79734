/** The simulator's routines behind `Cracker.assist`, by name: for what is rare or cannot be said in operations. */

import { Vector } from '../../arch/x86/exceptions.ts';
import { environmentFromMxcsr } from '../../arch/x86/float/environment.ts';
import { FLOAT_ROUTINE_TABLE } from '../../arch/x86/float/sse-routines.ts';
import { FXSAVE, readMxcsr, readX87, writeMxcsr, writeX87 } from '../../arch/x86/fxsave.ts';
import type { AssistName } from '../../arch/x86/isa/assists.ts';
import { Cr4 } from '../../arch/x86/registers.ts';
import type { Segment } from '../../arch/x86/segments.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { clearSelectors } from '../../arch/x86/xsave-instructions.ts';
import { describeSegment, farTransfer, loadSegment } from './segment-assists.ts';
import type { X87Assist } from './x87-assist.ts';
import type { XsaveAssist } from './xsave-assist.ts';

/** What an assist may use. */
export interface AssistContext {
  readonly tc: X86ThreadContext;
  /** Wide arguments and results: `Cracker.setArgument` and `assistResult`. */
  readonly scratch: DataView;
  readonly x87: X87Assist;
  readonly xsave: XsaveAssist;
  /** Raises an exception: nothing of the instruction takes effect. */
  raise(vector: number, errorCode: number): void;
  /** The time-stamp counter as two halves, and CPUID's answer to EAX, ECX. */
  readTsc(): readonly [lo: number, hi: number];
  cpuid(leaf: number, subleaf: number): readonly [eax: number, ebx: number, ecx: number, edx: number];
  /** 32 random bits, the same in every run. */
  random(): number;
  /** What a selector other than null stands for; undefined: nothing that there is. */
  descriptor(selector: number): Segment | undefined;
}

/** CPUID.(EAX=0DH, ECX=1):EAX. */
const XGETBV1 = 4;

export type Assist = (context: AssistContext, a: number, b: number, c: number) => number;

/** Results: EAX, EBX, ECX, EDX at 0, 4, 8, 12. */
function cpuid({ scratch, cpuid: answer }: AssistContext, leaf: number, subleaf: number): number {
  for (const [i, value] of answer(leaf >>> 0, subleaf >>> 0).entries()) scratch.setUint32(4 * i, value, true);
  return 0;
}

/** Result: u64 at 0. */
function rdtsc({ scratch, readTsc }: AssistContext): number {
  const [lo, hi] = readTsc();
  scratch.setUint32(0, lo, true);
  scratch.setUint32(4, hi, true);
  return 0;
}

/**
 * A quotient of 128 by 64 bits. Arguments: dividend at 0 (low) and 8 (high), divisor at 16; results: quotient at 0,
 * remainder at 8. The first value says whether signed.
 * @returns 1 if the quotient does not fit
 */
function divide128({ scratch }: AssistContext, isSigned: number): number {
  const high = isSigned ? scratch.getBigInt64(8, true) : scratch.getBigUint64(8, true);
  const dividend = (high << 64n) | scratch.getBigUint64(0, true);
  const divisor = isSigned ? scratch.getBigInt64(16, true) : scratch.getBigUint64(16, true);
  const quotient = dividend / divisor;
  const fits = isSigned ? BigInt.asIntN(64, quotient) === quotient : quotient < 2n ** 64n;
  if (!fits) return 1;
  scratch.setBigUint64(0, BigInt.asUintN(64, quotient), true);
  scratch.setBigUint64(8, BigInt.asUintN(64, dividend % divisor), true);
  return 0;
}

/**
 * A floating-point operation computed exactly: its code is the argument, its operands are at 0 and 16, and its result at 0.
 * An unmasked exception is #XM, or #UD without CR4.OSXMMEXCPT (SDM vol. 3A §2.5).
 */
function float({ tc, scratch, raise }: AssistContext, code: number): number {
  const at = OFFSET.mxcsr >> 2;
  const env = environmentFromMxcsr(tc.u32[at]!);
  const bytes = new Uint8Array(scratch.buffer, scratch.byteOffset, 32);
  const stands = FLOAT_ROUTINE_TABLE[code]!(bytes.subarray(0, 16), bytes.subarray(16, 32), env);
  tc.u32[at]! |= env.flags;
  if (!stands) raise((tc.u32[OFFSET.cr4 >> 2]! & Cr4.OSXMMEXCPT) !== 0 ? Vector.XM : Vector.UD, 0);
  return 0;
}

/** The area of FXSAVE in front of the SSE registers, at 0: instruction and data pointers in the form of 64 or 32 bits. */
function fxsave({ tc, scratch }: AssistContext, pointerBits: number): number {
  const area = areaOf(scratch);
  writeX87(tc, area);
  writeMxcsr(tc, area);
  if (pointerBits === 32) clearSelectors(area);
  return 0;
}

function fxrstor({ tc, scratch, x87: unit }: AssistContext, pointerBits: number): number {
  const area = areaOf(scratch);
  if (pointerBits === 32) clearSelectors(area);
  readX87(area, tc);
  unit.normalize();
  readMxcsr(area, tc);
  return 0;
}

function areaOf({ buffer, byteOffset }: DataView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, FXSAVE.xmm);
}

/** See X87Assist.run. */
function x87({ x87: unit }: AssistContext, fop: number, flags: number, operandBits: number): number {
  return unit.run(fop, flags, operandBits);
}

/** See XsaveAssist. The address and EDX:EAX are at XSAVE_ARGUMENTS. */
function xsave(
  { xsave: unit, scratch }: AssistContext,
  kind: number,
  pointerBits: number,
  is64: number,
): number {
  unit.save(scratch, kind, pointerBits, is64 !== 0);
  return 0;
}

function xrstor({ xsave: unit, scratch }: AssistContext, pointerBits: number, is64: number): number {
  unit.restore(scratch, pointerBits, is64 !== 0);
  return 0;
}

/** Which components are in use: what XGETBV with ECX = 1 tells, where CPUID leaf 0DH says that it does; 0 for ECX = 0. */
function xinuse({ xsave: unit, cpuid: answer, raise }: AssistContext, index: number): number {
  if (index === 0) return 0;
  if (index !== 1 || (answer(0xd, 1)[0] & XGETBV1) === 0) raise(Vector.GP, 0);
  return unit.inUse();
}

function random({ random: next }: AssistContext): number {
  return next() | 0;
}

/** The polynomial 11EDC6F41 (SDM vol. 2A "CRC32"), reflected. */
const CRC32_POLYNOMIAL = 0x82f6_3b78;
const CRC32_OF_BYTE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32_POLYNOMIAL : 0);
  return crc;
});

/** The checksum with the low `bits` of the data behind it. */
function crc32(_context: AssistContext, crc: number, data: number, bits: number): number {
  let rest = crc ^ data;
  for (let i = 0; i < bits; i += 8) rest = CRC32_OF_BYTE[rest & 0xff]! ^ (rest >>> 8);
  return rest;
}

export const ASSIST_ROUTINES: Readonly<Record<AssistName, Assist>> = {
  cpuid,
  rdtsc,
  divide128,
  float,
  fxsave,
  fxrstor,
  x87,
  xsave,
  xrstor,
  xinuse,
  random,
  crc32,
  loadSegment,
  describeSegment,
  farTransfer,
};
