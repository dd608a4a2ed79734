/**
 * An interrupt of the remapping hardware itself, for faults or for completed invalidations: four registers say what message it
 * is and whether it is masked. VT-d specification §7.3 "Interrupts", FECTL_REG and IECTL_REG. It is not remapped.
 */
import { type InterruptBus, messageFromMsi } from '../../../arch/x86/interrupts.ts';
import type { RegisterFile } from '../../register-file.ts';
import { isInterruptAddress } from './interrupt-remapping.ts';
import type { VTD_REGISTERS } from './registers.ts';

type Registers = RegisterFile<typeof VTD_REGISTERS>;

/** First of the name of its registers. */
export type EventName = 'fault' | 'completion';

export class EventMessage {
  readonly #regs: Registers;
  readonly #name: EventName;
  readonly #bus: InterruptBus;
  readonly #isExtended: () => boolean;

  /** @param isExtended whether destinations have 32 bits */
  constructor(regs: Registers, name: EventName, bus: InterruptBus, isExtended: () => boolean) {
    this.#regs = regs;
    this.#name = name;
    this.#bus = bus;
    this.#isExtended = isExtended;
  }

  /** Interrupts; masked, as soon as it is no longer. */
  raise(): void {
    this.#regs.setField(`${this.#name}Control`, 'pending', 1);
    this.controlWritten();
  }

  /** Software has dealt with what it was about. */
  withdraw(): void {
    this.#regs.setField(`${this.#name}Control`, 'pending', 0);
  }

  /** Software may have cleared the mask. */
  controlWritten(): void {
    const regs = this.#regs;
    const control = `${this.#name}Control` as const;
    if (regs.field(control, 'pending') === 0 || regs.field(control, 'mask') !== 0) return;
    regs.setField(control, 'pending', 0);
    const address = regs.get(`${this.#name}Address`);
    if (!isInterruptAddress(address)) return;
    const message = messageFromMsi(address, regs.get(`${this.#name}Data`));
    const upper = regs.get(`${this.#name}UpperAddress`);
    const low = (address >>> 12) & 0xff;
    const destination = (((upper & 0xffff_ff00) >>> 0) + low) >>> 0;
    this.#bus.send(this.#isExtended() ? { ...message, destination } : message);
  }
}
