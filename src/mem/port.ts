/**
 * Ports: how objects reach memory and devices. A request port is bound to one response port; three kinds of
 * access pass between them (gem5's src/mem/port.hh):
 *
 *  - atomic: the whole access at once; its answer is in the packet, its duration is the result;
 *  - timing: request and response are separate calls, each of which the receiver may refuse. A refused sender
 *    waits for the receiver's retry and then sends again: it must not poll;
 *  - functional: like atomic, but takes no time and changes nothing except the data; also sees queued packets.
 */

import type { Ticks } from '../sim/tick.ts';
import type { AddrRange } from './addr.ts';
import type { AtomicRoute } from './atomic-route.ts';
import type { Packet } from './packet.ts';

/** What the owner of a request port does. */
export interface Requestor {
  /** A response has arrived. `false` refuses it until `port.sendRetryResp()`. */
  recvTimingResp(packet: Packet, port: RequestPort): boolean;
  /** The peer, which had refused a request, is ready: send it again now. */
  recvReqRetry(port: RequestPort): void;
  /** The peer answers other addresses than before. */
  recvRangeChange?(port: RequestPort): void;
}

/** What the owner of a response port does. */
export interface Responder {
  /** Serves the packet and makes it a response; returns how long that takes. */
  recvAtomic(packet: Packet, port: ResponsePort): Ticks;
  recvFunctional(packet: Packet, port: ResponsePort): void;
  /**
   * Of who only hands atomic accesses on: the way that this one would take, good until the ranges change. undefined: there is
   * no other than {@link recvAtomic}.
   */
  atomicRoute?(packet: Packet, port: ResponsePort): AtomicRoute | undefined;
  /** A request has arrived. `false` refuses it until `port.sendRetryReq()`. */
  recvTimingReq(packet: Packet, port: ResponsePort): boolean;
  /** The peer, which had refused a response, is ready: send it again now. */
  recvRespRetry(port: ResponsePort): void;
  /** The addresses that this port answers. */
  addrRanges(port: ResponsePort): readonly AddrRange[];
}

export class RequestPort {
  readonly name: string;
  readonly #owner: Requestor;
  #peer: ResponsePort | undefined;
  #awaitsRetry = false;
  #owesRetry = false;

  /** @param name full path, such as `board.processor.cores0.dcache_port` */
  constructor(name: string, owner: Requestor) {
    this.name = name;
    this.#owner = owner;
  }

  /** Joins the two ports; both must be free. */
  bind(peer: ResponsePort): void {
    if (this.#peer !== undefined) throw new Error(`${this.name} is bound to ${this.#peer.name} already`);
    peer.attach(this);
    this.#peer = peer;
  }

  get isBound(): boolean {
    return this.#peer !== undefined;
  }

  /** Takes the place of another port, which is left unbound: a CPU takes over from another. Nothing is in flight. */
  takeOverFrom(old: RequestPort): void {
    if (old.#awaitsRetry) throw new Error(`${old.name} is to be replaced while it waits for a retry`);
    const peer = old.peer;
    old.#peer = undefined;
    peer.detach();
    this.bind(peer);
  }

  get peer(): ResponsePort {
    if (this.#peer === undefined) throw new Error(`${this.name} is not bound to anything`);
    return this.#peer;
  }

  sendAtomic(packet: Packet): Ticks {
    return this.peer.owner.recvAtomic(packet, this.peer);
  }

  /** A way for this access and others that is shorter than {@link sendAtomic}, if there is one. Drop it in `recvRangeChange`. */
  atomicRoute(packet: Packet): AtomicRoute | undefined {
    return this.peer.owner.atomicRoute?.(packet, this.peer);
  }

  sendFunctional(packet: Packet): void {
    this.peer.owner.recvFunctional(packet, this.peer);
  }

  /** Sends a request. `false`: refused, keep it and wait for `recvReqRetry`. */
  sendTimingReq(packet: Packet): boolean {
    if (!packet.isRequest) throw new Error(`${this.name} sends ${packet} as a request`);
    if (this.#awaitsRetry) throw new Error(`${this.name} sends ${packet} while it has to wait for a retry`);
    const taken = this.peer.receiveReq(packet);
    if (!taken) this.#awaitsRetry = true;
    return taken;
  }

  /** Tells the peer to send the response again that was refused. */
  sendRetryResp(): void {
    if (!this.#owesRetry) throw new Error(`${this.name} has refused no response`);
    this.#owesRetry = false;
    this.peer.receiveRespRetry();
  }

  addrRanges(): readonly AddrRange[] {
    return this.peer.owner.addrRanges(this.peer);
  }

  /** For the peer only. */
  receiveResp(packet: Packet): boolean {
    const taken = this.#owner.recvTimingResp(packet, this);
    if (!taken) this.#owesRetry = true;
    return taken;
  }

  /** For the peer only. */
  receiveReqRetry(): void {
    this.#awaitsRetry = false;
    this.#owner.recvReqRetry(this);
  }

  /** For the peer only. */
  receiveRangeChange(): void {
    this.#owner.recvRangeChange?.(this);
  }
}

export class ResponsePort {
  readonly name: string;
  readonly owner: Responder;
  #peer: RequestPort | undefined;
  #awaitsRetry = false;
  #owesRetry = false;

  constructor(name: string, owner: Responder) {
    this.name = name;
    this.owner = owner;
  }

  get isBound(): boolean {
    return this.#peer !== undefined;
  }

  get peer(): RequestPort {
    if (this.#peer === undefined) throw new Error(`${this.name} is not bound to anything`);
    return this.#peer;
  }

  /** Sends a response. `false`: refused, keep it and wait for `recvRespRetry`. */
  sendTimingResp(packet: Packet): boolean {
    if (!packet.isResponse) throw new Error(`${this.name} sends ${packet} as a response`);
    if (this.#awaitsRetry) throw new Error(`${this.name} sends ${packet} while it has to wait for a retry`);
    const taken = this.peer.receiveResp(packet);
    if (!taken) this.#awaitsRetry = true;
    return taken;
  }

  /** Tells the peer to send the request again that was refused. */
  sendRetryReq(): void {
    if (!this.#owesRetry) throw new Error(`${this.name} has refused no request`);
    this.#owesRetry = false;
    this.peer.receiveReqRetry();
  }

  /** Tells the peer that `addrRanges` has other answers now. */
  sendRangeChange(): void {
    this.#peer?.receiveRangeChange();
  }

  /** For `RequestPort.bind` only. */
  attach(peer: RequestPort): void {
    if (this.#peer !== undefined) throw new Error(`${this.name} is bound to ${this.#peer.name} already`);
    this.#peer = peer;
  }

  /** For `RequestPort.takeOverFrom` only. */
  detach(): void {
    this.#peer = undefined;
  }

  /** For the peer only. */
  receiveReq(packet: Packet): boolean {
    const taken = this.owner.recvTimingReq(packet, this);
    if (!taken) this.#owesRetry = true;
    return taken;
  }

  /** For the peer only. */
  receiveRespRetry(): void {
    this.#awaitsRetry = false;
    this.owner.recvRespRetry(this);
  }
}
