// Conversions of host time, against values computed by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostTime } from '../../../src/cpu/kvm/host-time.ts';

test('2.5 GHz: 1 µs is 2,500 cycles, and 2,500 cycles are 1,000,000 ticks', () => {
  const time = new HostTime(2.5e9, 1);
  assert.equal(time.cyclesFromNs(1000), 2500);
  assert.equal(time.ticksFromCycles(2500), 1_000_000);
  assert.equal(time.ticksFromNs(1000), 1_000_000);
  assert.equal(time.nsFromTicks(1_000_000), 1000);
});

test('hostFactor 2: simulated code takes twice the time and the cycles', () => {
  const time = new HostTime(1e9, 2);
  assert.equal(time.simCyclesFromCycles(1000), 2000);
  assert.equal(time.ticksFromCycles(1000), 2_000_000);
  assert.equal(time.ticksFromNs(1), 2000);
  assert.equal(time.nsFromTicks(2000), 1);
});

test('hostFactor 0.5 at 3 GHz: 3,000 cycles are half a microsecond', () => {
  const time = new HostTime(3e9, 0.5);
  assert.equal(time.simCyclesFromCycles(3000), 1500);
  assert.equal(time.ticksFromCycles(3000), 500_000);
});

test('the timer resolution is the larger of the clock resolution plus a tick and 1,000 host cycles', () => {
  const time = new HostTime(1e9, 1);
  assert.equal(time.resolutionTicks(1), 1_000_000, '1,000 cycles of 1 ns');
  assert.equal(time.resolutionTicks(4_000_000), 4_000_000_001, 'a clock of 4 ms');
});
