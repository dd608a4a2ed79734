/** A PC of 16 MiB for tests of the loaders, and memory that remembers whether anybody wrote to it. */

import type { BootRequest, BootStart } from '../../../src/workload/boot/index.ts';
import { loadBoot, MemoryType, type PcLayout, type PcTables } from '../../../src/workload/boot/index.ts';

export const MIB = 0x10_0000;
export const RAM_BYTES = 16 * MIB;
export const RSDP_ADDRESS = 0xe_0000;
export const TABLES = { start: 0xfe_f000, sizeBytes: 0x1_0000 };
export const FACS = { start: 0xff_f000, sizeBytes: 0x1000 };

export const MACHINE: PcTables = {
  processors: [
    { apicId: 0, enabled: true },
    { apicId: 4, enabled: false },
  ],
  localApicAddress: 0xfee0_0000,
  ioApics: [{ id: 2, address: 0xfec0_0000, firstGsi: 0 }],
  interruptOverrides: [
    { irq: 0, gsi: 2, trigger: 'edge', polarity: 'high' },
    { irq: 9, gsi: 9, trigger: 'level', polarity: 'high' },
  ],
  nmiLint: 1,
  power: {
    sciIrq: 9,
    eventPort: 0x600,
    controlPort: 0x604,
    timerPort: 0x608,
    timerBits: 32,
    suspendType: 1,
    softOffType: 5,
    powerButton: true,
    reset: { port: 0xcf9, value: 6 },
  },
  hpet: { address: 0xfed0_0000, capabilities: 0x8086_a201, minimumTicks: 0x80 },
  rtc: { port: 0x70, portCount: 2, irq: 8, centuryRegister: 0x32 },
  serialPorts: [
    { port: 0x3f8, portCount: 8, irq: 4 },
    { port: 0x2f8, portCount: 8, irq: 3 },
  ],
  keyboardController: { keyboardIrq: 1, mouseIrq: 12 },
  pci: {
    lastBus: 0xff,
    configPorts: { start: 0xcf8, sizeBytes: 8 },
    ioWindows: [{ start: 0x1000, sizeBytes: 0xf000 }],
    memoryWindows: [{ start: 0xc000_0000, sizeBytes: 0x3ec0_0000 }],
    routes: [{ device: 3, pin: 1, gsi: 17 }],
  },
};

export const LAYOUT: PcLayout = {
  ram: [{ start: 0, sizeBytes: RAM_BYTES }],
  claims: [
    { start: 0xa_0000, sizeBytes: 0x6_0000, type: MemoryType.reserved, what: 'BIOS area' },
    { start: 0xfee0_0000, sizeBytes: 0x1000, type: MemoryType.reserved, what: 'local APIC' },
  ],
  ebda: { start: 0x9_fc00, sizeBytes: 0x400 },
  hasBios: true,
  acpi: { rsdpAddress: RSDP_ADDRESS, tables: TABLES, facs: FACS, machine: MACHINE },
};

/** RAM that throws where there is none, and counts what is written. */
export class TestMemory {
  readonly bytes = new Uint8Array(RAM_BYTES).fill(0xcc);
  readonly view = new DataView(this.bytes.buffer);
  writes = 0;

  write(address: number, from: Uint8Array): void {
    this.writes++;
    this.bytes.set(from, address);
  }

  fill(address: number, sizeBytes: number, byte: number): void {
    if (address + sizeBytes > RAM_BYTES) throw new RangeError('outside of RAM');
    this.writes++;
    this.bytes.fill(byte, address, address + sizeBytes);
  }

  u16(at: number): number {
    return this.view.getUint16(at, true);
  }

  u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  u64(at: number): bigint {
    return this.view.getBigUint64(at, true);
  }

  /** The C string at an address. */
  text(at: number): string {
    return Buffer.from(this.bytes.subarray(at, this.bytes.indexOf(0, at))).toString('utf8');
  }

  slice(at: number, sizeBytes: number): Uint8Array {
    return this.bytes.slice(at, at + sizeBytes);
  }
}

export type Options = Partial<Omit<BootRequest, 'memory' | 'image'>>;

/** Loads the image on the test PC. */
export function boot(image: Uint8Array, options: Options = {}): { start: BootStart; memory: TestMemory } {
  const memory = new TestMemory();
  const start = loadBoot({ image, name: 'image', layout: LAYOUT, ...options, memory });
  return { start, memory };
}

/** Bytes that differ from their neighbours and from fresh memory. */
export function pattern(sizeBytes: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 7 + seed) & 0xff);
}
