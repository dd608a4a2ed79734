/**
 * All ACPI tables of a machine, with their addresses. They point to each other, so places come first: DSDT, FADT, MADT,
 * HPET and DMAR one after the other, then the lists of them.
 */
import { FatalError } from '../../../sim/trouble.ts';
import { endOf } from '../memory-map.ts';
import type { AcpiLayout } from '../pc-layout.ts';
import { buildDsdt } from './dsdt.ts';
import { buildFacs, buildFadt } from './fadt.ts';
import { buildDmar, buildHpet, buildMadt, buildRsdp, buildRsdt, buildXsdt } from './static-tables.ts';

export interface AcpiTable {
  readonly signature: string;
  readonly address: number;
  readonly bytes: Uint8Array;
}

const ALIGN = 16;

/**
 * The tables, the root pointer first.
 * @throws FatalError where the board gave them too little room
 */
export function buildAcpiTables(layout: AcpiLayout): AcpiTable[] {
  const { machine } = layout;
  const tables: AcpiTable[] = [];
  let next = layout.tables.start;
  const put = (signature: string, bytes: Uint8Array): number => {
    const address = next;
    tables.push({ signature, address, bytes });
    next = Math.ceil((address + bytes.length) / ALIGN) * ALIGN;
    return address;
  };
  const facs: AcpiTable = { signature: 'FACS', address: layout.facs.start, bytes: buildFacs() };
  const dsdt = put('DSDT', buildDsdt(machine));
  const listed = [put('FACP', buildFadt(machine, dsdt, facs.address)), put('APIC', buildMadt(machine))];
  if (machine.hpet !== undefined) listed.push(put('HPET', buildHpet(machine.hpet)));
  if (machine.dmar !== undefined) listed.push(put('DMAR', buildDmar(machine.dmar)));
  const rsdt = put('RSDT', buildRsdt(listed));
  const xsdt = put('XSDT', buildXsdt(listed));
  const room = endOf(layout.tables);
  if (next > room) {
    const needed = next - layout.tables.start;
    throw new FatalError(`ACPI: ${needed} bytes of tables do not fit the board's ${layout.tables.sizeBytes}`);
  }
  return [
    { signature: 'RSD PTR ', address: layout.rsdpAddress, bytes: buildRsdp(rsdt, xsdt) },
    facs,
    ...tables,
  ];
}
