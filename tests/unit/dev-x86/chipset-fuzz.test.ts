/** The chipset under random accesses: nothing throws, no device floods the event queue, and a checkpoint goes on alike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PCI_CONFIG_BASE, portAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { PioDevice } from '../../../src/dev/pio-device.ts';
import { AcpiPm } from '../../../src/dev/x86/acpi-pm.ts';
import { Hpet } from '../../../src/dev/x86/hpet.ts';
import { PciHost } from '../../../src/dev/x86/pci-host.ts';
import { Pic8259Pair } from '../../../src/dev/x86/pic8259.ts';
import { Pit8254 } from '../../../src/dev/x86/pit8254.ts';
import { ResetControl } from '../../../src/dev/x86/reset-control.ts';
import type { Root } from '../../../src/sim/root.ts';
import { Accessor, Probe, quietRoot, restoreAll, runTo, saveAll } from './pc-bench.ts';

/** Marsaglia's xorshift: the same numbers in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Target {
  readonly device: PioDevice;
  readonly base: number;
  readonly sizeBytes: number;
}

function chipset(root: Root): readonly Target[] {
  const intr = new Probe();
  const pic = new Pic8259Pair(root, 'pic');
  const pit = new Pit8254(root, 'pit');
  pic.intr.connect(intr);
  pit.out0.connect(pic.input(0));
  const hpet = new Hpet(root, 'hpet', { ioApicInput: () => new Probe() });
  hpet.legacyIrq8.connect(pic.input(8));
  const power = new AcpiPm(root, 'power', { timerWidth: '24bit' });
  power.sci.connect(pic.input(9));
  const pci = new PciHost(root, 'pci', new ResetControl(root, 'reset', () => {}));
  const acknowledge = () => {
    if (intr.level) pic.acknowledge();
  };
  intr.onChange = acknowledge;
  return [
    { device: pic, base: portAddress(0x20), sizeBytes: 2 },
    { device: pic, base: portAddress(0xa0), sizeBytes: 2 },
    { device: pic, base: portAddress(0x4d0), sizeBytes: 2 },
    { device: pit, base: portAddress(0x40), sizeBytes: 4 },
    { device: pit, base: portAddress(0x61), sizeBytes: 1 },
    { device: hpet, base: 0xfed0_0000, sizeBytes: 0x180 },
    { device: power, base: portAddress(0x600), sizeBytes: 4 },
    { device: power, base: portAddress(0x608), sizeBytes: 4 },
    { device: pci, base: PCI_CONFIG_BASE, sizeBytes: 0x1000 },
    { device: pci, base: 0xc000_0000, sizeBytes: 0x1000 },
    { device: pci, base: portAddress(0xcf8), sizeBytes: 8 },
  ];
}

/** One access: any place, any size, aligned or not, over the end, too. */
function access({ device, base, sizeBytes }: Target, next: (below: number) => number): number {
  const address = base + next(sizeBytes);
  const size = [1, 2, 4, 4, 8, 3][next(6)]!;
  const cpu = new Accessor(device);
  if (size === 8) {
    if (next(2) === 0) cpu.store64(address, (BigInt(next(2 ** 32)) << 32n) | BigInt(next(2 ** 16)));
    return Number(BigInt.asUintN(32, cpu.load64(address)));
  }
  const value = next(4) === 0 ? next(2 ** 32) : next(256);
  if (next(2) === 0) cpu.store(address, size, value % 2 ** (8 * size));
  return cpu.load(address, size);
}

/** Random accesses with time passing between them; returns what was read, and the most events in a millisecond. */
function fuzz(root: Root, targets: readonly Target[], next: (below: number) => number, accesses: number) {
  const reads: number[] = [];
  let mostEvents = 0;
  for (let i = 0; i < accesses; i++) {
    reads.push(access(targets[next(targets.length)]!, next));
    const pause = next(8) === 0 ? 1_000_000_000 : next(1000) * 1000;
    const events = runTo(root, root.curTick + BigInt(pause));
    if (pause === 1_000_000_000) mostEvents = Math.max(mostEvents, events);
  }
  return { reads, mostEvents };
}

test('20000 random accesses of every size: no exception, and at most as many events as minEventPeriod allows', () => {
  const root = quietRoot();
  const { mostEvents } = fuzz(root, chipset(root), random(0x5eed_0001), 20_000);
  // 20 µs for the PIT and for each of three HPET timers.
  assert.ok(mostEvents <= 4 * 50 + 4, `${mostEvents} events in a millisecond`);
});

test('a machine restored from a checkpoint answers the same random accesses as the one that it was taken of', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const one = quietRoot();
    const oneTargets = chipset(one);
    fuzz(one, oneTargets, random(seed), 1000);
    const other = quietRoot();
    const otherTargets = chipset(other);
    restoreAll(other, saveAll(one));
    assert.deepEqual(saveAll(other), saveAll(one));
    const { reads } = fuzz(one, oneTargets, random(seed + 100), 500);
    assert.deepEqual(fuzz(other, otherTargets, random(seed + 100), 500).reads, reads);
  }
});
