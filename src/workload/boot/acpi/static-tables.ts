/**
 * MADT (interrupt controllers), HPET, DMAR (remapping hardware), and the root tables. ACPI specification 6.5 §5.2.5 (RSDP),
 * §5.2.7, §5.2.8 (RSDT, XSDT), §5.2.12 (MADT); IA-PC HPET specification 1.0a §3.2.4; VT-d specification §8.1 to §8.3.
 */
import type { DmarScope, DmarTable, HpetTable, InterruptWiring, PcTables } from '../pc-layout.ts';
import { bytes, littleEndian } from './aml.ts';
import { ascii, buildTable, checksum, OEM_ID } from './table.ts';

const u16 = (value: number): number[] => littleEndian(value, 2);
const u32 = (value: number): number[] => littleEndian(value, 4);
const u64 = (value: number): number[] => littleEndian(value, 8);

/** Types of MADT entries. */
const Entry = { localApic: 0, ioApic: 1, interruptOverride: 2, localApicNmi: 4 } as const;
/** MADT flag: the machine also has a pair of 8259s. */
const PCAT_COMPAT = 1;
const ENABLED = 1;
const ISA_BUS = 0;
const ALL_PROCESSORS = 0xff;

export function buildMadt(machine: PcTables): Uint8Array {
  const entries = [
    ...machine.processors.map(({ apicId, enabled }, uid) =>
      madtEntry(Entry.localApic, [uid, apicId, ...u32(enabled ? ENABLED : 0)]),
    ),
    ...machine.ioApics.map(({ id, address, firstGsi }) =>
      madtEntry(Entry.ioApic, [id, 0, ...u32(address), ...u32(firstGsi)]),
    ),
    ...machine.interruptOverrides.map((one) =>
      madtEntry(Entry.interruptOverride, [ISA_BUS, one.irq, ...u32(one.gsi), ...u16(wiringFlags(one))]),
    ),
    madtEntry(Entry.localApicNmi, [ALL_PROCESSORS, ...u16(0), machine.nmiLint]),
  ];
  return buildTable('APIC', 3, bytes(u32(machine.localApicAddress), u32(PCAT_COMPAT), ...entries));
}

function madtEntry(type: number, fields: readonly number[]): Uint8Array {
  return bytes([type, 2 + fields.length], fields);
}

/** MPS INTI flags, table 5.28: 0 is what the bus does, which for ISA is edge and high. */
function wiringFlags({ trigger, polarity }: InterruptWiring): number {
  if (trigger === 'edge' && polarity === 'high') return 0;
  return (polarity === 'high' ? 0x1 : 0x3) | (trigger === 'edge' ? 0x4 : 0xc);
}

export function buildHpet(hpet: HpetTable): Uint8Array {
  const SYSTEM_MEMORY = 0;
  const address = [SYSTEM_MEMORY, 64, 0, 0, ...u64(hpet.address)];
  const number = 0;
  const protection = 0;
  return buildTable(
    'HPET',
    1,
    bytes(u32(hpet.capabilities), address, [number], u16(hpet.minimumTicks), [protection]),
  );
}

/** One remapping unit, with all PCI functions in its scope. */
export function buildDmar({ addressBits, registers, ioApics, hpets }: DmarTable): Uint8Array {
  const INTERRUPT_REMAPPING = 1;
  const DRHD = 0;
  const INCLUDE_PCI_ALL = 1;
  const SEGMENT = 0;
  const Scope = { ioApic: 3, hpet: 4 } as const;
  const scope = (type: number, { id, bus, device }: DmarScope): number[] => {
    const path = [device, 0];
    return [type, 6 + path.length, ...u16(0), id, bus, ...path];
  };
  const scopes = [
    ...ioApics.flatMap((ioApic) => scope(Scope.ioApic, ioApic)),
    ...hpets.flatMap((hpet) => scope(Scope.hpet, hpet)),
  ];
  const unit = [INCLUDE_PCI_ALL, 0, ...u16(SEGMENT), ...u64(registers), ...scopes];
  const reserved = new Uint8Array(10);
  return buildTable(
    'DMAR',
    1,
    bytes([addressBits - 1, INTERRUPT_REMAPPING], reserved, u16(DRHD), u16(4 + unit.length), unit),
  );
}

/** The list of tables with 32-bit addresses, for those who know only ACPI 1.0. */
export function buildRsdt(tables: readonly number[]): Uint8Array {
  return buildTable('RSDT', 1, bytes(...tables.map(u32)));
}

export function buildXsdt(tables: readonly number[]): Uint8Array {
  return buildTable('XSDT', 1, bytes(...tables.map(u64)));
}

/** The root pointer: 20 bytes of ACPI 1.0 with a checksum of their own, then the newer fields. */
export function buildRsdp(rsdt: number, xsdt: number): Uint8Array {
  const REVISION = 2;
  const rsdp = bytes(
    ascii('RSD PTR '),
    [0],
    ascii(OEM_ID),
    [REVISION],
    u32(rsdt),
    u32(36),
    u64(xsdt),
    [0, 0, 0, 0],
  );
  rsdp[8] = checksum(rsdp.subarray(0, 20));
  rsdp[32] = checksum(rsdp);
  return rsdp;
}
