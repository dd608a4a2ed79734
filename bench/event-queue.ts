/**
 * The event queue against a plain binary heap of the same events, in one run: events per second of clocks that
 * schedule themselves again, with the periods of a small system. Run: node bench/event-queue.ts
 */
import { EventHeap } from '../src/sim/event-heap.ts';
import { EventQueue, SimEvent } from '../src/sim/event-queue.ts';
import { asTicks, type Ticks } from '../src/sim/tick.ts';

const EVENTS = 3_000_000;
/** A core at 3 GHz, memory, buses, a timer of 1 kHz: in ticks. */
const SYSTEM = [333, 1250, 1000, 7500, 13_750, 1_000_000_000].map(asTicks);

function ring(periods: readonly Ticks[]): number {
  const queue = new EventQueue('bench');
  for (const [i, period] of periods.entries()) {
    const event: SimEvent = new SimEvent(`clock${i}`, () => queue.schedule(event, period));
    queue.schedule(event, period);
  }
  const start = performance.now();
  for (let i = 0; i < EVENTS; i++) queue.serviceOne();
  return EVENTS / (performance.now() - start) / 1000;
}

function plainHeap(periods: readonly Ticks[]): number {
  const heap = new EventHeap();
  let order = 0;
  const push = (event: SimEvent, tick: number) => {
    event.offsetTicks = tick;
    event.order = order++;
    heap.push(event);
  };
  for (const [i, period] of periods.entries()) {
    const event: SimEvent = new SimEvent(`clock${i}`, () => push(event, event.offsetTicks + period));
    push(event, period);
  }
  const start = performance.now();
  for (let i = 0; i < EVENTS; i++) {
    const event = heap.first!;
    heap.remove(event);
    event.callback();
  }
  return EVENTS / (performance.now() - start) / 1000;
}

for (const systems of [1, 50]) {
  const periods = Array.from({ length: systems }, () => SYSTEM).flat();
  ring(periods);
  plainHeap(periods);
  const [queueRate, heapRate] = [ring(periods), plainHeap(periods)];
  console.log(
    `${periods.length} clocks: event queue ${queueRate.toFixed(1)} M events/s, ` +
      `binary heap ${heapRate.toFixed(1)} M events/s, ratio ${(queueRate / heapRate).toFixed(2)}`,
  );
}
