// A guest that means the IOMMU harm: random registers, tables of garbage and tables that contain themselves. Nothing throws,
// nothing goes on for ever, nothing is read or written but RAM and what a request was let through to. All of it from one seed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { Random } from '../../support/random.ts';
import {
  At,
  DEVICE,
  Gcmd,
  IOMMU_BASE,
  type IommuBench,
  iommuBench,
  RAM_BYTES,
  Table,
} from './iommu-bench.ts';
import { restoreAll, saveAll } from './pc-bench.ts';

const SEED = 0x10_44_17;
const STEPS = 100_000;
const BETWEEN_CHECKPOINTS = 10_000;
/** Tables are here, and here is what they point to, mostly. */
const TABLES_BYTES = 0x4_0000;
/** Entries that a DMA request may need: root, context, four levels. */
const MOST_READS = 6;

/** An entry: an address of RAM or none, low bits that say much, and few that are reserved. */
function entry(random: Random): bigint {
  if (random.oneIn(4)) return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  const address = random.oneIn(8) ? random.u32() & ~0xfff : random.below(TABLES_BYTES / 0x1000) * 0x1000;
  return BigInt(address >>> 0) | BigInt(random.pick([1, 3, 3, 3, 7, 0x83, 0x11, random.below(0x1000)]));
}

/** What software does next. */
function step(bench: IommuBench, random: Random): unknown {
  const { iommu, io, dmaRead, dmaWrite, store64 } = bench;
  switch (random.below(8)) {
    case 0: // a register, or what lies about it
      io.store(IOMMU_BASE + random.below(0x2b0), random.pick([1, 2, 4, 4, 4]), random.u32());
      return undefined;
    case 1:
      return io.load(IOMMU_BASE + random.below(0x1000), random.pick([1, 2, 4]));
    case 2: // a register that counts
      switchOn(bench, random);
      return undefined;
    case 3:
      store64(random.below(TABLES_BYTES / 8) * 8, entry(random));
      return undefined;
    case 4: // the entries of the requester, above all
      store64(Table.root, BigInt(Table.context) | 1n);
      store64(Table.context + DEVICE * 16, entry(random));
      store64(Table.context + DEVICE * 16 + 8, BigInt(random.pick([1, 2, 2, random.below(0x1_0000)])));
      return undefined;
    case 5:
      return iommu.ioApic(0xfee0_0000 + (random.u32() & 0xf_fffc), random.below(0x1_0000));
    case 6:
      return dmaWrite(target(random), random.u32());
    default:
      return dmaRead(target(random));
  }
}

function switchOn({ write, write64 }: IommuBench, random: Random): void {
  const tables = [
    [At.RTADDR, Table.root],
    [At.IRTA, Table.interrupts + 7],
    [At.IQA, Table.queue],
  ] as const;
  const dice = random.below(4);
  if (dice < 2) {
    const [register, table] = random.pick(tables);
    write64(register, random.oneIn(2) ? BigInt(table) : entry(random));
  } else if (dice === 2) write(At.IQT, random.below(0x1_0000) << 4);
  else write(At.GCMD, random.oneIn(4) ? random.u32() : Gcmd.TE + Gcmd.SRTP + Gcmd.SIRTP + Gcmd.QIE);
}

/** An aligned word: where tables lead, where interrupts go, anywhere below 2^52. */
function target(random: Random): number {
  const dice = random.below(4);
  if (dice === 0) return 0xfee0_0000 + (random.u32() & 0xf_fffc);
  if (dice === 1) return random.u32() * 2 ** (2 + random.below(19));
  return (random.u32() >>> random.below(24)) * 4;
}

test(`${STEPS} steps: nothing throws, nothing is slow, and checkpoints hold`, () => {
  const random = new Random(SEED);
  let bench = iommuBench();
  let most = 0;
  for (let done = 0; done < STEPS; done++) {
    const reads = bench.iommu.stats.numTableReads.value;
    const requests = bench.iommu.stats.numRequests.value;
    step(bench, random);
    if (bench.iommu.stats.numRequests.value > requests)
      most = Math.max(most, bench.iommu.stats.numTableReads.value - reads);
    if ((done + 1) % BETWEEN_CHECKPOINTS !== 0) continue;
    const copy = iommuBench();
    restoreAll(copy.root, saveAll(bench.root));
    const ram = new Uint8Array(RAM_BYTES);
    bench.memory.read(asPhysAddr(0), ram);
    copy.memory.write(asPhysAddr(0), ram);
    assert.deepEqual(saveAll(copy.root), saveAll(bench.root), `restored after ${done} steps`);
    const seed = random.u32();
    const [one, other] = [new Random(seed), new Random(seed)];
    for (let i = 0; i < 200; i++) assert.deepEqual(step(copy, one), step(bench, other), `step ${i}`);
    assert.deepEqual(copy.messages, bench.messages.slice(-copy.messages.length || bench.messages.length));
    bench = copy;
  }
  assert.ok(most > 0 && most <= MOST_READS, `${most} entries were read for one request`);
});

describe('tables that contain themselves', () => {
  test('a page table of which each entry leads to itself ends after its levels', () => {
    for (const [width, levels] of [
      [1n, 3],
      [2n, 4],
    ] as const) {
      const bench = iommuBench();
      bench.context(Table.level3, 1n, width);
      for (let i = 0; i < 512; i++) bench.store64(Table.level3 + 8 * i, BigInt(Table.level3) | 3n);
      bench.translate();
      const before = bench.iommu.stats.numTableReads.value;
      assert.equal(bench.dmaRead(0x1000), Table.level3 | 3);
      assert.equal(bench.iommu.stats.numTableReads.value - before, 2 + levels);
    }
  });

  test('a root table that is the context table, too, says nothing of a width', () => {
    const bench = iommuBench();
    for (let i = 0; i < 256; i++) bench.store64(Table.root + 16 * i, BigInt(Table.root) | 1n);
    bench.translate();
    assert.equal(bench.dmaWrite(0x1000, 1), false);
    assert.equal(bench.takeFaults()[0]?.reason, 3);
  });

  test('a page table that is mapped for its device can be changed by it', () => {
    const bench = iommuBench();
    bench.context(Table.level3);
    bench.store64(Table.level3, BigInt(Table.level2) | 3n);
    bench.store64(Table.level2, BigInt(Table.level1) | 3n);
    bench.store64(Table.level1, BigInt(Table.level1) | 3n);
    bench.translate();
    assert.equal(bench.dmaWrite(0, 0x10_0003), true);
    assert.equal(bench.dmaWrite(0x10, 0xabcd), true);
    assert.equal(bench.word(0x10_0010), 0xabcd);
  });

  test('a queue whose waits write into the queue, and into registers, ends at its tail', () => {
    const bench = iommuBench();
    const wait = (status: number, data: number): [bigint, bigint] => [
      5n | (1n << 5n) | (BigInt(data) << 32n),
      BigInt(status),
    ];
    const waits = [
      wait(Table.queue + 16, 0x25),
      wait(Table.queue, 7),
      wait(IOMMU_BASE + At.IQT, 0x10),
      wait(0xfee0_0000, 1),
    ];
    for (const [n, [low, high]] of waits.entries()) {
      bench.store64(Table.queue + 16 * n, low);
      bench.store64(Table.queue + 16 * n + 8, high);
    }
    bench.write64(At.IQA, BigInt(Table.queue));
    bench.write(At.GCMD, Gcmd.QIE);
    bench.write(At.IQT, 4 << 4);
    assert.deepEqual([bench.read(At.IQH), bench.read(At.IQT), bench.messages.length], [0x40, 0x40, 0]);
    assert.equal(bench.word(Table.queue), 7);
  });

  test('the longest queue, full, is emptied at once', () => {
    const bench = iommuBench();
    for (let n = 0; n < 32_768; n++) bench.store64(0x10_0000 + 16 * n, 4n);
    bench.write64(At.IQA, 0x10_0007n);
    bench.write(At.GCMD, Gcmd.QIE);
    bench.write(At.IQT, 32_767 << 4);
    assert.deepEqual([bench.read(At.IQH), bench.read(At.FSTS)], [32_767 << 4, 0]);
  });
});
