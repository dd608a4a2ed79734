import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prot } from '../../../src/workload/linux/memory-flags.ts';
import { assertSameBytes, FakeFile, Machine, MIB, PAGE, PRIVATE_ANON, pattern, RW, RX } from './machine.ts';

const READ = { write: false, fetch: false };
const WRITE = { write: true, fetch: false };
const FETCH = { write: false, fetch: true };

test('anonymous memory reads as zero and keeps what is written', () => {
  const m = new Machine();
  const at = m.map({ length: 4 * MIB });
  assert.deepEqual(m.user.read(at + 3 * MIB - 8, 16), new Uint8Array(16));
  m.user.write(at + 3 * MIB - 8, pattern(16));
  assert.deepEqual(m.user.read(at + 3 * MIB - 8, 16), pattern(16));
});

test('a freed frame is zero when it is used again', () => {
  const m = new Machine(MIB);
  for (let round = 0; round < 20; round++) {
    const va = m.map({ length: 64 * PAGE });
    assertSameBytes(m.user.read(va, 64 * PAGE), new Uint8Array(64 * PAGE), `round ${round}`);
    m.user.fill(va, 64 * PAGE, 0xee);
    assert.equal(m.space.munmap(va, 64 * PAGE), 0);
  }
});

test('an access outside every area is SEGV_MAPERR, against the rights SEGV_ACCERR', () => {
  const m = new Machine();
  const va = m.map({ length: PAGE, prot: Prot.read });
  const none = m.map({ length: PAGE, prot: Prot.none });
  const fault = (address: number, access: typeof READ) => m.space.handleFault(address, access);
  assert.deepEqual(fault(0, READ), { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: 0 });
  assert.deepEqual(fault(va + PAGE, READ), { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: va + PAGE });
  assert.deepEqual(fault(va + 5, WRITE), { signal: 'SIGSEGV', code: 'SEGV_ACCERR', address: va + 5 });
  assert.deepEqual(fault(va, FETCH), { signal: 'SIGSEGV', code: 'SEGV_ACCERR', address: va });
  assert.deepEqual(fault(none, READ), { signal: 'SIGSEGV', code: 'SEGV_ACCERR', address: none });
  assert.equal(fault(va, READ), 'resolved');
});

test('addresses beyond user space are SEGV_MAPERR, whatever they are', () => {
  const { space } = new Machine();
  for (const address of [space.layout.top, 2 ** 47, 2 ** 63, 2 ** 64, -1, Number.NaN]) {
    assert.deepEqual(space.handleFault(address, READ), { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address });
  }
});

test('a page of a file is read when it is touched, and only what lies around it', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(4 * MIB));
  const va = m.mapFile(file, { length: 3 * MIB, offset: MIB });
  assert.equal(file.reads, 0);
  assert.deepEqual(
    m.user.read(va + 5 * PAGE + 3, 2 * PAGE),
    file.content.slice(MIB + 5 * PAGE + 3, MIB + 7 * PAGE + 3),
  );
  assert.equal(file.reads, 1);
  assert.equal(m.space.usage().residentPages, 32);
  assert.equal(m.space.majorFaults, 1);
});

test('writing a private file page leaves the file alone', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(2 * PAGE));
  const va = m.mapFile(file, { length: 2 * PAGE, prot: RW });
  m.user.write(va + PAGE, Uint8Array.of(1, 2, 3));
  assert.deepEqual(m.user.read(va + PAGE, 4), Uint8Array.of(1, 2, 3, file.content[PAGE + 3]!));
  m.space.munmap(va, 2 * PAGE);
  assert.deepEqual(file.content, pattern(2 * PAGE));
  assert.equal(file.writes.length, 0);
});

test('beyond the end of a file its last page is zero, and the next one a bus error', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(PAGE + 10));
  const va = m.mapFile(file, { length: 4 * PAGE });
  assert.deepEqual(m.user.read(va + PAGE + 10, PAGE - 10), new Uint8Array(PAGE - 10));
  const address = va + 2 * PAGE + 7;
  assert.deepEqual(m.space.handleFault(address, READ), { signal: 'SIGBUS', code: 'BUS_ADRERR', address });
  file.content = pattern(3 * PAGE);
  assert.equal(m.space.handleFault(address, READ), 'resolved', 'the file has grown');
});

test('a file that cannot be read is a bus error with a warning, and its frames stay free', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(PAGE), { path: '/bad' });
  const va = m.mapFile(file, { length: PAGE });
  const free = m.frames.freeFrames;
  file.failWith = -5;
  assert.deepEqual(m.space.handleFault(va, READ), { signal: 'SIGBUS', code: 'BUS_ADRERR', address: va });
  assert.match(m.warnings[0] ?? '', /cannot read \/bad/);
  assert.equal(m.frames.freeFrames, free);
});

test('the stack grows down to its limit, and not through the guard gap', () => {
  const m = new Machine();
  const { stackTop } = m.space.layout;
  m.map({ address: stackTop - 4 * PAGE, length: 4 * PAGE, flags: PRIVATE_ANON | 0x110, name: '[stack]' });
  assert.equal(m.space.handleFault(stackTop - 2 * MIB, WRITE), 'resolved');
  assert.equal([...m.space.areas].length, 1, 'it is still one area');
  assert.equal(m.space.handleFault(stackTop - 8 * MIB, WRITE), 'resolved');
  assert.notEqual(m.space.handleFault(stackTop - 8 * MIB - 1, WRITE), 'resolved');
});

test('a mapping below the stack stops it a guard gap away', () => {
  const m = new Machine();
  const { stackTop } = m.space.layout;
  m.map({ address: stackTop - 4 * PAGE, length: 4 * PAGE, flags: PRIVATE_ANON | 0x110 });
  const below = stackTop - 4 * MIB;
  m.map({ address: below, length: PAGE, flags: PRIVATE_ANON | 0x10 });
  const lowest = below + PAGE + 256 * PAGE;
  assert.notEqual(m.space.handleFault(lowest - 1, WRITE), 'resolved');
  assert.equal(m.space.handleFault(lowest, WRITE), 'resolved');
});

test('endless recursion ends in SIGSEGV and not in all of guest memory', () => {
  const m = new Machine(32 * MIB);
  const { stackTop } = m.space.layout;
  m.map({ address: stackTop - PAGE, length: PAGE, flags: PRIVATE_ANON | 0x110 });
  let sp = stackTop;
  while (m.space.handleFault(sp - 8, WRITE) === 'resolved') sp -= PAGE;
  assert.equal(stackTop - sp, 8 * MIB);
});

test('a huge reservation costs nothing until it is touched', () => {
  const m = new Machine(4 * MIB);
  const va = m.map({ length: 2 ** 40, prot: Prot.none, flags: PRIVATE_ANON | 0x4000 });
  assert.ok(va > 0);
  assert.equal(m.space.mprotect(va + 2 ** 39, 2 * PAGE, RW), 0);
  m.user.write(va + 2 ** 39, Uint8Array.of(1));
  assert.ok(m.space.usage().residentPages <= 2);
  assert.equal(m.space.munmap(va, 2 ** 40), 0);
  assert.equal(m.space.usage().residentPages, 0);
});

test('pages that came with a neighbour are taken back before memory is said to be used up', () => {
  const m = new Machine(4 * MIB);
  const va = m.map({ length: 256 * MIB, flags: PRIVATE_ANON | 0x4000 });
  // One byte in every 64th page: 900 pages in use, of 1024.
  for (let i = 0; i < 900; i++) m.user.writeU8(va + i * 64 * PAGE, i & 0xff);
  for (let i = 0; i < 900; i++) assert.equal(m.user.readU8(va + i * 64 * PAGE), i & 0xff);
  assert.deepEqual(m.warnings, []);
});

test('clean file pages are evicted when memory runs short, changed ones stay', () => {
  const m = new Machine(2 * MIB);
  const file = new FakeFile(m, pattern(8 * MIB));
  const va = m.mapFile(file, { length: 8 * MIB });
  m.space.mprotect(va, PAGE, RW);
  m.user.writeU8(va + 5, 99);
  for (let at = 0; at < 8 * MIB; at += PAGE) {
    assert.equal(m.user.readU8(va + at + 17), file.content[at + 17]);
  }
  assert.equal(m.user.readU8(va + 5), 99);
});

test('when guest memory is used up the thread is killed with a line that says what helps', () => {
  const m = new Machine(MIB);
  const va = m.map({ length: 2 * MIB, flags: PRIVATE_ANON | 0x4000 });
  let result = m.space.handleFault(va, WRITE);
  let at = va;
  for (; at < va + 2 * MIB && result === 'resolved'; at += PAGE) result = m.space.handleFault(at, WRITE);
  assert.deepEqual(result, { signal: 'SIGKILL', code: 'SI_KERNEL', address: at - PAGE });
  assert.match(m.warnings[0] ?? '', /all 1 MiB are in use.*--memory/);
  assert.ok(m.map({ length: PAGE }) > 0, 'mapping more is not yet an error');
  m.space.munmap(va, MIB / 2);
  assert.equal(m.space.handleFault(at - PAGE, WRITE), 'resolved', 'and goes on once there is some');
});

test('code pages can be fetched and data pages cannot', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(PAGE));
  const va = m.mapFile(file, { length: PAGE, prot: RX });
  assert.equal(m.space.handleFault(va, FETCH), 'resolved');
  const NX = 1n << 63n;
  assert.equal(entry(m, va) & NX, 0n);
  assert.equal(entry(m, m.map({ length: PAGE })) & NX, NX);
});

/** The page-table entry of a page, found as the processor does. */
function entry(m: Machine, va: number): bigint {
  let table = m.space.pageTableRoot as number;
  for (const size of [2 ** 39, 2 ** 30, 2 ** 21]) {
    const value = m.ram.readU64((table + 8 * (Math.floor(va / size) % 512)) as typeof m.space.pageTableRoot);
    assert.ok(value & 1n);
    table = Number(value & 0x000f_ffff_ffff_f000n);
  }
  return m.ram.readU64((table + 8 * (Math.floor(va / PAGE) % 512)) as typeof m.space.pageTableRoot);
}
