// Where KVM's answer is not that of the processor. Under PVM an access to an address that is not canonical, and an instruction
// that the processor refuses, come to KVM's emulator, which differs from the silicon; the rules below were compared with what
// the same instructions do outside of KVM.

import { Vector } from '../../src/arch/x86/exceptions.ts';
import type { SplitCode } from '../../src/arch/x86/isa/missing.ts';
import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import { OFFSET } from '../../src/arch/x86/thread-context.ts';
import { END_ADDRESS } from './address-space.ts';
import { beginsWith, codeAtRip } from './code-at-rip.ts';
import type { Ending, Outcome, Sequence } from './sequence.ts';

type Exception = Ending & { readonly kind: 'exception' };

const SEGMENT_PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e];
/** What an access may raise. */
const ACCESS_FAULTS: ReadonlySet<number> = new Set([Vector.PF, Vector.GP, Vector.SS, Vector.AC]);
const LAST_PAGE = 0x7_ffff_ffffn;
/** MOVS and STOS. */
const STRING_STORES: readonly number[] = [0xa4, 0xa5, 0xaa, 0xab];
/** Of them the emulator does not know that LOCK makes them undefined. */
const RESERVED_NOPS: readonly number[] = [0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1f];
const LOCK = 0xf0;
const REPE = 0xf3;
const REPNE = 0xf2;

/** Whether what KVM says may differ from what a simulated processor rightly says. */
export function isKvmExcused(sequence: Sequence, kvm: Outcome, other: Outcome): boolean {
  if (isStoreOverItself(sequence, kvm)) return true;
  if (other.ending.kind !== 'exception') return false;
  if (isInt1(sequence, kvm)) return true;
  if (isInGateway(other) || isAcceptedByEmulator(sequence, other) || isFxsave(sequence, other)) return true;
  if (kvm.ending.kind !== 'exception') return false;
  const code = () => codeAtRip(sequence, other);
  if (isBadAddress(other.ending) && isEmulated(kvm, other.ending, code)) return true;
  // A far CALL behind several REX prefixes and SYSRET with LOCK are #UD, but not to the emulator.
  const isRefused = other.ending.vector === Vector.UD && kvm.ending.vector === Vector.GP;
  if (isRefused && (beginsWith(code(), 0x9a) || beginsWith(code(), 0x0f, 0x07))) return true;
  // Zen 4: REPE CMPSB reads rSI first, all other CMPS rDI.
  // A misaligned access comes to #AC first, though the page is not there; in the upper half PVM has #PF, and its emulator #UD.
  if (other.ending.vector === Vector.AC && isOfUpperHalf(kvm.ending)) return true;
  const areFaults = isAccessFault(kvm.ending) && isAccessFault(other.ending);
  if (areFaults && beginsWith(code(), 0xa6) && code().prefixes.includes(REPE)) return true;
  // Zen 4: MASKMOVQ has entered the MMX state before it faults, and a page that is not there comes before #AC.
  return areFaults && beginsWith(code(), 0x0f, 0xf7);
}

/** What REP STOS and REP MOVS store over their own bytes takes effect when the next interrupt arrives. */
function isStoreOverItself({ codeAddress, instructions }: Sequence, { memory }: Outcome): boolean {
  let at = codeAddress;
  return instructions.some((instruction) => {
    const [start, end] = [at, at + instruction.length];
    at = end;
    return (
      instruction.some((byte) => byte === REPE || byte === REPNE) &&
      instruction.some((byte) => STRING_STORES.includes(byte)) &&
      memory.some(({ address, bytes }) => address < end && start < address + bytes.length)
    );
  });
}

/** Code that has changed itself, or a jump, may come to what excluded.ts leaves out. */
function isInt1(sequence: Sequence, kvm: Outcome): boolean {
  return kvm.ending.kind === 'exception' && beginsWith(codeAtRip(sequence, kvm), 0xf1);
}

/** The page at END_ADDRESS holds code of the executor: only its first byte is the end of a case, and it can be read. */
function isInGateway({ ending, state }: Outcome): boolean {
  const isThere = (address: number): boolean => address > END_ADDRESS && address < END_ADDRESS + PAGE_SIZE;
  if (ending.kind === 'exception' && ending.vector === Vector.PF && isThere(Number(ending.address)))
    return true;
  return isThere(state.ripNumber);
}

function isOfUpperHalf({ vector, address }: Exception): boolean {
  return vector === Vector.UD || (vector === Vector.PF && address >> 63n === 1n);
}

function isAccessFault({ vector }: Exception): boolean {
  return ACCESS_FAULTS.has(vector);
}

/** #GP and #SS; a page fault in the last canonical page, since the access may have gone beyond; and one in the upper half. */
function isBadAddress({ vector, errorCode, address }: Exception): boolean {
  if (vector === Vector.PF) return address >> 12n >= LAST_PAGE;
  return errorCode === 0 && (vector === Vector.GP || vector === Vector.SS);
}

function isEmulated({ ending, state }: Outcome, other: Exception, code: () => SplitCode): boolean {
  const kvm = ending as Exception;
  switch (kvm.vector) {
    case Vector.UD:
      // The emulator knows no x87 and hardly any SSE instruction.
      return true;
    case Vector.PF:
      // It looks at the first of two pages before it finds that the second is not there, and at rSI before rDI.
      if (kvm.address >> 12n === LAST_PAGE || beginsWith(code(), 0xa6) || beginsWith(code(), 0xa7))
        return true;
      return hasIgnoredSegment(code()) || (hasEnteredMmx(state) && beginsWith(code(), 0x0f));
    case Vector.GP:
    case Vector.SS:
      if (other.vector === Vector.PF) return hasIgnoredSegment(code());
      // And it has entered the MMX state before it faults.
      if (kvm.vector !== other.vector) return hasIgnoredSegment(code());
      return hasEnteredMmx(state) && beginsWith(code(), 0x0f);
    default:
      return false;
  }
}

/** To the emulator these prefixes are segments in 64-bit mode, too. */
function hasIgnoredSegment({ prefixes }: SplitCode): boolean {
  return prefixes.some((byte) => SEGMENT_PREFIXES.includes(byte));
}

function hasEnteredMmx({ u16 }: Outcome['state']): boolean {
  return u16[OFFSET.ftw >> 1] === 0xff;
}

/**
 * FXSAVE and FXRSTOR to an address that is no multiple of 16 or not canonical, and FXRSTOR of reserved bits, are #GP, or #SS; the
 * emulator executes them, or has #PF.
 */
function isFxsave(sequence: Sequence, other: Outcome): boolean {
  if (other.ending.kind !== 'exception' || !isBadAddress(other.ending)) return false;
  const code = codeAtRip(sequence, other);
  return beginsWith(code, 0x0f, 0xae) && ((code.opcode[2] ?? 0) & 0x30) === 0;
}

/** MOVNTI with 66, F2 or F3 is #UD, and PREFETCH with a register; the emulator executes them. */
function isAcceptedByEmulator(sequence: Sequence, other: Outcome): boolean {
  if (other.ending.kind !== 'exception' || other.ending.vector !== Vector.UD) return false;
  const code = codeAtRip(sequence, other);
  const isRegister = (code.opcode[2] ?? 0) >= 0xc0;
  if (beginsWith(code, 0x0f, 0x0d)) return isRegister;
  if (code.prefixes.includes(LOCK) && code.opcode[0] === 0x0f)
    return !isRegister && RESERVED_NOPS.includes(code.opcode[1] ?? 0);
  return beginsWith(code, 0x0f, 0xc3) && code.prefixes.some((byte) => [0x66, REPE, REPNE].includes(byte));
}
