/** Real-time pacing: simulated time never runs ahead of the host's, and what is lost is not made up for by racing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue, SimEvent } from '../../../src/sim/event-queue.ts';
import { Pacer } from '../../../src/sim/pacing.ts';
import { Root } from '../../../src/sim/root.ts';
import { Simulator } from '../../../src/sim/simulator.ts';
import { asTicks } from '../../../src/sim/tick.ts';

const MS = 1e9;

function paced() {
  const host = { ms: 1000 };
  const queue = new EventQueue('test');
  const event = new SimEvent('test', () => {});
  const pacer = new Pacer(queue, () => host.ms);
  pacer.begin();
  return { host, queue, event, pacer };
}

test('an event is due when the host’s clock has come as far', () => {
  const { host, queue, event, pacer } = paced();
  queue.schedule(event, asTicks(30 * MS));
  assert.equal(pacer.waitMs(), 30);
  host.ms += 20;
  assert.equal(pacer.waitMs(), 10);
  host.ms += 10;
  assert.equal(pacer.waitMs(), 0);
});

test('a short delay is caught up: the next event is due earlier', () => {
  const { host, queue, event, pacer } = paced();
  queue.schedule(event, asTicks(30 * MS));
  host.ms += 70;
  queue.serviceOne();
  queue.schedule(event, asTicks(50 * MS));
  assert.equal(pacer.waitMs(), 10);
});

test('a long one is not: time goes on from there', () => {
  const { host, queue, event, pacer } = paced();
  queue.schedule(event, asTicks(30 * MS));
  host.ms += 10_000;
  assert.equal(pacer.waitMs(), 30);
});

test('without events nothing is waited for', () => {
  assert.equal(paced().pacer.waitMs(), 0);
});

/** An event every 10 simulated ms, and a host whose clock the test's waiting moves. */
function tickingMachine() {
  const root = new Root({ warnSink: () => {} });
  const ticks: number[] = [];
  const event = new SimEvent('test', () => {
    ticks.push(root.hostClock());
    if (ticks.length === 5) root.exitSimLoop('enough');
    else root.eventQueue.schedule(event, asTicks(10 * MS));
  });
  root.eventQueue.schedule(event, asTicks(10 * MS));
  return { root, ticks };
}

test('a paced simulation takes at least the time it simulates', async () => {
  const { root, ticks } = tickingMachine();
  const startMs = root.hostClock();
  await new Simulator(root, { realTime: true }).runUntilExit();
  for (const [i, ms] of ticks.entries()) assert.ok(ms - startMs >= 10 * (i + 1), `event ${i}`);
});

test('what comes in is served at once, not when the next event is due', async () => {
  const root = new Root({ warnSink: () => {} });
  root.eventQueue.schedule(new SimEvent('late', () => assert.fail('waited for')), asTicks(3600e3 * MS));
  root.addIdleSource({
    canWake: () => true,
    wait: async () => root.exitSimLoop('input'),
  });
  const exit = await new Simulator(root, { realTime: true }).runUntilExit();
  assert.deepEqual(exit, { cause: 'input', code: 0, tick: 0n });
});
