import assert from 'node:assert/strict';
import { test } from 'node:test';
import { divisorOf } from '../../../src/dev/x86/apic/local-apic-timer.ts';
import { advanceTo, makeApic } from './apic-bench.ts';

/** Ticks of one count at 1 GHz, undivided. */
const NS = 1000;
const DIVIDE_BY_1 = 0xb;
const ONE_SHOT = 0x40;
const PERIODIC = 0x2_0040;
const DEADLINE = 0x4_0040;
const MASKED = 0x1_0000;

function makeTimer(lvt: number, divide = DIVIDE_BY_1) {
  const made = makeApic();
  made.probe.apic.msrsReachable = true;
  made.probe.write('lvtTimer', lvt);
  made.probe.write('divide', divide);
  return made;
}

test('the divide configuration skips its bit 2', () => {
  const written = [0b0000, 0b0001, 0b0010, 0b0011, 0b1000, 0b1001, 0b1010, 0b1011];
  assert.deepEqual(written.map(divisorOf), [2, 4, 8, 16, 32, 64, 128, 1]);
});

test('a one-shot timer counts down, interrupts once and stays at zero', () => {
  const { root, probe } = makeTimer(ONE_SHOT, 0b0011);
  probe.write('initialCount', 100);
  assert.equal(probe.read('currentCount'), 100);
  advanceTo(root, 16 * 40 * NS + 5);
  assert.equal(probe.read('currentCount'), 60);
  advanceTo(root, 16 * 100 * NS - 1);
  assert.deepEqual([probe.read('currentCount'), probe.apic.isPending], [1, false]);
  advanceTo(root, 16 * 100 * NS);
  assert.deepEqual([probe.read('currentCount'), probe.read('initialCount')], [0, 100]);
  assert.deepEqual(probe.drainVectors(), [0x40]);
  assert.ok(root.eventQueue.isEmpty);
});

test('a periodic timer keeps its phase however late its interrupts are taken', () => {
  const { root, probe } = makeTimer(PERIODIC);
  probe.write('initialCount', 1000);
  const takenAt: number[] = [];
  for (const tick of [1_000_700, 2_000_000, 3_999_999, 4_000_000, 9_300_000, 10_000_000]) {
    advanceTo(root, tick);
    if (probe.drainVectors().length > 0) takenAt.push(tick);
  }
  // Periods that end while one waits in the IRR fall together with it; the next ends on the grid.
  assert.deepEqual(takenAt, [1_000_700, 2_000_000, 3_999_999, 4_000_000, 9_300_000, 10_000_000]);
  advanceTo(root, 10_250_000);
  assert.equal(probe.read('currentCount'), 750);
});

test('a periodic timer makes one event per interrupt taken, however short its period', () => {
  const { root, probe } = makeTimer(PERIODIC);
  probe.write('initialCount', 1);
  assert.equal(advanceTo(root, 1_000_000_000), 1);
  assert.ok(root.eventQueue.isEmpty);
  for (let i = 1; i <= 10; i++) {
    assert.equal(probe.apic.takeExternal(), 0x40);
    probe.write('eoi', 0);
    assert.equal(advanceTo(root, 1_000_000_000 + 1_000_000 * i), 1);
  }
});

test('a masked periodic timer counts without events, and interrupts at the end of the period in which it is unmasked', () => {
  const { root, probe } = makeTimer(PERIODIC | MASKED);
  probe.write('initialCount', 1000);
  assert.equal(advanceTo(root, 5_400_000), 0);
  assert.equal(probe.read('currentCount'), 600);
  probe.write('lvtTimer', PERIODIC);
  advanceTo(root, 5_999_999);
  assert.equal(probe.apic.isPending, false);
  advanceTo(root, 6_000_000);
  assert.ok(probe.apic.isPending);
});

test('an illegal timer vector is an error and no flood of events', () => {
  const { root, probe } = makeTimer(0x2_0003);
  probe.write('initialCount', 1);
  assert.ok(advanceTo(root, 1_000_000) <= 1);
  probe.write('esr', 0);
  assert.equal(probe.read('esr'), 0x40);
});

test('an initial count of zero stops the timer', () => {
  for (const lvt of [ONE_SHOT, PERIODIC]) {
    const { root, probe } = makeTimer(lvt);
    probe.write('initialCount', 1000);
    advanceTo(root, 500_000);
    probe.write('initialCount', 0);
    assert.ok(root.eventQueue.isEmpty);
    assert.equal(probe.read('currentCount'), 0);
  }
});

test('writing the initial count again begins anew', () => {
  const { root, probe } = makeTimer(ONE_SHOT);
  probe.write('initialCount', 1000);
  advanceTo(root, 900_000);
  probe.write('initialCount', 500);
  advanceTo(root, 1_399_999);
  assert.equal(probe.apic.isPending, false);
  advanceTo(root, 1_400_000);
  assert.ok(probe.apic.isPending);
});

test('a new divide configuration changes the pace of the count and not the count', () => {
  const { root, probe } = makeTimer(ONE_SHOT);
  probe.write('initialCount', 1000);
  advanceTo(root, 600_000);
  probe.write('divide', 0b0000);
  assert.equal(probe.read('currentCount'), 400);
  advanceTo(root, 600_000 + 2 * 399_000);
  assert.deepEqual([probe.read('currentCount'), probe.apic.isPending], [1, false]);
  advanceTo(root, 600_000 + 2 * 400_000);
  assert.ok(probe.apic.isPending);
});

test('between one-shot and periodic the count goes on; at zero it does not come to life', () => {
  const { root, probe } = makeTimer(PERIODIC);
  probe.write('initialCount', 1000);
  advanceTo(root, 2_700_000);
  probe.drainVectors();
  probe.write('lvtTimer', ONE_SHOT);
  assert.equal(probe.read('currentCount'), 300);
  advanceTo(root, 3_000_000);
  assert.deepEqual([probe.read('currentCount'), probe.drainVectors()], [0, [0x40]]);
  probe.write('lvtTimer', PERIODIC);
  advanceTo(root, 9_000_000);
  assert.deepEqual(
    [probe.read('currentCount'), probe.read('initialCount'), probe.apic.isPending],
    [0, 1000, false],
  );
});

test('the longest period there is is exact', () => {
  const { root, probe } = makeTimer(PERIODIC, 0b1010);
  probe.write('initialCount', 0xffff_ffff);
  const period = 0xffff_ffffn * 128n * 1000n;
  advanceTo(root, period - 1n);
  assert.equal(probe.apic.isPending, false);
  advanceTo(root, period);
  assert.deepEqual(probe.drainVectors(), [0x40]);
  advanceTo(root, 40n * period);
  assert.equal(probe.read('currentCount'), 0xffff_ffff);
});

const TSC_DEADLINE = 0x6e0;

test('a TSC deadline interrupts once, when the TSC has reached it, and then reads as zero', () => {
  const { root, probe } = makeTimer(DEADLINE);
  // The TSC of the test runs at 2 GHz: 500 ticks.
  assert.ok(probe.apic.writeMsr(TSC_DEADLINE, 4_000n));
  assert.equal(probe.apic.readMsr(TSC_DEADLINE), 4_000n);
  assert.deepEqual([probe.read('initialCount'), probe.read('currentCount')], [0, 0]);
  advanceTo(root, 1_999_999);
  assert.equal(probe.apic.isPending, false);
  advanceTo(root, 2_000_000);
  assert.deepEqual(probe.drainVectors(), [0x40]);
  assert.equal(probe.apic.readMsr(TSC_DEADLINE), 0n);
});

test('a TSC deadline in the past interrupts at once, zero disarms, and the end of time never comes', () => {
  const { root, probe } = makeTimer(DEADLINE);
  advanceTo(root, 1_000_000);
  probe.apic.writeMsr(TSC_DEADLINE, 5n);
  assert.deepEqual(probe.drainVectors(), [0x40]);
  probe.apic.writeMsr(TSC_DEADLINE, 5_000n);
  probe.apic.writeMsr(TSC_DEADLINE, 0n);
  assert.ok(root.eventQueue.isEmpty);
  probe.apic.writeMsr(TSC_DEADLINE, 0xffff_ffff_ffff_ffffn);
  assert.ok(root.eventQueue.isEmpty);
  assert.equal(probe.apic.readMsr(TSC_DEADLINE), 0xffff_ffff_ffff_ffffn);
});

test('a TSC that was set, or does not keep up, moves the deadline', () => {
  const { root, probe } = makeTimer(DEADLINE);
  probe.apic.writeMsr(TSC_DEADLINE, 4_000n);
  probe.cpu.tscOffset = 2_000n;
  probe.apic.tscChanged();
  advanceTo(root, 1_000_000);
  assert.deepEqual(probe.drainVectors(), [0x40]);
  probe.apic.writeMsr(TSC_DEADLINE, 5_000n);
  probe.cpu.tscOffset = 0n;
  advanceTo(root, 2_499_999);
  assert.equal(probe.apic.isPending, false);
  advanceTo(root, 3_000_000);
  assert.ok(probe.apic.isPending);
});

test('modes exclude each other: changing to or from deadline mode disarms', () => {
  const { root, probe } = makeTimer(ONE_SHOT);
  probe.apic.writeMsr(TSC_DEADLINE, 100n);
  assert.equal(probe.apic.readMsr(TSC_DEADLINE), 0n);
  probe.write('initialCount', 1000);
  probe.write('lvtTimer', DEADLINE);
  assert.ok(root.eventQueue.isEmpty);
  probe.write('initialCount', 1000);
  assert.equal(probe.read('initialCount'), 0);
  probe.apic.writeMsr(TSC_DEADLINE, 100n);
  probe.write('lvtTimer', ONE_SHOT);
  assert.deepEqual([root.eventQueue.isEmpty, probe.apic.readMsr(TSC_DEADLINE)], [true, 0n]);
});

test('a masked deadline passes without an interrupt', () => {
  const { root, probe } = makeTimer(DEADLINE | MASKED);
  probe.apic.writeMsr(TSC_DEADLINE, 100n);
  advanceTo(root, 1_000_000);
  assert.deepEqual([probe.apic.isPending, probe.apic.readMsr(TSC_DEADLINE)], [false, 0n]);
});

test('without MSRs there is no deadline', () => {
  const { probe } = makeApic();
  assert.equal(probe.apic.readMsr(TSC_DEADLINE), undefined);
  assert.equal(probe.apic.writeMsr(TSC_DEADLINE, 1n), false);
});
