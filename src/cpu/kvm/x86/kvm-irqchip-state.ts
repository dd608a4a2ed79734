// The kernel's interrupt controllers, in its structures, to and from the records that simulated ones use too
// (arch/x86/interrupt-state.ts). Source: Linux, arch/x86/include/uapi/asm/kvm.h.

import {
  IO_APIC_INPUTS,
  type IoApicState,
  type LocalApicState,
  PIC_FIELDS,
  type PicState,
} from '../../../arch/x86/interrupt-state.ts';
import { KvmIoapicState, KvmIrqchip, KvmLapicState } from '../../../host/kvm/abi-x86.ts';

const CHIP = KvmIrqchip.at.chip;
const IO_APIC = KvmIoapicState.at;
/** Registers of a local APIC lie 16 bytes apart. */
const APIC_STRIDE = 16;

/** A buffer for KVM_GET_IRQCHIP. */
export function irqchipBuffer(chip: number): Uint8Array {
  const buffer = new Uint8Array(KvmIrqchip.size);
  new DataView(buffer.buffer).setUint32(KvmIrqchip.at.chip_id, chip, true);
  return buffer;
}

export function picFromKvm(buffer: Uint8Array): PicState {
  const fields = PIC_FIELDS.map((name, i) => [name, buffer[CHIP + i]!] as const);
  return Object.fromEntries(fields) as unknown as PicState;
}

export function picToKvm(state: PicState, buffer: Uint8Array): void {
  for (const [i, name] of PIC_FIELDS.entries()) buffer[CHIP + i] = state[name];
}

export function ioApicFromKvm(buffer: Uint8Array): IoApicState {
  const view = new DataView(buffer.buffer, buffer.byteOffset + CHIP);
  const word = (at: number): number => view.getUint32(at, true);
  return {
    id: word(IO_APIC.id),
    ioregsel: word(IO_APIC.ioregsel),
    irr: word(IO_APIC.irr),
    redirection: Uint32Array.from({ length: 2 * IO_APIC_INPUTS }, (_, i) => word(IO_APIC.redirtbl + 4 * i)),
  };
}

/** The base address stays as the kernel has it. */
export function ioApicToKvm(state: IoApicState, buffer: Uint8Array): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset + CHIP);
  view.setUint32(IO_APIC.id, state.id, true);
  view.setUint32(IO_APIC.ioregsel, state.ioregsel, true);
  view.setUint32(IO_APIC.irr, state.irr, true);
  for (const [i, word] of state.redirection.entries()) view.setUint32(IO_APIC.redirtbl + 4 * i, word, true);
}

export function localApicFromKvm(buffer: Uint8Array): LocalApicState {
  const view = new DataView(buffer.buffer, buffer.byteOffset);
  const words = KvmLapicState.size / APIC_STRIDE;
  return { registers: Uint32Array.from({ length: words }, (_, i) => view.getUint32(i * APIC_STRIDE, true)) };
}

export function localApicToKvm(state: LocalApicState): Uint8Array {
  const buffer = new Uint8Array(KvmLapicState.size);
  const view = new DataView(buffer.buffer);
  for (const [i, word] of state.registers.entries()) view.setUint32(i * APIC_STRIDE, word, true);
  return buffer;
}
