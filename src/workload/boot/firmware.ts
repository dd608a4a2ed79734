/**
 * What firmware leaves in memory for the operating system: the BIOS data area's facts about ports and memory (IBM PC
 * AT Technical Reference, segment 40h), handlers of interrupts in real mode, and the ACPI tables. There is no BIOS to call:
 * every handler returns, those of devices after an end of interrupt, so that a timer that ticks does no harm.
 */
import { BIOS_VECTORS } from '../../arch/x86/interrupt-state.ts';
import { type AcpiTable, buildAcpiTables } from './acpi/index.ts';
import type { LoadPlan } from './load-plan.ts';
import type { PcLayout } from './pc-layout.ts';

const DATA_AREA = 0x400;
const DATA_AREA_BYTES = 0x100;
/** Offsets in the BIOS data area. */
const At = { serialPorts: 0x00, ebdaSegment: 0x0e, equipment: 0x10, memoryKiB: 0x13 } as const;
const MAX_SERIAL_PORTS = 4;

const VECTORS = 256;
const INPUTS_OF_AN_8259 = 8;
/** Segment of the BIOS, and where the IBM PC's has its timer interrupt and the IRET of all vectors that it does not serve. */
const BIOS_SEGMENT = 0xf000;
const IRQ_HANDLER = 0xfea5;
const NO_HANDLER = 0xff53;
/** push ax; mov al, 20h (nonspecific end of interrupt); out A0h, al; out 20h, al; pop ax; iret */
const END_SLAVE_INTERRUPT = [0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf];
/** The same for the first 8259A alone. */
const END_MASTER_INTERRUPT = [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf];
const IRET = [0xcf];

/** Plans the firmware's part; returns the ACPI root pointer if the board has ACPI. */
export function placeFirmware(plan: LoadPlan, layout: PcLayout): AcpiTable | undefined {
  plan.place('the BIOS data area', DATA_AREA, buildDataArea(layout));
  if (layout.hasBios) placeInterruptHandlers(plan);
  plan.write(layout.ebda.start, new Uint8Array([Math.ceil(layout.ebda.sizeBytes / 1024)]));
  if (layout.acpi === undefined) return undefined;
  const tables = buildAcpiTables(layout.acpi);
  for (const table of tables) plan.write(table.address, table.bytes);
  return tables[0];
}

function placeInterruptHandlers(plan: LoadPlan): void {
  const table = new Uint16Array(2 * VECTORS);
  const point = (first: number, count: number, offset: number): void => {
    for (let vector = first; vector < first + count; vector++) table.set([offset, BIOS_SEGMENT], 2 * vector);
  };
  const slaveHandler = IRQ_HANDLER + END_MASTER_INTERRUPT.length;
  point(0, VECTORS, NO_HANDLER);
  point(BIOS_VECTORS.master, INPUTS_OF_AN_8259, IRQ_HANDLER);
  point(BIOS_VECTORS.slave, INPUTS_OF_AN_8259, slaveHandler);
  plan.write(0, new Uint8Array(table.buffer));
  plan.write(
    16 * BIOS_SEGMENT + IRQ_HANDLER,
    new Uint8Array([...END_MASTER_INTERRUPT, ...END_SLAVE_INTERRUPT]),
  );
  plan.write(16 * BIOS_SEGMENT + NO_HANDLER, new Uint8Array(IRET));
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
