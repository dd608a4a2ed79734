// KvmVm: one virtual machine of the host's KVM per simulated system: memory slots and vCPUs. Devices in the kernel
// (interrupt controllers, coalesced zones) will be wired here too.

import { KvmCap } from '../../host/kvm/abi.ts';
import type { X86Vcpu } from '../../host/kvm/vcpu.ts';
import type { KvmVmFd } from '../../host/kvm/vm.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { SimObject } from '../../sim/sim-object.ts';
import { fatal } from '../../sim/trouble.ts';
import type { Kvm } from './kvm.ts';

/** What a KVM CPU needs of its virtual machine; tests give a scripted one. */
export interface X86VcpuSource {
  /** Makes the next vCPU. Guest memory is mapped before the first. */
  createVcpu(): X86Vcpu;
}

/** Guest-physical pages that Intel hosts need for themselves in real mode: below 4 GiB, clear of memory and devices. */
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
const TSS_ADDRESS = 0xfeff_d000;

export class KvmVm extends SimObject implements X86VcpuSource {
  readonly #kvm: Kvm;
  readonly #memory: PhysicalMemory;
  #vm: KvmVmFd | undefined;
  #nextVcpuId = 0;

  constructor(parent: SimObject, name: string, parts: { kvm: Kvm; memory: PhysicalMemory }) {
    super(parent, name);
    this.#kvm = parts.kvm;
    this.#memory = parts.memory;
  }

  /** The host's KVM. */
  get kvm(): Kvm {
    return this.#kvm;
  }

  /**
   * Makes the next vCPU. The first one makes the machine and maps memory: not earlier, since restoring a checkpoint may
   * replace memory, and KVM wants memory before vCPUs.
   */
  createVcpu(): X86Vcpu {
    const vm = this.#vm ?? this.#create();
    return vm.createVcpu(this.#nextVcpuId++);
  }

  #create(): KvmVmFd {
    const vm = this.#kvm.createVm();
    this.#vm = vm;
    this.root.beforeProcessExit(() => vm.close());
    if (this.#kvm.capability(KvmCap.SET_IDENTITY_MAP_ADDR)) vm.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
    if (this.#kvm.capability(KvmCap.SET_TSS_ADDR)) vm.setTssAddr(TSS_ADDRESS);
    this.#mapMemory(vm);
    return vm;
  }

  #mapMemory(vm: KvmVmFd): void {
    const regions = this.#memory.regions.filter((region) => region.kvmMap);
    const slots = this.#kvm.capability(KvmCap.NR_MEMSLOTS);
    if (regions.length > slots) {
      fatal(
        this.path,
        `${regions.length} memory ranges, but this KVM has ${slots} memory slots: merge ranges`,
      );
    }
    for (const [slot, region] of regions.entries()) {
      const hostAddress = this.#memory.pointer(region.start, region.sizeBytes, 'read');
      vm.setUserMemoryRegion({ slot, guestPhysAddr: region.start, size: region.sizeBytes, hostAddress });
      if (this.debug.Kvm) this.trace('Kvm', `slot ${slot}: ${region.range}`);
    }
  }
}
