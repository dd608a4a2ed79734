import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layOutRegions } from '../../../src/mem/region-table.ts';

const MIB = 2 ** 20;

test('regions keep their address modulo 2 MiB, relative to the base', () => {
  const base = 0x5_0000;
  const { regions } = layOutRegions(
    [
      { start: 0, sizeBytes: 5 * MIB },
      { start: 4096 * MIB + 0x3000, sizeBytes: 0x1000 },
    ],
    base,
  );
  assert.equal(regions[0]!.linear, base);
  assert.equal((regions[1]!.linear - base) % (2 * MIB), 0x3000);
  assert.ok(regions[1]!.linear >= base + 5 * MIB);
});

test('regions do not overlap in linear memory, whatever their phases', () => {
  const { regions, sizeBytes } = layOutRegions(
    [
      { start: 0x1f_f000, sizeBytes: 0x1000 },
      { start: 0x40_0000, sizeBytes: 0x1000 },
      { start: 0x7f_e000, sizeBytes: 0x2000 },
    ],
    0,
  );
  let end = 0;
  for (const region of regions) {
    assert.ok(region.linear >= end, `${region.range} begins at ${region.linear}, before ${end}`);
    assert.equal(region.linear % (2 * MIB), region.start % (2 * MIB));
    end = region.linear + region.sizeBytes;
  }
  assert.equal(sizeBytes, end);
});

test('regions are sorted by address and carry the three flags, all set by default', () => {
  const { regions } = layOutRegions(
    [
      { start: 0x10_0000, sizeBytes: 0x1000, kvmMap: false },
      { start: 0, sizeBytes: 0x1000, confTableReported: false, inAddrMap: false },
    ],
    0,
  );
  const flags = regions.map(({ start, confTableReported, inAddrMap, kvmMap }) => [
    start,
    confTableReported,
    inAddrMap,
    kvmMap,
  ]);
  assert.deepEqual(flags, [
    [0, false, false, true],
    [0x10_0000, true, true, false],
  ]);
});

test('overlapping ranges are refused and named', () => {
  const ranges = [
    { start: 0, sizeBytes: 0x3000 },
    { start: 0x2000, sizeBytes: 0x1000 },
  ];
  assert.throws(() => layOutRegions(ranges, 0), /\[0x0:0x3000\) and \[0x2000:0x3000\) overlap/);
});

test('ranges that are not whole pages are refused', () => {
  assert.throws(() => layOutRegions([{ start: 0x800, sizeBytes: 0x1000 }], 0), /whole 4 KiB pages/);
  assert.throws(() => layOutRegions([{ start: 0, sizeBytes: 0x1001 }], 0), /whole 4 KiB pages/);
  assert.throws(() => layOutRegions([{ start: 0, sizeBytes: 0 }], 0), /empty/);
  assert.throws(() => layOutRegions([], 0), /at least one/);
});
