/**
 * PCI configuration mechanism #1: software writes an address to port 0xcf8 and then accesses port 0xcfc. PCI Local Bus
 * Specification 3.0, §3.2.2.3.2. The host bridge sees only aligned 32-bit accesses of 0xcf8: smaller ones are I/O of
 * whoever is there, the reset control register at 0xcf9 for one.
 */
import { PCI_CONFIG_ADDRESS_PORT, PCI_CONFIG_DATA_PORT } from '../../arch/x86/address-spaces.ts';
import { numberCell, type StateCell } from '../../sim/state.ts';
import type { RegisterBank } from '../register-file.ts';

const DATA = PCI_CONFIG_DATA_PORT - PCI_CONFIG_ADDRESS_PORT;
const ENABLE = 0x8000_0000;
/**
 * Bus, device, function and register. Bits 1:0 of the register are reserved, the data port's count. Software that sets them
 * nevertheless, as kvm-unit-tests do, means the byte there, and QEMU gives it.
 */
const ADDRESS = 0x00ff_ffff;
const NOBODY = [0, 0xff, 0xffff, 0, 0xffff_ffff] as const;

/** Ports 0xcf8 to 0xcff. */
export class PciMechanism1 implements RegisterBank {
  readonly sizeBytes = 8;
  /** CONFIG_ADDRESS, for the host bridge to declare as its state. */
  readonly address: StateCell & { value: number } = numberCell();
  readonly #configuration: RegisterBank;
  readonly #resetControl: RegisterBank;

  /**
   * @param configuration the whole configuration space
   * @param resetControl the register at 0xcf9
   */
  constructor(configuration: RegisterBank, resetControl: RegisterBank) {
    this.#configuration = configuration;
    this.#resetControl = resetControl;
  }

  read(offset: number, sizeBytes: number): number {
    if (offset >= DATA) {
      const at = this.#selected(offset, sizeBytes);
      return at === undefined ? NOBODY[sizeBytes as 1 | 2 | 4] : this.#configuration.read(at, sizeBytes);
    }
    if (offset === 0 && sizeBytes === 4) return this.address.value;
    if (offset === 1 && sizeBytes === 1) return this.#resetControl.read(0, 1);
    return NOBODY[sizeBytes as 1 | 2 | 4];
  }

  write(offset: number, sizeBytes: number, value: number): void {
    if (offset >= DATA) {
      const at = this.#selected(offset, sizeBytes);
      if (at !== undefined) this.#configuration.write(at, sizeBytes, value);
    } else if (offset === 0 && sizeBytes === 4) this.address.value = value;
    else if (offset === 1 && sizeBytes === 1) this.#resetControl.write(0, 1, value);
  }

  /** Where in configuration space an access of the data port goes; undefined: the mechanism is off, or it is no one register. */
  #selected(offset: number, sizeBytes: number): number | undefined {
    const address = this.address.value;
    const byte = offset - DATA;
    const at = (address & ADDRESS) | byte;
    if ((address & ENABLE) === 0 || byte + sizeBytes > 4 || (at % 4) + sizeBytes > 4) return undefined;
    return at;
  }
}
