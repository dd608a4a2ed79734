/**
 * The PCI functions of a PcBoard beside its bridges: how they are wired to interrupts and to memory, and what firmware would have
 * written into them before an image starts.
 */
import { Edu } from '../dev/pci/edu.ts';
import type { PciEndpoint } from '../dev/pci/pci-endpoint.ts';
import type { PciFunction } from '../dev/pci/pci-function.ts';
import type { PciHost } from '../dev/x86/pci-host.ts';
import type { IntelIommu } from '../dev/x86/vtd/intel-iommu.ts';
import type { NoncoherentXBar } from '../mem/crossbar.ts';
import type { MemoryMode } from '../mem/memory-mode.ts';
import { type PinSink, wiredOr } from '../sim/pin.ts';
import type { PciTables, Span } from '../workload/boot/pc-layout.ts';
import { PCI_IRQS, PCI_SLOTS } from './pc-map.ts';

export interface PciWiring {
  readonly host: PciHost;
  /** Where DMA goes: here, through the IOMMU if there is one. */
  readonly membus: NoncoherentXBar;
  readonly iommu: IntelIommu | undefined;
  memoryMode(): MemoryMode;
  irq(n: number): PinSink;
}

/** Adds the functions that the board has been asked for. */
export function addPciFunctions(wiring: PciWiring, { edu }: { readonly edu: boolean }): void {
  const { host, memoryMode } = wiring;
  if (edu) connectDma(new Edu(host, 'edu', { device: PCI_SLOTS.edu }, { memoryMode }), wiring);
  connectInterrupts(wiring);
}

function connectDma(endpoint: PciEndpoint, { membus, iommu }: PciWiring): void {
  const way = iommu?.addRequester(endpoint.sourceId);
  way?.memory.bind(membus.addCpuSidePort());
  endpoint.dma.port.bind(way?.device ?? membus.addCpuSidePort());
}

function connectInterrupts({ host, irq }: PciWiring): void {
  const wires = new Map([...new Set<number>(PCI_IRQS)].map((n) => [n, wiredOr(irq(n))]));
  for (const fn of host.functions) {
    const line = interruptLine(fn);
    if (line !== undefined) fn.intx.connect(wires.get(line)!());
  }
}

/** The ISA interrupt of a function. Pins turn from slot to slot: PCI Local Bus Specification 3.0, §2.2.6. */
function interruptLine({ device, config }: PciFunction): number | undefined {
  const pin = config.get('interruptPin');
  return pin === 0 ? undefined : PCI_IRQS[(device + pin - 1) % PCI_IRQS.length];
}

/** What the ACPI tables say of the functions' interrupts. */
export function pciRoutes(functions: Iterable<PciFunction>): PciTables['routes'] {
  return [...functions].flatMap((fn) => {
    const gsi = interruptLine(fn);
    const pin = (fn.config.get('interruptPin') - 1) as 0 | 1 | 2 | 3;
    return gsi === undefined ? [] : [{ device: fn.device, pin, gsi }];
  });
}

/** Registers of a configuration space. */
const COMMAND = 0x04;
const BAR_0 = 0x10;
const INTERRUPT_LINE = 0x3c;
const DECODE = { io: 1, memory: 2 } as const;

/** Does firmware's work: every BAR has its place in the windows and is decoded, every interrupt line says where it leads. */
export function assignPciResources(
  functions: Iterable<PciFunction>,
  windows: Readonly<Record<'io' | 'memory', Span>>,
): void {
  const next = { io: windows.io.start, memory: windows.memory.start };
  for (const fn of functions) {
    const { bars, config } = fn;
    let command = 0;
    for (const { space, sizeBytes, declared } of bars) {
      const base = Math.ceil(next[space] / sizeBytes) * sizeBytes;
      next[space] = base + sizeBytes;
      config.write(BAR_0 + 4 * declared.index, 4, base);
      command |= DECODE[space];
    }
    if (command !== 0) config.write(COMMAND, 2, command);
    const line = interruptLine(fn);
    if (line !== undefined) config.write(INTERRUPT_LINE, 1, line);
  }
}
