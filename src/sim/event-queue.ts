/**
 * The event queue: what happens when, in simulated time. Service order is (tick, priority, order of
 * scheduling). gem5: src/sim/eventq.hh, except that gem5 serves equals last-in first-out.
 *
 *   absolute tick = epoch + offset        offsets are Numbers below 2^53, exact
 *
 *   present ── ring (262 ns, buckets) ── heap (to offset 2^53) ── beyond (absolute, bigint) ──▶
 *
 * The epoch moves up ("re-base") before the present's offset reaches 2^52, so that a delay of up to
 * 2^52 ticks, 75 simulated minutes, never needs a bigint. Hot path: bench/event-queue.ts.
 */
import { EventHeap } from './event-heap.ts';
import { EventRing } from './event-ring.ts';
import { isBefore, Place, type SimEvent } from './sim-event.ts';
import type { Tick, Ticks } from './tick.ts';
import { panic } from './trouble.ts';

export { type EventPriority, Priority, SimEvent } from './sim-event.ts';

/** Offsets stay at or below this. */
const MAX_OFFSET = Number.MAX_SAFE_INTEGER;
/** The epoch moves when the present has come this far. */
const REBASE_AT = 2 ** 52;
/** The epoch is a multiple of this: a Number holds it exactly up to 2^93. */
const EPOCH_GRAIN = 2 ** 40;

/** A remembered instant, for {@link EventQueue.ticksSince}. Reuse it: `queue.mark(this.#started)`. */
export class TickMark {
  /** @internal */ epochTicks = 0;
  /** @internal */ offsetTicks = 0;
}

export class EventQueue {
  readonly name: string;
  readonly #ring = new EventRing();
  readonly #heap = new EventHeap();
  /** Events whose offset would not be exact; sorted when needed, there are hardly ever any. */
  #beyond: SimEvent[] = [];
  #epochTicks = 0;
  #nowTicks = 0;
  #order = 0;
  #size = 0;
  /** The event to be served first, where known. */
  #first: SimEvent | null = null;
  /** Called before each event is served, for the trace flag `Event`. */
  onService: ((event: SimEvent) => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The present, absolute. Allocates a bigint: on hot paths use {@link mark} and {@link ticksSince}. */
  get curTick(): Tick {
    return (BigInt(this.#epochTicks) + BigInt(this.#nowTicks)) as Tick;
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** Number of scheduled events. */
  get size(): number {
    return this.#size;
  }

  /** Remembers the present; pass a mark to fill it instead of making one. */
  mark(into: TickMark = new TickMark()): TickMark {
    into.epochTicks = this.#epochTicks;
    into.offsetTicks = this.#nowTicks;
    return into;
  }

  /** Time since a mark of this queue; exact below 2^53 ticks. */
  ticksSince(mark: TickMark): Ticks {
    return (this.#epochTicks - mark.epochTicks + (this.#nowTicks - mark.offsetTicks)) as Ticks;
  }

  /**
   * Time from now to the clock edge at or after `now + delay`. Edges are the multiples of the period
   * since tick 0, as in gem5's Clocked::clockEdge.
   */
  ticksToClockEdge(periodTicks: Ticks, delay: Ticks = 0 as Ticks): Ticks {
    const epochPhase = this.#epochTicks === 0 ? 0 : this.#epochTicks % periodTicks;
    const phase = remainder(epochPhase + remainder(this.#nowTicks + delay, periodTicks), periodTicks);
    return (phase === 0 ? delay : delay + periodTicks - phase) as Ticks;
  }

  /** Time to the next event; Infinity if there is none. Beyond 2^53 ticks the nearest Number. */
  ticksToNext(): number {
    if (this.#size === 0) return Infinity;
    const first = this.#peek();
    if (first.place === Place.beyond) return Number(first.beyondTick! - this.curTick);
    return first.offsetTicks - this.#nowTicks;
  }

  /** When the next event is due; undefined if there is none. */
  nextTick(): Tick | undefined {
    return this.#size === 0 ? undefined : this.whenOf(this.#peek());
  }

  /** When a scheduled event is due. */
  whenOf(event: SimEvent): Tick {
    this.#checkScheduled(event);
    if (event.place === Place.beyond) return event.beyondTick!;
    return (BigInt(this.#epochTicks) + BigInt(event.offsetTicks)) as Tick;
  }

  /**
   * Schedules an event `delay` ticks from now.
   * @throws PanicError if it is scheduled already, or if the delay is not a whole number of ticks ≥ 0
   */
  schedule(event: SimEvent, delay: Ticks): void {
    if (event.place !== Place.none) panic(this.name, `${event.name} is scheduled already`);
    if (!(delay >= 0) || Math.floor(delay) !== delay || delay > MAX_OFFSET) {
      panic(this.name, `${event.name} scheduled after ${delay} ticks`);
    }
    event.order = this.#order++;
    const offset = this.#nowTicks + delay;
    if (offset > MAX_OFFSET) this.#addBeyond(event, (this.curTick + BigInt(delay)) as Tick);
    else this.#add(event, offset);
  }

  /** Schedules an event at an absolute time that is not in the past. */
  scheduleAt(event: SimEvent, tick: Tick): void {
    if (event.place !== Place.none) panic(this.name, `${event.name} is scheduled already`);
    event.order = this.#order++;
    this.#addAt(event, tick);
  }

  /** Schedules the event `delay` ticks from now, whether or not it was scheduled before. */
  reschedule(event: SimEvent, delay: Ticks): void {
    if (event.place !== Place.none) this.deschedule(event);
    this.schedule(event, delay);
  }

  /** Takes a scheduled event out of the queue. */
  deschedule(event: SimEvent): void {
    this.#checkScheduled(event);
    this.#remove(event);
  }

  /** Moves time to the next event and runs it. The queue must not be empty. */
  serviceOne(): void {
    if (this.#size === 0) panic(this.name, 'serviceOne of an empty queue');
    let event = this.#peek();
    if (event.place === Place.beyond) {
      this.#rebaseTo(event.beyondTick!);
      event = this.#peek();
    }
    this.#remove(event);
    this.#moveTo(event.offsetTicks);
    if (this.onService !== undefined) this.onService(event);
    event.callback();
  }

  /**
   * Moves time on by `delay` if nothing is due up to and including then; says whether it did. For an event that
   * would be scheduled only to be served next. Not where several queues keep step, nor while events are traced. Hot path.
   */
  tryAdvance(delay: Ticks): boolean {
    if (this.onService !== undefined || this.ticksToNext() <= delay) return false;
    const offset = this.#nowTicks + delay;
    if (offset > MAX_OFFSET) return false;
    this.#moveTo(offset);
    return true;
  }

  /** Moves time forward without running anything. No event may be due before `tick`. */
  advanceTo(tick: Tick): void {
    const ticks = tick - this.curTick;
    if (ticks < 0n) panic(this.name, `advance from ${this.curTick} back to ${tick}`);
    const next = this.nextTick();
    if (next !== undefined && next < tick) panic(this.name, `advance to ${tick} past an event at ${next}`);
    if (ticks > BigInt(REBASE_AT)) this.#rebaseTo(tick);
    else this.#moveTo(this.#nowTicks + Number(ticks));
  }

  /**
   * Empties the queue and sets the present, also backwards: for a restore.
   * @param order of the next event to be scheduled, from {@link nextOrder}
   */
  reset(tick: Tick, order = 0): void {
    for (const event of this.events()) this.#remove(event);
    this.#epochTicks = Math.floor(Number(tick / BigInt(EPOCH_GRAIN))) * EPOCH_GRAIN;
    this.#nowTicks = Number(tick - BigInt(this.#epochTicks));
    this.#ring.advance(this.#nowTicks);
    this.#order = order;
  }

  /** What {@link reset} needs so that events scheduled after a restore come after restored ones. */
  get nextOrder(): number {
    return this.#order;
  }

  /** Puts a saved event back between its equals: `order` is the saved one. */
  restoreEvent(event: SimEvent, tick: Tick, order: number): void {
    if (event.place !== Place.none) this.deschedule(event);
    event.order = order;
    this.#addAt(event, tick);
  }

  /** The scheduled events in the order of service. Not for hot paths. */
  events(): SimEvent[] {
    const near = [...this.#ring.values(), ...this.#heap.values()];
    near.sort((a, b) => (isBefore(a, b) ? -1 : 1));
    this.#beyond.sort(compareBeyond);
    return [...near, ...this.#beyond];
  }

  #checkScheduled(event: SimEvent): void {
    if (event.place === Place.none) panic(this.name, `${event.name} is not scheduled`);
  }

  #addAt(event: SimEvent, tick: Tick): void {
    const now = this.curTick;
    if (tick < now) panic(this.name, `${event.name} scheduled at ${tick}, in the past of ${now}`);
    const offset = Number(tick - BigInt(this.#epochTicks));
    if (offset > MAX_OFFSET) this.#addBeyond(event, tick);
    else this.#add(event, offset);
  }

  #add(event: SimEvent, offset: number): void {
    event.offsetTicks = offset;
    this.#ring.advance(this.#nowTicks);
    if (this.#ring.reaches(offset)) this.#ring.insert(event);
    else this.#heap.push(event);
    if (this.#size++ === 0) this.#first = event;
    else if (this.#first !== null && (this.#first.place === Place.beyond || isBefore(event, this.#first))) {
      this.#first = event;
    }
  }

  #addBeyond(event: SimEvent, tick: Tick): void {
    event.beyondTick = tick;
    event.place = Place.beyond;
    this.#beyond.push(event);
    this.#size++;
    if (this.#size === this.#beyond.length) this.#first = null;
  }

  #remove(event: SimEvent): void {
    if (event === this.#first) this.#first = null;
    this.#size--;
    if (event.place === Place.ring) this.#ring.remove(event);
    else if (event.place === Place.heap) this.#heap.remove(event);
    else {
      this.#beyond = this.#beyond.filter((other) => other !== event);
      event.beyondTick = undefined;
      event.place = Place.none;
    }
  }

  #peek(): SimEvent {
    if (this.#first !== null) return this.#first;
    const far = this.#heap.first;
    if (this.#ring.size > 0) {
      const near = this.#ring.first();
      this.#first = far === undefined || isBefore(near, far) ? near : far;
    } else if (far !== undefined) {
      this.#first = far;
    } else {
      this.#beyond.sort(compareBeyond);
      this.#first = this.#beyond[0]!;
    }
    return this.#first;
  }

  #moveTo(offset: number): void {
    this.#nowTicks = offset;
    if (offset >= REBASE_AT) this.#rebase();
  }

  /** Moves the epoch up towards the present; brings in events that now have an exact offset. */
  #rebase(): void {
    const shift = Math.floor(this.#nowTicks / EPOCH_GRAIN) * EPOCH_GRAIN;
    this.#epochTicks += shift;
    this.#nowTicks -= shift;
    this.#ring.shift(shift);
    this.#heap.shift(shift);
    this.#admitBeyond();
  }

  /** Moves epoch and present across a distance that no offset can express. No event is before `tick`. */
  #rebaseTo(tick: Tick): void {
    const distant = this.events().map((event) => ({ event, tick: this.whenOf(event) }));
    for (const { event } of distant) this.#remove(event);
    this.reset(tick, this.#order);
    for (const { event, tick: when } of distant) this.#addAt(event, when);
  }

  #admitBeyond(): void {
    const waiting = this.#beyond;
    this.#beyond = [];
    this.#size -= waiting.length;
    this.#first = null;
    for (const event of waiting) this.#addAt(event, event.beyondTick!);
  }
}

function compareBeyond(a: SimEvent, b: SimEvent): number {
  if (a.beyondTick !== b.beyondTick) return a.beyondTick! < b.beyondTick! ? -1 : 1;
  if (a.priority !== b.priority) return a.priority - b.priority;
  return a.order - b.order;
}

/** `dividend % divisor` of whole numbers from 0 to 2^53, without the library call that % of large Numbers is. */
function remainder(dividend: number, divisor: number): number {
  const rest = dividend - Math.floor(dividend / divisor) * divisor;
  // The quotient may have been rounded up to the next whole number.
  return rest < 0 ? rest + divisor : rest;
}
