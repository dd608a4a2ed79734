/** Interrupt remapping against the VT-d specification: requests (§5.1.2), table entries (§9.10), fault reasons 20h to 26h. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALL_PROCESSORS, DeliveryMode } from '../../../src/arch/x86/interrupts.ts';
import { ApicBus } from '../../../src/dev/x86/apic/apic-bus.ts';
import { IoApic } from '../../../src/dev/x86/apic/io-apic.ts';
import { At, DEVICE, Gcmd, IO_APIC, type IommuBench, iommuBench, RAM_BYTES, Table } from './iommu-bench.ts';
import { Accessor } from './pc-bench.ts';

const PRESENT = 1n;
const FPD = 2n;
/** Verify the whole source id. */
const FROM_DEVICE = (1n << 18n) | BigInt(DEVICE);
const vector = (n: number): bigint => BigInt(n) << 16n;
const to = (apicId: number): bigint => BigInt(apicId) << 40n;

/** Address of a request that names an entry. */
const handle = (index: number): number => 0xfee0_0010 + (index & 0x7fff) * 0x20 + (index >= 0x8000 ? 4 : 0);

function setEntry({ store64 }: IommuBench, index: number, low: bigint, high = 0n): void {
  store64(Table.interrupts + 16 * index, low);
  store64(Table.interrupts + 16 * index + 8, high);
}

/** A table of 2^(size + 1) entries that is in force. */
function remapping(size = 7, params = {}): IommuBench {
  const bench = iommuBench(params);
  bench.write64(At.IRTA, BigInt(Table.interrupts + size));
  bench.write(At.GCMD, Gcmd.SIRTP);
  bench.write(At.GCMD, Gcmd.IRE);
  return bench;
}

describe('an interrupt request of a function', () => {
  test('is an MSI as long as remapping is off, remappable or not', () => {
    const { dmaWrite, messages } = iommuBench();
    dmaWrite(0xfee0_3000, 0x55);
    dmaWrite(handle(7), 0x56);
    assert.deepEqual(
      messages.map(({ destination, vector }) => [destination, vector]),
      [
        [3, 0x55],
        [0, 0x56],
      ],
    );
  });

  test('becomes what its entry says, whatever its own data are', () => {
    const bench = remapping();
    setEntry(bench, 5, PRESENT | (1n << 2n) | (1n << 4n) | (1n << 5n) | vector(0xab) | to(9), FROM_DEVICE);
    assert.equal(bench.dmaWrite(handle(5), 0x1234), true);
    assert.deepEqual(bench.messages, [
      {
        destination: 9,
        isLogical: true,
        deliveryMode: DeliveryMode.LowestPriority,
        vector: 0xab,
        isLevel: true,
        assert: true,
      },
    ]);
  });

  test('with a redirection hint goes to the processor of lowest priority; to 0xff, to all', () => {
    const bench = remapping();
    setEntry(bench, 0, PRESENT | (1n << 3n) | vector(0x40) | to(0xff));
    bench.dmaWrite(handle(0), 0);
    const [message] = bench.messages;
    assert.deepEqual(
      [message!.deliveryMode, message!.destination],
      [DeliveryMode.LowestPriority, ALL_PROCESSORS],
    );
  });

  test('adds its subhandle to the handle if that is valid', () => {
    const bench = remapping();
    setEntry(bench, 12, PRESENT | vector(0x77));
    bench.dmaWrite(handle(10) + 8, 2);
    assert.equal(bench.messages[0]?.vector, 0x77);
  });

  test('has 16 bits of handle', () => {
    const bench = remapping(15);
    setEntry(bench, 0x8001, PRESENT | vector(0x31));
    bench.dmaWrite(handle(0x8001), 0);
    assert.equal(bench.messages[0]?.vector, 0x31);
  });

  test('of another kind than an aligned store of 32 bits is refused', () => {
    const { dmaRead, dmaWrite, messages } = remapping();
    assert.equal(dmaRead(handle(0)), undefined);
    assert.equal(dmaWrite(handle(0), 0, 2), false);
    assert.equal(dmaWrite(handle(0) + 2, 0), false);
    assert.deepEqual(messages, []);
  });

  test('is no DMA: page tables have no say in it', () => {
    const bench = remapping();
    setEntry(bench, 1, PRESENT | vector(0x44));
    bench.context(Table.level3);
    bench.write64(At.RTADDR, BigInt(Table.root));
    bench.command(Gcmd.SRTP);
    bench.command(Gcmd.TE);
    bench.dmaWrite(handle(1), 0);
    assert.equal(bench.messages[0]?.vector, 0x44);
  });
});

describe('a request is blocked', () => {
  const SPOILT: Record<string, [low: bigint, high: bigint, reason: number]> = {
    'entry not present': [vector(0x40), 0n, 0x22],
    'bit 12': [PRESENT | (1n << 12n), 0n, 0x24],
    'posted format': [PRESENT | (1n << 15n), 0n, 0x24],
    'bit 24': [PRESENT | (1n << 24n), 0n, 0x24],
    'a destination of more than 8 bits': [PRESENT | (1n << 48n), 0n, 0x24],
    'bit 84': [PRESENT, 1n << 20n, 0x24],
    'a reserved kind of verification': [PRESENT, 3n << 18n, 0x24],
    'another source': [PRESENT, (1n << 18n) | 0x0018n, 0x26],
  };
  for (const [name, [low, high, reason]] of Object.entries(SPOILT))
    test(`${name}: ${reason.toString(16)}h, or silently with FPD`, () => {
      const bench = remapping();
      setEntry(bench, 3, low, high);
      bench.dmaWrite(handle(3), 0);
      const info = 3n << 48n;
      assert.deepEqual(bench.takeFaults(), [{ reason, sourceId: DEVICE, isRead: false, info }]);
      setEntry(bench, 3, low | FPD, high);
      bench.dmaWrite(handle(3), 0);
      assert.deepEqual(bench.takeFaults(), []);
      assert.deepEqual(bench.messages, []);
    });

  const reasonOf = (bench: IommuBench) => bench.takeFaults().map(({ reason }) => reason);

  test('reserved bits of its data: 20h', () => {
    const bench = remapping();
    setEntry(bench, 0, PRESENT | vector(0x40));
    bench.dmaWrite(handle(0) + 8, 0x1_0000);
    assert.deepEqual(reasonOf(bench), [0x20]);
    bench.dmaWrite(handle(0), 0x1_0000);
    assert.equal(bench.messages.length, 1, 'without a subhandle the data say nothing');
  });

  test('an index beyond the table: 21h', () => {
    const bench = remapping(2);
    for (const index of [7, 8]) {
      setEntry(bench, index, PRESENT | vector(0x40));
      bench.dmaWrite(handle(index), 0);
    }
    assert.deepEqual(reasonOf(bench), [0x21]);
    assert.equal(bench.messages.length, 1);
  });

  test('a table that is no RAM: 23h', () => {
    const bench = remapping();
    bench.write64(At.IRTA, BigInt(RAM_BYTES + 7));
    bench.command(Gcmd.SIRTP);
    bench.dmaWrite(handle(0), 0);
    assert.deepEqual(reasonOf(bench), [0x23]);
  });

  test('compatibility format: 25h, unless software lets it pass', () => {
    const bench = remapping();
    bench.dmaWrite(0xfee0_0000, 0x41);
    assert.deepEqual(bench.takeFaults(), [{ reason: 0x25, sourceId: DEVICE, isRead: false, info: 0n }]);
    bench.command(Gcmd.CFI);
    bench.dmaWrite(0xfee0_0000, 0x41);
    assert.deepEqual(
      bench.messages.map(({ vector }) => vector),
      [0x41],
    );
  });
});

describe('verification of the source', () => {
  const passes = (high: bigint): boolean => {
    const bench = remapping();
    setEntry(bench, 0, PRESENT | vector(0x40), high);
    bench.dmaWrite(handle(0), 0);
    return bench.messages.length === 1;
  };

  test('leaves out bits of the function as SQ says', () => {
    for (const [qualifier, sourceId, expected] of [
      [0n, 0x10n, true],
      [0n, 0x14n, false],
      [1n, 0x14n, true],
      [1n, 0x12n, false],
      [2n, 0x16n, true],
      [2n, 0x11n, false],
      [3n, 0x17n, true],
      [3n, 0x18n, false],
    ] as const)
      assert.equal(passes((1n << 18n) | (qualifier << 16n) | sourceId), expected, `${qualifier} ${sourceId}`);
  });

  test('by bus: from the first to the last', () => {
    assert.equal(passes((2n << 18n) | 0x0000n), true);
    assert.equal(passes((2n << 18n) | 0x0103n), false);
  });
});

describe('extended interrupt mode', () => {
  const EIME = 1 << 11;

  test('is announced and can be had only if a parameter says so', () => {
    for (const eim of [false, true]) {
      const bench = remapping(7 + EIME, { eim });
      assert.equal((bench.read(At.ECAP) >>> 4) & 1, eim ? 1 : 0);
      setEntry(bench, 0, PRESENT | vector(0x40) | (0x0001_2345n << 32n));
      bench.dmaWrite(handle(0), 0);
      assert.deepEqual(
        bench.messages.map(({ destination }) => destination),
        eim ? [0x0001_2345] : [],
      );
    }
  });

  test('blocks compatibility format in any case', () => {
    const bench = remapping(7 + EIME, { eim: true });
    bench.command(Gcmd.CFI);
    bench.dmaWrite(0xfee0_0000, 0x41);
    assert.deepEqual(
      bench.takeFaults().map(({ reason }) => reason),
      [0x25],
    );
  });
});

describe('the I/O APIC', () => {
  /** Its redirection entry 4 names entry 6 of the table. */
  function wired(params = {}) {
    const bench = remapping(7, params);
    const ioApic = new IoApic(bench.root, 'ioApic', new ApicBus(), {}, bench.iommu.ioApic);
    const io = new Accessor(ioApic);
    const write = (index: number, value: number) => {
      io.store(0xfec0_0000, 4, index);
      io.store(0xfec0_0010, 4, value);
    };
    return { bench, ioApic, io, write };
  }

  test('names an entry by the bits behind its mask: format 48, index 63:49 and 11', () => {
    const { bench, ioApic, io, write } = wired();
    setEntry(bench, 6, PRESENT | vector(0x99));
    write(0x19, (6 << 17) | (1 << 16));
    assert.equal(io.load(0xfec0_0010, 4), (6 << 17) | (1 << 16));
    write(0x18, 0x55);
    ioApic.input(4).setLevel(true);
    assert.equal(bench.messages[0]?.vector, 0x99);
    write(0x18, 0x55 | 0x800);
    ioApic.input(4).setLevel(false);
    ioApic.input(4).setLevel(true);
    assert.deepEqual(
      bench.takeFaults().map(({ reason, sourceId, info }) => [reason, sourceId, info]),
      [[0x21, IO_APIC, 0x8006n << 48n]],
    );
  });

  test('keeps remote IRR of a level-triggered request that got through, and of no other', () => {
    const { bench, ioApic, io, write } = wired();
    write(0x19, (6 << 17) | (1 << 16));
    write(0x18, 0x8055);
    ioApic.input(4).setLevel(true);
    io.store(0xfec0_0000, 4, 0x18);
    assert.equal(io.load(0xfec0_0010, 4) & 0x4000, 0, 'not present');
    setEntry(bench, 6, PRESENT | (1n << 4n) | vector(0x55));
    write(0x18, 0x8055);
    assert.equal(io.load(0xfec0_0010, 4) & 0x4000, 0x4000);
    assert.equal(bench.messages[0]?.isLevel, true);
  });

  test('is who it is only if a parameter asks', () => {
    for (const verifyIoApic of [false, true]) {
      const { bench, ioApic, write } = wired({ verifyIoApic });
      setEntry(bench, 6, PRESENT | vector(0x99), FROM_DEVICE);
      write(0x19, (6 << 17) | (1 << 16));
      write(0x18, 0x55);
      ioApic.input(4).setLevel(true);
      assert.equal(bench.messages.length, verifyIoApic ? 0 : 1);
      setEntry(bench, 6, PRESENT | vector(0x99), (1n << 18n) | BigInt(IO_APIC));
      ioApic.input(4).setLevel(false);
      ioApic.input(4).setLevel(true);
      assert.equal(bench.messages.length, verifyIoApic ? 1 : 2);
    }
  });
});
