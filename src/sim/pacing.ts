/**
 * Pacing: keeps simulated time from running ahead of the host's, for machines that a person sits at. Time that the
 * simulation has lost is caught up only as far as a person does not notice.
 */
import { type EventQueue, TickMark } from './event-queue.ts';
import type { HostClock } from './slice.ts';
import { TICKS_PER_SECOND } from './tick.ts';

const TICKS_PER_MS = TICKS_PER_SECOND / 1000;
/** What is lost beyond this is lost: a clock that has stood still must not race afterwards. */
const MAX_LAG_MS = 100;

export class Pacer {
  readonly #queue: EventQueue;
  readonly #nowMs: HostClock;
  readonly #mark = new TickMark();
  #markMs = 0;

  /** @param queue whose time is held back */
  constructor(queue: EventQueue, nowMs: HostClock) {
    this.#queue = queue;
    this.#nowMs = nowMs;
  }

  /** The present of both clocks is the same instant. */
  begin(): void {
    this.#queue.mark(this.#mark);
    this.#markMs = this.#nowMs();
  }

  /** Host milliseconds until the next event may happen; 0 if it is due. With an empty queue: 0. */
  waitMs(): number {
    const toNext = this.#queue.ticksToNext();
    if (toNext === Infinity) return 0;
    const simulatedMs = this.#queue.ticksSince(this.#mark) / TICKS_PER_MS;
    const hostMs = this.#nowMs() - this.#markMs;
    if (hostMs - simulatedMs > MAX_LAG_MS) {
      this.begin();
      return toNext / TICKS_PER_MS;
    }
    return Math.max(0, simulatedMs + toNext / TICKS_PER_MS - hostMs);
  }
}
