/**
 * Loads of segment registers and questions about descriptors. SDM vol. 3 §5.5 to §5.7 (privilege checks), vol. 2A "MOV",
 * "LAR", "LSL", vol. 2D "VERR/VERW".
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { DescriptorQuery, FarTransfer } from '../../arch/x86/isa/assists.ts';
import { Seg } from '../../arch/x86/registers.ts';
import { SegmentAttribute as A, type Segment, SegmentPreset } from '../../arch/x86/segments.ts';
import { LinuxSelector } from '../../arch/x86/user-mode.ts';
import type { AssistContext } from './assists.ts';

const LEVEL = 3;
/** Selectors that differ in their requested privilege level only are equal but for it. */
const INDEX_AND_TABLE = 0xfffc;

/** Segment register `segment`, other than CS, becomes what `selector` stands for. */
export function loadSegment(context: AssistContext, segment: number, selector: number): number {
  const { tc } = context;
  const isNull = (selector & INDEX_AND_TABLE) === 0;
  if (segment === Seg.SS) {
    const stack = stackSegment(context, selector);
    if (stack !== undefined) tc.setSegment(segment, stack);
  } else if (isNull) tc.setSegment(segment, { ...SegmentPreset.unusable, selector });
  else {
    const data = presentSegment(context, selector, Vector.NP, isDataFor);
    if (data !== undefined) tc.setSegment(segment, data);
  }
  return 0;
}

/** What SS may be loaded with; undefined: an exception has been raised. */
function stackSegment(context: AssistContext, selector: number): Segment | undefined {
  return presentSegment(context, selector, Vector.SS, isStackFor);
}

/** What a selector stands for, if it is suitable and present; undefined: an exception has been raised. */
function presentSegment(
  context: AssistContext,
  selector: number,
  absent: number,
  isSuitable: (cpl: number, selector: number, segment: Segment) => boolean,
): Segment | undefined {
  const errorCode = selector & INDEX_AND_TABLE;
  const found = errorCode === 0 ? undefined : context.descriptor(selector);
  if (found === undefined || !isSuitable(context.tc.cpl, selector, found))
    context.raise(Vector.GP, errorCode);
  else if ((found.attributes & A.P) === 0) context.raise(absent, errorCode);
  else return { ...found, selector, attributes: found.attributes | A.ACCESSED };
  return undefined;
}

/**
 * CS becomes what a selector stands for, and SS with `returnWithStack`: both or none. SDM vol. 2 "JMP", "RET", "IRET".
 * @param selectors of CS, above it of SS
 * @param high upper half of the offset, which only 64-bit code has
 */
export function farTransfer(context: AssistContext, selectors: number, kind: number, high: number): number {
  const { tc } = context;
  const selector = selectors & 0xffff;
  const isSuitable = kind === FarTransfer.jump ? isCodeFor : isCodeToReturnTo;
  const code = presentSegment(context, selector, Vector.NP, isSuitable);
  if (code === undefined) return 0;
  if ((code.attributes & A.L) === 0 && high !== 0) {
    context.raise(Vector.GP, 0);
    return 0;
  }
  const { cpl } = tc;
  if (kind === FarTransfer.returnWithStack) {
    const stack = stackSegment(context, selectors >>> 16);
    if (stack === undefined) return 0;
    tc.setSegment(Seg.SS, stack);
  }
  // The privilege level stays: the requested one does not count.
  tc.setSegment(Seg.CS, { ...code, selector: (selector & INDEX_AND_TABLE) | cpl });
  return 0;
}

/** Code that JMP and CALL may go to. */
function isCodeFor(cpl: number, selector: number, segment: Segment): boolean {
  if (!isCode(segment)) return false;
  if ((segment.attributes & A.CONFORMING) !== 0) return dplOf(segment) <= cpl;
  return (selector & LEVEL) <= cpl && dplOf(segment) === cpl;
}

/** Code of this privilege level: returns to outer ones are not there yet. */
function isCodeToReturnTo(cpl: number, selector: number, segment: Segment): boolean {
  return (selector & LEVEL) === cpl && isCodeFor(cpl, selector, segment);
}

/** Code of 64-bit mode has no default operand size. */
function isCode({ attributes }: Segment): boolean {
  const ofCode = A.S | A.CODE;
  return (attributes & ofCode) === ofCode && (attributes & (A.L | A.DB)) !== (A.L | A.DB);
}

function dplOf({ attributes }: Segment): number {
  return (attributes & A.DPL) >>> A.DPL_SHIFT;
}

/** Writable data of exactly this privilege level. */
function isStackFor(cpl: number, selector: number, segment: Segment): boolean {
  const isWritable = (segment.attributes & (A.S | A.CODE | A.WRITABLE)) === (A.S | A.WRITABLE);
  return isWritable && (selector & LEVEL) === cpl && dplOf(segment) === cpl;
}

/** Data, or code that can be read; neither more privileged unless it is conforming code. */
function isDataFor(cpl: number, selector: number, segment: Segment): boolean {
  const { attributes } = segment;
  const isCode = (attributes & A.CODE) !== 0;
  if ((attributes & A.S) === 0 || (isCode && (attributes & A.READABLE) === 0)) return false;
  if (isCode && (attributes & A.CONFORMING) !== 0) return true;
  return Math.max(cpl, selector & LEVEL) <= dplOf(segment);
}

/** Whether there is an answer, a DescriptorQuery, about this selector; result: u32 at 0. */
export function describeSegment(context: AssistContext, selector: number, query: number): number {
  if ((selector & INDEX_AND_TABLE) === 0) return 0;
  const found = context.descriptor(selector);
  if (found === undefined || (found.attributes & A.S) === 0) return 0;
  const { attributes, limit } = found;
  const isConforming = (attributes & A.CODE) !== 0 && (attributes & A.CONFORMING) !== 0;
  const isVisible = isConforming || Math.max(context.tc.cpl, selector & LEVEL) <= dplOf(found);
  switch (query) {
    case DescriptorQuery.accessRights:
      context.scratch.setUint32(0, accessRights(found), true);
      return isVisible ? 1 : 0;
    case DescriptorQuery.limit:
      context.scratch.setUint32(0, limit, true);
      return isVisible ? 1 : 0;
    case DescriptorQuery.isReadable:
      return isVisible && ((attributes & A.CODE) === 0 || (attributes & A.READABLE) !== 0) ? 1 : 0;
    default:
      return isVisible && (attributes & (A.CODE | A.WRITABLE)) === A.WRITABLE ? 1 : 0;
  }
}

/** The second half of the descriptor. Bits 19 to 16, undefined, are the limit's, as AMD Zen has them. */
function accessRights({ attributes, limit }: Segment): number {
  const field = (attributes & A.G) !== 0 ? limit >>> 12 : limit;
  return ((attributes & 0xf0ff) << 8) | (field & 0xf_0000);
}

const USER_CODE_32: Segment = {
  ...SegmentPreset.userCode64,
  attributes: (SegmentPreset.userCode64.attributes & ~A.L) | A.DB,
};

/** What selectors stand for that Linux gives to programs (arch/x86/include/asm/segment.h); no local descriptor table. */
export function linuxDescriptor(selector: number): Segment | undefined {
  switch (selector | LEVEL) {
    case LinuxSelector.sysretBase:
      return USER_CODE_32;
    case LinuxSelector.userData:
      return SegmentPreset.userData;
    case LinuxSelector.userCode:
      return SegmentPreset.userCode64;
    default:
      return undefined;
  }
}
