// The kernel's interrupt controllers as a CPU sees them, without a kernel.

import type { InKernelApics } from '../../src/cpu/kvm/x86/x86-kvm-params.ts';

export class FakeIrqchip implements InKernelApics {
  readonly log: string[] = [];
  vcpuCreated(apicId: number): void {
    this.log.push(`vcpu ${apicId}`);
  }
  owesLocalApic(): boolean {
    return false;
  }
  giveLocalApic(): void {}
  routeSints(vcpuCount: number): void {
    this.log.push(`sints of ${vcpuCount}`);
  }
  raiseSint(vcpuId: number, sint: number): void {
    this.log.push(`vcpu ${vcpuId} sint ${sint}`);
  }
}
