// KVM's clock for guests: what it is set to, and the wall clock in the guest's memory (Linux
// Documentation/virt/kvm/x86/msr.rst).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockCell, ParavirtualClock } from '../../../src/cpu/kvm/x86/paravirtual-clock.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { Root } from '../../../src/sim/root.ts';

function bench() {
  const set: bigint[] = [];
  const memory = new PhysicalMemory(new Root(), 'memory', { ranges: [{ start: 0, sizeBytes: 1 << 16 }] });
  const clock = new ParavirtualClock({ setClock: (ns) => set.push(ns), memory, startSeconds: 1_767_225_600 });
  return { set, memory, clock };
}

test('the clock shows simulated time', () => {
  const { set, clock } = bench();
  clock.set(0, 5000, Number.NaN);
  clock.set(2_000_000, 9000, 8000);
  assert.deepEqual(set, [0n, 2_000_000n]);
});

test('the clock never shows less than the guest can have seen when it was left', () => {
  const { set, clock } = bench();
  clock.set(1000, 50_000, Number.NaN);
  // The guest ran until 59,000 of the host's time and so can have seen 10,000; what passed since then it has not.
  clock.set(4000, 90_000, 59_000);
  assert.deepEqual(set, [1000n, 10_000n]);
});

test('set twice while the guest is out, the clock still shows no less than the guest has seen', () => {
  const { set, clock } = bench();
  clock.set(1000, 50_000, Number.NaN);
  for (const nowNs of [90_000, 190_000]) clock.set(4000, nowNs, 59_000);
  assert.deepEqual(set, [1000n, 10_000n, 10_000n]);
});

test('a restored clock goes on from what the guest may have seen, and from nowhere else', () => {
  const { set, clock } = bench();
  clock.set(1000, 50_000, Number.NaN);
  clock.left(51_000);
  assert.equal(clock.seenNs, 2000);
  clock.seenNs = 7000;
  clock.set(2000, 90_000, 80_000);
  clock.set(3000, 92_000, 91_500);
  assert.deepEqual(set, [1000n, 7000n, 8500n]);
});

test('what was seen is state; a machine that has no such clock neither saves nor takes it', () => {
  const source = bench();
  source.clock.set(1000, 50_000, Number.NaN);
  source.clock.left(50_400.5);
  const saved = clockCell(source.clock).save();
  assert.equal(saved, 1401);
  const copy = bench();
  clockCell(copy.clock).restore(saved);
  copy.clock.set(500, 10, Number.NaN);
  clockCell(copy.clock).restore(null);
  copy.clock.set(500, 20, Number.NaN);
  assert.deepEqual(copy.set, [1401n, 1401n]);
  assert.equal(clockCell(undefined).save(), null);
  clockCell(undefined).restore(saved);
});

test('the wall clock is the simulated start time, with an even version', () => {
  const { memory, clock } = bench();
  const at = (address: number): number => memory.readU32(address as PhysAddr);
  assert.equal(clock.writeWallClock(0x1000n), true);
  assert.deepEqual([at(0x1000), at(0x1004), at(0x1008)], [2, 1_767_225_600, 0]);
  clock.writeWallClock(0x1000n);
  assert.equal(at(0x1000), 4, 'the version moves on');
});

test('a wall clock outside RAM or out of line is refused and writes nothing', () => {
  const { clock } = bench();
  for (const address of [0xffffn, 0x1002n, 1n << 40n, 0xfffcn])
    assert.equal(clock.writeWallClock(address), false);
  assert.equal(clock.writeWallClock(0n), true, 'address 0 switches it off');
});
