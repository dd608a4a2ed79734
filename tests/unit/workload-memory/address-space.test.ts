import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { Advice, MapFlag, MremapFlag, Prot } from '../../../src/workload/linux/memory-flags.ts';
import { GuestFault } from '../../../src/workload/linux/user-memory.ts';
import { FakeFile, Machine, MIB, PAGE, PRIVATE_ANON, pattern, RW } from './machine.ts';

const FIXED = PRIVATE_ANON | MapFlag.fixed;
const BASE = 0x10_0000_0000;

function areas(m: Machine): [number, number, number][] {
  return [...m.space.areas].map(({ start, end, prot }) => [(start - BASE) / PAGE, (end - BASE) / PAGE, prot]);
}

/** A machine with `pages` pages at BASE, the first byte of page i being i + 1. */
function withPages(pages: number): Machine {
  const m = new Machine();
  assert.equal(m.map({ address: BASE, length: pages * PAGE, flags: FIXED }), BASE);
  for (let i = 0; i < pages; i++) m.user.writeU8(BASE + i * PAGE, i + 1);
  return m;
}

function byteAt(m: Machine, page: number): number | string {
  try {
    return m.user.readU8(BASE + page * PAGE);
  } catch (error) {
    if (error instanceof GuestFault) return error.fault.code;
    throw error;
  }
}

test('mmap refuses what Linux refuses, with its errno', () => {
  const m = new Machine();
  const file = () => new FakeFile(m, pattern(PAGE));
  const shared = MapFlag.shared;
  const cases: [Parameters<Machine['map']>[0], number][] = [
    [{ length: 0 }, Errno.EINVAL],
    [{ length: PAGE, flags: MapFlag.anonymous }, Errno.EINVAL],
    [{ length: PAGE, flags: MapFlag.private, source: file(), offset: 100 }, Errno.EINVAL],
    [{ length: PAGE, flags: FIXED, address: BASE + 1 }, Errno.EINVAL],
    [{ length: PAGE, flags: FIXED, address: 0x1000 }, Errno.EPERM],
    [{ length: PAGE, flags: FIXED, address: m.space.layout.top }, Errno.ENOMEM],
    [{ length: 2 * PAGE, flags: FIXED, address: m.space.layout.top - PAGE }, Errno.ENOMEM],
    [{ length: 2 ** 47, prot: Prot.none }, Errno.ENOMEM],
    [{ length: 2 ** 64 }, Errno.ENOMEM],
    [{ length: 17 * MIB }, Errno.ENOMEM],
    [{ length: PAGE, flags: PRIVATE_ANON | MapFlag.hugeTlb }, Errno.ENOMEM],
    [{ length: PAGE, flags: shared, source: file() }, Errno.EACCES],
    [{ length: PAGE, flags: shared | MapFlag.anonymous | MapFlag.growsDown }, Errno.EINVAL],
  ];
  for (const [request, errno] of cases) assert.equal(m.map(request), -errno, JSON.stringify(request));
  assert.deepEqual([...m.space.areas], []);
});

test('a source is closed once: when refused, and when its last part is unmapped', () => {
  const m = new Machine();
  const refused = new FakeFile(m, pattern(PAGE));
  m.mapFile(refused, { length: 0 });
  assert.equal(refused.closed, 1);
  const file = new FakeFile(m, pattern(4 * PAGE));
  const va = m.mapFile(file, { length: 4 * PAGE });
  m.space.munmap(va + PAGE, PAGE);
  m.space.munmap(va, PAGE);
  assert.equal(file.closed, 0);
  m.space.munmap(va, 4 * PAGE);
  assert.equal(file.closed, 1);
});

test('mappings go to the highest free place, and one freed is used again', () => {
  const m = new Machine();
  const { mmapTop } = m.space.layout;
  const first = m.map({ length: 3 * PAGE });
  const second = m.map({ length: 2 * PAGE, prot: Prot.read });
  assert.equal(first, mmapTop - 3 * PAGE);
  assert.equal(second, first - 2 * PAGE);
  m.space.munmap(first, 3 * PAGE);
  assert.equal(m.map({ length: 4 * PAGE }), second - 4 * PAGE);
  assert.equal(m.map({ length: PAGE }), mmapTop - PAGE);
});

test('a hint is followed where it is free, and only there', () => {
  const m = new Machine();
  assert.equal(m.map({ address: BASE + 5, length: PAGE }), BASE + PAGE);
  assert.notEqual(m.map({ address: BASE, length: 3 * PAGE }), BASE);
  assert.equal(m.map({ address: BASE, length: PAGE }), BASE);
});

test('MAP_FIXED replaces, MAP_FIXED_NOREPLACE does not', () => {
  const m = withPages(3);
  const noReplace = PRIVATE_ANON | MapFlag.fixedNoReplace;
  assert.equal(m.map({ address: BASE + 2 * PAGE, length: 2 * PAGE, flags: noReplace }), -Errno.EEXIST);
  assert.equal(byteAt(m, 2), 3);
  assert.equal(m.map({ address: BASE + PAGE, length: PAGE, flags: FIXED }), BASE + PAGE);
  assert.deepEqual(
    [0, 1, 2].map((page) => byteAt(m, page)),
    [1, 0, 3],
  );
  assert.equal(m.map({ address: BASE + 3 * PAGE, length: PAGE, flags: noReplace }), BASE + 3 * PAGE);
});

test('munmap makes holes, gives frames back and tells who caches translations', () => {
  const m = withPages(4);
  const before = { free: m.frames.freeFrames, generation: m.space.generation };
  assert.equal(m.space.munmap(BASE + PAGE, 2 * PAGE), 0);
  assert.equal(m.frames.freeFrames, before.free + 2);
  assert.notEqual(m.space.generation, before.generation);
  assert.deepEqual(m.changed.at(-1), [BASE + PAGE, 2 * PAGE]);
  assert.deepEqual(
    [0, 1, 2, 3].map((page) => byteAt(m, page)),
    [1, 'SEGV_MAPERR', 'SEGV_MAPERR', 4],
  );
  assert.equal(m.space.munmap(BASE, 100 * PAGE), 0, 'holes are no error');
  assert.equal(m.space.munmap(BASE + 1, PAGE), -Errno.EINVAL);
  assert.equal(m.space.munmap(BASE, 0), -Errno.EINVAL);
  assert.equal(m.space.munmap(m.space.layout.top - PAGE, 2 * PAGE), -Errno.EINVAL);
});

test('mprotect splits, merges back and keeps contents through PROT_NONE', () => {
  const m = withPages(4);
  assert.equal(m.space.mprotect(BASE + PAGE, PAGE, Prot.none), 0);
  assert.deepEqual(areas(m), [[0, 1, RW], [1, 2, Prot.none], [2, 4, RW]]); // biome-ignore format: one line
  assert.equal(byteAt(m, 1), 'SEGV_ACCERR');
  assert.equal(m.space.mprotect(BASE + PAGE, PAGE, RW), 0);
  assert.deepEqual(areas(m), [[0, 4, RW]]);
  assert.equal(byteAt(m, 1), 2);
});

test('mprotect checks its arguments and stops at a hole', () => {
  const m = withPages(2);
  m.map({ address: BASE + 3 * PAGE, length: PAGE, flags: FIXED });
  assert.equal(m.space.mprotect(BASE + 1, PAGE, Prot.read), -Errno.EINVAL);
  assert.equal(m.space.mprotect(BASE, PAGE, 0x40), -Errno.EINVAL);
  assert.equal(m.space.mprotect(BASE, 0, Prot.read), 0);
  assert.equal(m.space.mprotect(BASE + PAGE, 3 * PAGE, Prot.read), -Errno.ENOMEM);
  assert.deepEqual(areas(m), [[0, 1, RW], [1, 2, Prot.read], [3, 4, RW]]); // biome-ignore format: one line
  const file = new FakeFile(m, pattern(PAGE));
  const va = m.mapFile(file, { length: PAGE, flags: MapFlag.shared });
  assert.equal(m.space.mprotect(va, PAGE, RW), -Errno.EACCES);
});

test('PROT_GROWSDOWN reaches from the address down to the start of a stack', () => {
  const m = withPages(1);
  const stack = m.map({ length: 8 * PAGE, flags: PRIVATE_ANON | MapFlag.growsDown });
  assert.equal(m.space.mprotect(stack + 6 * PAGE, PAGE, 7 | Prot.growsDown), 0);
  assert.equal(m.space.areaAt(stack)?.prot, 7);
  assert.equal(m.space.areaAt(stack + 7 * PAGE)?.prot, RW);
  assert.equal(m.space.mprotect(BASE, PAGE, 7 | Prot.growsDown), -Errno.EINVAL);
});

test('mremap shrinks and grows in place', () => {
  const m = withPages(4);
  assert.equal(m.space.mremap(BASE, 4 * PAGE, 2 * PAGE, 0, 0), BASE);
  assert.deepEqual(areas(m), [[0, 2, RW]]);
  assert.equal(m.space.mremap(BASE, 2 * PAGE, 6 * PAGE, 0, 0), BASE);
  assert.deepEqual(
    [0, 1, 2, 5].map((page) => byteAt(m, page)),
    [1, 2, 0, 0],
  );
});

test('mremap moves pages with their contents where it cannot grow', () => {
  const m = withPages(4);
  assert.equal(m.space.mremap(BASE, 2 * PAGE, 3 * PAGE, 0, 0), -Errno.ENOMEM);
  const to = m.space.mremap(BASE, 2 * PAGE, 3 * PAGE, MremapFlag.mayMove, 0x1234_5678_9000);
  assert.ok(to > 0 && to !== 0x1234_5678_9000, 'the fifth argument counts only with MREMAP_FIXED');
  assert.deepEqual(
    [0, 1, 2].map((page) => m.user.readU8(to + page * PAGE)),
    [1, 2, 0],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((page) => byteAt(m, page)),
    ['SEGV_MAPERR', 'SEGV_MAPERR', 3, 4],
  );
});

test('a piece from the middle of an area can be moved onto something else', () => {
  const m = withPages(6);
  const to = BASE + 100 * PAGE;
  m.map({ address: to, length: 2 * PAGE, flags: FIXED });
  m.user.writeU8(to, 77);
  const flags = MremapFlag.mayMove | MremapFlag.fixed;
  assert.equal(m.space.mremap(BASE + 2 * PAGE, 2 * PAGE, PAGE, flags, to), to);
  assert.deepEqual(
    [100, 101].map((page) => byteAt(m, page)),
    [3, 0],
  );
  assert.deepEqual(areas(m), [[0, 2, RW], [4, 6, RW], [100, 102, RW]]); // biome-ignore format: one line
});

test('a moved file mapping goes on reading the right part of its file', () => {
  const m = new Machine();
  const file = new FakeFile(m, pattern(100 * PAGE));
  const va = m.mapFile(file, { length: 50 * PAGE, offset: 10 * PAGE });
  m.user.readU8(va);
  const to = m.space.mremap(va + 40 * PAGE, 10 * PAGE, 20 * PAGE, MremapFlag.mayMove, 0);
  for (const page of [0, 9, 19]) {
    assert.equal(m.user.readU8(to + page * PAGE + 1), file.content[(50 + page) * PAGE + 1]);
  }
  assert.equal(file.closed, 0);
});

test('MREMAP_DONTUNMAP leaves an empty area behind', () => {
  const m = withPages(2);
  const to = m.space.mremap(BASE, 2 * PAGE, 2 * PAGE, MremapFlag.mayMove | MremapFlag.dontUnmap, 0);
  assert.deepEqual(
    [0, 1].map((page) => m.user.readU8(to + page * PAGE)),
    [1, 2],
  );
  assert.deepEqual(
    [0, 1].map((page) => byteAt(m, page)),
    [0, 0],
  );
});

test('mremap refuses what Linux refuses', () => {
  const m = withPages(4);
  const move = MremapFlag.mayMove;
  const fixed = MremapFlag.fixed;
  const { space } = m;
  assert.equal(space.mremap(BASE + 1, PAGE, PAGE, 0, 0), -Errno.EINVAL);
  assert.equal(space.mremap(BASE, PAGE, 0, 0, 0), -Errno.EINVAL);
  assert.equal(space.mremap(BASE, PAGE, PAGE, 8, 0), -Errno.EINVAL);
  assert.equal(space.mremap(BASE, PAGE, PAGE, fixed, 2 * BASE), -Errno.EINVAL);
  assert.equal(space.mremap(BASE, PAGE, PAGE, move | fixed, BASE), -Errno.EINVAL, 'overlap');
  assert.equal(space.mremap(BASE, PAGE, PAGE, move | fixed, 0x1000), -Errno.EPERM);
  assert.equal(space.mremap(BASE - PAGE, PAGE, PAGE, 0, 0), -Errno.EFAULT);
  assert.equal(space.mremap(BASE, 5 * PAGE, 6 * PAGE, move, 0), -Errno.EFAULT);
  assert.equal(space.mremap(BASE, PAGE, 32 * MIB, move, 0), -Errno.ENOMEM);
  assert.deepEqual(
    [0, 1, 2, 3].map((page) => byteAt(m, page)),
    [1, 2, 3, 4],
  );
});

test('MADV_DONTNEED zeroes anonymous pages and rereads those of files', () => {
  const m = withPages(3);
  assert.equal(m.space.madvise(BASE + PAGE, PAGE, Advice.dontNeed), 0);
  assert.deepEqual(
    [0, 1, 2].map((page) => byteAt(m, page)),
    [1, 0, 3],
  );
  const file = new FakeFile(m, pattern(PAGE));
  const va = m.mapFile(file, { length: PAGE, prot: RW });
  m.user.writeU8(va, 200);
  m.space.madvise(va, PAGE, Advice.dontNeed);
  assert.equal(m.user.readU8(va), file.content[0]);
});

test('pages given up by MADV_FREE go when memory is short, unless they are written again', () => {
  const m = new Machine(2 * MIB);
  const va = m.map({ length: 256 * PAGE });
  for (let i = 0; i < 256; i++) m.user.writeU8(va + i * PAGE, 7);
  assert.equal(m.space.madvise(va, 256 * PAGE, Advice.free), 0);
  m.user.writeU8(va + 3 * PAGE + 1, 9);
  const other = m.map({ length: 400 * PAGE, flags: PRIVATE_ANON | MapFlag.noReserve });
  for (let i = 0; i < 400; i++) m.user.writeU8(other + i * PAGE, 8);
  assert.deepEqual([m.user.readU8(va + 3 * PAGE), m.user.readU8(va + 3 * PAGE + 1)], [7, 9]);
  assert.equal(m.user.readU8(va + 2 * PAGE), 0);
});

test('madvise knows advice that changes nothing, refuses unknown one and reports holes', () => {
  const m = withPages(2);
  for (const advice of [Advice.hugePage, Advice.willNeed, Advice.dontFork, Advice.dontDump]) {
    assert.equal(m.space.madvise(BASE, 2 * PAGE, advice), 0);
  }
  assert.equal(m.space.madvise(BASE, PAGE, 12_345), -Errno.EINVAL);
  assert.equal(m.space.madvise(BASE + 1, PAGE, Advice.normal), -Errno.EINVAL);
  assert.equal(m.space.madvise(BASE, 0, Advice.dontNeed), 0);
  assert.equal(m.space.madvise(BASE, 3 * PAGE, Advice.dontNeed), -Errno.ENOMEM);
  assert.equal(byteAt(m, 0), 0, 'what is mapped is advised nevertheless');
});

test('brk moves the end of the heap by bytes, and what comes back is zero', () => {
  const m = new Machine();
  m.space.startHeap(BASE);
  assert.equal(m.space.brk(0), BASE);
  assert.equal(m.space.brk(BASE + 100), BASE + 100);
  m.user.writeU8(BASE + PAGE - 1, 5);
  assert.equal(m.space.brk(BASE + 3 * PAGE), BASE + 3 * PAGE);
  m.user.writeU8(BASE + 2 * PAGE, 6);
  assert.deepEqual(areas(m), [[0, 3, RW]]);
  assert.equal(m.space.brk(BASE + PAGE), BASE + PAGE);
  assert.equal(byteAt(m, 1), 'SEGV_MAPERR');
  assert.equal(m.space.brk(BASE + 3 * PAGE), BASE + 3 * PAGE);
  assert.equal(byteAt(m, 2), 0);
  assert.equal(m.user.readU8(BASE + PAGE - 1), 5);
});

test('brk stays where it is when it cannot be moved', () => {
  const m = new Machine(16 * MIB, {
    limits: { stackBytes: 8 * MIB, dataBytes: MIB, addressSpaceBytes: Number.POSITIVE_INFINITY },
  });
  m.space.startHeap(BASE);
  m.map({ address: BASE + 4 * PAGE, length: PAGE, flags: FIXED });
  assert.equal(m.space.brk(BASE + 4 * PAGE), BASE + 4 * PAGE);
  assert.equal(m.space.brk(BASE + 5 * PAGE), BASE + 4 * PAGE, 'something is in the way');
  assert.equal(m.space.brk(BASE - 1), BASE + 4 * PAGE, 'below its start');
  assert.equal(m.space.brk(BASE + 2 * MIB), BASE + 4 * PAGE, 'beyond RLIMIT_DATA');
});

test('RLIMIT_AS and RLIMIT_DATA bound what is mapped', () => {
  const limits = { stackBytes: 8 * MIB, dataBytes: 2 * MIB, addressSpaceBytes: 3 * MIB };
  const m = new Machine(16 * MIB, { limits });
  assert.ok(m.map({ length: 2 * MIB }) > 0);
  assert.equal(m.map({ length: PAGE }), -Errno.ENOMEM, 'data');
  assert.ok(m.map({ length: MIB, prot: Prot.read }) > 0);
  assert.equal(m.map({ length: PAGE, prot: Prot.read }), -Errno.ENOMEM, 'address space');
});

test('mincore tells present pages from absent ones', () => {
  const m = new Machine();
  const va = m.map({ length: 2 * MIB });
  m.user.writeU8(va + MIB, 1);
  const present = m.space.mincore(va, 2 * MIB) as Uint8Array;
  assert.equal(present.length, 512);
  assert.equal(present[256], 1);
  assert.equal(present[0], 0);
  assert.equal(m.space.mincore(va, 3 * MIB), -Errno.ENOMEM);
});

test('closing gives every frame back but those of the tables', () => {
  const m = withPages(50);
  m.map({ length: 3 * MIB, flags: PRIVATE_ANON | MapFlag.populate });
  m.space.close();
  assert.equal(m.space.usage().residentPages, 0);
  assert.equal(m.frames.freeFrames, m.frames.totalFrames - m.space.usage().tablePages);
});

test('MAP_32BIT: from 1 GiB upwards, or where it was asked for, but never beyond 2 GiB', () => {
  const m = new Machine();
  const flags = PRIVATE_ANON | MapFlag.below2GiB;
  const map = (address: number, length = PAGE) => m.map({ address, length, flags });
  const [start, end] = [0x4000_0000, 0x8000_0000];
  assert.equal(map(0), start);
  assert.equal(map(0), start + PAGE);
  assert.equal(map(start + 8 * PAGE), start + 8 * PAGE);
  assert.equal(map(start + 8 * PAGE), start + 2 * PAGE, 'the place is taken');
  assert.equal(map(0, 6 * PAGE), start + 9 * PAGE, 'the first gap is too small');
  assert.equal(map(0x20_0000), 0x20_0000, 'below 1 GiB on request');
  assert.equal(map(end), start + 3 * PAGE, 'not at 2 GiB');
  assert.equal(m.map({ address: end, length: PAGE, flags: flags | MapFlag.fixed }), end, 'unless it must be');
  const all = { address: 0, length: end - start, prot: Prot.none, flags: flags | MapFlag.noReserve };
  assert.equal(m.map(all), -Errno.ENOMEM);
});
