/**
 * SimpleMemory: the port through which packets reach physical memory, with one latency for every access and
 * any number of them under way (gem5's src/mem/simple_mem.hh, without its limit of bandwidth).
 */

import type { ParamInputs, ParamValues } from '../sim/params.ts';
import { declareParams, duration } from '../sim/params.ts';
import { type DrainAnswer, SimObject } from '../sim/sim-object.ts';
import { scalar, statGroup } from '../sim/stats/group.ts';
import { Unit } from '../sim/stats/unit.ts';
import type { Ticks } from '../sim/tick.ts';
import type { AddrRange } from './addr.ts';
import { Command, type Packet } from './packet.ts';
import { PacketQueue } from './packet-queue.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { type Responder, ResponsePort } from './port.ts';

const PARAMS = declareParams({
  latency: duration({ default: '30ns', description: 'time from a request to its response' }),
});

class SimpleMemoryStats extends statGroup({
  numReads: scalar('read requests that came through the port'),
  numWrites: scalar('write requests that came through the port'),
  bytesRead: scalar('bytes read through the port', Unit.Byte),
  bytesWritten: scalar('bytes written through the port', Unit.Byte),
}) {}

export class SimpleMemory extends SimObject implements Responder {
  readonly params: ParamValues<typeof PARAMS>;
  readonly port: ResponsePort;
  readonly stats = this.addStats(new SimpleMemoryStats());
  readonly #ram: PhysicalMemory;
  readonly #responses: PacketQueue;

  constructor(parent: SimObject, name: string, ram: PhysicalMemory, given: ParamInputs<typeof PARAMS> = {}) {
    super(parent, name);
    this.params = this.resolveParams(PARAMS, given);
    this.#ram = ram;
    this.port = new ResponsePort(`${this.path}.port`, this);
    this.#responses = new PacketQueue(
      `${this.path}.responses`,
      this.eventQueue,
      (packet) => this.port.sendTimingResp(packet),
      () => this.drainDone(),
    );
  }

  recvAtomic(packet: Packet): Ticks {
    this.#count(packet);
    this.#access(packet);
    return this.params.latency;
  }

  recvFunctional(packet: Packet): void {
    this.#access(packet);
    this.#responses.overlayFunctional(packet);
  }

  /** Takes every request: memory is read and written now, and the response leaves after the latency. */
  recvTimingReq(packet: Packet): boolean {
    const delay = (packet.headerDelay + packet.payloadDelay + this.params.latency) as Ticks;
    packet.headerDelay = 0 as Ticks;
    packet.payloadDelay = 0 as Ticks;
    this.#count(packet);
    this.#access(packet);
    this.#responses.push(packet, delay);
    return true;
  }

  recvRespRetry(): void {
    this.#responses.retry();
  }

  addrRanges(): readonly AddrRange[] {
    return this.#ram.regions.filter(({ inAddrMap }) => inAddrMap).map(({ range }) => range);
  }

  override drain(): DrainAnswer {
    return this.#responses.isEmpty ? 'drained' : 'draining';
  }

  #count(packet: Packet): void {
    if (packet.isRead) {
      this.stats.numReads.inc();
      this.stats.bytesRead.inc(packet.sizeBytes);
    }
    if (packet.isWrite) {
      this.stats.numWrites.inc();
      this.stats.bytesWritten.inc(packet.sizeBytes);
    }
  }

  #access(packet: Packet): void {
    const { addr, sizeBytes, data, cmd } = packet;
    if (!this.#ram.contains(addr, sizeBytes)) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    if (cmd.isRead && cmd.isWrite) this.#swap(packet);
    else if (cmd.isRead) this.#ram.read(addr, data);
    else if (cmd.isWrite) this.#ram.write(addr, data);
    packet.makeResponse();
  }

  #swap({ addr, data }: Packet): void {
    const stored = data.slice();
    this.#ram.read(addr, data);
    this.#ram.write(addr, stored);
  }
}
