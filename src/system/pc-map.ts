/**
 * Where everything is on a PC: memory, I/O ports, interrupts. Written down here once; the board wires its devices by it,
 * the ACPI tables and the memory map that the guest sees are made from it, and so is docs/machine.md.
 */
import type { Span } from '../workload/boot/pc-layout.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** A device's place and a line on it for the documentation. */
export interface Place extends Span {
  readonly what: string;
}

const at = (start: number, sizeBytes: number, what: string): Place => ({ start, sizeBytes, what });

/** RAM up to the hole; what is more lies above 4 GiB. */
export const LOW_RAM_LIMIT = 3 * GIB;
export const HIGH_RAM_START = 4 * GIB;

/** Pieces of low RAM that firmware keeps for itself. */
export const FIRMWARE = {
  ebda: at(0x9_fc00, KIB, 'extended BIOS data area'),
  biosArea: at(
    0xa_0000,
    0x6_0000,
    'video memory and BIOS of a PC: here plain RAM, reserved; the ACPI RSDP is in it',
  ),
} as const;

/** Address of the ACPI RSDP: operating systems look for it from 0xe0000 to 0xfffff. */
export const RSDP_ADDRESS = 0xe_0000;
/** The last pieces of low RAM. */
export const ACPI_TABLES_BYTES = 64 * KIB;
export const ACPI_NVS_BYTES = 4 * KIB;

/** Devices that are reached by loads and stores: all in the hole below 4 GiB. */
export const MMIO = {
  pci: at(0xc000_0000, 0x3ec0_0000, 'PCI: whatever base address registers claim'),
  ioApic: at(0xfec0_0000, 4 * KIB, 'I/O APIC (82093AA), 24 inputs'),
  hpet: at(0xfed0_0000, KIB, 'HPET'),
  localApic: at(
    0xfee0_0000,
    MIB,
    "local APIC: to each processor its own, in the page that IA32_APIC_BASE names; a device's store is an MSI",
  ),
  kvm: at(0xfeff_c000, 16 * KIB, 'pages that KVM needs on Intel hosts: reserved'),
  m5ops: at(0xffff_0000, 64 * KIB, "gem5's pseudo-instructions, as m5ops_base=0xFFFF0000"),
} as const satisfies Record<string, Place>;

/** I/O ports: `start` is a port number. */
export const PORTS = {
  pic1: at(0x20, 2, 'first 8259A'),
  pit: at(0x40, 4, '8254 PIT'),
  keyboardData: at(0x60, 1, 'i8042: data'),
  systemControlB: at(0x61, 1, 'system control port B: gate and output of PIT channel 2'),
  keyboardControl: at(0x64, 1, 'i8042: status and command'),
  rtc: at(0x70, 2, 'MC146818 RTC: index and data'),
  post: at(0x80, 1, 'POST code: writes are swallowed'),
  systemControlA: at(0x92, 1, 'system control port A: reset, address line 20'),
  pic2: at(0xa0, 2, 'second 8259A'),
  delay: at(0xed, 1, 'delay: writes are swallowed'),
  debugExit: at(0xf4, 4, "test exit, as QEMU's isa-debug-exit: status 2 × value + 1"),
  com2: at(0x2f8, 8, 'COM2 (16550A)'),
  com1: at(0x3f8, 8, 'COM1 (16550A)'),
  elcr: at(0x4d0, 2, 'edge/level registers of the 8259As'),
  pmEvent: at(0x600, 4, 'ACPI PM1a event block'),
  pmControl: at(0x604, 2, 'ACPI PM1a control block'),
  pmTimer: at(0x608, 4, 'ACPI PM timer, 3.579545 MHz'),
  pciAddress: at(0xcf8, 4, 'PCI configuration mechanism #1: address (32-bit accesses)'),
  resetControl: at(0xcf9, 1, 'reset control (8-bit accesses)'),
  pciData: at(0xcfc, 4, 'PCI configuration mechanism #1: data'),
  pci: at(0x1000, 0xf000, 'PCI: whatever base address registers claim'),
} as const satisfies Record<string, Place>;

/** The devices for test kernels, on a board that has them: PCI has the ports after them. */
export const TEST_DEVICE = {
  registers: at(0xe0, 12, 'test device: a register, flush of a page, the register again'),
  lines: at(0x2000, 24, 'test device: interrupt lines 0–23'),
  hyperV: at(0x3000, 4, "test device of Hyper-V's interface, if the processor offers that"),
  memory: at(0xff00_0000, 64 * KIB, 'test device: memory that is reached by exits only'),
} as const satisfies Record<string, Place>;

/** Registers of the IOMMU, on a board that has one. */
export const IOMMU: Place = at(0xfed9_0000, 4 * KIB, 'IOMMU: VT-d remapping hardware');

/** Where requests of the chipset itself come from, for the IOMMU: a bus that no PCI function is on, and device numbers there. */
export const PLATFORM_BUS = { number: 0xff, ioApic: 0x1e, hpet: 0x1f } as const;

/** Device numbers on PCI bus 0: 0 and 1 are the bridges. */
export const PCI_SLOTS = { edu: 2 } as const;

/** ISA interrupts of the four interrupt wires of the PCI bus. */
export const PCI_IRQS = [10, 11, 10, 11] as const;

/** I/O ports that base address registers of PCI can claim. */
export function pciPorts(hasTestDevice: boolean): Place {
  const { start, sizeBytes, what } = PORTS.pci;
  const first = hasTestDevice ? 0x4000 : start;
  return at(first, start + sizeBytes - first, what);
}

/** ISA interrupts. Each arrives at the 8259s and at the I/O APIC. */
export const IRQS = { pit: 0, keyboard: 1, com2: 3, com1: 4, rtc: 8, sci: 9, mouse: 12 } as const;

/** As many as the two 8259s have. */
export const ISA_INTERRUPTS = 16;

/** Whose they are, for the documentation. */
export const IRQ_TEXTS: Readonly<Record<keyof typeof IRQS, string>> = {
  pit: 'PIT channel 0, or HPET timer 0 in legacy replacement mode',
  keyboard: 'keyboard',
  com2: 'COM2',
  com1: 'COM1',
  rtc: 'RTC, or HPET timer 1 in legacy replacement mode',
  sci: 'ACPI SCI: level-triggered, active high',
  mouse: 'mouse (none is plugged in)',
};

/** Inputs of the I/O APIC that HPET timers can be routed to, a bit each. */
export const HPET_ROUTES = 0x00f0_0000;

/** Inputs of the I/O APIC where they differ from the ISA interrupt of the same number. */
export const GSI_OVERRIDES: Readonly<Record<number, number>> = { [IRQS.pit]: 2 };

/** Installed RAM: from 0 to the hole, the rest above 4 GiB. */
export function ramSpans(sizeBytes: number): Span[] {
  const low = { start: 0, sizeBytes: Math.min(sizeBytes, LOW_RAM_LIMIT) };
  if (sizeBytes <= LOW_RAM_LIMIT) return [low];
  return [low, { start: HIGH_RAM_START, sizeBytes: sizeBytes - LOW_RAM_LIMIT }];
}
