import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MapFlag, Prot } from '../../../src/workload/linux/memory-flags.ts';
import { GuestFault } from '../../../src/workload/linux/user-memory.ts';
import { assertSameBytes, FakeFile, Machine, MIB, PAGE, PRIVATE_ANON, pattern } from './machine.ts';

/** Two pages that follow each other in the address space, but not in guest RAM; nothing after them. */
function brokenPair(): { m: Machine; border: number; end: number } {
  const m = new Machine();
  const base = 0x30_0000_0000;
  const fixed = PRIVATE_ANON | MapFlag.fixed;
  m.map({ address: base + PAGE, length: PAGE, flags: fixed });
  m.map({ address: base, length: PAGE, flags: fixed });
  return { m, border: base + PAGE, end: base + 2 * PAGE };
}

test('every width is little-endian, within a page and across pages', () => {
  const { m, border } = brokenPair();
  for (let offset = -8; offset <= 0; offset++) {
    const va = border + offset;
    m.user.writeU64(va, 0x8877_6655_4433_2211n);
    assert.deepEqual([...m.user.read(va, 8)], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    assert.equal(m.user.readU64(va), 0x8877_6655_4433_2211n);
    assert.equal(m.user.readI64(va), 0x8877_6655_4433_2211n - 2n ** 64n);
    assert.equal(m.user.readU32(va + 2), 0x6655_4433);
    assert.equal(m.user.readI32(va + 4), 0x8877_6655 - 2 ** 32);
    assert.equal(m.user.readU16(va + 6), 0x8877);
    m.user.writeU32(va + 1, 0xaabb_ccdd);
    m.user.writeU16(va + 5, 0xeeff);
    assert.deepEqual([...m.user.read(va, 8)], [0x11, 0xdd, 0xcc, 0xbb, 0xaa, 0xff, 0xee, 0x88]);
  }
});

test('Numbers as 64 bits keep their sign and value', () => {
  const { m, border } = brokenPair();
  for (const value of [0, 1, -1, -4096, 2 ** 47, -(2 ** 52) + 1, Number.MAX_SAFE_INTEGER]) {
    m.user.writeNumber64(border - 4, value);
    assert.equal(m.user.readNumber64(border - 4), value);
    assert.equal(m.user.readI64(border - 4), BigInt(value));
  }
  m.user.writeU64(border, 0x7fff_1234_5678n);
  assert.equal(m.user.readAddress(border), 0x7fff_1234_5678);
});

test('a span that runs into nothing is a GuestFault at its first bad address', () => {
  const { m, end } = brokenPair();
  for (const access of [() => m.user.read(end - 4, 5), () => m.user.write(end - 4, new Uint8Array(5))]) {
    assert.throws(access, (error: unknown) => {
      assert.ok(error instanceof GuestFault);
      assert.deepEqual(error.fault, { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: end });
      return true;
    });
  }
  assert.throws(() => m.user.readU32(end - 2), GuestFault);
  assert.throws(() => m.user.spans(end - 4, 5, 'read'), GuestFault);
  assert.throws(() => m.user.read(2 ** 63, 8), GuestFault);
  assert.throws(() => m.user.read(end, 2 ** 46), GuestFault);
});

test('rights hold for system calls too', () => {
  const { m, border } = brokenPair();
  m.space.mprotect(border, PAGE, Prot.read);
  assert.ok(m.user.isAccessible(border - 4, 8, 'read'));
  assert.ok(!m.user.isAccessible(border - 4, 8, 'write'));
  m.space.mprotect(border, PAGE, Prot.none);
  assert.ok(!m.user.isAccessible(border - 4, 8, 'read'));
});

test('host spans show the bytes, merged where frames follow each other', () => {
  const m = new Machine();
  const va = m.map({ length: MIB });
  m.user.write(va + 100, pattern(3 * PAGE));
  const spans = m.user.spans(va + 100, 3 * PAGE, 'read');
  assert.equal(spans.length, 1);
  const { pointer, length } = spans[0]!;
  assert.deepEqual(new Uint8Array(m.host.span(pointer, length)), pattern(3 * PAGE));
});

test('host spans split where frames do not follow each other, and end before the first bad address', () => {
  const { m, border, end } = brokenPair();
  m.user.write(border - 4, pattern(8));
  const spans = m.user.spans(border - 4, 8, 'write');
  assert.deepEqual(
    spans.map(({ length }) => length),
    [4, 4],
  );
  const bytes = spans.flatMap(({ pointer, length }) => [...m.host.span(pointer, length)]);
  assert.deepEqual(bytes, [...pattern(8)]);
  const partial = m.user.spansUntilFault(end - 10, 100, 'write');
  assert.deepEqual(
    partial.map(({ length }) => length),
    [10],
  );
  assert.deepEqual(m.user.spansUntilFault(end, 100, 'write'), []);
  assert.deepEqual(m.user.spans(border, 0, 'read'), []);
});

test('asking for spans to write marks the pages of RAM as written', () => {
  const m = new Machine();
  const va = m.map({ length: PAGE });
  m.user.writeU8(va, 1);
  const since = m.ram.versions.snapshot();
  m.user.spans(va, 8, 'read');
  const size = m.ram.regions[0]!.sizeBytes;
  assert.ok(!m.ram.versions.changedSince(since, 0, size));
  m.user.spans(va, 8, 'write');
  assert.ok(m.ram.versions.changedSince(since, 0, size));
});

test('spans stay valid when collecting them evicts pages', () => {
  const m = new Machine(2 * MIB);
  const file = new FakeFile(m, pattern(4 * MIB));
  const va = m.mapFile(file, { length: 4 * MIB });
  for (let at = 0; at < 4 * MIB; at += 64 * PAGE) {
    const spans = m.user.spans(va + at, 64 * PAGE, 'read');
    const bytes = Buffer.concat(spans.map(({ pointer, length }) => m.host.span(pointer, length)));
    assertSameBytes(bytes, file.content.subarray(at, at + 64 * PAGE), `at ${at}`);
  }
});

test('strings end at their NUL, also across pages, and too long ones are told apart', () => {
  const { m, border, end } = brokenPair();
  m.user.write(border - 3, new Uint8Array(Buffer.from('hello\0')));
  assert.equal(Buffer.from(m.user.readCString(border - 3)!).toString(), 'hello');
  assert.equal(m.user.readCString(border - 3, 5), undefined);
  assert.equal(m.user.readCString(border - 3, 6)?.length, 5);
  m.user.fill(end - 4, 4, 0x61);
  assert.throws(() => m.user.readCString(end - 4), GuestFault);
});

test('an address below zero is a fault, and no way to the page tables', () => {
  const m = new Machine();
  const root = m.ram.readU64(m.space.pageTableRoot);
  for (const va of [-1, -8, -PAGE, -PAGE - 1]) {
    assert.throws(() => m.user.writeU64(va, 0x666n), GuestFault);
    assert.throws(() => m.user.readU8(va), GuestFault);
    assert.deepEqual(m.user.spansUntilFault(va, 1, 'write'), []);
  }
  assert.equal(m.ram.readU64(m.space.pageTableRoot), root);
});
