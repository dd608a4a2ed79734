/**
 * The event queue: order of service, exactness over long times, misuse. The reference is a sorted list of
 * bigint ticks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue, Priority, SimEvent, TickMark } from '../../../src/sim/event-queue.ts';
import { asTick, asTicks, type Ticks } from '../../../src/sim/tick.ts';
import { PanicError } from '../../../src/sim/trouble.ts';

const FAR = 2 ** 53 - 1;

/** mulberry32: one seed replays everything. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function logging(queue: EventQueue) {
  const log: string[] = [];
  const event = (name: string, priority: number = Priority.Default) =>
    new SimEvent(name, () => log.push(`${name}@${queue.curTick}`), priority);
  const drainAll = () => {
    while (!queue.isEmpty) queue.serviceOne();
    return log;
  };
  return { event, drainAll, log };
}

test('events are served by tick, then priority, then order of scheduling', () => {
  const queue = new EventQueue('q');
  const { event, drainAll } = logging(queue);
  queue.schedule(event('late'), asTicks(500));
  queue.schedule(event('exit', Priority.SimExit), asTicks(100));
  queue.schedule(event('cpuA', Priority.CpuTick), asTicks(100));
  queue.schedule(event('first'), asTicks(100));
  queue.schedule(event('second'), asTicks(100));
  queue.schedule(event('cpuB', Priority.CpuTick), asTicks(100));
  queue.schedule(event('switch', Priority.CpuSwitch), asTicks(100));
  assert.deepEqual(drainAll(), [
    'switch@100',
    'first@100',
    'second@100',
    'cpuA@100',
    'cpuB@100',
    'exit@100',
    'late@500',
  ]);
});

test('an event scheduled when its time was far keeps its place before one scheduled when it was near', () => {
  const queue = new EventQueue('q');
  const { event, drainAll } = logging(queue);
  queue.schedule(event('fromHeap'), asTicks(1_000_000));
  const step = new SimEvent('step', () => queue.schedule(event('fromRing'), asTicks(10)));
  queue.schedule(step, asTicks(999_990));
  assert.deepEqual(drainAll(), ['fromHeap@1000000', 'fromRing@1000000']);
});

test('an event can schedule itself again from its own callback', () => {
  const queue = new EventQueue('q');
  const ticks: bigint[] = [];
  const clock = new SimEvent('clock', () => {
    assert.equal(clock.scheduled, false);
    ticks.push(queue.curTick);
    if (ticks.length < 3) queue.schedule(clock, asTicks(333));
  });
  queue.schedule(clock, asTicks(0));
  while (!queue.isEmpty) queue.serviceOne();
  assert.deepEqual(ticks, [0n, 333n, 666n]);
});

test('offsets stay exact across the re-based epoch and beyond 2^53 ticks', () => {
  const queue = new EventQueue('q');
  const { event, drainAll } = logging(queue);
  queue.scheduleAt(event('e'), asTick(2n ** 60n + 3n));
  queue.scheduleAt(event('d'), asTick(2n ** 60n + 2n));
  queue.schedule(event('b'), asTicks(FAR));
  queue.scheduleAt(event('c'), asTick(2n ** 53n));
  queue.schedule(event('a'), asTicks(2 ** 52 + 1));
  assert.deepEqual(drainAll(), [
    `a@${2n ** 52n + 1n}`,
    `b@${2n ** 53n - 1n}`,
    `c@${2n ** 53n}`,
    `d@${2n ** 60n + 2n}`,
    `e@${2n ** 60n + 3n}`,
  ]);
});

test('ring and heap events keep their times when the epoch moves under them', () => {
  const queue = new EventQueue('q');
  const { event, drainAll, log } = logging(queue);
  queue.scheduleAt(event('mover'), asTick(2n ** 52n + 5n));
  queue.scheduleAt(event('near'), asTick(2n ** 52n + 700n));
  queue.scheduleAt(event('far'), asTick(2n ** 52n + 10_000_000n));
  queue.serviceOne();
  assert.deepEqual(log, [`mover@${2n ** 52n + 5n}`]);
  assert.equal(queue.ticksToNext(), 695);
  assert.equal(queue.nextTick(), 2n ** 52n + 700n);
  drainAll();
  assert.equal(queue.curTick, 2n ** 52n + 10_000_000n);
});

test('random scheduling, rescheduling and descheduling agree with a sorted list', () => {
  for (let seed = 1; seed <= 40; seed++) compareWithModel(seed, 400);
});

function compareWithModel(seed: number, operations: number): void {
  const next = random(seed);
  const pick = (n: number) => Math.floor(next() * n);
  const delays = [
    0,
    0,
    1,
    255,
    256,
    257,
    1024 * 256 - 1,
    1024 * 256,
    1023 * 256,
    5_000_000,
    2 ** 40 + 1,
    2 ** 51,
    FAR,
  ];
  const priorities = [Priority.Default, Priority.CpuTick, Priority.Minimum, Priority.SimExit];
  const queue = new EventQueue('q');
  let served: SimEvent | undefined;
  const events = Array.from({ length: 24 }, (_, i) => {
    const event: SimEvent = new SimEvent(
      `e${i}`,
      () => {
        served = event;
      },
      priorities[i % priorities.length]!,
    );
    return event;
  });
  let model: { event: SimEvent; tick: bigint; order: number }[] = [];
  let order = 0;
  for (let i = 0; i < operations; i++) {
    const event = events[pick(events.length)]!;
    const delay = delays[pick(delays.length)]! + (pick(2) === 0 ? 0 : -pick(2));
    const choice = pick(10);
    if (choice < 5 && delay >= 0 && delay <= FAR) {
      queue.reschedule(event, delay as Ticks);
      model = model.filter((entry) => entry.event !== event);
      model.push({ event, tick: queue.curTick + BigInt(delay), order: order++ });
    } else if (choice === 5 && event.scheduled) {
      queue.deschedule(event);
      model = model.filter((entry) => entry.event !== event);
    } else if (model.length > 0) {
      model.sort(
        (a, b) => Number(a.tick - b.tick) || a.event.priority - b.event.priority || a.order - b.order,
      );
      const expected = model.shift()!;
      assert.equal(queue.nextTick(), expected.tick, `seed ${seed}`);
      queue.serviceOne();
      assert.equal(served?.name, expected.event.name, `seed ${seed}`);
      assert.equal(queue.curTick, expected.tick, `seed ${seed}`);
    }
    assert.equal(queue.size, model.length);
    assert.equal(
      event.scheduled,
      model.some((entry) => entry.event === event),
    );
  }
}

test('ticksToNext is Infinity for an empty queue and the distance otherwise', () => {
  const queue = new EventQueue('q');
  assert.equal(queue.ticksToNext(), Infinity);
  assert.equal(queue.nextTick(), undefined);
  const event = new SimEvent('e', () => {});
  queue.scheduleAt(event, asTick(2n ** 61n));
  assert.equal(queue.ticksToNext(), 2 ** 61);
  queue.schedule(new SimEvent('nearer', () => {}), asTicks(12));
  assert.equal(queue.ticksToNext(), 12);
});

test('time since a mark is exact across the epoch', () => {
  const queue = new EventQueue('q');
  queue.advanceTo(asTick(2n ** 52n - 3n));
  const mark = queue.mark(new TickMark());
  queue.advanceTo(asTick(2n ** 52n + 2n ** 41n + 4n));
  assert.equal(queue.ticksSince(mark), 2 ** 41 + 7);
});

test('clock edges are the multiples of the period since tick 0, also after a re-base', () => {
  const queue = new EventQueue('q');
  const period = asTicks(333);
  assert.equal(queue.ticksToClockEdge(period), 0);
  queue.advanceTo(asTick(1n));
  assert.equal(queue.ticksToClockEdge(period), 332);
  assert.equal(queue.ticksToClockEdge(period, asTicks(332)), 332);
  assert.equal(queue.ticksToClockEdge(period, asTicks(333)), 665);
  const late = 2n ** 55n + 17n;
  queue.advanceTo(asTick(late));
  assert.equal((late + BigInt(queue.ticksToClockEdge(period))) % 333n, 0n);
});

test('time moves on without an event only up to what is due next, exactly across the re-base', () => {
  const queue = new EventQueue('test');
  assert.equal(queue.tryAdvance(asTicks(100)), true);
  assert.equal(queue.curTick, 100n);
  const event = new SimEvent('due', () => {});
  queue.schedule(event, asTicks(50));
  assert.equal(queue.tryAdvance(asTicks(50)), false, 'an event is due just then');
  assert.equal(queue.tryAdvance(asTicks(51)), false);
  assert.equal(queue.curTick, 100n);
  assert.equal(queue.tryAdvance(asTicks(49)), true);
  assert.equal(queue.ticksToNext(), 1);
  queue.deschedule(event);
  for (let i = 0; i < 5; i++) assert.equal(queue.tryAdvance(asTicks(2 ** 51 + 1)), true);
  assert.equal(queue.curTick, 149n + 5n * (2n ** 51n + 1n));
});

test('reset empties the queue and sets the time, backwards too', () => {
  const queue = new EventQueue('q');
  const { event, drainAll } = logging(queue);
  const dropped = event('dropped');
  queue.schedule(dropped, asTicks(10));
  queue.advanceTo(asTick(9n));
  queue.reset(asTick(2n ** 63n + 5n));
  assert.equal(queue.curTick, 2n ** 63n + 5n);
  assert.equal(dropped.scheduled, false);
  queue.reset(asTick(3n));
  queue.schedule(event('after'), asTicks(4));
  assert.deepEqual(drainAll(), ['after@7']);
});

test('restored events go before equal ones that are scheduled afterwards', () => {
  const queue = new EventQueue('q');
  const { event, drainAll } = logging(queue);
  queue.reset(asTick(100n), 50);
  queue.schedule(event('new'), asTicks(10));
  queue.restoreEvent(event('second'), asTick(110n), 41);
  queue.restoreEvent(event('first'), asTick(110n), 7);
  assert.deepEqual(drainAll(), ['first@110', 'second@110', 'new@110']);
});

test('misuse stops with the queue and the event named', () => {
  const queue = new EventQueue('board.q');
  const event = new SimEvent('tick', () => {});
  queue.advanceTo(asTick(50n));
  assert.throws(() => queue.deschedule(event), new PanicError('board.q', 'tick is not scheduled'));
  assert.throws(() => queue.schedule(event, -1 as Ticks), PanicError);
  assert.throws(() => queue.schedule(event, 0.5 as Ticks), PanicError);
  assert.throws(() => queue.schedule(event, Number.NaN as Ticks), PanicError);
  assert.throws(() => queue.scheduleAt(event, asTick(49n)), /past/);
  assert.throws(() => queue.serviceOne(), PanicError);
  queue.schedule(event, asTicks(1));
  assert.throws(
    () => queue.schedule(event, asTicks(1)),
    new PanicError('board.q', 'tick is scheduled already'),
  );
  assert.throws(() => queue.advanceTo(asTick(52n)), /past an event at 51/);
  assert.throws(() => queue.advanceTo(asTick(49n)), /back/);
  assert.throws(() => new SimEvent('e', () => {}, 128), RangeError);
});
