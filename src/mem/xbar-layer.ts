/**
 * One layer of a crossbar: the way to one destination, which carries one packet at a time. Who comes
 * meanwhile is refused and gets a retry, in order of arrival. See gem5's src/mem/xbar.hh.
 *
 *            tryTiming                succeeded, failed: until the packet has passed
 *     idle ─────────────▶ busy ──────────────────────────────────────────────────────▶ idle, or
 *     retry ────────────▶ busy                                                          retry, if somebody waits
 *     retry ── the source that was retried sends nothing after all ─▶ the next one's retry, or idle
 */

import { type EventQueue, SimEvent } from '../sim/event-queue.ts';
import type { Ticks } from '../sim/tick.ts';
import { panic } from '../sim/trouble.ts';

type LayerState = 'idle' | 'busy' | 'retry';

/** `S` is the type of port that packets come from. */
export class XbarLayer<S> {
  readonly #name: string;
  readonly #eventQueue: EventQueue;
  readonly #retry: (source: S) => void;
  readonly #onIdle: () => void;
  readonly #release: SimEvent;
  #state: LayerState = 'idle';
  /** Sources that were refused because the layer was busy, in order of arrival. */
  readonly #waiting: S[] = [];
  /** The source whose packet the destination itself refused. */
  #waitingForPeer: S | undefined;

  /**
   * @param retry tells a source to send again, now
   * @param onIdle is called whenever the layer has nothing more to do: a drain may be waiting for it
   */
  constructor(name: string, eventQueue: EventQueue, retry: (source: S) => void, onIdle: () => void) {
    this.#name = name;
    this.#eventQueue = eventQueue;
    this.#retry = retry;
    this.#onIdle = onIdle;
    this.#release = new SimEvent(`${name}.release`, () => this.#becomeIdle());
  }

  get isIdle(): boolean {
    return this.#state === 'idle' && this.#waitingForPeer === undefined && this.#waiting.length === 0;
  }

  /** Asks for the layer. `false`: taken; `source` will be retried. */
  tryTiming(source: S): boolean {
    if (this.#state === 'busy' || this.#waitingForPeer !== undefined) {
      if (this.#waiting.includes(source)) panic(this.#name, 'a source that waits already sends again');
      this.#waiting.push(source);
      return false;
    }
    this.#state = 'busy';
    return true;
  }

  /** The packet went on and occupies the layer for `ticks`. */
  succeeded(ticks: Ticks): void {
    this.#occupy(ticks);
  }

  /** The destination refused the packet of `source`, whose header occupied the layer for `ticks`. */
  failed(source: S, ticks: Ticks): void {
    if (this.#waitingForPeer !== undefined) panic(this.#name, 'two packets wait for one destination');
    this.#waitingForPeer = source;
    this.#occupy(ticks);
  }

  /** The destination is ready again: whom it refused goes first. */
  recvRetry(): void {
    if (this.#waitingForPeer === undefined) panic(this.#name, 'a retry that nobody waits for');
    this.#waiting.unshift(this.#waitingForPeer);
    this.#waitingForPeer = undefined;
    if (this.#state === 'idle') this.#retryWaiting();
  }

  #occupy(ticks: Ticks): void {
    if (this.#state !== 'busy') panic(this.#name, `occupied while ${this.#state}`);
    this.#eventQueue.schedule(this.#release, ticks);
  }

  #becomeIdle(): void {
    this.#state = 'idle';
    if (this.#waitingForPeer === undefined) this.#retryWaiting();
  }

  /** Retries sources until one of them has taken the layer. */
  #retryWaiting(): void {
    for (let source = this.#waiting.shift(); source !== undefined; source = this.#waiting.shift()) {
      this.#state = 'retry';
      this.#retry(source);
      if (this.#isTaken) return;
      this.#state = 'idle';
    }
    this.#onIdle();
  }

  get #isTaken(): boolean {
    return this.#state !== 'retry';
  }
}
