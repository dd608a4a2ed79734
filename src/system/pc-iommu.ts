/** The IOMMU of a PcBoard, and what the ACPI tables say of it. */
import type { ApicBus } from '../dev/x86/apic/apic-bus.ts';
import { IntelIommu } from '../dev/x86/vtd/intel-iommu.ts';
import { ADDRESS_BITS } from '../dev/x86/vtd/registers.ts';
import type { NoncoherentXBar } from '../mem/crossbar.ts';
import type { PhysicalMemory } from '../mem/physical-memory.ts';
import type { SimObject } from '../sim/sim-object.ts';
import { FatalError } from '../sim/trouble.ts';
import type { DmarTable } from '../workload/boot/pc-layout.ts';
import { IOMMU, PLATFORM_BUS } from './pc-map.ts';
import type { PcBoardParams } from './pc-params.ts';

/**
 * Refuses an IOMMU beside the kernel's interrupt controllers: their messages would pass it by.
 * @throws FatalError in one line
 */
export function checkIommu(path: string, { iommu, irqchip }: PcBoardParams): void {
  if (iommu !== 'none' && irqchip === 'kernel')
    throw new FatalError(
      `${path}: iommu ${iommu} remaps interrupts of simulated controllers only: leave out irqchip kernel`,
    );
}

export function makeIommu(
  board: SimObject,
  { bus, membus, ram }: { bus: ApicBus; membus: NoncoherentXBar; ram: PhysicalMemory },
): IntelIommu {
  const iommu = new IntelIommu(board, 'iommu', {
    bus,
    ram,
    ioApicSource: PLATFORM_BUS.number * 0x100 + PLATFORM_BUS.ioApic * 8,
    base: IOMMU.start,
  });
  iommu.memory.bind(membus.addCpuSidePort());
  return iommu;
}

/** DRHD for all PCI functions, with the I/O APIC and the HPET. */
export function dmarTable(ioApicId: number): DmarTable {
  const { number: bus, ioApic, hpet } = PLATFORM_BUS;
  return {
    addressBits: ADDRESS_BITS,
    registers: IOMMU.start,
    ioApics: [{ id: ioApicId, bus, device: ioApic }],
    hpets: [{ id: 0, bus, device: hpet }],
  };
}
