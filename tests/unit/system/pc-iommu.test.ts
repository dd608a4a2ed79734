// PCI functions, the IOMMU and edu on a PcBoard: wired as the map says, set up as by firmware, described to the guest, and part of
// what a checkpoint is of.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { restoredParams } from '../../../src/system/pc-params.ts';
import { buildAcpiTables, buildMemoryMap } from '../../../src/workload/boot/index.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { testBoard } from './board.ts';

const IOMMU = 0xfed9_0000;
const GCMD = IOMMU + 0x18;
const GSTS = IOMMU + 0x1c;
const RTADDR = IOMMU + 0x20;
const FSTS = IOMMU + 0x34;
/** The first place in the window of PCI. */
const EDU = 0xc000_0000;
const BUFFER = 0x4_0000;
const RAISE = EDU + 0x60;
/** An input of the I/O APIC: the interrupt wire that INTA of device 2 is on. */
const LINE = 10;

type Machine = ReturnType<typeof testBoard>;

/** Register of the configuration space of 00:02.0. */
function config({ out, in: read }: Machine, register: number, size = 4): number {
  out(0xcf8, 0x8000_1000 + (register & ~3), 4);
  return read(0xcfc + (register & 3), size);
}
function setConfig({ out }: Machine, register: number, value: number, size = 4): void {
  out(0xcf8, 0x8000_1000 + (register & ~3), 4);
  out(0xcfc + (register & 3), value, size);
}

async function started(options = {}): Promise<Machine> {
  const machine = testBoard({ iommu: 'intel', edu: true, ...options });
  machine.spin();
  await machine.until(0);
  setConfig(machine, 0x04, config(machine, 0x04, 2) | 4, 2);
  return machine;
}

/** A copy by DMA, from memory (1) or to it (3). */
function copy({ store }: Machine, source: number, destination: number, command: number): void {
  for (const [offset, value] of [
    [0x80, source],
    [0x88, destination],
    [0x90, 4],
    [0x98, command],
  ] as const)
    store(EDU + offset, value);
}

/** Maps page 0 of edu's addresses to `page`. */
function mapPage({ store }: Machine, page: number): void {
  const [root, context, level3, level2, level1] = [0x10_1000, 0x10_2000, 0x10_3000, 0x10_4000, 0x10_5000];
  store(root, context | 1);
  store(context + 0x10 * 16, level3 | 1);
  store(context + 0x10 * 16 + 8, 1);
  for (const [table, next] of [
    [level3, level2],
    [level2, level1],
    [level1, page],
  ] as const)
    store(table, next | 3);
  store(RTADDR, root);
  store(GCMD, 0x4000_0000);
  store(GCMD, 0x8000_0000);
}

describe('what firmware would have done', () => {
  test('base address, decoding and interrupt line are there when an image starts', async () => {
    const machine = testBoard({ edu: true });
    machine.spin();
    await machine.until(0);
    assert.deepEqual(
      [config(machine, 0x10), config(machine, 0x04, 2), config(machine, 0x3c, 1)],
      [EDU, 2, LINE],
    );
    assert.equal(machine.load(EDU), 0x0100_00ed);
  });

  test('without edu, nothing is at 00:02.0; without an IOMMU, nothing at its address', async () => {
    const machine = testBoard();
    machine.spin();
    await machine.until(0);
    assert.deepEqual([config(machine, 0), machine.load(IOMMU)], [0xffff_ffff, 0xffff_ffff]);
  });

  test('ACPI has the IOMMU and the interrupt, the memory map the registers', () => {
    const signatures = (machine: Machine) =>
      buildAcpiTables(machine.board.layout.acpi!).map(({ signature }) => signature);
    const machine = testBoard({ iommu: 'intel', edu: true });
    assert.ok(signatures(machine).includes('DMAR'));
    assert.ok(!signatures(testBoard({ edu: true })).includes('DMAR'));
    assert.deepEqual(machine.board.layout.acpi!.machine.pci!.routes, [{ device: 2, pin: 0, gsi: LINE }]);
    const claimed = buildMemoryMap(machine.board.layout).find(({ start }) => start === IOMMU);
    assert.deepEqual([claimed?.sizeBytes, claimed?.type], [0x1000, 2]);
  });
});

for (const memoryMode of ['atomicNoncaching', 'timingNoncaching'] as const)
  describe(`DMA of edu, ${memoryMode}`, () => {
    test('without an IOMMU reaches memory as it is', async () => {
      const machine = await started({ iommu: 'none', memoryMode });
      machine.store(0x2000, 0x1234_5678);
      copy(machine, 0x2000, BUFFER, 1);
      await machine.until(2);
      copy(machine, BUFFER, 0x2004, 3);
      await machine.until(4);
      assert.equal(machine.load(0x2004), 0x1234_5678);
    });

    test('goes where the tables say, and faults where they say nothing', async () => {
      const machine = await started({ memoryMode });
      mapPage(machine, 0x20_0000);
      machine.store(0x20_0000, 0xdead_beef);
      copy(machine, 0, BUFFER, 1);
      await machine.until(2);
      copy(machine, BUFFER, 0x8, 3);
      await machine.until(4);
      assert.equal(machine.load(0x20_0008), 0xdead_beef);
      assert.equal(machine.load(FSTS), 0);
      copy(machine, BUFFER, 0x1000, 3);
      await machine.until(6);
      assert.equal(machine.load(FSTS), 2);
      assert.deepEqual(
        [machine.load(IOMMU + 0x220), machine.load(IOMMU + 0x228), machine.load(IOMMU + 0x22c)],
        [0x1000, 0x0010, 0x8000_0005],
      );
    });
  });

describe('interrupts of edu', () => {
  test('INTA arrives at inputs 10 of the I/O APIC and of the 8259s', async () => {
    const machine = await started();
    machine.out(0x21, 0xfb);
    machine.out(0xa1, 0xfb);
    machine.store(RAISE, 1);
    assert.equal(machine.interrupts.takeExternal(), 0x72);
    machine.store(EDU + 0x64, 1);
    machine.out(0xa1, 0xff);
    machine.store(0xfec0_0000, 0x10 + 2 * LINE);
    machine.store(0xfec0_0010, 0x55);
    machine.store(RAISE, 1);
    assert.equal(machine.interrupts.takeExternal(), 0x55);
  });

  test('MSIs are remapped, with or without an IOMMU they arrive', async () => {
    for (const iommu of ['none', 'intel'] as const) {
      const machine = await started({ iommu });
      machine.out(0x21, 0xff);
      setConfig(machine, 0x44, 0xfee0_0010);
      setConfig(machine, 0x4c, 0x66, 2);
      setConfig(machine, 0x42, 1, 2);
      if (iommu === 'intel') {
        machine.store(0x10_0000, 0x0077_0001);
        machine.store(0x10_0008, 0x4_0010);
        machine.store(IOMMU + 0xb8, 0x10_0007);
        machine.store(GCMD, 0x0100_0000);
        machine.store(GCMD, 0x0200_0000);
      }
      machine.store(RAISE, 1);
      await machine.until(1);
      assert.equal(machine.interrupts.takeExternal(), iommu === 'intel' ? 0x77 : 0x66);
    }
  });
});

test('an IOMMU beside the kernel’s interrupt controllers is refused in one line', () => {
  assert.throws(
    () => testBoard({ iommu: 'intel', irqchip: 'kernel' }),
    /^FatalError: board: iommu intel remaps interrupts of simulated controllers only: leave out irqchip kernel$/,
  );
});

describe('a checkpoint', () => {
  test('holds translation and a transfer that is under way', async (t) => {
    const directory = `${scratchDirectory(t)}/cpt`;
    const first = await started();
    mapPage(first, 0x20_0000);
    first.store(0x20_0000, 0xcafe_f00d);
    copy(first, 0, BUFFER, 1);
    await first.until(2);
    copy(first, BUFFER, 4, 3);
    await first.simulator.checkpoint(directory);
    const second = testBoard({ iommu: 'intel', edu: true });
    second.simulator.restore(directory);
    await second.until(4);
    assert.equal(second.load(GSTS), 0xc000_0000);
    assert.equal(second.board.memory.readU32(asPhysAddr(0x20_0004)), 0xcafe_f00d);
  });

  test('is not of a machine without them', async (t) => {
    const directory = `${scratchDirectory(t)}/cpt`;
    const first = await started();
    await first.simulator.checkpoint(directory);
    for (const options of [{ edu: true }, { iommu: 'intel' as const }])
      assert.throws(() => testBoard(options).simulator.restore(directory), /this system has no such object/);
  });

  test('says what it is of; one that is older is of a machine that has neither', () => {
    const older = { memorySize: 1, irqchip: 'simulated', startTime: 0 };
    const { iommu, edu } = restoredParams(older);
    assert.deepEqual([iommu, edu], ['none', false]);
    assert.deepEqual(restoredParams({ ...older, iommu: 'intel', edu: true }).iommu, 'intel');
    assert.throws(() => restoredParams({ ...older, iommu: 'amd' }), /no iommu/);
  });
});
