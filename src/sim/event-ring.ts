/**
 * The near part of an event queue: 1,024 buckets of 256 ticks, from the present on. A bucket is a list
 * in the order of service, linked through the events; a bitmap finds the next bucket in use. Hot path.
 */
import { isBefore, Place, type SimEvent } from './sim-event.ts';

const BUCKETS = 1024;
const MASK = BUCKETS - 1;
const WORDS = BUCKETS / 32;
const WIDTH_TICKS = 256;

/** How far ahead the ring reaches for sure, in ticks. */
export const RING_SPAN_TICKS = (BUCKETS - 1) * WIDTH_TICKS;

export class EventRing {
  // Lists are usually appended to, so both ends are known.
  readonly #heads: (SimEvent | null)[] = new Array<SimEvent | null>(BUCKETS).fill(null);
  readonly #tails: (SimEvent | null)[] = new Array<SimEvent | null>(BUCKETS).fill(null);
  readonly #used = new Int32Array(WORDS);
  /** Number of the bucket that held the present at the last {@link advance}, counted from the epoch. */
  #baseBucket = 0;
  /** Where in the ring that bucket is. */
  #baseIndex = 0;
  size = 0;

  /** Whether an event at this offset (not before the present) belongs into the ring. */
  reaches(offsetTicks: number): boolean {
    return Math.floor(offsetTicks / WIDTH_TICKS) - this.#baseBucket < BUCKETS;
  }

  insert(event: SimEvent): void {
    const ahead = Math.floor(event.offsetTicks / WIDTH_TICKS) - this.#baseBucket;
    const index = (this.#baseIndex + ahead) & MASK;
    event.place = Place.ring;
    event.index = index;
    this.size++;
    let before = this.#tails[index]!;
    if (before === null) {
      this.#heads[index] = event;
      this.#tails[index] = event;
      this.#used[index >> 5]! |= 1 << (index & 31);
      return;
    }
    while (before !== null && isBefore(event, before)) before = before.previous!;
    const after = before === null ? this.#heads[index]! : before.next;
    event.previous = before;
    event.next = after;
    if (before === null) this.#heads[index] = event;
    else before.next = event;
    if (after === null) this.#tails[index] = event;
    else after.previous = event;
  }

  remove(event: SimEvent): void {
    const { previous, next, index } = event;
    if (previous === null) this.#heads[index] = next;
    else previous.next = next;
    if (next === null) this.#tails[index] = previous;
    else next.previous = previous;
    if (previous === null && next === null) this.#used[index >> 5]! &= ~(1 << (index & 31));
    event.previous = null;
    event.next = null;
    event.place = Place.none;
    this.size--;
  }

  /** The event to be served first. The ring must not be empty. */
  first(): SimEvent {
    let word = this.#baseIndex >> 5;
    // In the first word only the buckets from the base on; the earlier ones are the far end of the ring.
    let bits = this.#used[word]! & (-1 << (this.#baseIndex & 31));
    while (bits === 0) {
      word = (word + 1) & (WORDS - 1);
      bits = this.#used[word]!;
    }
    const lowest = 31 - Math.clz32(bits & -bits);
    return this.#heads[(word << 5) | lowest]!;
  }

  /** Time has come to this offset; no event is earlier. Needed before the next event is inserted only. */
  advance(offsetTicks: number): void {
    const bucket = Math.floor(offsetTicks / WIDTH_TICKS);
    const steps = bucket - this.#baseBucket;
    if (steps === 0) return;
    this.#baseBucket = bucket;
    // A step beyond the ring is possible only while it is empty: then any index will do.
    this.#baseIndex = steps < BUCKETS ? (this.#baseIndex + steps) & MASK : 0;
  }

  /** Moves epoch and events by the same time, a multiple of the bucket width: nothing changes its bucket. */
  shift(ticks: number): void {
    this.#baseBucket -= ticks / WIDTH_TICKS;
    for (const event of this.values()) event.offsetTicks -= ticks;
  }

  *values(): Iterable<SimEvent> {
    for (const head of this.#heads) {
      for (let event = head; event !== null; event = event.next) yield event;
    }
  }
}
