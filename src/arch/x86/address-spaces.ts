/**
 * x86 has two more address spaces beside memory: I/O ports (SDM vol. 1 chapter 19) and PCI configuration space (PCI
 * Local Bus Specification 3.0, §3.2.2.3.2). Both are windows of the physical address space here, above the 52 bits that a
 * guest can address, so that one kind of packet and one crossbar serve all three. gem5 does the same (x86/x86_traits.hh).
 */
import { MEMORY_SPACE_END, type PhysAddr } from '../../mem/addr.ts';

/** Port p is at `IO_SPACE_BASE + p`. */
export const IO_SPACE_BASE = MEMORY_SPACE_END as PhysAddr;
export const IO_SPACE_SIZE = 0x1_0000;

/** The register of a function is at `PCI_CONFIG_BASE + (bus << 16 | device << 11 | function << 8 | register)`. */
export const PCI_CONFIG_BASE = (MEMORY_SPACE_END + 2 ** 32) as PhysAddr;
export const PCI_CONFIG_SIZE = 0x100_0000;

/**
 * Each processor sees its own local APIC at the same address (IA32_APIC_BASE), so the bus cannot tell them apart there.
 * On the bus they have a page each in this window, and a CPU turns accesses to its APIC page into accesses to that one.
 */
export const LOCAL_APIC_WINDOW = (MEMORY_SPACE_END + 2 * 2 ** 32) as PhysAddr;
export const LOCAL_APIC_PAGE_SIZE = 0x1000;

/** Ports of PCI configuration mechanism #1. */
export const PCI_CONFIG_ADDRESS_PORT = 0xcf8;
export const PCI_CONFIG_DATA_PORT = 0xcfc;

/** Physical address of an I/O port. */
export function portAddress(port: number): PhysAddr {
  return (IO_SPACE_BASE + port) as PhysAddr;
}

/** Physical address of a register of a PCI function. */
export function pciConfigAddress(bus: number, device: number, fn: number, register: number): PhysAddr {
  return (PCI_CONFIG_BASE + ((bus << 16) | (device << 11) | (fn << 8) | register)) as PhysAddr;
}

/** Physical address, on the bus, of the registers of the local APIC that had this id at reset. */
export function localApicAddress(id: number): PhysAddr {
  return (LOCAL_APIC_WINDOW + id * LOCAL_APIC_PAGE_SIZE) as PhysAddr;
}
