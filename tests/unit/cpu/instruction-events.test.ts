// Stops after a number of instructions: the queue itself, and a KVM CPU with a scripted instruction counter. No host in
// use has a real one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InstructionEvents } from '../../../src/cpu/instruction-events.ts';
import type { GuestCounters } from '../../../src/cpu/kvm/vcpu-parts.ts';
import { Root } from '../../../src/sim/root.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { type FakeMachineOptions, fakeMachine } from '../../support/fake-machine.ts';
import { EINTR } from '../../support/fake-vcpu.ts';

/** A counter of one instruction per nanosecond that overshoots by `skid` instructions. */
function countingMachine(skid: number, options: FakeMachineOptions = {}) {
  const limits: number[] = [];
  let distance = Number.POSITIVE_INFINITY;
  const counters: GuestCounters & { cycles: number; instructions: number } = {
    cycles: 0,
    instructions: 0,
    start: () => {},
    stop: () => {},
    limitInstructions: (limit) => {
      if (limit !== distance) limits.push(limit);
      distance = limit;
    },
  };
  const m = fakeMachine([], { ...options, counters });
  m.vcpu.atEnd = (vcpu) => {
    const executed = Math.min(vcpu.time.armedFor - vcpu.time.ns, distance + skid);
    vcpu.time.advance(executed);
    vcpu.signal.discardPending();
    counters.cycles = executed;
    counters.instructions = executed;
    distance -= executed;
    return EINTR;
  };
  m.at(0, () => m.cpu.activateContext());
  return { ...m, limits };
}

test('events are kept in order of their count, and each is served once', () => {
  const root = new Root();
  const events = new InstructionEvents();
  for (const insts of [30, 10, 20, 20]) events.schedule({ insts, cause: `at ${insts}`, code: insts });
  assert.equal(events.distance, 10);
  events.advance(10);
  assert.equal(events.distance, 0);
  assert.equal(events.serviceDue(root), 1);
  assert.equal(events.distance, 10);
  events.advance(25);
  assert.equal(events.serviceDue(root), 3);
  assert.equal(events.overshoot, 5, 'of the last one');
  assert.equal(events.distance, Number.POSITIVE_INFINITY);
});

test('count and events survive a checkpoint', () => {
  const events = new InstructionEvents();
  events.schedule({ insts: 100, cause: 'stop', code: 3 });
  events.advance(40);
  const other = new InstructionEvents();
  other.restore(JSON.parse(JSON.stringify(events.save())));
  assert.equal(other.count, 40);
  assert.equal(other.distance, 60);
});

test('the counter is armed for the distance, and the overshoot is reported', async () => {
  const m = countingMachine(7);
  m.cpu.scheduleInstStop(1000, 'a thread reached the max instruction count');
  const exit = await m.run(10_000_000);
  assert.equal(exit.cause, 'a thread reached the max instruction count (7 instructions late)');
  assert.deepEqual(m.limits, [1000]);
  assert.equal(m.cpu.thread.instructionEvents.count, 1007);
  assert.equal(m.cpu.stats.instructionOvershoot.value, 7);
});

test('other exits on the way do not move the stop', async () => {
  const m = countingMachine(0);
  m.cpu.scheduleInstStop(1000, 'stop');
  m.at(300_000, () => {});
  m.at(700_000, () => {});
  const exit = await m.run(10_000_000);
  assert.equal(exit.cause, 'stop');
  assert.equal(m.cpu.thread.instructionEvents.count, 1000);
});

test('a stop that is due lets KVM complete an instruction, executes nothing new and is served', async () => {
  const m = countingMachine(0);
  m.at(0, () => m.cpu.scheduleInstStop(0, 'at once'));
  const exit = await m.run(10_000_000);
  assert.equal(exit.cause, 'at once');
  assert.ok(m.vcpu.entries.every(({ immediateExit }) => immediateExit));
});

test('without a counter a stop is refused, before and after the start, with what to do instead', async () => {
  const before = fakeMachine([]);
  before.cpu.scheduleInstStop(10, 'stop');
  const isRefusal = (error: unknown): boolean =>
    error instanceof FatalError && /--max-ticks/.test(error.message);
  await assert.rejects(() => before.run(1000), isRefusal);
  const after = fakeMachine([]);
  await after.run(1000);
  assert.throws(() => after.cpu.scheduleInstStop(10, 'stop'), isRefusal);
});

test('usePerfOverflow without usePerf is refused', () => {
  assert.throws(
    () => fakeMachine([], { params: { usePerf: false, usePerfOverflow: true } }),
    (error) => error instanceof FatalError && /needs usePerf/.test(error.message),
  );
});
