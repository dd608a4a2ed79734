/**
 * A queue of packets that each become due at a time of their own and then leave one by one, as fast as the
 * peer takes them (gem5's src/mem/packet_queue.hh). Packets that are due at the same time leave in order of
 * arrival.
 */

import { type EventQueue, SimEvent, TickMark } from '../sim/event-queue.ts';
import type { Ticks } from '../sim/tick.ts';
import type { Packet } from './packet.ts';

interface Entry {
  packet: Packet;
  /** Ticks after the queue's mark. */
  due: number;
}

export class PacketQueue {
  readonly #eventQueue: EventQueue;
  readonly #send: (packet: Packet) => boolean;
  readonly #onEmpty: () => void;
  readonly #sendEvent: SimEvent;
  readonly #entries: Entry[] = [];
  /** When the queue was last empty: due times count from it, so that they stay small and exact. */
  readonly #mark = new TickMark();
  #awaitsRetry = false;

  /**
   * @param send passes a packet on; `false` if the peer refused it, and `retry` will be called
   * @param onEmpty is called when the last packet has left: a drain may be waiting for it
   */
  constructor(name: string, eventQueue: EventQueue, send: (packet: Packet) => boolean, onEmpty: () => void) {
    this.#eventQueue = eventQueue;
    this.#send = send;
    this.#onEmpty = onEmpty;
    this.#sendEvent = new SimEvent(`${name}.send`, () => this.#sendDue());
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Queues a packet that is to leave `delay` ticks from now. */
  push(packet: Packet, delay: Ticks): void {
    if (this.isEmpty) this.#eventQueue.mark(this.#mark);
    const due = this.#eventQueue.ticksSince(this.#mark) + delay;
    let at = this.#entries.length;
    while (at > 0 && this.#entries[at - 1]!.due > due) at--;
    // What the peer has already refused stays the first.
    if (at === 0 && this.#awaitsRetry) at = 1;
    this.#entries.splice(at, 0, { packet, due });
    if (at === 0) this.#schedule();
  }

  /** The peer takes packets again. */
  retry(): void {
    if (!this.#awaitsRetry) throw new Error(`${this.#sendEvent.name}: retried without having been refused`);
    this.#awaitsRetry = false;
    this.#sendDue();
  }

  /**
   * Lets a functional access, which everything behind this queue has already served, see what is queued: it
   * reads the data of writes still under way, and what it writes also changes the data that are under way.
   */
  overlayFunctional(access: Packet): void {
    for (const { packet } of this.#entries) {
      if (!packet.cmd.hasData) continue;
      if (access.isWrite) copyOverlap(packet, access);
      else if (packet.isRequest && packet.isWrite) copyOverlap(access, packet);
    }
  }

  #sendDue(): void {
    const first = this.#entries[0];
    if (first === undefined) throw new Error(`${this.#sendEvent.name}: nothing to send`);
    if (!this.#send(first.packet)) {
      this.#awaitsRetry = true;
      if (this.#sendEvent.scheduled) this.#eventQueue.deschedule(this.#sendEvent);
      return;
    }
    this.#entries.splice(this.#entries.indexOf(first), 1);
    if (this.isEmpty) this.#onEmpty();
    else this.#schedule();
  }

  #schedule(): void {
    const delay = this.#entries[0]!.due - this.#eventQueue.ticksSince(this.#mark);
    this.#eventQueue.reschedule(this.#sendEvent, Math.max(0, delay) as Ticks);
  }
}

/** Copies to `to` what `from` has for the same addresses. */
function copyOverlap(to: Packet, from: Packet): void {
  const start = Math.max(to.addr, from.addr);
  const end = Math.min(to.addr + to.sizeBytes, from.addr + from.sizeBytes);
  if (start < end) to.data.set(from.data.subarray(start - from.addr, end - from.addr), start - to.addr);
}
