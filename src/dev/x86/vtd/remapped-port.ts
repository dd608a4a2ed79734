/**
 * The way of one requester's accesses through the IOMMU: a port towards its DMA port and one towards memory. Requests change
 * their address on the way or are answered here; whose they are is told by the port they come in at.
 */
import { AddrRange, type PhysAddr } from '../../../mem/addr.ts';
import type { Packet } from '../../../mem/packet.ts';
import { PacketQueue } from '../../../mem/packet-queue.ts';
import { type Requestor, RequestPort, type Responder, ResponsePort } from '../../../mem/port.ts';
import type { EventQueue } from '../../../sim/event-queue.ts';
import { type Ticks, ZERO_TICKS } from '../../../sim/tick.ts';

/** Decides about requests. */
export interface Remapper {
  /** Gives the request its address in memory, or makes it a response; returns the time that takes. */
  remap(packet: Packet, sourceId: number): Ticks;
}

export class RemappedPort implements Requestor, Responder {
  /** Towards the requester. */
  readonly device: ResponsePort;
  /** Towards memory. */
  readonly memory: RequestPort;
  readonly #remapper: Remapper;
  readonly #sourceId: number;
  readonly #responses: PacketQueue;
  #underWay = 0;

  /** @param onEmpty nothing is on its way any more */
  constructor(
    path: string,
    eventQueue: EventQueue,
    remapper: Remapper,
    sourceId: number,
    onEmpty: () => void,
  ) {
    this.device = new ResponsePort(`${path}.device`, this);
    this.memory = new RequestPort(`${path}.memory`, this);
    this.#remapper = remapper;
    this.#sourceId = sourceId;
    const send = (packet: Packet) => this.device.sendTimingResp(packet);
    this.#responses = new PacketQueue(`${path}.responses`, eventQueue, send, onEmpty);
  }

  get isIdle(): boolean {
    return this.#underWay === 0 && this.#responses.isEmpty;
  }

  recvAtomic(packet: Packet): Ticks {
    const from = packet.addr;
    let ticks: number = this.#remapper.remap(packet, this.#sourceId);
    if (packet.isRequest) ticks += this.memory.sendAtomic(packet);
    packet.addr = from;
    return ticks as Ticks;
  }

  recvFunctional(packet: Packet): void {
    const from = packet.addr;
    this.#remapper.remap(packet, this.#sourceId);
    if (packet.isRequest) this.memory.sendFunctional(packet);
    packet.addr = from;
  }

  /** A refused request comes again as it was, and is remapped anew: tables may have changed. */
  recvTimingReq(packet: Packet): boolean {
    const { addr, headerDelay } = packet;
    const ticks = this.#remapper.remap(packet, this.#sourceId);
    if (packet.isResponse) {
      packet.addr = addr;
      packet.headerDelay = ZERO_TICKS;
      this.#responses.push(packet, (headerDelay + ticks) as Ticks);
      return true;
    }
    packet.headerDelay = (headerDelay + ticks) as Ticks;
    packet.pushSenderState(addr);
    if (this.memory.sendTimingReq(packet)) {
      this.#underWay++;
      return true;
    }
    packet.addr = packet.popSenderState() as PhysAddr;
    packet.headerDelay = headerDelay;
    return false;
  }

  recvTimingResp(packet: Packet): boolean {
    packet.addr = packet.popSenderState() as PhysAddr;
    const delay = packet.headerDelay;
    packet.headerDelay = ZERO_TICKS;
    this.#underWay--;
    this.#responses.push(packet, delay);
    return true;
  }

  recvReqRetry(): void {
    this.device.sendRetryReq();
  }

  recvRespRetry(): void {
    this.#responses.retry();
  }

  addrRanges(): readonly AddrRange[] {
    return [new AddrRange(0, Number.MAX_SAFE_INTEGER)];
  }
}
