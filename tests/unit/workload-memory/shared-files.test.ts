import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MapFlag, MsyncFlag } from '../../../src/workload/linux/memory-flags.ts';
import { FakeFile, Machine, MIB, PAGE, pattern, RW } from './machine.ts';

function sharedFile(pages = 8) {
  const m = new Machine();
  const file = new FakeFile(m, pattern(pages * PAGE), { writable: true });
  const map = (source: FakeFile, offset = 0) =>
    m.mapFile(source, { length: pages * PAGE - offset, prot: RW, flags: MapFlag.shared, offset });
  return { m, file, map, va: map(file) };
}

test('two shared mappings of one file see each other, also through different descriptors and offsets', () => {
  const { m, file, map, va } = sharedFile();
  const again = new FakeFile(m, file.content, { writable: true });
  const other = map(again, 2 * PAGE);
  m.user.writeU32(va + 3 * PAGE + 8, 0xdead_beef);
  assert.equal(m.user.readU32(other + PAGE + 8), 0xdead_beef);
  m.user.writeU8(other, 1);
  assert.equal(m.user.readU8(va + 2 * PAGE), 1);
});

test('a private mapping starts with what a shared one changed, and changes nothing there', () => {
  const { m, file, va } = sharedFile();
  const inFile = file.content.slice();
  m.user.writeU8(va + 2 * PAGE, inFile[2 * PAGE]! ^ 0xff);
  const reader = m.mapFile(new FakeFile(m, inFile), { length: 4 * PAGE, prot: RW });
  assert.equal(m.user.readU8(reader + 2 * PAGE), inFile[2 * PAGE]! ^ 0xff);
  assert.equal(
    m.user.readU8(reader + PAGE + 1),
    inFile[PAGE + 1],
    'pages that are not shared come from the file',
  );
  m.user.writeU8(reader + 2 * PAGE, 1);
  assert.equal(m.user.readU8(va + 2 * PAGE), inFile[2 * PAGE]! ^ 0xff);
  assert.deepEqual(file.writes, []);
  const other = m.mapFile(new FakeFile(m, inFile, { inode: 18 }), { length: 4 * PAGE });
  assert.equal(m.user.readU8(other + 2 * PAGE), inFile[2 * PAGE], 'another file has pages of its own');
});

test('msync writes back the changed pages and no others, once', () => {
  const { m, file, va } = sharedFile();
  m.user.read(va, 8 * PAGE);
  m.user.writeU8(va + 2 * PAGE + 5, 42);
  m.user.writeU8(va + 6 * PAGE, 43);
  m.host.dropped.clear();
  assert.equal(m.space.msync(va, 8 * PAGE, MsyncFlag.sync), 0);
  assert.equal(m.host.dropped.size, 2, 'so that the next store is noticed');
  assert.deepEqual(
    file.writes.map(({ offset }) => offset / PAGE),
    [2, 6],
  );
  assert.equal(file.content[2 * PAGE + 5], 42);
  m.space.msync(va, 8 * PAGE, MsyncFlag.sync);
  assert.equal(file.writes.length, 2);
  m.user.writeU8(va + 6 * PAGE, 44);
  m.space.msync(va, 8 * PAGE, MsyncFlag.sync);
  assert.equal(file.content[6 * PAGE], 44);
});

test('munmap, MAP_FIXED over it and the end of the process write back', () => {
  const { m, file, va } = sharedFile();
  m.user.writeU8(va, 1);
  m.user.writeU8(va + PAGE, 2);
  m.user.writeU8(va + 2 * PAGE, 3);
  m.space.munmap(va, PAGE);
  assert.equal(file.content[0], 1);
  m.map({ address: va + PAGE, length: PAGE, flags: MapFlag.private | MapFlag.anonymous | MapFlag.fixed });
  assert.equal(file.content[PAGE], 2);
  m.space.close();
  assert.equal(file.content[2 * PAGE], 3);
  assert.equal(file.closed, 1);
  assert.equal(m.frames.freeFrames, m.frames.totalFrames - m.space.usage().tablePages);
});

test('a file never grows by writing back its last page', () => {
  const { m, file, va } = sharedFile();
  file.content = file.content.slice(0, PAGE + 100);
  m.user.writeU8(va + PAGE + 99, 7);
  m.user.writeU8(va + PAGE + 2000, 8);
  m.space.msync(va, 2 * PAGE, MsyncFlag.sync);
  assert.deepEqual(file.writes, [{ offset: PAGE, length: 100 }]);
  assert.equal(file.content.length, PAGE + 100);
});

test('a page keeps its contents while another mapping has it, and is read anew after the last', () => {
  const { m, file, map, va } = sharedFile();
  const second = map(new FakeFile(m, file.content, { writable: true }));
  m.user.writeU8(va, 11);
  m.space.munmap(va, 8 * PAGE);
  file.content[0] = 99;
  assert.equal(m.user.readU8(second), 11);
  m.space.munmap(second, 8 * PAGE);
  const third = map(file);
  assert.equal(m.user.readU8(third), 99);
});

test('flush before and refresh after make descriptor and mapping agree', () => {
  const { m, file, va } = sharedFile();
  assert.equal(m.space.hasSharedFiles, false, 'nothing is shared before the first access');
  m.user.writeU8(va + PAGE, 50);
  assert.equal(m.space.hasSharedFiles, true);
  assert.equal(m.space.flushSharedFile(file.identity, PAGE, 1), 0);
  assert.equal(file.content[PAGE], 50);
  file.content[PAGE + 1] = 51;
  m.space.refreshSharedFile(file.identity, PAGE + 1, 1);
  assert.equal(m.user.readU8(va + PAGE + 1), 51);
  assert.equal(m.user.readU8(va + PAGE), 50);
});

test('truncation through a descriptor turns pages beyond the end into bus errors', () => {
  const { m, file, va } = sharedFile();
  m.user.read(va, 8 * PAGE);
  file.content = file.content.slice(0, PAGE + 10);
  m.space.refreshSharedFile(file.identity, 0, 8 * PAGE);
  assert.equal(m.user.readU8(va + PAGE + 9), file.content[PAGE + 9]);
  assert.equal(m.user.readU8(va + PAGE + 10), 0);
  const result = m.space.handleFault(va + 2 * PAGE, { write: false, fetch: false });
  assert.deepEqual(result, { signal: 'SIGBUS', code: 'BUS_ADRERR', address: va + 2 * PAGE });
});

test('a failed write back is reported, and tried again', () => {
  const { m, file, va } = sharedFile();
  m.user.writeU8(va, 5);
  file.failWith = -28;
  assert.equal(m.space.msync(va, PAGE, MsyncFlag.sync), -28);
  assert.match(m.warnings[0] ?? '', /cannot write the shared mapping of \/data back/);
  file.failWith = 0;
  assert.equal(m.space.msync(va, PAGE, MsyncFlag.sync), 0);
  assert.equal(file.content[0], 5);
});

test('a shared file larger than guest memory can be walked and written', () => {
  const m = new Machine(2 * MIB);
  const file = new FakeFile(m, pattern(6 * MIB), { writable: true });
  const va = m.mapFile(file, { length: 6 * MIB, prot: RW, flags: MapFlag.shared });
  for (let at = 0; at < 6 * MIB; at += PAGE) m.user.writeU8(va + at, (at / PAGE) & 0x7f);
  m.space.close();
  for (let at = 0; at < 6 * MIB; at += PAGE) assert.equal(file.content[at], (at / PAGE) & 0x7f);
  assert.deepEqual(m.warnings, []);
});

test('shared anonymous memory keeps its contents through MADV_DONTNEED', () => {
  const m = new Machine();
  const va = m.map({ length: PAGE, flags: MapFlag.shared | MapFlag.anonymous });
  m.user.writeU8(va, 3);
  m.space.madvise(va, PAGE, 4);
  assert.equal(m.user.readU8(va), 3);
});
