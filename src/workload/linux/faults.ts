/**
 * Exceptions of user code as signals. SDM vol. 3A chapter 6; Linux arch/x86/kernel/traps.c, fpu/core.c for
 * the codes of floating-point errors.
 */
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { RegClass, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { UserException } from '../../cpu/user-mode-os.ts';
import type { AddressSpace } from './address-space.ts';
import { Signal, SignalCode, type SignalInfo } from './signals.ts';

/** #PF, which the address space is asked about first. */
export const PAGE_FAULT = 14;

/** Bits of a page fault's error code (SDM vol. 3A §4.7). */
export const PageFaultBit = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

interface Row {
  readonly signal: number;
  readonly code: number;
  /** What si_addr shows. */
  readonly address: 'rip' | 'zero';
}

const kernel = (signal: number): Row => ({ signal, code: SignalCode.SI_KERNEL, address: 'zero' });

const ROWS: readonly (Row | undefined)[] = [
  { signal: Signal.SIGFPE, code: SignalCode.FPE_INTDIV, address: 'rip' }, // #DE
  { signal: Signal.SIGTRAP, code: SignalCode.TRAP_TRACE, address: 'rip' }, // #DB
  undefined, // NMI is not the program's
  kernel(Signal.SIGTRAP), // #BP
  kernel(Signal.SIGSEGV), // #OF
  kernel(Signal.SIGSEGV), // #BR
  { signal: Signal.SIGILL, code: SignalCode.ILL_ILLOPN, address: 'rip' }, // #UD
  kernel(Signal.SIGSEGV), // #NM
  undefined, // #DF
  kernel(Signal.SIGFPE), // coprocessor segment overrun
  kernel(Signal.SIGSEGV), // #TS
  kernel(Signal.SIGBUS), // #NP
  kernel(Signal.SIGBUS), // #SS
  kernel(Signal.SIGSEGV), // #GP
  undefined, // #PF
  undefined, // reserved
  { signal: Signal.SIGFPE, code: SignalCode.FPE_FLTUNK, address: 'rip' }, // #MF
  { signal: Signal.SIGBUS, code: SignalCode.BUS_ADRALN, address: 'zero' }, // #AC
  undefined, // #MC
  { signal: Signal.SIGFPE, code: SignalCode.FPE_FLTUNK, address: 'rip' }, // #XM
  undefined, // #VE
  kernel(Signal.SIGSEGV), // #CP
];

const MATH_FAULT = 16;
const SIMD_FAULT = 19;

/**
 * What an exception of user code amounts to: a page that is there now, or a signal; undefined where user code
 * cannot have raised it.
 */
export function signalOfException(
  space: AddressSpace,
  cpu: BaseCpu<X86ThreadContext>,
  e: UserException,
): SignalInfo | 'resolved' | undefined {
  if (e.vector === PAGE_FAULT) return pageFault(space, e);
  const row = ROWS[e.vector];
  if (row === undefined) return undefined;
  const { rip } = cpu.readState(RegClass.general);
  const isMath = e.vector === MATH_FAULT || e.vector === SIMD_FAULT;
  const code = isMath ? floatingPointCode(e.vector, cpu.readState(RegClass.fpu)) : row.code;
  return { signal: row.signal, code, address: row.address === 'rip' ? rip : 0n };
}

function pageFault(space: AddressSpace, { errorCode, address }: UserException): SignalInfo | 'resolved' {
  const result = space.handleFault(Number(address), {
    write: (errorCode & PageFaultBit.write) !== 0,
    fetch: (errorCode & PageFaultBit.fetch) !== 0,
    user: (errorCode & PageFaultBit.user) !== 0,
  });
  if (result === 'resolved') return result;
  return { signal: Signal[result.signal], code: SignalCode[result.code], address };
}

/** One code for the unmasked exceptions that are flagged, in the kernel's order of precedence. */
function floatingPointCode(vector: number, tc: X86ThreadContext): number {
  const flagged = vector === MATH_FAULT ? tc.u16[OFFSET.fsw >> 1]! : tc.u32[OFFSET.mxcsr >> 2]!;
  const masked = vector === MATH_FAULT ? tc.u16[OFFSET.fcw >> 1]! : tc.u32[OFFSET.mxcsr >> 2]! >>> 7;
  const raised = flagged & ~masked;
  if (raised & 0x01) return SignalCode.FPE_FLTINV;
  if (raised & 0x04) return SignalCode.FPE_FLTDIV;
  if (raised & 0x08) return SignalCode.FPE_FLTOVF;
  if (raised & 0x12) return SignalCode.FPE_FLTUND;
  if (raised & 0x20) return SignalCode.FPE_FLTRES;
  return SignalCode.FPE_FLTUNK;
}
