// A restored local APIC in the host's kernel. Its form depends on the APIC base, which goes first; its deadline counts only in
// deadline mode, and goes last. Linux Documentation/virt/kvm/api.rst, KVM_SET_LAPIC; SDM vol. 3 §10.5.4.1.

import { MsrIndex } from '../../../arch/x86/msrs.ts';
import type { X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { KvmSyncX86 } from '../../../host/kvm/abi-x86.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { InKernelApics } from './x86-kvm-params.ts';

/**
 * Gives the kernel what is owed of the state of a processor's local APIC.
 * @param tc of that processor, already written to its vCPU
 */
export function giveLocalApic(
  irqchip: InKernelApics,
  apicId: number,
  vcpu: X86Vcpu,
  tc: X86ThreadContext,
): void {
  if (!irqchip.owesLocalApic(apicId)) return;
  const { run } = vcpu;
  if (run.kvmDirtyRegs & KvmSyncX86.SREGS) {
    vcpu.setSregs(run.syncRegs.sregs);
    run.kvmDirtyRegs &= ~KvmSyncX86.SREGS;
  }
  irqchip.giveLocalApic(apicId);
  const deadline = tc.msr(MsrIndex.TSC_DEADLINE)!;
  if (deadline !== 0n) vcpu.setMsrs(Uint32Array.of(MsrIndex.TSC_DEADLINE), BigUint64Array.of(deadline));
}
