/**
 * What a PcBoard tells its guest about itself, in place of firmware: the memory layout for the loaders and the records that
 * the ACPI tables are made from. All of it is the map (pc-map.ts) said in other words.
 */
import { HARD_RESET } from '../dev/x86/reset-control.ts';
import {
  type AcpiLayout,
  type Claim,
  type DmarTable,
  MemoryType,
  type PciTables,
  type PcLayout,
  type PcTables,
  type PortDevice,
} from '../workload/boot/pc-layout.ts';
import {
  ACPI_NVS_BYTES,
  ACPI_TABLES_BYTES,
  FIRMWARE,
  GSI_OVERRIDES,
  IOMMU,
  IRQS,
  MMIO,
  type Place,
  PORTS,
  pciPorts,
  RSDP_ADDRESS,
  ramSpans,
  TEST_DEVICE,
} from './pc-map.ts';

/** What the board knows beyond the map. */
export interface PcFacts {
  readonly memorySizeBytes: number;
  /** APIC id of each processor. */
  readonly apicIds: readonly number[];
  readonly ioApicId: number;
  /** The low half of the HPET's capability register. */
  readonly hpetCapabilities: number;
  /** SLP_TYP of S3; undefined: the machine has none. */
  readonly suspendType?: number;
  /** SLP_TYP of soft-off. */
  readonly softOffType: number;
  /** Index of the century's byte in CMOS. */
  readonly centuryRegister: number;
  readonly hasTestDevice: boolean;
  /** Where the interrupts of PCI functions arrive. */
  readonly pciRoutes: PciTables['routes'];
  /** The IOMMU, on a board that has one. */
  readonly dmar?: DmarTable;
}

/** PM timer's width. */
export const PM_TIMER_BITS = 32;
/** Fewest ticks of the HPET's counter that a periodic timer of its may have. */
const HPET_MINIMUM_TICKS = 0x80;

/** Where RAM, firmware and devices are. */
export function pcLayout(facts: PcFacts): PcLayout {
  const ram = ramSpans(facts.memorySizeBytes);
  const lowEnd = ram[0]!.sizeBytes;
  const facs = { start: lowEnd - ACPI_NVS_BYTES, sizeBytes: ACPI_NVS_BYTES };
  const tables = { start: facs.start - ACPI_TABLES_BYTES, sizeBytes: ACPI_TABLES_BYTES };
  const acpi: AcpiLayout = { rsdpAddress: RSDP_ADDRESS, tables, facs, machine: pcTables(facts) };
  // What PCI devices may claim is nobody's yet: reserved, operating systems would not give it to them.
  const { pci: _, ...windows } = MMIO;
  const testDevice = facts.hasTestDevice ? [TEST_DEVICE.memory] : [];
  const iommu = facts.dmar === undefined ? [] : [IOMMU];
  const claims = [FIRMWARE.biosArea, ...Object.values(windows), ...iommu, ...testDevice].map(reserved);
  return { ram, claims, ebda: FIRMWARE.ebda, hasBios: true, acpi };
}

function reserved(place: Place): Claim {
  return { ...place, type: MemoryType.reserved };
}

function pcTables(facts: PcFacts): PcTables {
  return {
    processors: facts.apicIds.map((apicId) => ({ apicId, enabled: true })),
    localApicAddress: MMIO.localApic.start,
    ioApics: [{ id: facts.ioApicId, address: MMIO.ioApic.start, firstGsi: 0 }],
    interruptOverrides: [
      ...Object.entries(GSI_OVERRIDES).map(([irq, gsi]) => ({
        irq: Number(irq),
        gsi,
        trigger: 'edge' as const,
        polarity: 'high' as const,
      })),
      { irq: IRQS.sci, gsi: IRQS.sci, trigger: 'level', polarity: 'high' },
    ],
    nmiLint: 1,
    power: {
      sciIrq: IRQS.sci,
      eventPort: PORTS.pmEvent.start,
      controlPort: PORTS.pmControl.start,
      timerPort: PORTS.pmTimer.start,
      timerBits: PM_TIMER_BITS,
      ...(facts.suspendType === undefined ? {} : { suspendType: facts.suspendType }),
      softOffType: facts.softOffType,
      powerButton: true,
      reset: { port: PORTS.resetControl.start, value: HARD_RESET },
    },
    hpet: {
      address: MMIO.hpet.start,
      capabilities: facts.hpetCapabilities,
      minimumTicks: HPET_MINIMUM_TICKS,
    },
    rtc: { ...portDevice(PORTS.rtc, IRQS.rtc), centuryRegister: facts.centuryRegister },
    serialPorts: [portDevice(PORTS.com1, IRQS.com1), portDevice(PORTS.com2, IRQS.com2)],
    keyboardController: { keyboardIrq: IRQS.keyboard, mouseIrq: IRQS.mouse },
    pci: {
      lastBus: 0xff,
      configPorts: { start: PORTS.pciAddress.start, sizeBytes: 8 },
      ioWindows: [pciPorts(facts.hasTestDevice)],
      memoryWindows: [MMIO.pci],
      routes: facts.pciRoutes,
    },
    ...(facts.dmar === undefined ? {} : { dmar: facts.dmar }),
  };
}

function portDevice({ start, sizeBytes }: Place, irq: number): PortDevice {
  return { port: start, portCount: sizeBytes, irq };
}
