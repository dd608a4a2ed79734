/** The simulator: exit events, limits, slices, idling, drain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue, SimEvent } from '../../../src/sim/event-queue.ts';
import type { ExitEvent } from '../../../src/sim/exit-event.ts';
import { Root } from '../../../src/sim/root.ts';
import { SimObject } from '../../../src/sim/sim-object.ts';
import { Simulator } from '../../../src/sim/simulator.ts';
import { asTick, asTicks } from '../../../src/sim/tick.ts';
import { machine } from './machine.ts';

test('a run ends at the tick limit with gem5’s cause, after the events of that tick', async () => {
  const { root, a, b } = machine();
  const exits: ExitEvent[] = [];
  for await (const exit of new Simulator(root).run({ maxTick: asTick(300n) })) exits.push(exit);
  assert.deepEqual(exits, [{ cause: 'simulate() limit reached', code: 0, tick: 300n }]);
  assert.deepEqual([a.count.value, b.count.value], [4, 3]);
  assert.deepEqual(a.calls, ['init', 'initState', 'startup']);
});

test('a tick limit leaves no trace in the next run', async () => {
  const { root, a } = machine();
  const simulator = new Simulator(root);
  a.onTick = () => {
    if (root.curTick === 200n) root.exitSimLoop('early');
  };
  assert.equal((await simulator.runUntilExit({ maxTick: asTick(300n) })).cause, 'early');
  assert.equal(root.eventQueue.size, 2, 'only the two tickers are scheduled');
  assert.equal((await simulator.runUntilExit({ maxTick: asTick(1000n) })).tick, 1000n);
  await assert.rejects(simulator.runUntilExit({ maxTick: asTick(999n) }), /999 is in the past/);
});

test('an exit comes after the other events of its tick, with its code; the run goes on when asked', async () => {
  const { root, a, b } = machine();
  a.onTick = () => {
    if (root.curTick === 300n) root.exitSimLoop('exiting with last active thread context', 42);
    if (root.curTick === 400n) root.exitSimLoop('later', 0, asTicks(250));
  };
  const run = new Simulator(root).run();
  const first = await run.next();
  assert.deepEqual(first.value, { cause: 'exiting with last active thread context', code: 42, tick: 300n });
  assert.equal(b.count.value, 3);
  assert.deepEqual((await run.next()).value, { cause: 'later', code: 0, tick: 650n });
  await run.return();
});

test('without events and without a source the run ends', async () => {
  const exits: ExitEvent[] = [];
  for await (const exit of new Simulator(new Root()).run()) exits.push(exit);
  assert.deepEqual(exits, [{ cause: 'event queue empty', code: 0, tick: 0n }]);
});

test('an idle simulation waits for its source without advancing time, even with a tick limit', async () => {
  const root = new Root();
  let waits = 0;
  root.addIdleSource({
    canWake: () => waits < 3,
    wait: async (maxMs) => {
      assert.ok(maxMs > 0);
      if (++waits === 3) root.exitSimLoop('woken');
    },
  });
  const exit = await new Simulator(root).runUntilExit({ maxTick: asTick(10n ** 15n) });
  assert.deepEqual(exit, { cause: 'woken', code: 0, tick: 0n });
  assert.equal(waits, 3);
});

test('waiting reaches a tick limit when it has taken as long as the simulated time to it', async () => {
  let hostMs = 0;
  const root = new Root({ hostClock: () => hostMs });
  let waits = 0;
  root.addIdleSource({
    canWake: () => true,
    wait: () => {
      waits++;
      hostMs += 10;
    },
  });
  const exit = await new Simulator(root).runUntilExit({ maxTick: asTick(45_000_000_000n) });
  assert.deepEqual(exit, { cause: 'simulate() limit reached', code: 0, tick: 45_000_000_000n });
  assert.equal(waits, 5, '45 ms in steps of 10');
});

test('an idle simulation whose sources cannot wake it runs to the tick limit', async () => {
  const root = new Root();
  root.addIdleSource({ canWake: () => false, wait: () => assert.fail('nobody waits') });
  const exit = await new Simulator(root).runUntilExit({ maxTick: asTick(5000n) });
  assert.deepEqual(exit, { cause: 'simulate() limit reached', code: 0, tick: 5000n });
});

test('the process gets its turn between slices, and can end an endless run', async () => {
  let hostMs = 0;
  const { root, a } = machine({ hostClock: () => hostMs });
  a.onTick = () => {
    hostMs += 1;
  };
  const simulator = new Simulator(root, { sliceMs: 10 });
  setImmediate(() => simulator.requestExit());
  const exit = await simulator.runUntilExit();
  assert.equal(exit.cause, 'user interrupt received');
  assert.ok(a.count.value < 1000, `${a.count.value} ticks before the process got its turn`);
});

test('an event that used up the slice ends it at once', async () => {
  let hostMs = 0;
  const { root, a } = machine({ hostClock: () => hostMs });
  a.onTick = () => {
    assert.ok(root.slice.remainingNs(hostMs) > 0);
    hostMs += 25;
    root.slice.spentUntil(hostMs);
  };
  const simulator = new Simulator(root, { sliceMs: 10 });
  setImmediate(() => simulator.requestExit());
  await simulator.runUntilExit();
  assert.equal(a.count.value, 1);
});

test('where looking up between slices is slow, slices are longer, up to a limit', () => {
  let hostMs = 0;
  const { slice } = new Root({ hostClock: () => hostMs });
  for (const [lookMs, sliceMs] of [
    [0.1, 10],
    [1.5, 75],
    [100, 100],
  ] as const) {
    slice.begin(10);
    hostMs += slice.remainingNs(hostMs) / 1e6;
    slice.spentUntil(hostMs);
    hostMs += lookMs;
    slice.begin(10);
    slice.remainingNs(hostMs);
    slice.begin(10);
    assert.ok(Math.abs(slice.remainingNs(hostMs) / 1e6 - sliceMs) < 1e-6, `${slice.remainingNs(hostMs)} ns`);
  }
});

test('waiting between two slices is no looking up', () => {
  let hostMs = 0;
  const { slice } = new Root({ hostClock: () => hostMs });
  slice.begin(10);
  hostMs += slice.remainingNs(hostMs) / 1e6;
  slice.spentUntil(hostMs);
  slice.begin(10);
  // The guest halts: nobody enters it in this slice.
  hostMs += 30;
  slice.begin(10);
  slice.remainingNs(hostMs);
  slice.begin(10);
  assert.equal(slice.remainingNs(hostMs), 10e6);
});

test('the time left in a slice is what the host’s clock leaves, and nothing once it is cut', () => {
  let hostMs = 100;
  const root = new Root({ hostClock: () => hostMs });
  root.slice.begin(10);
  hostMs += 4;
  assert.equal(root.slice.remainingNs(hostMs), 6e6);
  hostMs += 7;
  assert.equal(root.slice.remainingNs(hostMs), 0);
  root.slice.begin(10);
  root.slice.cut();
  assert.equal(root.slice.remainingNs(hostMs), 0);
  root.slice.begin(10);
  new Simulator(root).requestExit();
  assert.equal(root.slice.remainingNs(hostMs), 0);
});

test('several queues of one simulation keep step', async () => {
  const root = new Root();
  const queue = new EventQueue('cpu');
  new (class extends SimObject {
    constructor() {
      super(root, 'cpu', { eventQueue: queue });
    }
  })();
  const log: string[] = [];
  const note = (name: string) => () => log.push(`${name} ${root.eventQueue.curTick} ${queue.curTick}`);
  root.eventQueue.schedule(new SimEvent('a', note('a')), asTicks(10));
  queue.schedule(new SimEvent('b', note('b')), asTicks(5));
  queue.schedule(new SimEvent('c', note('c')), asTicks(15));
  await new Simulator(root).runUntilExit();
  assert.deepEqual(log, ['b 5 5', 'a 10 10', 'c 15 15']);
});

test('a drain simulates until nothing is in flight, asks everybody again, and the next run resumes', async () => {
  const { root, a, b } = machine();
  const simulator = new Simulator(root);
  await simulator.runUntilExit({ maxTick: asTick(300n) });
  a.calls.length = 0;
  b.calls.length = 0;
  a.drainTicks = 70;
  await simulator.drain();
  assert.equal(root.drainManager.state, 'drained');
  assert.equal(root.curTick, 370n);
  assert.deepEqual(a.calls, ['drain', 'drained', 'drain']);
  assert.deepEqual(b.calls, ['drain', 'drain']);
  await simulator.runUntilExit({ maxTick: asTick(400n) });
  assert.equal(root.drainManager.state, 'running');
  assert.equal(a.calls.at(-1), 'drainResume');
});

test('an exit during a drain does not stop the drain and is not lost', async () => {
  const { root, a } = machine();
  const simulator = new Simulator(root);
  await simulator.runUntilExit({ maxTick: asTick(0n) });
  a.drainTicks = 500;
  a.onTick = () => {
    if (root.curTick === 100n) root.exitSimLoop('meanwhile', 3);
  };
  simulator.requestExit('before');
  await simulator.drain();
  assert.equal(root.curTick, 500n);
  assert.deepEqual(await simulator.runUntilExit(), { cause: 'before', code: 0, tick: 0n });
  assert.deepEqual(await simulator.runUntilExit(), { cause: 'meanwhile', code: 3, tick: 100n });
});

test('a drain that nothing can finish names the object', async () => {
  const root = new Root();
  new (class extends SimObject {
    override drain(): 'draining' {
      return 'draining';
    }
  })(root, 'stuck');
  await assert.rejects(new Simulator(root).drain(), /not drained: stuck/);
});

test('the hooks before the end run once', () => {
  const root = new Root();
  const simulator = new Simulator(root);
  let calls = 0;
  root.beforeProcessExit(() => calls++);
  simulator.close();
  simulator.close();
  assert.equal(calls, 1);
});
