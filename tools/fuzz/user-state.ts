// The part of a thread context that the state of a fuzzer's case consists of: what user code in ring 3 can read and change.

import { MXCSR_MASK } from '../../src/arch/x86/fxsave.ts';
import { Rflags, Seg } from '../../src/arch/x86/registers.ts';
import {
  REGISTERS,
  type RegisterDescription,
  SEGMENT,
  STATE_SIZE_BYTES,
  segmentOffset,
} from '../../src/arch/x86/state-layout.ts';
import { OFFSET, X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../src/arch/x86/user-mode.ts';

/**
 * Bits of RFLAGS that user code can change (SDM vol. 1 §3.4.3). RF is left out: it lives between instructions only, and
 * whether it is seen there depends on the way in.
 */
export const USER_RFLAGS =
  Rflags.CF |
  Rflags.PF |
  Rflags.AF |
  Rflags.ZF |
  Rflags.SF |
  Rflags.TF |
  Rflags.DF |
  Rflags.OF |
  Rflags.NT |
  Rflags.AC |
  Rflags.ID;

/** Bits of RFLAGS that are set in every state. */
export const FIXED_RFLAGS = Rflags.FIXED | Rflags.IF;

/** What an executor's processor has beside the state of a case. */
export interface UserEnvironment {
  /** Physical address of the top-level page table. */
  readonly pageTableRoot: number;
  /** State components: a mask of `Xcr0`. */
  readonly xcr0: number;
  /** CR4 bits of features: `Cr4.OSXSAVE`, `Cr4.FSGSBASE`. */
  readonly cr4: number;
}

/** Puts a processor into ring 3 of 64-bit mode: registers zero, x87 and SSE as after reset and FNINIT. */
export function enterEnvironment(tc: X86ThreadContext, { pageTableRoot, xcr0, cr4 }: UserEnvironment): void {
  setUserMode(tc, pageTableRoot, xcr0, cr4);
}

const EMPTY = new X86ThreadContext();
enterEnvironment(EMPTY, { pageTableRoot: 0, xcr0: 0, cr4: 0 });

/** A state to start from: registers zero, x87 and SSE as after reset and FNINIT, no page table. */
export function emptyState(states?: StateSource): X86ThreadContext {
  const tc = states === undefined ? new X86ThreadContext() : states.next();
  tc.u8.set(EMPTY.u8);
  return tc;
}

const STATES_PER_SLAB = 128;
const STATE_STRIDE = Math.ceil(STATE_SIZE_BYTES / 64) * 64;

/** Contexts that share memory by the dozen: a buffer for each would be most of what random cases cost. */
export class StateSource {
  #slab = new ArrayBuffer(0);
  #used = 0;

  /** A context of zeros. */
  next(): X86ThreadContext {
    if (this.#used === this.#slab.byteLength) {
      this.#slab = new ArrayBuffer(STATES_PER_SLAB * STATE_STRIDE);
      this.#used = 0;
    }
    const tc = new X86ThreadContext(this.#slab, this.#used);
    this.#used += STATE_STRIDE;
    return tc;
  }
}

export const FS_BASE = segmentOffset(Seg.FS) + SEGMENT.base;
export const GS_BASE = segmentOffset(Seg.GS) + SEGMENT.base;

/** Byte ranges of the user state in a thread context, `[start, end)`, multiples of 8. PKRU is the environment's. */
const RANGES: readonly (readonly [start: number, end: number])[] = [
  [OFFSET.gpr, OFFSET.segments],
  [FS_BASE, FS_BASE + 8],
  [GS_BASE, GS_BASE + 8],
  [OFFSET.fcw, OFFSET.msr],
];

/** The registers of the user state. */
export const USER_REGISTERS: readonly RegisterDescription[] = REGISTERS.filter(
  ({ at, name }) => name !== 'pkru' && RANGES.some(([start, end]) => at >= start && at < end),
);

/** Copies the user state. Hot path. */
export function copyUserState(to: X86ThreadContext, from: X86ThreadContext): void {
  for (const [start, end] of RANGES) to.u8.set(from.u8.subarray(start, end), start);
}

/** Whether the user states are the same, bit by bit. Hot path. */
export function sameUserState(one: X86ThreadContext, other: X86ThreadContext): boolean {
  return RANGES.every(
    ([start, end]) => Buffer.compare(one.u8.subarray(start, end), other.u8.subarray(start, end)) === 0,
  );
}

/** Bits of the x87 control word that software can change; bit 6 is always set. SDM vol. 1 §8.1.5. */
const FCW_BITS = 0x0f3f;
const FCW_FIXED = 0x0040;
/** The exception flags of the status word that have a mask, and the bits that say that one of them is not masked. */
const X87_EXCEPTIONS = 0x3f;
const X87_SUMMARY = 0x8080;

/** Gives a state the form in which a processor keeps it when it is loaded: reserved bits, and what derives from others. */
export function canonicalize({ u16, u32 }: X86ThreadContext): void {
  u32[OFFSET.rflags >> 2] = (u32[OFFSET.rflags >> 2]! & USER_RFLAGS) | FIXED_RFLAGS;
  u16[OFFSET.fcw >> 1] = (u16[OFFSET.fcw >> 1]! & FCW_BITS) | FCW_FIXED;
  const isPending = u16[OFFSET.fsw >> 1]! & ~u16[OFFSET.fcw >> 1]! & X87_EXCEPTIONS;
  u16[OFFSET.fsw >> 1] = (u16[OFFSET.fsw >> 1]! & ~X87_SUMMARY) | (isPending ? X87_SUMMARY : 0);
  u16[OFFSET.ftw >> 1]! &= 0xff;
  u32[OFFSET.mxcsr >> 2]! &= MXCSR_MASK;
}
