/**
 * The DSDT: the devices that an operating system cannot find by itself, and how to switch the machine off. It contains
 * data only, no methods. ACPI specification 6.5 §6.1 (identification), §6.2 (_CRS, _PRT), §7.4.2 (\_Sx).
 */
import type { HpetTable, PciTables, PcTables, PortDevice } from '../pc-layout.ts';
import { type Aml, bytes, device, eisaId, integer, name, pack, scope, text } from './aml.ts';
import {
  busWindow,
  fixedMemory,
  ioPorts,
  ioWindow,
  isaInterrupt,
  memoryWindow,
  type Resource,
  resourceTemplate,
} from './resources.ts';
import { buildTable } from './table.ts';

/** Revision 2 makes AML's integers 64 bits wide. */
const REVISION = 2;
/** Registers of an HPET, specification 1.0a §2.3. */
const HPET_BYTES = 0x400;
const KEYBOARD_DATA = 0x60;
const KEYBOARD_COMMAND = 0x64;
/** In a _PRT: any function of the device. */
const ANY_FUNCTION = 0xffff;

export function buildDsdt(machine: PcTables): Uint8Array {
  const devices = [
    ...machine.processors.map((_, uid) => processor(uid)),
    ...(machine.pci === undefined ? [] : [pciRoot(machine.pci)]),
    ...machine.serialPorts.map((port, i) => pnp(`COM${i + 1}`, 'PNP0501', i + 1, portResources(port))),
    ...(machine.rtc === undefined ? [] : [pnp('RTC', 'PNP0B00', 0, portResources(machine.rtc))]),
    ...keyboardController(machine),
    ...(machine.hpet === undefined ? [] : [hpet(machine.hpet)]),
  ];
  const { suspendType, softOffType } = machine.power;
  const states = [
    ...(suspendType === undefined ? [] : [sleepState('\\_S3', suspendType)]),
    sleepState('\\_S5', softOffType),
  ];
  return buildTable('DSDT', REVISION, bytes(...states, scope('\\_SB', ...devices)));
}

/** SLP_TYP of PM1a_CNT and PM1b_CNT for a sleep state, two reserved elements. */
function sleepState(state: string, type: number): Aml {
  return name(state, pack(integer(type), integer(type), integer(0), integer(0)));
}

/** A device with a plug-and-play identifier and fixed resources. */
function pnp(path: string, id: string, uid: number, resources: readonly Resource[]): Aml {
  return device(
    path,
    name('_HID', eisaId(id)),
    name('_UID', integer(uid)),
    name('_CRS', resourceTemplate(...resources)),
  );
}

/** A processor; its _UID is that of its MADT entry. */
function processor(uid: number): Aml {
  const path = `C${uid.toString(16).toUpperCase().padStart(3, '0')}`;
  return device(path, name('_HID', text('ACPI0007')), name('_UID', integer(uid)));
}

function portResources({ port, portCount, irq }: PortDevice): Resource[] {
  return [ioPorts(port, portCount), isaInterrupt(irq)];
}

/** Two devices share the controller; its ports are the keyboard's. */
function keyboardController({ keyboardController: irqs }: PcTables): Aml[] {
  if (irqs === undefined) return [];
  const ports = [ioPorts(KEYBOARD_DATA, 1), ioPorts(KEYBOARD_COMMAND, 1)];
  return [
    pnp('KBD', 'PNP0303', 0, [...ports, isaInterrupt(irqs.keyboardIrq)]),
    pnp('MOU', 'PNP0F13', 0, [isaInterrupt(irqs.mouseIrq)]),
  ];
}

function hpet({ address }: HpetTable): Aml {
  return pnp('HPET', 'PNP0103', 0, [fixedMemory(address, HPET_BYTES)]);
}

/** The host bridge: what it forwards (windows) and what it decodes itself (configuration ports). */
function pciRoot(pci: PciTables): Aml {
  const resources = resourceTemplate(
    busWindow(0, pci.lastBus + 1),
    ioPorts(pci.configPorts.start, pci.configPorts.sizeBytes),
    ...pci.ioWindows.map(({ start, sizeBytes }) => ioWindow(start, sizeBytes)),
    ...pci.memoryWindows.map(({ start, sizeBytes }) => memoryWindow(start, sizeBytes)),
  );
  const routes = pci.routes.map((route) =>
    pack(integer(route.device * 0x1_0000 + ANY_FUNCTION), integer(route.pin), integer(0), integer(route.gsi)),
  );
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_CRS', resources),
    name('_PRT', pack(...routes)),
  );
}
