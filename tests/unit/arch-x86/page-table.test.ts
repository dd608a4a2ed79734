// Page tables against a plain map as the model; entry bits from SDM vol. 3 tables 4-15 to 4-20.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  PAGE_SIZE,
  PageFlag,
  PagePreset,
  PageTable,
  type PageTableMemory,
  walk,
} from '../../../src/arch/x86/page-table.ts';
import { randomWords } from './random-state.ts';

class FakeMemory implements PageTableMemory {
  readonly words = new Map<number, bigint>();
  reads = 0;
  next = 0x10_0000;
  readonly allocate = (): number => {
    this.next += PAGE_SIZE;
    return this.next - PAGE_SIZE;
  };
  readU64(at: number): bigint {
    assert.equal(at % 8, 0);
    this.reads++;
    return this.words.get(at) ?? 0n;
  }
  writeU64(at: number, value: bigint): void {
    assert.equal(at % 8, 0);
    this.words.set(at, value);
  }
}

function fresh(): { memory: FakeMemory; table: PageTable } {
  const memory = new FakeMemory();
  return { memory, table: new PageTable(memory, memory.allocate) };
}

/** Pages around every level's boundaries. */
const PAGES = [0, 0x1000, 0x1f_f000, 0x20_0000, 0x3fff_f000, 0x4000_0000, 0x7f_ffff_f000, 0x80_0000_0000];
const TOP_PAGE = 0x7fff_ffff_f000;
const FLAGS = Object.values(PagePreset);

describe('a page table', () => {
  test('agrees with a plain map after any sequence of map, unmap and protect', () => {
    const next = randomWords(42);
    const { memory, table } = fresh();
    const model = new Map<number, { physicalAddress: number; flags: number }>();
    const pages = [...PAGES, TOP_PAGE];
    for (let step = 0; step < 3000; step++) {
      const page = pages[next() % pages.length]!;
      const flags = FLAGS[next() % FLAGS.length]!;
      const old = model.get(page);
      const action = next() % 3;
      if (action === 0) {
        const physicalAddress = (next() & 0xf_ffff) * PAGE_SIZE + 0x80_0000_0000;
        assert.equal(table.map(page, physicalAddress, flags), old?.physicalAddress ?? -1);
        model.set(page, { physicalAddress, flags });
      } else if (action === 1) {
        assert.equal(table.unmap(page), old?.physicalAddress ?? -1);
        model.delete(page);
      } else {
        const changes = old !== undefined && old.flags !== flags;
        assert.equal(table.protect(page, flags), changes ? old.physicalAddress : -1);
        if (old) model.set(page, { ...old, flags });
      }
      const probe = pages[next() % pages.length]!;
      assert.deepEqual(table.lookup(probe + 0x123), model.get(probe));
      assert.equal(table.frameOf(probe), model.get(probe)?.physicalAddress ?? -1);
      assert.equal(table.flagsOf(probe), model.get(probe)?.flags ?? 0);
      const walked = walk(memory, table.root, BigInt(probe) + 0x123n);
      assert.equal(
        walked?.physicalAddress,
        model.has(probe) ? model.get(probe)!.physicalAddress + 0x123 : undefined,
      );
      assert.equal(walked?.flags, model.get(probe)?.flags);
    }
    const seen: number[] = [];
    table.forEachPresent(0, 2 ** 47, (page) => seen.push(page));
    assert.deepEqual(
      seen,
      [...model.keys()].sort((a, b) => a - b),
    );
  });

  test('writes the entries of the manual', () => {
    const { memory, table } = fresh();
    table.map(0x7fff_ffff_f000, 0x12_3456_7000, PagePreset.userReadWrite);
    const root = table.root;
    const pml4e = memory.words.get(root + 8 * 255)!;
    assert.equal(pml4e & 0xfffn, 0x27n); // P, W, U, A
    const pdpte = memory.words.get(Number(pml4e & ~0xfffn) + 8 * 511)!;
    const pde = memory.words.get(Number(pdpte & ~0xfffn) + 8 * 511)!;
    const pte = memory.words.get(Number(pde & ~0xfffn) + 8 * 511)!;
    assert.equal(pte, 0x8000_0012_3456_7067n); // NX, D, A, U, W, P
  });

  test('never gives a table back or takes one twice', () => {
    const { memory, table } = fresh();
    for (const page of PAGES) table.map(page, 0x5000, PagePreset.userRead);
    const used = memory.next;
    for (const page of PAGES) table.unmap(page);
    for (const page of PAGES) table.map(page, 0x6000, PagePreset.userRead);
    assert.equal(memory.next, used);
  });

  test('protect without P makes a page absent and tells its frame', () => {
    const { table } = fresh();
    table.map(0x1000, 0x5000, PagePreset.userRead);
    assert.equal(table.protect(0x1000, 0), 0x5000);
    assert.equal(table.lookup(0x1000), undefined);
  });

  test('looking up and removing absent pages makes no tables', () => {
    const { memory, table } = fresh();
    const before = memory.next;
    table.lookup(0x1234_5000);
    table.unmap(0x1234_5000);
    table.protect(0x1234_5000, PagePreset.userRead);
    assert.equal(memory.next, before);
  });

  test('visits the present pages of a range only, and crosses empty terabytes in few steps', () => {
    const { memory, table } = fresh();
    for (const page of PAGES) table.map(page, 0x5000, PagePreset.userRead);
    table.map(TOP_PAGE, 0x5000, PagePreset.userRead);
    const seen: number[] = [];
    memory.reads = 0;
    table.forEachPresent(0x1800, 2 ** 47, (page) => seen.push(page));
    assert.deepEqual(seen, [...PAGES.slice(1), TOP_PAGE]);
    assert.ok(memory.reads < 20_000, `${memory.reads} reads`);
  });

  test('a visit that starts within a hole misses nothing behind it', () => {
    const { table } = fresh();
    table.map(0x80_0000, 0x5000, PagePreset.userRead);
    const seen: number[] = [];
    table.forEachPresent(0x60_1000, 0x100_0000, (page) => seen.push(page));
    assert.deepEqual(seen, [0x80_0000]);
  });

  test('a visitor may remove the page it is given', () => {
    const { table } = fresh();
    for (const page of PAGES) table.map(page, 0x5000, PagePreset.userRead);
    table.forEachPresent(0, 2 ** 47, (page) => table.unmap(page));
    for (const page of PAGES) assert.equal(table.frameOf(page), -1);
  });

  test('addresses outside the lower half are absent, and mapping them is refused', () => {
    const { table } = fresh();
    table.map(0, 0x5000, PagePreset.userRead);
    for (const address of [-PAGE_SIZE, 2 ** 47, 2 ** 48, 2 ** 63]) {
      assert.equal(table.lookup(address), undefined);
      assert.throws(() => table.map(address, 0x5000, PagePreset.userRead), RangeError);
    }
    assert.throws(() => table.map(0x1001, 0x5000, PagePreset.userRead), RangeError);
  });
});

describe('a walk', () => {
  const { P, W, U, NX, PS } = PageFlag;

  function oneLevelAtATime(entries: readonly bigint[]): FakeMemory {
    const memory = new FakeMemory();
    entries.forEach((entry, level) => {
      memory.words.set(0x1000 * (level + 1), entry);
    });
    return memory;
  }

  test('grants what every level grants, and forbids execution where one does', () => {
    const memory = oneLevelAtATime([0x2007n, 0x3007n | (1n << 63n), 0x4005n, 0x9007n]);
    assert.deepEqual(walk(memory, 0x1000, 0xfffn), {
      physicalAddress: 0x9fff,
      flags: P | U | NX,
      pageSizeBytes: 4096,
    });
  });

  test('ends at a 2 MiB page', () => {
    const memory = oneLevelAtATime([0x2007n, 0x3007n, 0x4000_0087n]);
    assert.deepEqual(walk(memory, 0x1000, 0x12_3456n), {
      physicalAddress: 0x4012_3456,
      flags: P | W | U | PS,
      pageSizeBytes: 2 ** 21,
    });
  });

  test('ends at a 1 GiB page, PAT bit and offset apart', () => {
    const memory = oneLevelAtATime([0x2007n, 0x8000_1087n]);
    assert.equal(walk(memory, 0x1000, 0x3fff_ffffn)?.physicalAddress, 0xbfff_ffff);
  });

  test('of the upper half uses the upper entries', () => {
    const memory = new FakeMemory();
    memory.words.set(0x1000 + 8 * 511, 0x2003n);
    memory.words.set(0x2000 + 8 * 510, 0x3003n);
    memory.words.set(0x3000 + 8 * 8, 0x100_0083n); // Linux's kernel text at ffffffff81000000
    assert.equal(walk(memory, 0x1000, 0xffff_ffff_8100_0042n)?.physicalAddress, 0x100_0042);
  });

  test('refuses the reserved page-size bit of a top-level entry', () => {
    assert.equal(walk(oneLevelAtATime([0x2087n, 0x3007n, 0x4007n, 0x9007n]), 0x1000, 0n), undefined);
  });

  test('stops at an absent entry of any level', () => {
    for (let level = 0; level < 4; level++) {
      const entries = [0x2007n, 0x3007n, 0x4007n, 0x9007n];
      entries[level] = entries[level]! & ~1n;
      assert.equal(walk(oneLevelAtATime(entries), 0x1000, 0n), undefined);
    }
  });
});
