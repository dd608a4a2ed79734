// Parameters of the x86 KVM CPU and what it is wired to.

import type { InterruptController } from '../../../arch/x86/interrupts.ts';
import type { CpuidEntry, X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { MsrFilterRange } from '../../../host/kvm/vm.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { MemoryMode } from '../../../mem/memory-mode.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';
import {
  bool,
  choice,
  declareParams,
  duration,
  int,
  optional,
  type ParamInputs,
  text,
} from '../../../sim/params.ts';
import type { BaseKvmCpuParams } from '../params.ts';
import type { HostParts, HostWants } from '../vcpu-parts.ts';
import { TSC_POLICIES } from './guest-tsc.ts';

export const X86_KVM_CPU_PARAMS = declareParams({
  useXSave: bool({
    default: true,
    description: 'transfer vector registers by XSAVE; without it only x87 and SSE',
  }),
  tsc: optional(
    choice(TSC_POLICIES, {
      description: 'what the TSC follows; default: simulated time on a board, the host in syscall emulation',
    }),
  ),
  tscDrift: duration({
    default: '50us',
    description:
      'how far a simulated TSC may be off before it is re-based; ten times as far ahead where exits follow one another closely',
  }),
  kvmClock: bool({
    default: true,
    description: "offer KVM's clock to guests that know it; it follows simulated time",
  }),
  showHypervisor: bool({
    default: false,
    description: "let CPUID say that there is a hypervisor, and show KVM's own leaves",
  }),
  features: text({
    default: '',
    description: "processor features to hide, or to show where that is left to you, such as '-avx2,+svm'",
  }),
  hyperV: bool({
    default: false,
    description: "offer Hyper-V's interfaces to guests; needs the kernel's interrupt controllers",
  }),
  apicId: int({ default: 0, min: 0, max: 254, description: 'APIC id of this processor' }),
  cpuCount: int({ default: 1, min: 1, max: 255, description: 'processors in the machine, for CPUID' }),
});

type OwnParams = ParamInputs<typeof X86_KVM_CPU_PARAMS>;
export type X86KvmCpuParams = BaseKvmCpuParams & OwnParams;

/** What is said of this CPU, and what of every KVM CPU. */
export function splitParams(params: X86KvmCpuParams): [own: OwnParams, base: BaseKvmCpuParams] {
  const isOwn = ([name]: readonly [string, unknown]): boolean => Object.hasOwn(X86_KVM_CPU_PARAMS, name);
  const all = Object.entries(params);
  return [Object.fromEntries(all.filter(isOwn)), Object.fromEntries(all.filter((entry) => !isOwn(entry)))];
}

/** What the CPU asks of KVM; `Kvm` is the real one. */
export interface X86KvmFacts {
  capability(cap: number): number;
  readonly supportedCpuid: readonly CpuidEntry[];
  /** Asked only where `KVM_CAP_SYS_HYPERV_CPUID` is there. */
  readonly supportedHyperVCpuid: readonly CpuidEntry[];
  readonly msrIndices: readonly number[];
}

/** An in-kernel irqchip, as its CPUs see it; `KvmIrqchip` is the real one. */
export interface InKernelApics {
  /** The vCPU has a local APIC in the kernel now. */
  vcpuCreated(apicId: number, vcpu: X86Vcpu): void;
  /** Whether there is restored state for a local APIC, to be given when the special registers are in KVM. */
  owesLocalApic(apicId: number): boolean;
  giveLocalApic(apicId: number): void;
  /** The synthetic interrupt sources of so many vCPUs get lines of their own. Before the first vCPU. */
  routeSints(vcpuCount: number): void;
  /** Raises a synthetic interrupt source. */
  raiseSint(vcpuId: number, sint: number): void;
}

/** What the CPU is wired to: one of `interrupts`, `irqchip` (full system) and `stubBase` (syscall emulation). */
export interface X86KvmCpuWiring {
  readonly kvm: X86KvmFacts;
  createVcpu(): X86Vcpu;
  /** Makes these accesses to MSRs, and those that KVM refuses, leave the guest. Called before {@link createVcpu}. */
  exitOnMsrs?(refused: readonly MsrFilterRange[]): void;
  /** Lets the kernel queue writes that have no effect outside. Called before the first {@link createVcpu}, if it is wanted. */
  coalesce?(): void;
  attach(vcpu: X86Vcpu, warn: (message: string) => void, wants: HostWants): HostParts;
  /** The system's memory mode; absent: atomicNoncaching. */
  memoryMode?(): MemoryMode;
  readonly memory: PhysicalMemory;
  /** Physical address of a region of `STUB_SIZE_BYTES` that belongs to the CPU: for syscall emulation. */
  readonly stubBase?: number;
  /** The simulated local APIC. */
  readonly interrupts?: InterruptController;
  /** Where that APIC's registers are in the system, if not at its default address: with several processors. */
  readonly localApic?: PhysAddr;
  /** Frequency of the local APIC's timer, for CPUID leaf 15H. */
  readonly apicTimerKhz?: number;
  /** The clock of the virtual machine, and date and time at tick 0 in seconds since 1970: for the paravirtual clock. */
  readonly clock?: { setClock(ns: bigint): void; readonly startSeconds: number };
  /** The interrupt controllers of the kernel, in place of `interrupts`. */
  readonly irqchip?: InKernelApics;
}
