/** DMA remapping against the VT-d specification: root and context entries (§9.1, §9.3), page walk (§3.7, §9.8), fault reasons. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { At, DEVICE, Gcmd, type IommuBench, iommuBench, RAM_BYTES, Table } from './iommu-bench.ts';

const RW = 3n;
const LARGE = 0x80n;
const PAGE = 0x10_0000;
/** Context entries' widths. */
const LEVELS_3 = 1n;
const LEVELS_4 = 2n;
/** Address 0x4060_5000 in a table of three levels: entries 1, 3 and 5. */
const IOVA = 0x4060_5000;

/** A page table of three levels that leads IOVA to PAGE. */
function mapped(): IommuBench {
  const bench = iommuBench();
  bench.context(Table.level3, 1n, LEVELS_3);
  bench.store64(Table.level3 + 8 * 1, BigInt(Table.level2) | RW);
  bench.store64(Table.level2 + 8 * 3, BigInt(Table.level1) | RW);
  bench.store64(Table.level1 + 8 * 5, BigInt(PAGE) | RW);
  bench.translate();
  return bench;
}

/** The only fault that there is. */
function fault(bench: IommuBench): { reason: number; isRead: boolean } {
  const [record, ...more] = bench.takeFaults();
  assert.equal(more.length, 0);
  assert.equal(record?.sourceId, DEVICE);
  return { reason: record!.reason, isRead: record!.isRead };
}

describe('translation', () => {
  test('off, requests go where they say', () => {
    const bench = iommuBench();
    assert.equal(bench.dmaWrite(0x1234, 0xcafe_f00d), true);
    assert.equal(bench.dmaRead(0x1234), 0xcafe_f00d);
  });

  test('by three levels, at any offset of the page', () => {
    const bench = mapped();
    assert.equal(bench.dmaWrite(IOVA + 0xffc, 0x1122_3344), true);
    assert.equal(bench.word(PAGE + 0xffc), 0x1122_3344);
    assert.equal(bench.dmaRead(IOVA + 0xffe, 2), 0x1122);
  });

  test('by four levels: bits 47:39 choose the entry of the fourth', () => {
    const bench = mapped();
    bench.context(Table.level4, 1n, LEVELS_4);
    bench.store64(Table.level4 + 8 * 511, BigInt(Table.level3) | RW);
    const iova = 511 * 2 ** 39 + IOVA;
    assert.equal(bench.dmaWrite(iova, 5), true);
    assert.equal(bench.word(PAGE), 5);
    assert.equal(bench.dmaRead(IOVA), undefined);
    assert.equal(fault(bench).reason, 6);
  });

  test('by pages of 2 MiB and 1 GiB', () => {
    const bench = mapped();
    bench.store64(Table.level2 + 8 * 3, 0x20_0000n | LARGE | RW);
    bench.dmaWrite(IOVA, 7);
    assert.equal(bench.word(0x20_0000 + 0x5000), 7);
    bench.store64(Table.level3 + 8 * 1, LARGE | RW);
    bench.dmaWrite(0x4000_0000 + 0x1_2340, 8);
    assert.equal(bench.word(0x1_2340), 8);
  });

  test('follows the tables at once: there is nothing to invalidate', () => {
    const bench = mapped();
    bench.dmaRead(IOVA);
    bench.store64(Table.level1 + 8 * 5, BigInt(PAGE + 0x1000) | RW);
    bench.dmaWrite(IOVA, 9);
    assert.deepEqual([bench.word(PAGE), bench.word(PAGE + 0x1000)], [0, 9]);
  });

  test('reads the root table that was there at the last SRTP, not what RTADDR says meanwhile', () => {
    const bench = mapped();
    bench.write64(At.RTADDR, 0x3f_0000n);
    assert.equal(bench.dmaWrite(IOVA, 1), true);
    bench.command(Gcmd.SRTP);
    assert.equal(bench.dmaWrite(IOVA, 1), false);
    assert.equal(fault(bench).reason, 1);
  });

  test('passes addresses through where the context entry says so', () => {
    const bench = mapped();
    bench.context(0, 1n | (2n << 2n), LEVELS_4);
    bench.dmaWrite(PAGE + 0x40, 6);
    assert.equal(bench.word(PAGE + 0x40), 6);
  });

  test('costs time for each entry that is read: root, context and three levels', () => {
    const bench = mapped();
    const before = bench.iommu.stats.numTableReads.value;
    bench.dmaRead(IOVA);
    assert.equal(bench.iommu.stats.numTableReads.value - before, 5);
  });

  test('of what lies outside of RAM leads to whoever is there', () => {
    const bench = mapped();
    bench.store64(Table.level1 + 8 * 5, 0xc000_0000n | RW);
    assert.equal(bench.dmaRead(IOVA), 0xffff_ffff);
  });
});

describe('fault reasons', () => {
  /** What is done to the tables of `mapped`, and the reason that a read of IOVA (or a write) then gets. */
  const READS: Record<string, [(bench: IommuBench) => void, number]> = {
    'root entry not present': [({ store64 }) => store64(Table.root, BigInt(Table.context)), 0x1],
    'context entry not present': [({ context }) => context(Table.level3, 0n), 0x2],
    'two levels': [({ context }) => context(Table.level3, 1n, 0n), 0x3],
    'five levels': [({ context }) => context(Table.level3, 1n, 3n), 0x3],
    'no read permission in the last level': [
      ({ store64 }) => store64(Table.level1 + 8 * 5, BigInt(PAGE) | 2n),
      0x6,
    ],
    'no read permission in the first level': [
      ({ store64 }) => store64(Table.level3 + 8, BigInt(Table.level2) | 2n),
      0x6,
    ],
    'a page table that is no RAM': [({ context }) => context(RAM_BYTES), 0x7],
    'a context table that is no RAM': [({ store64 }) => store64(Table.root, BigInt(RAM_BYTES) | 1n), 0x9],
    'a root entry with bits in its first half': [
      ({ store64 }) => store64(Table.root, BigInt(Table.context) | 3n),
      0xa,
    ],
    'a root entry with bits in its second half': [({ store64 }) => store64(Table.root + 8, 1n), 0xa],
    'a root entry with an address of 49 bits': [
      ({ store64 }) => store64(Table.root, BigInt(Table.context) | 1n | (1n << 48n)),
      0xa,
    ],
    'a context entry with bit 4': [({ context }) => context(Table.level3, 0x11n), 0xb],
    'a context entry with bit 71': [({ context }) => context(Table.level3, 1n, 0x81n), 0xb],
    'a page with an address of 49 bits': [
      ({ store64 }) => store64(Table.level1 + 8 * 5, BigInt(PAGE) | RW | (1n << 48n)),
      0xc,
    ],
    'a page that is transient': [
      ({ store64 }) => store64(Table.level1 + 8 * 5, BigInt(PAGE) | RW | (1n << 62n)),
      0xc,
    ],
    'a page of 2 MiB that begins elsewhere': [
      ({ store64 }) => store64(Table.level2 + 8 * 3, 0x1000n | LARGE | RW),
      0xc,
    ],
    'a translation type for device TLBs': [({ context }) => context(Table.level3, 5n), 0xd],
    'a reserved translation type': [({ context }) => context(Table.level3, 0xdn), 0xd],
    'a page where interrupt messages go': [
      ({ store64 }) => store64(Table.level1 + 8 * 5, 0xfee0_0000n | RW),
      0xe,
    ],
  };
  for (const [name, [spoil, reason]] of Object.entries(READS))
    test(`${name}: ${reason.toString(16)}h`, () => {
      const bench = mapped();
      spoil(bench);
      assert.equal(bench.dmaRead(IOVA), undefined);
      assert.deepEqual(fault(bench), { reason, isRead: true });
    });

  test('a page of 512 GiB: Ch', () => {
    const bench = mapped();
    bench.context(Table.level4, 1n, LEVELS_4);
    bench.store64(Table.level4, LARGE | RW);
    assert.equal(bench.dmaRead(IOVA), undefined);
    assert.equal(fault(bench).reason, 0xc);
  });

  test('no write permission: 5h; software’s bits of an entry mean nothing', () => {
    const bench = mapped();
    bench.store64(Table.level1 + 8 * 5, BigInt(PAGE) | 1n | 0x87f4_0000_0000_0700n);
    assert.equal(bench.dmaRead(IOVA), undefined, 'bit 50 is none of theirs');
    assert.equal(fault(bench).reason, 0xc);
    bench.store64(Table.level1 + 8 * 5, BigInt(PAGE) | 1n | 0xbff0_0000_0000_0700n);
    assert.equal(bench.dmaRead(IOVA), 0);
    assert.equal(bench.dmaWrite(IOVA, 1), false);
    assert.deepEqual(fault(bench), { reason: 5, isRead: false });
  });

  test('an address beyond the width of the table: 4h', () => {
    const bench = mapped();
    assert.equal(bench.dmaRead(2 ** 39), undefined);
    assert.equal(fault(bench).reason, 4);
    bench.context(Table.level4, 1n, LEVELS_4);
    assert.equal(bench.dmaRead(2 ** 48), undefined);
    assert.equal(fault(bench).reason, 4);
  });

  test('a root table that is no RAM: 8h', () => {
    const bench = mapped();
    bench.write64(At.RTADDR, BigInt(RAM_BYTES));
    bench.command(Gcmd.SRTP);
    assert.equal(bench.dmaRead(IOVA), undefined);
    assert.equal(fault(bench).reason, 8);
  });

  test('software that does not want to hear of a requester does not: FPD, also of an entry that is not present', () => {
    for (const low of [3n, 2n]) {
      const bench = mapped();
      bench.context(Table.level3, low);
      bench.store64(Table.level3 + 8, 0n);
      assert.equal(bench.dmaRead(IOVA), undefined);
      assert.deepEqual(bench.takeFaults(), []);
      assert.equal(bench.read(At.FSTS), 0);
    }
  });

  test('of a fault the page is recorded', () => {
    const bench = mapped();
    bench.dmaRead(0x12_3456_7abc);
    assert.deepEqual(bench.takeFaults(), [
      { reason: 6, sourceId: DEVICE, isRead: true, info: 0x12_3456_7000n },
    ]);
  });
});

describe('protected memory', () => {
  const ENABLE = 0x8000_0000;

  test('is not reached by DMA, up to the end of the last 2 MiB, and nothing is recorded', () => {
    const bench = iommuBench();
    bench.write(At.PLMBASE, 0x20_0fff);
    bench.write(At.PLMLIMIT, 0x20_0000);
    bench.write64(At.PHMBASE, 0x1_0000_0000n);
    bench.write64(At.PHMLIMIT, 0x1_0000_0000n);
    assert.equal(bench.dmaWrite(0x20_0000, 1), true);
    bench.write(At.PMEN, ENABLE);
    assert.equal(bench.read(At.PMEN), ENABLE + 1);
    for (const [address, isReached] of [
      [0x1f_fffc, true],
      [0x20_0000, false],
      [0x3f_fffc, false],
    ] as const)
      assert.equal(bench.dmaWrite(address, 2), isReached, address.toString(16));
    assert.equal(bench.dmaRead(0x1_0010_0000), undefined);
    assert.equal(bench.dmaRead(0x1_0020_0000), 0xffff_ffff);
    assert.deepEqual(bench.takeFaults(), []);
    bench.write(At.PMEN, 0);
    assert.equal(bench.dmaWrite(0x20_0000, 1), true);
  });
});
