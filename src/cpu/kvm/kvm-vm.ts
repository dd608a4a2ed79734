// KvmVm: one virtual machine of the host's KVM per simulated system: memory slots, vCPUs, writes that the kernel queues. What a
// machine of one architecture has besides is in kvm/x86.

import { KvmCap } from '../../host/kvm/abi.ts';
import type { KvmVcpuFd } from '../../host/kvm/vcpu.ts';
import type { CoalescedZone, KvmVmFd } from '../../host/kvm/vm.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { SimObject } from '../../sim/sim-object.ts';
import { fatal } from '../../sim/trouble.ts';
import type { Kvm } from './kvm.ts';

export abstract class KvmVm extends SimObject {
  readonly #kvm: Kvm;
  readonly #memory: PhysicalMemory;
  #vm: KvmVmFd | undefined;
  #nextVcpuId = 0;
  readonly #whenMade: ((vm: KvmVmFd) => void)[] = [];

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
  createVcpu(): KvmVcpuFd {
    const vm = this.#vm ?? this.#create();
    return vm.createVcpu(this.#nextVcpuId++);
  }

  /** From the first vCPU on the kernel may queue writes to these zones, where this KVM can. */
  coalesce(zones: readonly CoalescedZone[]): void {
    this.whenMade((vm) => {
      for (const zone of zones) {
        const needed = zone.isPort ? KvmCap.COALESCED_PIO : KvmCap.COALESCED_MMIO;
        if (this.#kvm.capability(needed) > 0) vm.registerCoalescedMmio(zone);
      }
    });
  }

  /** The machine, if it has been made. */
  protected get machine(): KvmVmFd | undefined {
    return this.#vm;
  }

  /** What is to be done once the machine is there, in front of its first vCPU. */
  protected whenMade(action: (vm: KvmVmFd) => void): void {
    this.#whenMade.push(action);
  }

  /** What KVM wants to know of a machine of this architecture in front of its memory. */
  protected abstract beforeMemory(vm: KvmVmFd): void;

  /** What comes between its memory and its first vCPU. */
  protected abstract behindMemory(vm: KvmVmFd): void;

  #create(): KvmVmFd {
    const vm = this.#kvm.createVm();
    this.#vm = vm;
    this.root.beforeProcessExit(() => vm.close());
    this.beforeMemory(vm);
    this.#mapMemory(vm);
    this.behindMemory(vm);
    for (const made of this.#whenMade) made(vm);
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
