/** A small machine for the tests of drain, checkpoint and run: tickers that count, and memory. */

import { SimEvent } from '../../../src/sim/event-queue.ts';
import { Root, type RootOptions } from '../../../src/sim/root.ts';
import { type DrainAnswer, SimObject } from '../../../src/sim/sim-object.ts';
import { type BlobCell, eventCell, numberCell } from '../../../src/sim/state.ts';
import { asTicks } from '../../../src/sim/tick.ts';

/** Counts every `periodTicks`; a request in flight takes `drainTicks` to get rid of. */
export class Ticker extends SimObject {
  readonly count = this.state('count', numberCell());
  readonly event: SimEvent;
  readonly calls: string[] = [];
  drainTicks = 0;
  onTick: () => void = () => {};
  readonly #drained: SimEvent;

  constructor(parent: SimObject, name: string, periodTicks: number) {
    super(parent, name);
    this.event = new SimEvent(`${this.path}.tick`, () => {
      this.count.value++;
      this.eventQueue.schedule(this.event, asTicks(periodTicks));
      this.onTick();
    });
    this.state('event', eventCell(this.eventQueue, this.event));
    this.#drained = new SimEvent(`${this.path}.drained`, () => {
      this.calls.push('drained');
      this.drainTicks = 0;
      this.drainDone();
      this.drainDone();
    });
  }

  override init(): void {
    this.calls.push('init');
  }

  override initState(): void {
    this.calls.push('initState');
    this.eventQueue.schedule(this.event, asTicks(0));
  }

  override restored(): void {
    this.calls.push('restored');
  }

  override startup(): void {
    this.calls.push('startup');
  }

  override drain(): DrainAnswer {
    this.calls.push('drain');
    if (this.drainTicks === 0) return 'drained';
    if (!this.#drained.scheduled) this.eventQueue.schedule(this.#drained, asTicks(this.drainTicks));
    return 'draining';
  }

  override drainResume(): void {
    this.calls.push('drainResume');
  }
}

/** Memory, saved as a sparse file. */
export class TestMemory extends SimObject {
  readonly bytes: Uint8Array;

  constructor(parent: SimObject, name: string, sizeBytes: number) {
    super(parent, name);
    const bytes = new Uint8Array(sizeBytes);
    this.bytes = bytes;
    const cell: BlobCell = {
      sizeBytes,
      saveBlob: (into) => into.write(0, bytes),
      restoreBlob: (from) => {
        bytes.fill(0);
        from.read((offset, stored) => bytes.set(stored, offset));
      },
    };
    this.blob('data', cell);
  }
}

export function machine(options: RootOptions = {}, memoryBytes = 1 << 20) {
  const root = new Root({ warnSink: () => {}, traceSink: () => {}, ...options });
  const a = new Ticker(root, 'a', 100);
  const b = new Ticker(root, 'b', 150);
  const memory = new TestMemory(root, 'memory', memoryBytes);
  return { root, a, b, memory };
}
