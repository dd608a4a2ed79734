/** Registers of the remapping hardware against the VT-d specification: commands, invalidation (§6.5), faults (§7.2, §7.3). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
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

const MASK = 0x8000_0000;
const PENDING = 0x4000_0000;

test('capabilities: what is announced, field by field', () => {
  const { read, read64 } = iommuBench();
  assert.equal(read(At.VER), 0x10);
  const field = (value: bigint, high: number, low: number) =>
    Number((value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));
  const cap = read64(At.CAP);
  assert.deepEqual(
    {
      domains: field(cap, 2, 0),
      protectedLow: field(cap, 5, 5),
      protectedHigh: field(cap, 6, 6),
      cachingMode: field(cap, 7, 7),
      sagaw: field(cap, 12, 8),
      mgaw: field(cap, 21, 16),
      faultRecordsAt: field(cap, 33, 24) * 16,
      largePages: field(cap, 37, 34),
      pageSelective: field(cap, 39, 39),
      faultRecords: field(cap, 47, 40) + 1,
      drains: field(cap, 55, 54),
    },
    {
      domains: 6,
      protectedLow: 1,
      protectedHigh: 1,
      cachingMode: 0,
      sagaw: 0b110,
      mgaw: 47,
      faultRecordsAt: 0x220,
      largePages: 3,
      pageSelective: 1,
      faultRecords: 8,
      drains: 3,
    },
  );
  const ecap = read64(At.ECAP);
  assert.deepEqual(
    [field(ecap, 1, 1), field(ecap, 3, 3), field(ecap, 4, 4), field(ecap, 6, 6), field(ecap, 17, 8) * 16],
    [1, 1, 0, 1, 0xf0],
    'queue, interrupts, no extended mode, pass-through, place of IOTLB',
  );
});

describe('commands', () => {
  test('switch on and off what GSTS then shows; tables stay taken over', () => {
    const { read, write } = iommuBench();
    for (const bit of [Gcmd.TE, Gcmd.QIE, Gcmd.IRE, Gcmd.CFI]) {
      write(At.GCMD, bit);
      assert.equal(read(At.GSTS), bit);
      write(At.GCMD, 0);
      assert.equal(read(At.GSTS), 0);
    }
    for (const bit of [Gcmd.SRTP, Gcmd.SIRTP]) write(At.GCMD, bit);
    write(At.GCMD, 0x3800_0000);
    assert.equal(read(At.GSTS), Gcmd.SRTP + Gcmd.SIRTP, 'nothing of what is not there');
    assert.equal(read(At.GCMD), 0);
  });

  test('register-based invalidations are over at once, as they were asked for', () => {
    const { read, read64, write64 } = iommuBench();
    write64(At.CCMD, 0xe000_0000_0012_0034n);
    assert.equal(read64(At.CCMD), 0x7800_0000_0012_0034n);
    write64(At.IOTLB, 0xb003_0007_0000_0000n);
    assert.equal(read64(At.IOTLB), 0x3603_0007_0000_0000n);
    assert.equal(read(At.FSTS), 0);
  });

  test('reserved bits cannot be set', () => {
    const { read64, write64 } = iommuBench();
    const ones = 0xffff_ffff_ffff_ffffn;
    for (const [register, kept] of [
      [At.RTADDR, 0xffff_ffff_f000n],
      [At.IQA, 0xffff_ffff_f007n],
      [At.IRTA, 0xffff_ffff_f80fn],
      [At.IQH, 0n],
      [At.PHMBASE, 0xffff_ffe0_0000n],
    ] as const) {
      write64(register, ones);
      assert.equal(read64(register), kept, register.toString(16));
    }
  });
});

describe('the invalidation queue', () => {
  const WAIT = 5n;
  const INTERRUPT = 1n << 4n;
  const WRITE = 1n << 5n;
  const STATUS = 0x4_0000;

  /** Queue of one page that is enabled. */
  function queued(): IommuBench {
    const bench = iommuBench();
    bench.write64(At.IQA, BigInt(Table.queue));
    bench.write(At.GCMD, Gcmd.QIE);
    return bench;
  }
  const put = ({ store64 }: IommuBench, n: number, low: bigint, high = 0n): void => {
    store64(Table.queue + 16 * n, low);
    store64(Table.queue + 16 * n + 8, high);
  };

  test('is emptied to its tail; a wait writes its status', () => {
    const bench = queued();
    put(bench, 0, 0x1n | (1n << 4n));
    put(bench, 1, 0x2n | (3n << 4n) | (7n << 16n), 0x1234_5000n | (1n << 6n) | 9n);
    put(bench, 2, 0x4n);
    put(bench, 3, WAIT | WRITE | (0xfeed_beefn << 32n), BigInt(STATUS));
    bench.write(At.IQT, 4 << 4);
    assert.equal(bench.read(At.IQH), 4 << 4);
    assert.equal(bench.word(STATUS), 0xfeed_beef);
    assert.equal(bench.read(At.FSTS), 0);
  });

  test('goes round at its end', () => {
    const bench = queued();
    for (let n = 0; n < 256; n++) put(bench, n, 0x4n);
    bench.write(At.IQT, 255 << 4);
    put(bench, 1, WAIT | WRITE | (1n << 32n), BigInt(STATUS));
    bench.write(At.IQT, 2 << 4);
    assert.deepEqual([bench.read(At.IQH), bench.word(STATUS)], [2 << 4, 1]);
  });

  test('is as long as IQA says', () => {
    const bench = queued();
    bench.write64(At.IQA, BigInt(Table.queue) | 1n);
    put(bench, 300, 0x4n);
    for (let n = 0; n < 301; n++) put(bench, n, 0x4n);
    bench.write(At.IQT, 301 << 4);
    assert.deepEqual([bench.read(At.IQH), bench.read(At.FSTS)], [301 << 4, 0]);
  });

  const WRONG: Record<string, [low: bigint, high: bigint]> = {
    'an unknown type': [0x7n, 0n],
    'device TLB': [0x3n, 0n],
    'no granularity of a context-cache invalidation': [0x1n, 0n],
    'no granularity of an IOTLB invalidation': [0x2n, 0n],
    'a reserved bit of the first half': [0x4n | (1n << 26n), 0n],
    'a reserved bit of the second half': [0x4n, 1n],
    'an address of a wait that is not aligned': [WAIT | WRITE, 2n],
  };
  for (const [name, [low, high]] of Object.entries(WRONG))
    test(`stops at ${name}, and goes on when software has cleared the error`, () => {
      const bench = queued();
      put(bench, 0, 0x4n);
      put(bench, 1, low, high);
      bench.write(At.IQT, 2 << 4);
      assert.deepEqual([bench.read(At.IQH), bench.read(At.FSTS)], [1 << 4, 0x10]);
      put(bench, 1, 0x4n);
      bench.write(At.IQT, 2 << 4);
      assert.equal(bench.read(At.IQH), 1 << 4);
      bench.write(At.FSTS, 0x10);
      assert.deepEqual([bench.read(At.IQH), bench.read(At.FSTS)], [2 << 4, 0]);
    });

  test('outside of RAM is an error, and so is a tail beyond its end', () => {
    const bench = queued();
    bench.write(At.IQT, 256 << 4);
    assert.equal(bench.read(At.FSTS), 0x10);
    bench.write(At.GCMD, 0);
    bench.write64(At.IQA, BigInt(RAM_BYTES));
    bench.write(At.IQT, 0);
    bench.write(At.FSTS, 0x10);
    bench.write(At.GCMD, Gcmd.QIE);
    assert.equal(bench.read(At.FSTS), 0);
    bench.write(At.IQT, 1 << 4);
    assert.equal(bench.read(At.FSTS), 0x10);
  });

  test('off, nothing happens; switched off, its head is 0 again', () => {
    const bench = queued();
    put(bench, 0, 0x4n);
    bench.write(At.IQT, 1 << 4);
    bench.write(At.GCMD, 0);
    assert.equal(bench.read(At.IQH), 0);
    bench.write(At.IQT, 0x7_fff0);
    assert.deepEqual([bench.read(At.IQH), bench.read(At.FSTS)], [0, 0]);
  });

  test('a wait interrupts if it is asked to: once, until software has cleared ICS', () => {
    const bench = queued();
    bench.write(At.IEADDR, 0xfee0_2000);
    bench.write(At.IEDATA, 0x71);
    for (let n = 0; n < 4; n++) put(bench, n, WAIT | INTERRUPT);
    bench.write(At.IQT, 1 << 4);
    assert.deepEqual(
      [bench.messages.length, bench.read(At.IECTL), bench.read(At.ICS)],
      [0, MASK + PENDING, 1],
    );
    bench.write(At.IECTL, 0);
    assert.equal(bench.read(At.IECTL), 0);
    assert.deepEqual(
      bench.messages.map(({ destination, vector }) => [destination, vector]),
      [[2, 0x71]],
    );
    bench.write(At.IQT, 2 << 4);
    assert.equal(bench.messages.length, 1);
    bench.write(At.ICS, 1);
    bench.write(At.IQT, 3 << 4);
    assert.equal(bench.messages.length, 2);
  });

  test('a completion that software has seen does not interrupt when it is unmasked', () => {
    const bench = queued();
    bench.write(At.IEADDR, 0xfee0_0000);
    put(bench, 0, WAIT | INTERRUPT);
    bench.write(At.IQT, 1 << 4);
    bench.write(At.ICS, 1);
    bench.write(At.IECTL, 0);
    assert.equal(bench.messages.length, 0);
  });
});

describe('fault logging', () => {
  /** Everything is blocked: there are no root entries. */
  function blocking(): IommuBench {
    const bench = iommuBench();
    bench.translate();
    bench.write(At.FEADDR, 0xfee0_1000);
    bench.write(At.FEDATA, 0x61);
    return bench;
  }

  test('fills the registers in turn; one more than there are is an overflow', () => {
    const bench = blocking();
    for (let n = 0; n < 8; n++) {
      bench.dmaRead(0x1000 * n);
      assert.equal(bench.read(At.FSTS), 0x2, `fault ${n}: pending, the first is in 0`);
    }
    bench.dmaRead(0x9000);
    assert.equal(bench.read(At.FSTS), 0x3);
    const faults = bench.takeFaults();
    assert.deepEqual(
      faults.map(({ info }) => Number(info)),
      [0, 1, 2, 3, 4, 5, 6, 7].map((n) => 0x1000 * n),
    );
    assert.equal(bench.read(At.FSTS), 0x1);
    bench.dmaRead(0xa000);
    assert.deepEqual(bench.takeFaults(), [], 'none, as long as the overflow has not been cleared');
    bench.write(At.FSTS, 1);
    assert.equal(bench.read(At.FSTS), 0);
    bench.dmaRead(0xb000);
    bench.dmaRead(0xc000);
    assert.equal(bench.takeFaults().length, 2);
  });

  test('FRI is the register of the first fault', () => {
    const bench = blocking();
    bench.dmaRead(0);
    bench.takeFaults();
    bench.dmaRead(0);
    bench.dmaRead(0);
    assert.equal(bench.read(At.FSTS), 0x102);
  });

  test('interrupts at the first of several, and again when software has cleared all', () => {
    const bench = blocking();
    bench.write(At.FECTL, 0);
    bench.dmaRead(0);
    bench.dmaRead(0);
    assert.deepEqual(
      bench.messages.map(({ destination, vector }) => [destination, vector]),
      [[1, 0x61]],
    );
    bench.takeFaults();
    bench.dmaRead(0);
    assert.equal(bench.messages.length, 2);
  });

  test('masked, it interrupts when the mask goes, unless there is nothing left', () => {
    const bench = blocking();
    bench.dmaRead(0);
    assert.equal(bench.read(At.FECTL), MASK + PENDING);
    bench.write(At.FECTL, 0);
    assert.deepEqual([bench.messages.length, bench.read(At.FECTL)], [1, 0]);
    bench.takeFaults();
    bench.write(At.FECTL, MASK);
    bench.dmaRead(0);
    bench.takeFaults();
    assert.equal(bench.read(At.FECTL), MASK);
    bench.write(At.FECTL, 0);
    assert.equal(bench.messages.length, 1);
  });

  test('its message is no interrupt request: it is not remapped', () => {
    const bench = blocking();
    bench.command(Gcmd.IRE);
    bench.write(At.FECTL, 0);
    bench.dmaRead(0);
    assert.equal(bench.messages.length, 1);
  });

  test('in extended interrupt mode the upper address has the rest of the destination', () => {
    const bench = iommuBench({ eim: true });
    bench.write64(At.IRTA, 0x800n);
    bench.write(At.GCMD, Gcmd.SIRTP);
    bench.command(Gcmd.TE);
    bench.write(At.FEADDR, 0xfee0_1000);
    bench.write(At.FEUADDR, 0xfedc_ba98);
    bench.write(At.FECTL, 0);
    bench.dmaRead(0);
    assert.equal(bench.messages[0]?.destination, 0xfedc_ba01);
  });

  test('a record keeps everything but its fault bit', () => {
    const bench = blocking();
    bench.dmaRead(0x5000);
    bench.write(At.FRCD, 0xffff_ffff);
    assert.deepEqual([bench.read(At.FRCD), bench.read(At.FRCD + 8)], [0x5000, DEVICE]);
    bench.write(At.FRCD + 12, 0xffff_ffff);
    assert.equal(bench.read(At.FRCD + 12), 0x4000_0001, 'a read, reason 1');
  });
});

test('the page is answered to its end: zeros behind the fault records', () => {
  const { io } = iommuBench();
  assert.equal(io.load(IOMMU_BASE + 0x2a0, 4), 0);
  assert.equal(io.load(IOMMU_BASE + 0xffc, 4), 0);
});

test('a checkpoint holds registers, tables in force, faults and what is masked', () => {
  const bench = iommuBench();
  bench.write64(At.IRTA, BigInt(Table.interrupts + 3));
  bench.write(At.GCMD, Gcmd.SIRTP);
  bench.translate();
  bench.dmaRead(0x7000);
  bench.dmaRead(0x8000);
  bench.write(At.FEADDR, 0xfee0_0000);
  const copy = iommuBench();
  restoreAll(copy.root, saveAll(bench.root));
  assert.deepEqual(saveAll(copy.root), saveAll(bench.root));
  for (const { read, write, command, takeFaults, dmaWrite, messages } of [bench, copy]) {
    write(At.FECTL, 0);
    assert.equal(messages.length, 1);
    command(Gcmd.IRE);
    dmaWrite(0xfee0_0010 + 16 * 0x20, 0);
    assert.deepEqual(
      takeFaults().map(({ reason, info }) => [reason, info]),
      [
        [1, 0x7000n],
        [1, 0x8000n],
        [0x21, 16n << 48n],
      ],
    );
    assert.equal(read(At.FSTS), 0);
  }
});
