import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asPhysAddr, type PhysAddr } from '../../../src/mem/addr.ts';
import type { HostPages, HostSpan } from '../../../src/mem/host-pages.ts';
import { PhysicalAddressError, PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import type { MemoryRange } from '../../../src/mem/region-table.ts';
import { Root } from '../../../src/sim/root.ts';
import { FatalError } from '../../../src/sim/trouble.ts';

const MIB = 2 ** 20;
const LOW = { start: 0, sizeBytes: 4 * MIB };
const HIGH = { start: 4096 * MIB, sizeBytes: 1 * MIB };

function ram(ranges: readonly MemoryRange[] = [LOW, HIGH], hostPages?: HostPages): PhysicalMemory {
  return new PhysicalMemory(new Root(), 'ram', hostPages === undefined ? { ranges } : { ranges, hostPages });
}

function at(n: number): PhysAddr {
  return asPhysAddr(n);
}

/** Notes what is asked of the host; its "address" of the memory is deliberately not aligned to 2 MiB. */
class RecordingHostPages implements HostPages {
  readonly base = 0x7f00_0013_0000n;
  readonly calls: string[] = [];
  addressOf(): bigint {
    return this.base;
  }
  adviseHugePages(address: bigint, sizeBytes: number): void {
    this.calls.push(`huge ${address.toString(16)} ${sizeBytes}`);
  }
  discard(address: bigint, sizeBytes: number): void {
    this.calls.push(`discard ${address.toString(16)} ${sizeBytes}`);
  }
  dropSecondaryMappings(address: bigint, sizeBytes: number): void {
    this.calls.push(`drop ${address.toString(16)} ${sizeBytes}`);
  }
  touched(address: bigint, sizeBytes: number): readonly HostSpan[] {
    this.calls.push(`touched ${address.toString(16)} ${sizeBytes}`);
    return [{ address: address + 0x3000n, sizeBytes: 0x2000 }];
  }
}

test('values are little-endian, at any alignment and across pages', () => {
  const m = ram();
  m.writeU64(at(0xffd), 0x8877_6655_4433_2211n);
  assert.equal(m.readU8(at(0xffd)), 0x11);
  assert.equal(m.readU16(at(0xffe)), 0x3322);
  assert.equal(m.readU32(at(0x1001)), 0x8877_6655);
  assert.equal(m.readU64(at(0xffd)), 0x8877_6655_4433_2211n);
  m.writeF64(at(0x2001), -0);
  assert.equal(m.readU64(at(0x2001)), 0x8000_0000_0000_0000n);
  assert.ok(Object.is(m.readF64(at(0x2001)), -0));
  m.writeF32(at(0x2003), 1.5);
  assert.equal(m.readU32(at(0x2003)), 0x3fc0_0000);
  assert.equal(m.readF32(at(0x2003)), 1.5);
});

test('written values are cut to their width', () => {
  const m = ram();
  m.writeU8(at(0), 0x1ff);
  m.writeU16(at(2), 0x1_2345);
  m.writeU32(at(4), -1);
  assert.equal(m.readU64(at(0)), 0xffff_ffff_2345_00ffn);
});

test('regions on both sides of a hole are reached by their own addresses', () => {
  const m = ram();
  m.writeU32(at(HIGH.start), 0x1234_5678);
  m.writeU32(at(LOW.sizeBytes - 4), 0x9abc_def0);
  assert.equal(m.readU32(at(HIGH.start)), 0x1234_5678);
  assert.equal(m.readU32(at(LOW.sizeBytes - 4)), 0x9abc_def0);
  assert.equal(m.readU8(at(0)), 0);
});

test('an access outside, or over the end of a region, is a PhysicalAddressError and changes nothing', () => {
  const m = ram();
  for (const bad of [LOW.sizeBytes - 3, LOW.sizeBytes, HIGH.start - 1, HIGH.start + HIGH.sizeBytes]) {
    assert.throws(() => m.readU32(at(bad)), PhysicalAddressError);
    assert.throws(() => m.writeU32(at(bad), 1), { name: 'PhysicalAddressError', address: bad, sizeBytes: 4 });
  }
  assert.equal(m.readU8(at(LOW.sizeBytes - 1)), 0);
  assert.ok(!m.contains(at(LOW.sizeBytes - 3), 4));
  assert.ok(m.contains(at(LOW.sizeBytes - 4), 4));
});

test('neighbouring regions are not one: linear memory has a gap', () => {
  const m = ram([
    { start: 0, sizeBytes: 0x1000 },
    { start: 0x1000, sizeBytes: 0x1000 },
  ]);
  assert.throws(() => m.readU16(at(0xfff)), PhysicalAddressError);
});

test('blocks are read, written, filled and copied', () => {
  const m = ram();
  m.write(at(0x100), Uint8Array.of(1, 2, 3, 4, 5));
  m.copy(at(0x102), at(0x100), 5);
  const into = new Uint8Array(8);
  m.read(at(0x100), into, 7);
  assert.deepEqual([...into], [1, 2, 1, 2, 3, 4, 5, 0]);
  m.fill(at(0x101), 3, 0xee);
  m.read(at(0x100), into);
  assert.deepEqual([...into], [1, 0xee, 0xee, 0xee, 3, 4, 5, 0]);
  m.copy(at(HIGH.start), at(0x100), 5);
  assert.equal(m.readU8(at(HIGH.start + 4)), 3);
});

test('each way to write marks the pages it changes, reading marks none', () => {
  const ways: [name: string, write: (m: PhysicalMemory) => void][] = [
    ['writeU8', (m) => m.writeU8(at(0x2fff), 1)],
    ['writeU16', (m) => m.writeU16(at(0x2ffe), 1)],
    ['writeU32', (m) => m.writeU32(at(0x2ffc), 1)],
    ['writeU64', (m) => m.writeU64(at(0x2ff8), 1n)],
    ['writeF32', (m) => m.writeF32(at(0x2000), 1)],
    ['writeF64', (m) => m.writeF64(at(0x2000), 1)],
    ['write', (m) => m.write(at(0x2000), new Uint8Array(0x1000))],
    ['fill', (m) => m.fill(at(0x2000), 0x1000, 0)],
    ['copy', (m) => m.copy(at(0x2000), at(0x8000), 0x1000)],
    ['discard', (m) => m.discard(at(0x2000), 0x1000)],
    ['pointer for writing', (m) => m.pointer(at(0x2000), 0x1000, 'write')],
  ];
  for (const [name, write] of ways) {
    const m = ram([LOW], new RecordingHostPages());
    const since = m.versions.snapshot();
    write(m);
    const changed = [0x1000, 0x2000, 0x3000].map((pa) =>
      m.versions.changedSince(since, m.linear(at(pa)), 0x1000),
    );
    assert.deepEqual(changed, [false, true, false], name);
  }
  const m = ram([LOW], new RecordingHostPages());
  const since = m.versions.snapshot();
  m.read(at(0), new Uint8Array(0x4000));
  m.pointer(at(0), 0x4000, 'read');
  assert.ok(!m.versions.changedSince(since, 0, m.memory.buffer.byteLength));
});

test('guest address 0 lies on a huge page of the host, which is asked for huge pages', () => {
  const host = new RecordingHostPages();
  const m = ram([LOW, HIGH], host);
  assert.equal(m.pointer(at(0), 1, 'read') % BigInt(2 * MIB), 0n);
  assert.equal(m.pointer(at(HIGH.start + 0x1234), 1, 'read') % BigInt(2 * MIB), 0x1234n);
  assert.deepEqual(host.calls, [`huge 7f0000200000 ${4 * MIB}`, `huge 7f0000600000 ${MIB}`]);
  assert.equal(m.pointer(at(0x1000), 1, 'read'), host.base + BigInt(m.linear(at(0x1000))));
});

test('a span for the host lies within one region', () => {
  const m = ram([LOW, HIGH], new RecordingHostPages());
  assert.throws(() => m.pointer(at(LOW.sizeBytes - 1), 2, 'read'), PhysicalAddressError);
});

test('pages are discarded and dropped by their host addresses, whole pages only', () => {
  const host = new RecordingHostPages();
  const m = ram([LOW], host);
  host.calls.length = 0;
  m.discard(at(0x3000), 0x2000);
  m.dropSecondaryMappings(at(0x1000), 0x1000);
  assert.deepEqual(host.calls, ['discard 7f0000203000 8192', 'drop 7f0000201000 4096']);
  assert.throws(() => m.discard(at(0x3001), 0x1000), /whole 4 KiB pages/);
  assert.throws(() => m.dropSecondaryMappings(at(0x3000), 0x10), /whole 4 KiB pages/);
  assert.throws(() => m.discard(at(LOW.sizeBytes - 0x1000), 0x2000), PhysicalAddressError);
});

test('without help from the host, discarding fills with zeros, dropping is nothing, pointers are refused', () => {
  const m = ram();
  m.fill(at(0x1000), 0x3000, 0xaa);
  m.discard(at(0x2000), 0x1000);
  m.dropSecondaryMappings(at(0x1000), 0x1000);
  assert.equal(m.readU8(at(0x1fff)), 0xaa);
  assert.equal(m.readU32(at(0x2000)), 0);
  assert.equal(m.readU8(at(0x2fff)), 0);
  assert.equal(m.readU8(at(0x3000)), 0xaa);
  assert.throws(() => m.pointer(at(0), 1, 'read'), FatalError);
});

test('too much memory is refused with the limit', () => {
  assert.throws(() => ram([{ start: 0, sizeBytes: 4096 * MIB }]), {
    name: 'FatalError',
    message: 'ram: 4096 MiB of memory are too many, at most 4094 MiB are possible',
  });
});

test('bad ranges are the user’s mistake', () => {
  assert.throws(() => ram([LOW, { start: 0x1000, sizeBytes: 0x1000 }]), FatalError);
});

test('a region saved and restored is the same, and what is replaced is marked as written', () => {
  const saved = ram();
  saved.writeU32(at(0x1ff_ffc), 0xdead_beef);
  saved.writeU8(at(LOW.sizeBytes - 1), 7);
  const stored: [number, Uint8Array][] = [];
  saved.blobCells.get('ram0')!.saveBlob({ write: (offset, bytes) => stored.push([offset, bytes.slice()]) });

  const restored = ram();
  restored.fill(at(0x5000), 0x1000, 0x55);
  const since = restored.versions.snapshot();
  const isUsed = (byte: number) => byte !== 0;
  restored.blobCells.get('ram0')!.restoreBlob({
    read: (take) => {
      for (const [offset, bytes] of stored)
        for (let page = 0; page < bytes.length; page += 4096) {
          const contents = bytes.subarray(page, page + 4096);
          if (contents.some(isUsed)) take(offset + page, contents);
        }
    },
  });
  assert.equal(restored.readU32(at(0x1ff_ffc)), 0xdead_beef);
  assert.equal(restored.readU8(at(LOW.sizeBytes - 1)), 7);
  assert.equal(restored.readU8(at(0x5000)), 0, 'what was not stored is zero');
  assert.ok(restored.versions.changedSince(since, restored.linear(at(0x5000)), 1));
});

test('only what the host says was touched is saved', () => {
  const m = ram([LOW, HIGH], new RecordingHostPages());
  m.fill(at(HIGH.start + 0x3000), 0x2000, 0x77);
  const stored: string[] = [];
  m.blobCells.get('ram1')!.saveBlob({
    write: (offset, bytes) => stored.push(`${offset.toString(16)} ${bytes.length} ${bytes.at(-1)}`),
  });
  assert.deepEqual(stored, ['3000 8192 119']);
});
