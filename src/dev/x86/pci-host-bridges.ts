/**
 * The two functions that software finds first on the PCI bus of a PC: the host bridge of the 440FX (82441FX data sheet,
 * chapter 3) and the ISA bridge of the PIIX3 (82371SB data sheet, §2.2). Their registers keep what firmware and kernels write;
 * shadow RAM and interrupt steering are not modelled: RAM is RAM, and interrupts are wired.
 */
import { type PciBus, PciFunction } from '../pci/pci-function.ts';
import { bit, bits, reg } from '../register-file.ts';

const VENDOR_INTEL = 0x8086;
export const HOST_BRIDGE_REGISTERS = {
  pmcCfg: reg({ at: 0x50, sizeBytes: 2, writable: 0xffc0, doc: 'PMCCFG: memory controller configuration' }),
  pam0: reg({ at: 0x59, writable: 0x30, doc: 'PAM0: 0xf0000–0xfffff' }),
  pam1: reg({ at: 0x5a, writable: 0x33, doc: 'PAM1: 0xc0000–0xc7fff' }),
  pam2: reg({ at: 0x5b, writable: 0x33, doc: 'PAM2: 0xc8000–0xcffff' }),
  pam3: reg({ at: 0x5c, writable: 0x33, doc: 'PAM3: 0xd0000–0xd7fff' }),
  pam4: reg({ at: 0x5d, writable: 0x33, doc: 'PAM4: 0xd8000–0xdffff' }),
  pam5: reg({ at: 0x5e, writable: 0x33, doc: 'PAM5: 0xe0000–0xe7fff' }),
  pam6: reg({ at: 0x5f, writable: 0x33, doc: 'PAM6: 0xe8000–0xeffff' }),
  smram: reg({ at: 0x72, reset: 0x02, writable: 0x78, doc: 'SMRAM: system management RAM' }),
};

const route = (at: number, line: string) =>
  reg({
    at,
    reset: 0x80,
    writable: 0x8f,
    doc: `PIRQRC${line}: the ISA interrupt of INT${line}`,
    fields: { irq: bits(3, 0), disabled: bit(7) },
  });

export const ISA_BRIDGE_REGISTERS = {
  iort: reg({ at: 0x4c, reset: 0x4d, writable: 0x7f, doc: 'IORT: I/O recovery' }),
  xbcs: reg({ at: 0x4e, sizeBytes: 2, reset: 0x0003, writable: 0x01ff, doc: 'XBCS: X-bus chip select' }),
  pirqRouteA: route(0x60, 'A'),
  pirqRouteB: route(0x61, 'B'),
  pirqRouteC: route(0x62, 'C'),
  pirqRouteD: route(0x63, 'D'),
  topOfMemory: reg({ at: 0x69, reset: 0x02, writable: 0xfe, doc: 'TOM: top of memory' }),
  miscStatus: reg({ at: 0x6a, sizeBytes: 2, writable: 0x8091, doc: 'MSTAT: miscellaneous status' }),
  deterministicLatency: reg({
    at: 0x82,
    writable: 0x0f,
    doc: 'DLC: passive release, delayed transactions',
    fields: { passiveRelease: bit(1) },
  }),
};

/** Intel 440FX host bridge, 00:00.0. */
export class HostBridge extends PciFunction {
  constructor(bus: PciBus, name: string) {
    const registers = HOST_BRIDGE_REGISTERS;
    const identity = {
      vendor: VENDOR_INTEL,
      device: 0x1237,
      revision: 0x02,
      classCode: 0x06_00_00,
      registers,
    };
    super(bus, name, { device: 0 }, identity);
  }
}

/** PIIX3 ISA bridge, 00:01.0. */
export class IsaBridge extends PciFunction {
  constructor(bus: PciBus, name: string) {
    const registers = ISA_BRIDGE_REGISTERS;
    const identity = { vendor: VENDOR_INTEL, device: 0x7000, classCode: 0x06_01_00, registers };
    super(bus, name, { device: 1 }, identity);
  }
}
