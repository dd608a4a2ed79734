// What is said about exits that end the simulation: failed entries with the rules that the state breaks, and instructions
// that KVM cannot emulate with their bytes. SDM vol. 3 appendix C (basic exit reasons); APM vol. 2 appendix C.

import { dumpAll } from '../../../arch/x86/dump.ts';
import { checkGuestState, type GuestStateOptions } from '../../../arch/x86/guest-state-check.ts';
import type { X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { HostError } from '../../../host/errors.ts';
import { KvmInternalError, KvmSystemEvent } from '../../../host/kvm/abi.ts';
import { describeExit, type KvmExit } from '../../../host/kvm/exit.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';

/** Longest x86 instruction. SDM vol. 2 §2.3.11. */
const MAX_INSTRUCTION_BYTES = 15;
const PAGE = 4096n;

/** Bit 31 of VMX's exit reason: the entry failed. Below it the basic reason. */
const VMX_ENTRY_FAILURE = 0x8000_0000n;
const VMX_REASONS: Readonly<Record<number, string>> = {
  33: 'invalid guest state',
  34: 'an MSR could not be loaded',
  41: 'a machine check during the entry',
};
/** SVM's VMEXIT_INVALID, −1. */
const SVM_INVALID = 0xffff_ffff_ffff_ffffn;
const VMX_INSTRUCTION_ERRORS: Readonly<Record<number, string>> = {
  7: 'VMX: invalid control fields',
  8: 'VMX: invalid host state',
};

/** What the hardware's reason for refusing an entry means. */
export function nameEntryFailure(reason: bigint): string {
  if (reason === SVM_INVALID) return 'SVM: invalid guest state';
  const basic = Number(reason & 0xffffn);
  if ((reason & VMX_ENTRY_FAILURE) !== 0n) return `VMX: ${VMX_REASONS[basic] ?? `basic reason ${basic}`}`;
  return VMX_INSTRUCTION_ERRORS[basic] ?? 'a reason of the host kernel';
}

/** Rules of the processor's checks that the state violates, as text; empty if there are none. */
export function violatedRules(tc: X86ThreadContext, options: GuestStateOptions): string {
  return checkGuestState(tc, options)
    .map(({ rule, section, value }) => `${rule} (${section}; is ${value})`)
    .join('; ');
}

/** Bytes at the guest's next instruction, as far as they can be read. */
export function instructionBytes(vcpu: X86Vcpu, memory: PhysicalMemory, linear: bigint): Uint8Array {
  const bytes: number[] = [];
  let physical = 0;
  for (let i = 0n; i < MAX_INSTRUCTION_BYTES; i++) {
    const address = linear + i;
    if (i === 0n || address % PAGE === 0n) {
      const at = translate(vcpu, address);
      if (at === undefined) break;
      physical = at;
    } else physical++;
    if (!memory.contains(physical as PhysAddr)) break;
    bytes.push(memory.readU8(physical as PhysAddr));
  }
  return Uint8Array.from(bytes);
}

/** By the guest's page tables; undefined where nothing is mapped. */
function translate(vcpu: X86Vcpu, linear: bigint): number | undefined {
  try {
    const { valid, physicalAddress } = vcpu.translate(linear);
    return valid ? Number(physicalAddress) : undefined;
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}

const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

/**
 * One line about an exit that nothing can serve.
 * @param tc all of it up to date
 */
export function reportExit(
  exit: KvmExit,
  tc: X86ThreadContext,
  vcpu: X86Vcpu,
  memory: PhysicalMemory,
  options: GuestStateOptions,
): string {
  const at = `at 0x${tc.linearPc.toString(16)}`;
  if (exit.kind === 'failEntry') {
    const rules = violatedRules(tc, options);
    const because = rules === '' ? 'the state breaks no rule that is known here' : `it breaks: ${rules}`;
    return `${describeExit(exit)} (${nameEntryFailure(exit.hardwareReason)}) ${at}; ${because}`;
  }
  if (exit.kind === 'internalError' && exit.suberror === KvmInternalError.EMULATION) {
    const bytes =
      exit.instruction.length > 0 ? exit.instruction : instructionBytes(vcpu, memory, tc.linearPc);
    const shown = bytes.length > 0 ? `bytes ${hexBytes(bytes)}` : 'whose bytes cannot be read';
    return `this KVM cannot execute the instruction ${at}, ${shown}; 'hypertick doctor' says what KVM can do here`;
  }
  return `KVM exit that cannot be served ${at}: ${describeExit(exit)}`;
}

/** Causes of exit events for what a guest asks of its hypervisor. */
export const SystemEventCause = {
  shutdown: 'system shutdown',
  reset: 'system reset',
  crash: 'system crash',
} as const;

const SYSTEM_EVENT_CAUSES: Readonly<Record<number, string>> = {
  [KvmSystemEvent.SHUTDOWN]: SystemEventCause.shutdown,
  [KvmSystemEvent.RESET]: SystemEventCause.reset,
  [KvmSystemEvent.CRASH]: SystemEventCause.crash,
};

/** Cause of the exit event for KVM_EXIT_SYSTEM_EVENT. */
export function systemEventCause(exit: KvmExit): string {
  const type = exit.kind === 'systemEvent' ? exit.type : 0;
  return SYSTEM_EVENT_CAUSES[type] ?? `system event ${type}`;
}

/** The state for the reader of a report. */
export function stateReport(tc: X86ThreadContext): string {
  return `state of the vCPU:\n${dumpAll(tc)}`;
}
