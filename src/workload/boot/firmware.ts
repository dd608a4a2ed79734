/**
 * What firmware leaves in memory for the operating system: the BIOS data area's facts about ports and memory (IBM PC
 * AT Technical Reference, segment 40h) and the ACPI tables. There is no BIOS to call: the interrupt vectors are zero.
 */
import { type AcpiTable, buildAcpiTables } from './acpi/index.ts';
import type { LoadPlan } from './load-plan.ts';
import type { PcLayout } from './pc-layout.ts';

const DATA_AREA = 0x400;
const DATA_AREA_BYTES = 0x100;
/** Offsets in the BIOS data area. */
const At = { serialPorts: 0x00, ebdaSegment: 0x0e, equipment: 0x10, memoryKiB: 0x13 } as const;
const MAX_SERIAL_PORTS = 4;

/** Plans the firmware's part; returns the ACPI root pointer if the board has ACPI. */
export function placeFirmware(plan: LoadPlan, layout: PcLayout): AcpiTable | undefined {
  plan.place('the BIOS data area', DATA_AREA, buildDataArea(layout));
  plan.write(layout.ebda.start, new Uint8Array([Math.ceil(layout.ebda.sizeBytes / 1024)]));
  if (layout.acpi === undefined) return undefined;
  const tables = buildAcpiTables(layout.acpi);
  for (const table of tables) plan.write(table.address, table.bytes);
  return tables[0];
}

function buildDataArea(layout: PcLayout): Uint8Array {
  const area = new DataView(new ArrayBuffer(DATA_AREA_BYTES));
  const ports = (layout.acpi?.machine.serialPorts ?? []).slice(0, MAX_SERIAL_PORTS);
  for (const [i, { port }] of ports.entries()) area.setUint16(At.serialPorts + 2 * i, port, true);
  area.setUint16(At.ebdaSegment, layout.ebda.start >> 4, true);
  // Bit 1: a mathematics coprocessor; bits 9–11: the number of serial ports.
  area.setUint16(At.equipment, 0x2 | (ports.length << 9), true);
  area.setUint16(At.memoryKiB, layout.ebda.start >> 10, true);
  return new Uint8Array(area.buffer);
}
