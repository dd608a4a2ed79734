// What simulated time and the statistics are made of: hardware counters where there are any, else the clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestCounters } from '../../../src/cpu/kvm/vcpu-parts.ts';
import { KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { Unavailable } from '../../../src/sim/stats/kinds.ts';
import { exitWith, fakeMachine } from '../../support/fake-machine.ts';
import { FakeVcpu } from '../../support/fake-vcpu.ts';

/** Counters that count the same for every run. */
function countersOf(cycles: number, instructions: number): GuestCounters {
  const counters = {
    cycles: 0,
    instructions: 0,
    start(): void {
      counters.cycles = counters.instructions = 0;
    },
    stop(): void {
      counters.cycles = cycles;
      counters.instructions = instructions;
    },
    limits: [] as number[],
    limitInstructions(distance: number): void {
      counters.limits.push(distance);
    },
  };
  return counters;
}

async function haltAfter(ns: number, options: Parameters<typeof fakeMachine>[1]) {
  const m = fakeMachine([exitWith(KvmExitReason.HLT, ns)], options);
  m.at(0, () => m.cpu.activateContext());
  await m.run(1_000_000_000);
  return { m };
}

test('with counters, instructions are counted and time follows the cycles, not the clock', async () => {
  const { m } = await haltAfter(5000, { counters: countersOf(2000, 3000) });
  const { stats } = m.cpu;
  assert.equal(stats.commitStats0.numInsts.result(), 3000);
  assert.equal(stats.commitStats0.numOps.result(), 3000);
  assert.equal(stats.numCycles.value, 2000);
  assert.equal(stats.ipc.result(), 1.5);
  assert.equal(m.cpu.busyTicks, 2_000_000, '2,000 cycles of 1 ns');
});

test('without counters, time follows the clock and instruction counts are unavailable, not zero', async () => {
  const { m } = await haltAfter(5000, {});
  const { stats } = m.cpu;
  assert.equal(stats.numCycles.value, 5000);
  assert.equal(m.cpu.busyTicks, 5_000_000);
  for (const result of [
    stats.commitStats0.numInsts.result(),
    stats.ipc.result(),
    stats.commitStats0.cpi.result(),
  ]) {
    assert.ok(result instanceof Unavailable);
    assert.equal(result.why, 'no counters in this test');
  }
});

test('usePerf=false leaves counters alone that are there', async () => {
  const { m } = await haltAfter(5000, { counters: countersOf(2000, 3000), params: { usePerf: false } });
  assert.equal(m.cpu.stats.numCycles.value, 5000);
  assert.ok(m.cpu.stats.commitStats0.numInsts.result() instanceof Unavailable);
});

test('hostFactor stretches cycles and time', async () => {
  const { m } = await haltAfter(5000, { params: { hostFactor: 2 } });
  assert.equal(m.cpu.stats.numCycles.value, 10_000);
  assert.equal(m.cpu.busyTicks, 10_000_000);
});

test('hostFreq says how many cycles a nanosecond has, and leaves time alone', async () => {
  const { m } = await haltAfter(5000, { params: { hostFreq: '2GHz' } });
  assert.equal(m.cpu.stats.numCycles.value, 10_000);
  assert.equal(m.cpu.busyTicks, 5_000_000);
});

test('alwaysSyncTC moves every class both ways at every entry', async () => {
  const { m } = await haltAfter(100, { params: { alwaysSyncTC: true } });
  const { syncsToKvm, syncsFromKvm } = m.cpu.stats;
  assert.deepEqual(
    syncsToKvm.elements.map(({ value }) => value),
    [1, 1, 1, 1, 1, 1, 1],
  );
  // The MSRs are read once more at startup: user mode keeps those that KVM came with.
  assert.deepEqual(
    syncsFromKvm.elements.map(({ value }) => value),
    [1, 1, 1, 1, 2, 1, 1],
  );
});

test('runs that count no cycles still reach the awaited event when their time is up', async () => {
  const m = fakeMachine([FakeVcpu.spin, FakeVcpu.spin], { counters: countersOf(0, 0) });
  m.at(0, () => m.cpu.activateContext());
  const { tick } = await m.run(5_000_000);
  assert.equal(tick, 5_000_000n);
});

test('with nothing scheduled a run lasts no longer than the slice of host time', async () => {
  const m = fakeMachine([FakeVcpu.spin, exitWith(KvmExitReason.HLT)]);
  m.at(0, () => m.cpu.activateContext());
  await m.simulator.runUntilExit();
  assert.deepEqual(m.vcpu.time.armed, [10e6, 10e6], '10 ms');
});

test('idle time counts into the cycles when the thread wakes', async () => {
  const m = fakeMachine([exitWith(KvmExitReason.HLT, 1000), exitWith(KvmExitReason.HLT, 1000)], {
    params: { clock: '1GHz' },
  });
  m.at(0, () => m.cpu.activateContext());
  m.at(51_000_000, () => m.cpu.activateContext());
  await m.run(60_000_000);
  assert.equal(m.cpu.stats.numCycles.value, 1000 + 50_000 + 1000);
});

test('at the first entry the special registers are in KVM before XCR0, and XCR0 before the vector registers', async () => {
  const { m } = await haltAfter(100, {});
  const order = ['set sregs', 'set xcrs', 'set xsave'].map((call) => m.vcpu.calls.indexOf(call));
  assert.ok(order.every((at) => at >= 0));
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
});
