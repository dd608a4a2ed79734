/**
 * AtomicRoute: the way of atomic accesses through crossbars to whoever answers them. It is walked once; accesses that
 * follow go straight to its end, take as long as they would, and are counted here for every crossbar on the way.
 */

import type { Ticks } from '../sim/tick.ts';
import type { AddrRange } from './addr.ts';
import { Command, type Packet } from './packet.ts';
import type { Responder, ResponsePort } from './port.ts';

/** What has gone along a route, both ways, since it began. */
export class RouteTraffic {
  /** Packets by the index of their command. */
  readonly packets = new Float64Array(Object.keys(Command).length);
  payloadBytes = 0;

  /** Takes over another's counts. */
  become({ packets, payloadBytes }: RouteTraffic): void {
    this.packets.set(packets);
    this.payloadBytes = payloadBytes;
  }
}

export class AtomicRoute {
  /** The addresses that lead here. */
  readonly range: AddrRange;
  readonly traffic: RouteTraffic;
  readonly #start: number;
  readonly #end: number;
  readonly #to: ResponsePort;
  readonly #responder: Responder;
  readonly #latency: Ticks;

  /** @param latency of what is skipped */
  constructor(range: AddrRange, to: ResponsePort, latency: Ticks, traffic = new RouteTraffic()) {
    this.range = range;
    this.#start = range.start;
    this.#end = range.end;
    this.#to = to;
    this.#responder = to.owner;
    this.#latency = latency;
    this.traffic = traffic;
  }

  /** The same with another crossbar in front, which takes so long. */
  behind(latency: Ticks): AtomicRoute {
    return new AtomicRoute(this.range, this.#to, (this.#latency + latency) as Ticks, this.traffic);
  }

  /** Whether the packet goes this way. Hot path. */
  leads({ addr, sizeBytes }: Packet): boolean {
    return addr >= this.#start && addr + sizeBytes <= this.#end;
  }

  /** As `RequestPort.sendAtomic` at the beginning of the way. Hot path. */
  send(packet: Packet): Ticks {
    this.#count(packet);
    const latency = this.#responder.recvAtomic(packet, this.#to);
    this.#count(packet);
    return (latency + this.#latency) as Ticks;
  }

  #count({ cmd, sizeBytes }: Packet): void {
    const { traffic } = this;
    traffic.packets[cmd.index]!++;
    if (cmd.hasData) traffic.payloadBytes += sizeBytes;
  }
}
