/**
 * The CPU of a SeSystem by the name of its model, and for a run that switches, the one of the other model.
 */

import { CPUID_FEATURES } from '../arch/x86/cpuid.ts';
import type { XsaveFormat } from '../arch/x86/xsave.ts';
import type { BaseCpu } from '../cpu/base-cpu.ts';
import type { FeatureSet } from '../cpu/functional/features.ts';
import { FunctionalCpu } from '../cpu/functional/functional-cpu.ts';
import type { FunctionalCpuParams } from '../cpu/functional/params.ts';
import { Kvm } from '../cpu/kvm/kvm.ts';
import { attachVcpu } from '../cpu/kvm/kvm-host.ts';
import { X86KvmCpu, type X86KvmCpuParams } from '../cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../cpu/kvm/x86/x86-kvm-vm.ts';
import type { PhysicalMemory } from '../mem/physical-memory.ts';
import type { SimObject } from '../sim/sim-object.ts';
import { FatalError } from '../sim/trouble.ts';
import type { ProgramCpuModel } from './cpu-models.ts';

/** Physical address of the pages that the KVM CPU needs for itself: above everything that RAM can be. */
export const STUB_BASE = 0xffff_0000;

/** What the process has to know of its processor. */
export interface ProgramCpu {
  readonly cpu: BaseCpu;
  xsave(): XsaveFormat;
  readonly hwcap: number;
  readonly hwcap2: number;
  /** /proc/cpuinfo; undefined: the host's. */
  readonly cpuinfo?: string;
  /** The CPU of the other model, which takes turns with it. */
  readonly spare?: BaseCpu;
}

export interface ProgramCpuParams {
  readonly kvmCpu?: X86KvmCpuParams | undefined;
  readonly functionalCpu?: FunctionalCpuParams | undefined;
}

/** The host's KVM, if `model` means it; undefined: the functional CPU is to be used. Throws FatalError. */
export function openKvm(model: ProgramCpuModel): Kvm | undefined {
  // The KVM of another architecture runs other programs.
  if (model === 'functional' || (model === 'best' && process.arch !== 'x64')) return undefined;
  try {
    return Kvm.open();
  } catch (error) {
    if (model === 'best' && error instanceof FatalError) return undefined;
    throw error;
  }
}

/** Makes the CPU as a child of the system: under KVM if there is one given. */
export function makeProgramCpu(
  system: SimObject,
  memory: PhysicalMemory,
  kvm: Kvm | undefined,
  { kvmCpu, functionalCpu }: ProgramCpuParams,
): ProgramCpu {
  if (kvm === undefined) return described(new FunctionalCpu(system, 'cpu', memory, functionalCpu));
  const cpu = makeKvmCpu(system, 'cpu', memory, kvm, kvmCpu);
  return { cpu, xsave: () => cpu.xsaveFormat, hwcap: cpu.hwcap, hwcap2: cpu.hwcap2 };
}

/**
 * A functional CPU, which begins, so that the program finds its features when it asks at its start, and a KVM CPU, which hides
 * all others where KVM can.
 */
export function makeSwitchedCpus(
  system: SimObject,
  memory: PhysicalMemory,
  kvm: Kvm,
  { kvmCpu, functionalCpu }: ProgramCpuParams,
): ProgramCpu {
  const cpu = new FunctionalCpu(system, 'cpu', memory, functionalCpu);
  const features = hidingAllBut(cpu.cpuid.features);
  const spare = makeKvmCpu(system, 'cpu1', memory, kvm, { ...kvmCpu, features, switchedOut: true });
  return { ...described(cpu), spare };
}

function makeKvmCpu(
  system: SimObject,
  name: string,
  memory: PhysicalMemory,
  kvm: Kvm,
  params: X86KvmCpuParams | undefined,
): X86KvmCpu {
  const vm = new X86KvmVm(system, 'vm', { kvm, memory });
  const wiring = { kvm, createVcpu: () => vm.createVcpu(), attach: attachVcpu, memory, stubBase: STUB_BASE };
  return new X86KvmCpu(system, name, wiring, params);
}

function described(cpu: FunctionalCpu): ProgramCpu {
  const { hwcap, hwcap2, cpuinfo } = cpu.cpuid;
  return { cpu, xsave: () => cpu.xsaveFormat, hwcap, hwcap2, cpuinfo };
}

/** A list for the KVM CPU's parameter `features`. */
function hidingAllBut(features: FeatureSet): string {
  return CPUID_FEATURES.filter(({ name }) => !features.has(name))
    .map(({ name }) => `-${name}`)
    .join(',');
}
