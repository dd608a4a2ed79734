/**
 * The far part of an event queue: a binary heap in the order of service. Events know their own index,
 * so that taking one out of the middle costs a logarithm too. Hot path.
 */
import { isBefore, Place, type SimEvent } from './sim-event.ts';

export class EventHeap {
  readonly #events: SimEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  /** The event to be served first; undefined if there is none. */
  get first(): SimEvent | undefined {
    return this.#events[0];
  }

  push(event: SimEvent): void {
    event.place = Place.heap;
    this.#events.push(event);
    this.#siftUp(event, this.#events.length - 1);
  }

  /** Takes out an event that is in this heap. */
  remove(event: SimEvent): void {
    const events = this.#events;
    const hole = event.index;
    const last = events.pop()!;
    event.place = Place.none;
    if (last === event) return;
    if (hole > 0 && isBefore(last, events[(hole - 1) >> 1]!)) this.#siftUp(last, hole);
    else this.#siftDown(last, hole);
  }

  /** Moves all events by the same time; their order stays. */
  shift(ticks: number): void {
    for (const event of this.#events) event.offsetTicks -= ticks;
  }

  values(): Iterable<SimEvent> {
    return this.#events;
  }

  #siftUp(event: SimEvent, from: number): void {
    const events = this.#events;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = events[parentIndex]!;
      if (!isBefore(event, parent)) break;
      events[index] = parent;
      parent.index = index;
      index = parentIndex;
    }
    events[index] = event;
    event.index = index;
  }

  #siftDown(event: SimEvent, from: number): void {
    const events = this.#events;
    const size = events.length;
    let index = from;
    for (let child = 2 * index + 1; child < size; child = 2 * index + 1) {
      let least = events[child]!;
      const right = child + 1 < size ? events[child + 1]! : least;
      if (isBefore(right, least)) {
        least = right;
        child++;
      }
      if (!isBefore(least, event)) break;
      events[index] = least;
      least.index = index;
      index = child;
    }
    events[index] = event;
    event.index = index;
  }
}
