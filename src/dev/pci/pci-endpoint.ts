/**
 * PciEndpoint: a PCI function that accesses memory by itself and interrupts by message or by INTx (gem5: src/dev/pci/device.hh,
 * PciEndpoint). Disks, network cards and the like extend it.
 */
import type { MemoryMode } from '../../mem/memory-mode.ts';
import { DmaPort } from '../dma-port.ts';
import { type PciAddress, type PciBus, PciFunction, type PciIdentity } from './pci-function.ts';
import { msiMessage } from './pci-msi.ts';

/** What an endpoint needs beside its bus. */
export interface PciEndpointWiring {
  memoryMode(): MemoryMode;
}

/** The name of a transfer that is an interrupt. */
const MSI = 'msi';

export abstract class PciEndpoint extends PciFunction {
  /** To the bus on which memory is, or to an IOMMU before it. */
  readonly dma: DmaPort;

  constructor(
    parent: PciBus,
    name: string,
    address: PciAddress,
    identity: PciIdentity,
    { memoryMode }: PciEndpointWiring,
  ) {
    super(parent, name, address, identity);
    this.dma = new DmaPort(this, 'dma', {
      memoryMode,
      isEnabled: () => this.isBusMaster,
      done: (tag, data) => {
        if (tag !== MSI) this.dmaDone(tag, data);
      },
    });
  }

  /** A transfer of its own is through: see DmaWiring.done. */
  protected abstract dmaDone(tag: string, data: Uint8Array): void;

  /**
   * Something has happened of which software is to hear: a message if MSI is enabled, and INTx until {@link lowerInterrupt}
   * if not. Messages keep their place behind what has been written before; several that have not left yet are one.
   */
  protected raiseInterrupt(): void {
    this.setInterrupt(true);
    const message = msiMessage(this.config);
    if (message === undefined || this.dma.isWaiting(MSI)) return;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, message.data, true);
    this.dma.write(MSI, message.address, bytes);
  }

  /** Nothing is left to tell. */
  protected lowerInterrupt(): void {
    this.setInterrupt(false);
  }
}
