// MSR accesses that leave the guest (KVM_CAP_X86_USER_SPACE_MSR): those of the simulated local APIC, and those that KVM does
// not know. Without the capability the first kind cannot be served, and CPUID hides the features that need it.

import { HyperVMsr } from '../../../arch/x86/hyper-v.ts';
import type { InterruptController } from '../../../arch/x86/interrupts.ts';
import { MsrIndex } from '../../../arch/x86/msrs.ts';
import { KvmCap } from '../../../host/kvm/abi.ts';
import { KvmMsrFilterFlag } from '../../../host/kvm/abi-x86.ts';
import type { MsrFields } from '../../../host/kvm/run.ts';
import type { MsrFilterRange } from '../../../host/kvm/vm.ts';
import type { GuestTsc, TscPolicy } from './guest-tsc.ts';
import type { HyperV } from './hyper-v.ts';
import type { ParavirtualClock } from './paravirtual-clock.ts';
import type { X86KvmCpuWiring, X86KvmFacts } from './x86-kvm-params.ts';

/** MSRs of x2APIC mode (SDM vol. 3 table 10-6). KVM cannot filter them: without its APIC they leave the guest as invalid. */
const X2APIC_FIRST = 0x800;
const X2APIC_LAST = 0x8ff;

const { READ, WRITE } = KvmMsrFilterFlag;
/** What KVM would serve by itself, and must not. */
export const SIMULATED_APIC_MSRS: readonly MsrFilterRange[] = [
  { flags: READ | WRITE, first: MsrIndex.TSC_DEADLINE, count: 1 },
];
/** A TSC that follows simulated time is written by the simulator. */
export const SIMULATED_TSC_MSRS: readonly MsrFilterRange[] = [
  { flags: WRITE, first: MsrIndex.TSC, count: 1 },
  { flags: WRITE, first: MsrIndex.TSC_ADJUST, count: 1 },
];
/** Date and time of the paravirtual clock come from the simulated machine. */
export const WALL_CLOCK_MSRS: readonly MsrFilterRange[] = [
  { flags: WRITE, first: MsrIndex.KVM_WALL_CLOCK_NEW, count: 1 },
];

/** Ports of Hyper-V's interface have messages that wait for a free slot. */
export const END_OF_MESSAGE_MSRS: readonly MsrFilterRange[] = [
  { flags: WRITE, first: HyperVMsr.EOM, count: 1 },
];

function isOfApic(index: number): boolean {
  return (index >= X2APIC_FIRST && index <= X2APIC_LAST) || index === MsrIndex.TSC_DEADLINE;
}

/** All accesses that are to leave a full-system guest of this machine. */
export function exitedMsrs(
  { interrupts }: X86KvmCpuWiring,
  tsc: TscPolicy,
  clock: ParavirtualClock | undefined,
  hyperV: HyperV | undefined,
): MsrFilterRange[] {
  return [
    ...(interrupts === undefined ? [] : SIMULATED_APIC_MSRS),
    ...(tsc === 'simulated' ? SIMULATED_TSC_MSRS : []),
    ...(clock === undefined ? [] : WALL_CLOCK_MSRS),
    ...(hyperV === undefined ? [] : END_OF_MESSAGE_MSRS),
  ];
}

/** Whether this KVM hands refused and unknown MSRs to user space. */
export function hasMsrExits(kvm: X86KvmFacts): boolean {
  return kvm.capability(KvmCap.X86_USER_SPACE_MSR) > 0 && kvm.capability(KvmCap.X86_MSR_FILTER) > 0;
}

/** Whether the guest's accesses to the local APIC's MSRs arrive at whoever plays the APIC. */
export function reachesApicMsrs({ kvm, irqchip, interrupts, exitOnMsrs }: X86KvmCpuWiring): boolean {
  if (irqchip !== undefined) return kvm.capability(KvmCap.TSC_DEADLINE_TIMER) > 0;
  return interrupts !== undefined && exitOnMsrs !== undefined && hasMsrExits(kvm);
}

/** A guest can ask for 2^32 of them. */
const MOST_REPORTS = 1000;

export class MsrExits {
  readonly #controller: InterruptController | undefined;
  readonly #tsc: () => GuestTsc;
  readonly #clock: ParavirtualClock | undefined;
  readonly #hyperV: HyperV | undefined;
  readonly #report: (text: string) => void;
  readonly #reported = new Set<number>();

  /** @param report is told once of each MSR that nobody knows, up to a number */
  constructor(
    controller: InterruptController | undefined,
    tsc: () => GuestTsc,
    clock: ParavirtualClock | undefined,
    hyperV: HyperV | undefined,
    report: (text: string) => void,
  ) {
    this.#controller = controller;
    this.#tsc = tsc;
    this.#clock = clock;
    this.#hyperV = hyperV;
    this.#report = report;
  }

  /** Answers the access; what is refused raises #GP in the guest. */
  serve(msr: MsrFields, isWrite: boolean): void {
    const isKnown = isWrite ? this.#write(msr.index, msr.data) : this.#read(msr);
    msr.error = !isKnown;
    if (isKnown || this.#reported.size >= MOST_REPORTS || this.#reported.has(msr.index)) return;
    this.#reported.add(msr.index);
    this.#report(`${isWrite ? 'WRMSR to' : 'RDMSR of'} 0x${msr.index.toString(16)} raises #GP`);
  }

  #read(msr: MsrFields): boolean {
    const value = isOfApic(msr.index) ? this.#controller?.readMsr(msr.index) : undefined;
    if (value === undefined) return false;
    msr.data = value;
    return true;
  }

  #write(index: number, value: bigint): boolean {
    if (isOfApic(index)) return this.#controller?.writeMsr(index, value) ?? false;
    if (index === MsrIndex.KVM_WALL_CLOCK_NEW) return this.#clock?.writeWallClock(value) ?? false;
    if (index === HyperVMsr.EOM) return this.#endOfMessage(value);
    if (index === MsrIndex.TSC) this.#tsc().write(value);
    else if (index !== MsrIndex.TSC_ADJUST || !this.#tsc().writeAdjust(value)) return false;
    this.#controller?.tscChanged?.();
    return true;
  }

  #endOfMessage(value: bigint): boolean {
    this.#hyperV?.endOfMessage(value);
    return this.#hyperV !== undefined;
  }
}
