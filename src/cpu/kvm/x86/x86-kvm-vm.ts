// A virtual machine with x86 processors: MSRs that leave the guest, the guest's clock, the kernel's interrupt controllers
// (kvm-irqchip.ts).

import { KvmCap } from '../../../host/kvm/abi.ts';
import { KvmMsrExitReason } from '../../../host/kvm/abi-x86.ts';
import type { KvmVmFd, MsrFilterRange } from '../../../host/kvm/vm.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import { KvmVm } from '../kvm-vm.ts';

/** Guest-physical pages that Intel hosts need for themselves in real mode: below 4 GiB, clear of memory and devices. */
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
const TSS_ADDRESS = 0xfeff_d000;

export class X86KvmVm extends KvmVm {
  #hasIrqchip = false;
  #refusedMsrs: readonly MsrFilterRange[] | undefined;

  /** Makes these accesses to MSRs, and those that KVM refuses, leave the guest. Before {@link createVcpu}. */
  exitOnMsrs(refused: readonly MsrFilterRange[]): void {
    this.#refusedMsrs = refused;
    if (this.machine !== undefined) setMsrExits(this.machine, refused);
  }

  /** Sets the clock that KVM offers to its guests, in nanoseconds; there is a vCPU. */
  setClock(ns: bigint): void {
    if (this.machine === undefined) panic(this.path, 'the clock of a machine that is not there yet');
    this.machine.setClock(ns);
  }

  /**
   * The machine gets the kernel's interrupt controllers.
   * @param whenMade is called with the machine once they exist; vCPUs come later
   */
  useIrqchip(whenMade: (vm: KvmVmFd) => void): void {
    if (this.machine !== undefined) panic(this.path, 'an irqchip after the first vCPU');
    if (this.kvm.capability(KvmCap.IRQCHIP) === 0)
      fatal(this.path, 'this KVM has no in-kernel irqchip: use the simulated interrupt controllers');
    this.#hasIrqchip = true;
    this.whenMade(whenMade);
  }

  protected override beforeMemory(vm: KvmVmFd): void {
    if (this.kvm.capability(KvmCap.SET_IDENTITY_MAP_ADDR)) vm.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
    if (this.kvm.capability(KvmCap.SET_TSS_ADDR)) vm.setTssAddr(TSS_ADDRESS);
  }

  protected override behindMemory(vm: KvmVmFd): void {
    if (this.#hasIrqchip) vm.createIrqchip();
    if (this.#refusedMsrs !== undefined) setMsrExits(vm, this.#refusedMsrs);
  }
}

function setMsrExits(vm: KvmVmFd, refused: readonly MsrFilterRange[]): void {
  const { INVAL, UNKNOWN, FILTER } = KvmMsrExitReason;
  vm.enableCap(KvmCap.X86_USER_SPACE_MSR, BigInt(INVAL | UNKNOWN | FILTER));
  vm.setMsrFilter(refused);
}
