/**
 * Message-signaled interrupts of a PCI function, one vector with a 64-bit address and without mask: PCI Local Bus Specification
 * 3.0, §6.8.1. The message is a memory write of the function like any other.
 */
import { bit, bits, type RegisterTable, reg } from '../register-file.ts';
import type { PciCapability } from './pci-capability.ts';

const CAPABILITY_ID = 0x05;
const ENABLE = 1 << 0;
const ADDRESS_64 = 1 << 7;

/** Its registers behind the capability's header, for a capability at `at`. */
export function msiRegisters(at: number) {
  return {
    msiControl: reg({
      at: at + 2,
      sizeBytes: 2,
      reset: ADDRESS_64,
      writable: 0x0071,
      doc: 'message control',
      fields: { enable: bit(0), capable: bits(3, 1), enabledVectors: bits(6, 4), address64: bit(7) },
    }),
    msiAddressLow: reg({
      at: at + 4,
      sizeBytes: 4,
      writable: 0xffff_fffc,
      doc: 'message address, bits 31:0',
    }),
    msiAddressHigh: reg({ at: at + 8, sizeBytes: 4, doc: 'message address, bits 63:32' }),
    msiData: reg({ at: at + 12, sizeBytes: 2, doc: 'message data, bits 15:0' }),
  } as const satisfies RegisterTable;
}

export function msiCapability(at: number): PciCapability {
  return { name: 'msi', id: CAPABILITY_ID, at, registers: msiRegisters(at) };
}

/** What is written where to interrupt. */
export interface MsiMessage {
  /** An exact Number, or something beyond all addresses. */
  readonly address: number;
  readonly data: number;
}

/** A configuration space, as far as it is read here. */
interface Configuration {
  readonly table: RegisterTable;
  get(name: string): number;
}

/** The message of a function with this configuration space; undefined: it has no MSI, or software has not enabled it. */
export function msiMessage(config: Configuration): MsiMessage | undefined {
  if (config.table.msiControl === undefined || (config.get('msiControl') & ENABLE) === 0) return undefined;
  const address = config.get('msiAddressHigh') * 2 ** 32 + config.get('msiAddressLow');
  return { address, data: config.get('msiData') };
}
