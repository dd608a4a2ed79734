import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { hostPagesIfAvailable } from '../../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { Root } from '../../../src/sim/root.ts';

const MIB = 2 ** 20;

function ram(): PhysicalMemory {
  const hostPages = hostPagesIfAvailable();
  assert.ok(hostPages !== undefined, 'this test is for Linux with node:ffi');
  return new PhysicalMemory(new Root(), 'ram', { ranges: [{ start: 0, sizeBytes: 8 * MIB }], hostPages });
}

/** The paragraph of /proc/self/smaps about the mapping that holds `address`. */
function mappingOf(address: bigint): string {
  const paragraphs = readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const found = paragraphs.find((paragraph) => {
    const [start = '', end = ''] = paragraph.split(/[- ]/, 2);
    return BigInt(`0x${start}`) <= address && address < BigInt(`0x${end}`);
  });
  assert.ok(found !== undefined);
  return found;
}

test('RAM lies at a multiple of 2 MiB and is advised to use huge pages', () => {
  const address = ram().pointer(asPhysAddr(0), 8 * MIB, 'read');
  assert.equal(address % BigInt(2 * MIB), 0n);
  const [flags = ''] = /^VmFlags:.*$/m.exec(mappingOf(address)) ?? [];
  assert.match(flags, / hg /);
});

test('discarded pages read as zero, their neighbours do not change, and they can be written again', () => {
  const m = ram();
  m.fill(asPhysAddr(0), 4 * MIB, 0xaa);
  m.discard(asPhysAddr(0x1000), 2 * MIB);
  assert.equal(m.readU8(asPhysAddr(0xfff)), 0xaa);
  assert.equal(m.readU8(asPhysAddr(0x1000)), 0);
  assert.equal(m.readU8(asPhysAddr(0x1000 + 2 * MIB - 1)), 0);
  assert.equal(m.readU8(asPhysAddr(0x1000 + 2 * MIB)), 0xaa);
  m.writeU8(asPhysAddr(0x1000), 1);
  assert.equal(m.readU8(asPhysAddr(0x1000)), 1);
});

test('dropping secondary mappings keeps contents, and the mapping stays writable and in one piece', () => {
  const m = ram();
  m.fill(asPhysAddr(0), 8 * MIB, 0x5a);
  const address = m.pointer(asPhysAddr(0), 1, 'read');
  const [before = ''] = mappingOf(address).split('\n', 1);
  m.dropSecondaryMappings(asPhysAddr(0x3000), 0x2000);
  assert.equal(m.readU8(asPhysAddr(0x3000)), 0x5a);
  m.writeU8(asPhysAddr(0x3000), 1);
  assert.equal(mappingOf(address).split('\n', 1)[0], before);
});

test('what was touched is found, and little else', () => {
  const hostPages = hostPagesIfAvailable()!;
  const m = new PhysicalMemory(new Root(), 'ram', { ranges: [{ start: 0, sizeBytes: 64 * MIB }], hostPages });
  m.writeU8(asPhysAddr(9 * MIB), 1);
  m.writeU8(asPhysAddr(64 * MIB - 1), 2);
  m.fill(asPhysAddr(20 * MIB), 4 * MIB, 3);
  m.discard(asPhysAddr(20 * MIB), 4 * MIB);
  const found = new Map<number, number>();
  let sizeBytes = 0;
  m.forTouched(asPhysAddr(0), 64 * MIB, (pa, bytes) => {
    sizeBytes += bytes.length;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) found.set(pa + i, bytes[i]!);
  });
  assert.deepEqual(
    [...found],
    [
      [9 * MIB, 1],
      [64 * MIB - 1, 2],
    ],
  );
  assert.ok(sizeBytes <= 4 * MIB, `two pages, huge ones at most; found ${sizeBytes} bytes`);
});
