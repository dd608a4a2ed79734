/**
 * The state of the PC's interrupt controllers as plain records. The simulated devices and the ones in the host's kernel
 * save to and restore from the same records, so that a checkpoint or a switch carries it from one kind to the other.
 */
import { asRecord, decodeNumber, type Json, StateError } from '../../sim/state.ts';

/**
 * Registers of a local APIC at their MMIO offsets / 16: id, version, TPR, … as 32-bit words. SDM vol. 3A §10.4.1. It is the
 * page of KVM's kvm_lapic_state: the id is in bits 31:24 in x2APIC mode, too (KVM's format without KVM_CAP_X2APIC_API), the
 * upper half of an x2APIC ICR is the word at 0x310, and the timer's current count is the one at the moment of saving.
 */
export interface LocalApicState {
  /** 64 words: word i is the register at offset 16 × i (0x000–0x3f0). */
  readonly registers: Uint32Array;
}

/**
 * I/O APIC (82093AA), as KVM's kvm_ioapic_state. `irr` has a bit per level-triggered input that is asserted, and per
 * edge-triggered one whose edge has not been delivered.
 */
export interface IoApicState {
  readonly id: number;
  readonly ioregsel: number;
  readonly irr: number;
  /** 24 redirection entries, low and high words in turn. */
  readonly redirection: Uint32Array;
}

/** Vectors of IRQ 0 and IRQ 8 as a PC's BIOS leaves them (IBM PC/AT Technical Reference, interrupt vector list). */
export const BIOS_VECTORS = { master: 0x08, slave: 0x70 } as const;

/** One 8259A: register names as in its data sheet; `elcr` is the edge/level register (port 0x4d0 / 0x4d1). */
export interface PicState {
  readonly lastIrr: number;
  readonly irr: number;
  readonly imr: number;
  readonly isr: number;
  readonly priorityAdd: number;
  readonly irqBase: number;
  readonly readRegSelect: number;
  readonly poll: number;
  readonly specialMask: number;
  readonly initState: number;
  readonly autoEoi: number;
  readonly rotateOnAutoEoi: number;
  readonly specialFullyNested: number;
  readonly init4: number;
  readonly elcr: number;
  readonly elcrMask: number;
}

/** Names of the fields of {@link PicState}, in the order of KVM's kvm_pic_state: one byte each. */
export const PIC_FIELDS = [
  'lastIrr',
  'irr',
  'imr',
  'isr',
  'priorityAdd',
  'irqBase',
  'readRegSelect',
  'poll',
  'specialMask',
  'initState',
  'autoEoi',
  'rotateOnAutoEoi',
  'specialFullyNested',
  'init4',
  'elcr',
  'elcrMask',
] as const satisfies readonly (keyof PicState)[];

/** Number of inputs of the I/O APIC. */
export const IO_APIC_INPUTS = 24;
const LOCAL_APIC_WORDS = 64;

export function saveWords(words: Uint32Array): Json {
  return [...words];
}

function restoreWords(saved: Json | undefined, length: number): Uint32Array {
  if (!Array.isArray(saved) || saved.length !== length) throw new StateError(`expected ${length} words`);
  return Uint32Array.from(saved, (word) => decodeNumber(word as Json));
}

export function saveLocalApic(state: LocalApicState): Json {
  return { registers: saveWords(state.registers) };
}

/** @throws StateError if `saved` is something else */
export function restoreLocalApic(saved: Json): LocalApicState {
  return { registers: restoreWords(asRecord(saved).registers, LOCAL_APIC_WORDS) };
}

export function saveIoApic({ id, ioregsel, irr, redirection }: IoApicState): Json {
  return { id, ioregsel, irr, redirection: saveWords(redirection) };
}

/** @throws StateError if `saved` is something else */
export function restoreIoApic(saved: Json): IoApicState {
  const { id = null, ioregsel = null, irr = null, redirection } = asRecord(saved);
  return {
    id: decodeNumber(id),
    ioregsel: decodeNumber(ioregsel),
    irr: decodeNumber(irr),
    redirection: restoreWords(redirection, 2 * IO_APIC_INPUTS),
  };
}

export function savePic(state: PicState): Json {
  return Object.fromEntries(PIC_FIELDS.map((name) => [name, state[name]]));
}

/** @throws StateError if `saved` is something else */
export function restorePic(saved: Json): PicState {
  const record = asRecord(saved);
  const fields = PIC_FIELDS.map((name) => [name, decodeNumber(record[name] ?? null)] as const);
  return Object.fromEntries(fields) as unknown as PicState;
}
