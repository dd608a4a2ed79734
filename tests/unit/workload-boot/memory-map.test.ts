// The E820 map follows from the board's layout. ACPI specification 6.5 chapter 15.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildMemoryMap, MemoryType, type PcLayout } from '../../../src/workload/boot/index.ts';
import { FACS, LAYOUT, MIB, TABLES } from './pc.ts';

const GIB = 2 ** 30;
const layout = (more: Partial<PcLayout>): PcLayout => ({
  ram: [{ start: 0, sizeBytes: 8 * MIB }],
  claims: [],
  ebda: { start: 0x9_fc00, sizeBytes: 0x400 },
  ...more,
});

test('entries are sorted, disjoint, and merged where they touch', () => {
  assert.deepEqual(buildMemoryMap(LAYOUT), [
    { start: 0, sizeBytes: 0x9_fc00, type: 1 },
    { start: 0x9_fc00, sizeBytes: 0x6_0400, type: 2 },
    { start: MIB, sizeBytes: TABLES.start - MIB, type: 1 },
    { ...TABLES, type: 3 },
    { ...FACS, type: 4 },
    { start: 0xfee0_0000, sizeBytes: 0x1000, type: 2 },
  ]);
});

test('RAM above 4 GiB is RAM', () => {
  const ram = [
    { start: 0, sizeBytes: 3 * GIB },
    { start: 4 * GIB, sizeBytes: GIB },
  ];
  assert.deepEqual(buildMemoryMap(layout({ ram })).at(-1), { start: 4 * GIB, sizeBytes: GIB, type: 1 });
});

test('what is claimed twice is of the type claimed first', () => {
  const claims = [
    { start: MIB, sizeBytes: 0x2000, type: MemoryType.unusable, what: 'first' },
    { start: MIB + 0x1000, sizeBytes: 0x2000, type: MemoryType.reserved, what: 'second' },
  ];
  assert.deepEqual(buildMemoryMap(layout({ claims })).slice(-3), [
    { start: MIB, sizeBytes: 0x2000, type: 5 },
    { start: MIB + 0x2000, sizeBytes: 0x1000, type: 2 },
    { start: MIB + 0x3000, sizeBytes: 7 * MIB - 0x3000, type: 1 },
  ]);
});

test('the RSDP is never in usable RAM, whatever the board claims', () => {
  const map = buildMemoryMap({ ...LAYOUT, claims: [] });
  const entry = map.find(({ start, sizeBytes }) => start <= 0xe_0000 && 0xe_0000 < start + sizeBytes);
  assert.deepEqual(entry, { start: 0xe_0000, sizeBytes: 36, type: 2 });
});

test('firmware areas outside of RAM are refused', () => {
  const ram = [{ start: 0, sizeBytes: 0x8_0000 }];
  assert.throws(() => buildMemoryMap(layout({ ram })), {
    name: 'FatalError',
    message: /the extended BIOS data area at 0x9fc00–0xa0000 is not in RAM: give the machine more memory/,
  });
  const acpi = { ...LAYOUT.acpi!, tables: { start: 15 * MIB, sizeBytes: 2 * MIB } };
  assert.throws(() => buildMemoryMap({ ...LAYOUT, acpi }), /the ACPI tables at .* is not in RAM/);
});
