/** Reset control register of the PC's chipsets, port 0xcf9: Intel 82371SB data sheet §2.5.6 (RC), ICH9 §13.7.5 (RST_CNT). */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { PIO_DEVICE_PARAMS, PioDevice, type PioDeviceParams } from '../pio-device.ts';
import { bit, RegisterFile, reg } from '../register-file.ts';

/** `soft`: INIT to the processors; `hard`: reset of the platform; `full`: with power off and on. */
export type ResetKind = 'soft' | 'hard' | 'full';

/** The ACPI tables' RESET_REG, and the RESET_VALUE for a hard reset. */
export const RESET_PORT = 0xcf9;
export const RESET_VALUE = 0x06;

export const RESET_REGISTERS = {
  rstCnt: reg({
    at: 0,
    writable: 0x0e,
    doc: 'reset control: a write with bit 2 resets',
    fields: { hard: bit(1), reset: bit(2), full: bit(3) },
  }),
};

/** It answers one port, in the midst of the PCI configuration address, which is only ever accessed as a double word. */
export class ResetControl extends PioDevice {
  readonly #regs: RegisterFile<typeof RESET_REGISTERS>;
  readonly #onReset: (kind: ResetKind) => void;

  /** @param onReset is called within the write access */
  constructor(
    parent: SimObject,
    name: string,
    onReset: (kind: ResetKind) => void,
    given: PioDeviceParams = {},
  ) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.#onReset = onReset;
    const hooks = { rstCnt: { write: () => this.#write() } };
    this.#regs = this.state('regs', new RegisterFile(RESET_REGISTERS, hooks));
    this.addBank(portAddress(RESET_PORT), this.#regs);
  }

  #write(): void {
    if (this.#regs.field('rstCnt', 'reset') === 0) return;
    // The reset clears the bit that asks for it.
    this.#regs.setField('rstCnt', 'reset', 0);
    const isHard = this.#regs.field('rstCnt', 'hard') !== 0;
    const isFull = this.#regs.field('rstCnt', 'full') !== 0;
    this.#onReset(isHard ? (isFull ? 'full' : 'hard') : 'soft');
  }
}
