// NestedState: what KVM keeps beyond the registers for a guest that is a hypervisor itself: whether its own guest executes, and
// that guest's control block. Opaque bytes, which only KVM reads. Source: Linux Documentation/virt/kvm/api.rst,
// KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE.

import { KvmNestedFormat, KvmNestedState } from '../../../host/kvm/abi-x86.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import { decodeString, type Json, type StateCell, StateError } from '../../../sim/state.ts';

export class NestedState implements StateCell {
  /** As KVM gave them; undefined: a guest that has never been a hypervisor. */
  #bytes: Uint8Array | undefined;
  /** They are newer than what the vCPU holds. */
  #isOwed = false;

  /** Whether {@link giveTo} has something to give. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /** KVM → here, along with the events. */
  takeFrom(vcpu: X86Vcpu): void {
    if (!this.#isOwed) this.#bytes = vcpu.getNestedState();
  }

  /** Here → KVM: EFER and the guest's present registers must be there already, MSRs and events must follow. */
  giveTo(vcpu: X86Vcpu): void {
    this.#isOwed = false;
    if (this.#bytes !== undefined) vcpu.setNestedState(this.#bytes);
  }

  save(): Json {
    return this.#bytes?.toHex() ?? null;
  }

  restore(saved: Json): void {
    this.#bytes = saved === null ? undefined : decoded(decodeString(saved));
    this.#isOwed = true;
  }
}

/** @throws StateError for what no KVM on an AMD processor has given */
function decoded(hex: string): Uint8Array {
  const { at, size } = KvmNestedState;
  if (hex.length % 2 !== 0 || /[^0-9a-f]/.test(hex) || hex.length < 2 * size)
    throw new StateError('expected a nested state in hexadecimal');
  const bytes = Uint8Array.fromHex(hex);
  const view = new DataView(bytes.buffer);
  const format = view.getUint16(at.format, true);
  if (format !== KvmNestedFormat.SVM) throw new StateError(`a nested state of format ${format}, not SVM's`);
  if (view.getUint32(at.size, true) !== bytes.length)
    throw new StateError('a nested state whose length is not what it says');
  return bytes;
}
