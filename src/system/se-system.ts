// SeSystem: the smallest machine that runs a program: memory, a CPU, and a Linux process whose system calls the
// simulator serves (syscall emulation). Read it as the pattern for a system of your own.

import type { BaseCpu } from '../cpu/base-cpu.ts';
import type { FunctionalCpuParams } from '../cpu/functional/params.ts';
import { Kvm } from '../cpu/kvm/kvm.ts';
import { STUB_SIZE_BYTES } from '../cpu/kvm/x86/user-stub.ts';
import type { X86KvmCpuParams } from '../cpu/kvm/x86/x86-kvm-cpu.ts';
import { AddrRange } from '../mem/addr.ts';
import { hostPagesIfAvailable } from '../mem/linux-host-pages.ts';
import { PhysicalMemory } from '../mem/physical-memory.ts';
import { bool, choice, declareParams, duration, optional, type ParamInputs, size } from '../sim/params.ts';
import { SimObject } from '../sim/sim-object.ts';
import { LinuxProcess } from '../workload/linux/process.ts';
import type { LinuxProcessOptions } from '../workload/linux/process-options.ts';
import { PROGRAM_CPU_MODELS } from './cpu-models.ts';
import { CpuSwitcher, type SwitchTimes } from './cpu-switcher.ts';
import { makeProgramCpu, makeSwitchedCpus, openKvm, STUB_BASE } from './program-cpus.ts';

export const SE_SYSTEM_PARAMS = declareParams({
  cpu: choice(PROGRAM_CPU_MODELS, { default: 'best', description: 'CPU model' }),
  memorySize: size({ default: '1GiB', min: '16MiB', max: '4064MiB', description: 'RAM' }),
  switchEvery: optional(
    duration({
      description:
        'a test mode: a functional CPU and a KVM CPU take turns, at random times of this mean distance',
    }),
  ),
  switchEveryKvm: optional(
    duration({ description: "the mean length of the KVM CPU's turns, where it is not that of the other's" }),
  ),
  switchAtSyscalls: bool({
    default: false,
    description: 'the same test mode: they take turns at each system call',
  }),
});

export interface SeSystemOptions extends ParamInputs<typeof SE_SYSTEM_PARAMS> {
  /** Parameters of the KVM CPU, such as `hostFactor` and `alwaysSyncTC`. */
  readonly kvmCpu?: X86KvmCpuParams;
  /** Parameters of the functional CPU. */
  readonly functionalCpu?: FunctionalCpuParams;
  /** The program and how it is started. */
  readonly workload: Omit<LinuxProcessOptions, 'cpu' | 'memory' | 'ram' | 'xsave' | 'hwcap' | 'hwcap2'>;
}

const PAGE = 4096;

export class SeSystem extends SimObject {
  readonly memory: PhysicalMemory;
  readonly process: LinuxProcess;
  /** Undefined where one CPU executes all. */
  readonly switcher: CpuSwitcher | undefined;

  constructor(
    parent: SimObject,
    name: string,
    { workload, kvmCpu, functionalCpu, ...params }: SeSystemOptions,
  ) {
    super(parent, name);
    const {
      cpu: model,
      memorySize,
      switchEvery,
      switchEveryKvm = switchEvery,
      switchAtSyscalls,
    } = this.resolveParams(SE_SYSTEM_PARAMS, params);
    const turns = switchEvery && ([Number(switchEvery), Number(switchEveryKvm)] as const);
    const switches: SwitchTimes | undefined = switchAtSyscalls ? 'syscall' : turns;
    const kvm = switches === undefined ? openKvm(model) : Kvm.open();
    const ram = AddrRange.ofSize(0, Math.ceil(memorySize / PAGE) * PAGE);
    const stub = AddrRange.ofSize(STUB_BASE, STUB_SIZE_BYTES);
    const hostPages = hostPagesIfAvailable();
    this.memory = new PhysicalMemory(this, 'memory', {
      ranges: [
        { start: ram.start, sizeBytes: ram.sizeBytes },
        ...(kvm === undefined
          ? []
          : [{ start: stub.start, sizeBytes: stub.sizeBytes, confTableReported: false }]),
      ],
      ...(hostPages === undefined ? {} : { hostPages }),
    });
    const cpuParams = { kvmCpu, functionalCpu };
    const { cpu, spare, cpuinfo, ...facts } =
      switches === undefined
        ? makeProgramCpu(this, this.memory, kvm, cpuParams)
        : makeSwitchedCpus(this, this.memory, kvm!, cpuParams);
    if (switches !== undefined && spare !== undefined)
      this.switcher = new CpuSwitcher(this, 'switcher', [cpu, spare], switches);
    this.process = new LinuxProcess(this, 'process', {
      ...workload,
      ...facts,
      ...(cpuinfo === undefined ? {} : { hostCpuinfo: cpuinfo }),
      cpu,
      memory: this.memory,
      ram,
      becameBusy: () => this.switcher?.busyAgain(),
      ...(switchAtSyscalls ? { syscallMade: () => this.switcher?.syscallMade() } : {}),
    });
    if (spare !== undefined) spare.os = this.process;
  }

  /** The CPU that executes the program. */
  get cpu(): BaseCpu {
    return this.process.cpu;
  }
}
