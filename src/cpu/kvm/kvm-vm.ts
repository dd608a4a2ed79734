// KvmVm: one virtual machine of the host's KVM per simulated system: memory slots, vCPUs, MSRs that leave the
// guest, and the kernel's interrupt controllers (kvm-irqchip.ts).

import { KvmCap } from '../../host/kvm/abi.ts';
import { KvmMsrExitReason } from '../../host/kvm/abi-x86.ts';
import type { X86Vcpu } from '../../host/kvm/vcpu.ts';
import type { CoalescedZone, KvmVmFd, MsrFilterRange } from '../../host/kvm/vm.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { SimObject } from '../../sim/sim-object.ts';
import { fatal, panic } from '../../sim/trouble.ts';
import type { Kvm } from './kvm.ts';

/** What a KVM CPU needs of its virtual machine; tests give a scripted one. */
export interface X86VcpuSource {
  /** Makes the next vCPU. Guest memory is mapped before the first. */
  createVcpu(): X86Vcpu;
  /** Makes these accesses to MSRs, and those that KVM refuses, leave the guest. Before {@link createVcpu}. */
  exitOnMsrs(refused: readonly MsrFilterRange[]): void;
}

/** Guest-physical pages that Intel hosts need for themselves in real mode: below 4 GiB, clear of memory and devices. */
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
const TSS_ADDRESS = 0xfeff_d000;

export class KvmVm extends SimObject implements X86VcpuSource {
  readonly #kvm: Kvm;
  readonly #memory: PhysicalMemory;
  #vm: KvmVmFd | undefined;
  #nextVcpuId = 0;
  #hasIrqchip = false;
  #refusedMsrs: readonly MsrFilterRange[] | undefined;
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
  createVcpu(): X86Vcpu {
    const vm = this.#vm ?? this.#create();
    return vm.createVcpu(this.#nextVcpuId++);
  }

  exitOnMsrs(refused: readonly MsrFilterRange[]): void {
    this.#refusedMsrs = refused;
    if (this.#vm !== undefined) this.#setMsrExits(this.#vm, refused);
  }

  /** From the first vCPU on the kernel may queue writes to these zones, where this KVM can. */
  coalesce(zones: readonly CoalescedZone[]): void {
    this.#whenMade.push((vm) => {
      for (const zone of zones) {
        const needed = zone.isPort ? KvmCap.COALESCED_PIO : KvmCap.COALESCED_MMIO;
        if (this.#kvm.capability(needed) > 0) vm.registerCoalescedMmio(zone);
      }
    });
  }

  /** Sets the clock that KVM offers to its guests, in nanoseconds; there is a vCPU. */
  setClock(ns: bigint): void {
    if (this.#vm === undefined) panic(this.path, 'the clock of a machine that is not there yet');
    this.#vm.setClock(ns);
  }

  /**
   * The machine gets the kernel's interrupt controllers.
   * @param whenMade is called with the machine once they exist; vCPUs come later
   */
  useIrqchip(whenMade: (vm: KvmVmFd) => void): void {
    if (this.#vm !== undefined) panic(this.path, 'an irqchip after the first vCPU');
    if (this.#kvm.capability(KvmCap.IRQCHIP) === 0)
      fatal(this.path, 'this KVM has no in-kernel irqchip: use the simulated interrupt controllers');
    this.#hasIrqchip = true;
    this.#whenMade.push(whenMade);
  }

  #setMsrExits(vm: KvmVmFd, refused: readonly MsrFilterRange[]): void {
    const { INVAL, UNKNOWN, FILTER } = KvmMsrExitReason;
    vm.enableCap(KvmCap.X86_USER_SPACE_MSR, BigInt(INVAL | UNKNOWN | FILTER));
    vm.setMsrFilter(refused);
  }

  #create(): KvmVmFd {
    const vm = this.#kvm.createVm();
    this.#vm = vm;
    this.root.beforeProcessExit(() => vm.close());
    if (this.#kvm.capability(KvmCap.SET_IDENTITY_MAP_ADDR)) vm.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
    if (this.#kvm.capability(KvmCap.SET_TSS_ADDR)) vm.setTssAddr(TSS_ADDRESS);
    this.#mapMemory(vm);
    if (this.#hasIrqchip) vm.createIrqchip();
    if (this.#refusedMsrs !== undefined) this.#setMsrExits(vm, this.#refusedMsrs);
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
