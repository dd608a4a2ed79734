// SeSystem: the smallest machine that runs a program: memory, a CPU, and a Linux process whose system calls the
// simulator serves (syscall emulation). Read it as the pattern for a system of your own.

import type { BaseCpu } from '../cpu/base-cpu.ts';
import { Kvm } from '../cpu/kvm/kvm.ts';
import { attachVcpu } from '../cpu/kvm/kvm-host.ts';
import { KvmVm } from '../cpu/kvm/kvm-vm.ts';
import { STUB_SIZE_BYTES } from '../cpu/kvm/x86/user-stub.ts';
import { X86KvmCpu, type X86KvmCpuParams } from '../cpu/kvm/x86/x86-kvm-cpu.ts';
import { AddrRange } from '../mem/addr.ts';
import { hostPagesIfAvailable } from '../mem/linux-host-pages.ts';
import { PhysicalMemory } from '../mem/physical-memory.ts';
import { choice, declareParams, type ParamInputs, size } from '../sim/params.ts';
import { SimObject } from '../sim/sim-object.ts';
import { LinuxProcess } from '../workload/linux/process.ts';
import type { LinuxProcessOptions } from '../workload/linux/process-options.ts';
import { CPU_MODELS } from './cpu-models.ts';

export const SE_SYSTEM_PARAMS = declareParams({
  cpu: choice(CPU_MODELS, { default: 'best', description: 'CPU model' }),
  memorySize: size({ default: '1GiB', min: '16MiB', max: '4064MiB', description: 'RAM' }),
});

export interface SeSystemOptions extends ParamInputs<typeof SE_SYSTEM_PARAMS> {
  /** Parameters of the KVM CPU, such as `hostFactor` and `alwaysSyncTC`. */
  readonly kvmCpu?: X86KvmCpuParams;
  /** The program and how it is started. */
  readonly workload: Omit<LinuxProcessOptions, 'cpu' | 'memory' | 'ram' | 'xsave' | 'hwcap' | 'hwcap2'>;
}

const PAGE = 4096;
/** Physical address of the pages that the KVM CPU needs for itself: above everything that RAM can be. */
const STUB_BASE = 0xffff_0000;

export class SeSystem extends SimObject {
  readonly memory: PhysicalMemory;
  readonly cpu: BaseCpu;
  readonly process: LinuxProcess;

  constructor(parent: SimObject, name: string, { workload, kvmCpu, ...params }: SeSystemOptions) {
    super(parent, name);
    const { memorySize } = this.resolveParams(SE_SYSTEM_PARAMS, params);
    const ram = AddrRange.ofSize(0, Math.ceil(memorySize / PAGE) * PAGE);
    const stub = AddrRange.ofSize(STUB_BASE, STUB_SIZE_BYTES);
    const hostPages = hostPagesIfAvailable();
    this.memory = new PhysicalMemory(this, 'memory', {
      ranges: [
        { start: ram.start, sizeBytes: ram.sizeBytes },
        { start: stub.start, sizeBytes: stub.sizeBytes, confTableReported: false },
      ],
      ...(hostPages === undefined ? {} : { hostPages }),
    });
    const kvm = Kvm.open();
    const vm = new KvmVm(this, 'vm', { kvm, memory: this.memory });
    const wiring = {
      kvm,
      createVcpu: () => vm.createVcpu(),
      attach: attachVcpu,
      memory: this.memory,
      stubBase: STUB_BASE,
    };
    const cpu = new X86KvmCpu(this, 'cpu', wiring, kvmCpu);
    this.cpu = cpu;
    this.process = new LinuxProcess(this, 'process', {
      ...workload,
      cpu,
      memory: this.memory,
      ram,
      xsave: () => cpu.xsaveFormat,
      hwcap: cpu.hwcap,
      hwcap2: cpu.hwcap2,
    });
  }
}
