// A peer of a CPU's data port that is hard to talk to: it refuses requests, asks for them again later, and answers late.

import { AddrRange } from '../../src/mem/addr.ts';
import { Command, type Packet } from '../../src/mem/packet.ts';
import { type Responder, ResponsePort } from '../../src/mem/port.ts';
import { type EventQueue, SimEvent } from '../../src/sim/event-queue.ts';
import { asTicks } from '../../src/sim/tick.ts';

/** One access, as the peer saw it. */
export interface SeenAccess {
  readonly tick: bigint;
  readonly what: string;
  readonly data: readonly number[];
}

export class StubbornPeer implements Responder {
  readonly port = new ResponsePort('peer', this);
  readonly seen: SeenAccess[] = [];
  /** How often a request was refused. */
  refusals = 0;
  /** Latency of every access, in ticks. */
  latencyTicks = 1_000_000;
  /** Requests to be refused before the next is taken; each is asked for again this many ticks later. */
  refuse = 0;
  retryTicks = 500_000;
  /** Called at each access, before it is answered. */
  onAccess: (packet: Packet) => void = () => {};
  /** What reads give. */
  value = 0xa5;
  /** It refuses every access for good. */
  answersError = false;
  readonly #queue: EventQueue;

  constructor(queue: EventQueue) {
    this.#queue = queue;
  }

  recvAtomic(packet: Packet) {
    this.#serve(packet);
    return asTicks(this.latencyTicks);
  }
  recvFunctional(packet: Packet): void {
    this.#serve(packet);
  }
  recvTimingReq(packet: Packet): boolean {
    if (this.refuse > 0) {
      this.refuse--;
      this.refusals++;
      this.#later(this.retryTicks, () => this.port.sendRetryReq());
      return false;
    }
    this.#serve(packet);
    if (this.latencyTicks === 0) return this.port.sendTimingResp(packet);
    this.#later(this.latencyTicks, () => this.port.sendTimingResp(packet));
    return true;
  }
  recvRespRetry(): void {
    throw new Error('a KVM CPU takes every response');
  }
  addrRanges() {
    return [AddrRange.ofSize(0, 2 ** 52)];
  }

  #serve(packet: Packet): void {
    const data = packet.cmd.hasData ? [...packet.data] : [];
    this.seen.push({ tick: this.#queue.curTick, what: packet.toString(), data });
    this.onAccess(packet);
    if (packet.isRead) packet.data.fill(this.value);
    if (this.answersError) packet.makeError(Command.BadAddressError);
    else packet.makeResponse();
  }
  #later(ticks: number, action: () => void): void {
    this.#queue.schedule(new SimEvent('peer', action), asTicks(ticks));
  }
}
