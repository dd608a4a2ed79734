/**
 * DmaPort: how a device reads and writes memory by itself (gem5: src/dev/dma_device.hh, DmaPort). Transfers are made one after
 * the other, in the order in which they were asked for, in packets that stay within a cache line, one packet at a time; atomic
 * or timing as the system's memory mode says. They begin with an event and never within the call that asks for them: so a
 * device that reaches itself, or another that answers at once, finds nobody half-way through something.
 */
import { MEMORY_SPACE_END, type PhysAddr } from '../mem/addr.ts';
import { isTiming, type MemoryMode } from '../mem/memory-mode.ts';
import { Command, Packet } from '../mem/packet.ts';
import { type Requestor, RequestPort } from '../mem/port.ts';
import { SimEvent } from '../sim/event-queue.ts';
import { type DrainAnswer, SimObject } from '../sim/sim-object.ts';
import {
  asRecord,
  decodeNumber,
  decodeString,
  eventCell,
  type Json,
  listCell,
  StateError,
} from '../sim/state.ts';
import { scalar, statGroup } from '../sim/stats/group.ts';
import { Unit } from '../sim/stats/unit.ts';
import { type Ticks, ZERO_TICKS } from '../sim/tick.ts';

/** Largest packet, and what none of them crosses. */
const LINE_BYTES = 64;

class DmaStats extends statGroup({
  numTransfers: scalar('transfers that have come to their end'),
  bytesRead: scalar('bytes that the device read', Unit.Byte),
  bytesWritten: scalar('bytes that the device wrote', Unit.Byte),
  numErrors: scalar('packets that nobody answered, or that were refused'),
}) {}

/** One piece of memory that is read or written. */
interface Transfer {
  /** The owner's name for it. */
  readonly tag: string;
  readonly isWrite: boolean;
  readonly address: number;
  readonly data: Uint8Array;
  /** Its first packet has been sent. */
  hasBegun: boolean;
  /** Bytes that have been read or written. */
  done: number;
}

export interface DmaWiring {
  /** How the system's CPUs and devices access memory at present. */
  memoryMode(): MemoryMode;
  /** Whether the device may access memory now; if not, reads give ones and writes vanish. Default: it may. */
  isEnabled?(): boolean;
  /** A transfer is through; of a read, `data` is what was read: ones where there was an error. */
  done(tag: string, data: Uint8Array): void;
}

export class DmaPort extends SimObject implements Requestor {
  readonly port: RequestPort;
  readonly stats = this.addStats(new DmaStats());
  readonly #wiring: DmaWiring;
  readonly #transfers = this.state('transfers', listCell(encodeTransfer, decodeTransfer));
  readonly #event: SimEvent;
  readonly #packet = new Packet();
  /** The packet is with somebody else, or waits to be sent again. */
  #isUnderWay = false;

  constructor(parent: SimObject, name: string, wiring: DmaWiring) {
    super(parent, name);
    this.#wiring = wiring;
    this.port = new RequestPort(`${this.path}.port`, this);
    this.#event = new SimEvent(`${this.path}.step`, () => this.#step());
    this.state('event', eventCell(this.eventQueue, this.#event));
  }

  /** Reads memory; `done` gets the bytes. */
  read(tag: string, address: number, sizeBytes: number): void {
    this.#add(tag, false, address, new Uint8Array(sizeBytes));
  }

  /** Writes a copy of `bytes`. */
  write(tag: string, address: number, bytes: Uint8Array): void {
    this.#add(tag, true, address, bytes.slice());
  }

  /** Whether a transfer of this name is not yet through. */
  isPending(tag: string): boolean {
    return this.#transfers.items.some((transfer) => transfer.tag === tag);
  }

  /** Whether a transfer of this name has not even begun. */
  isWaiting(tag: string): boolean {
    return this.#transfers.items.some((transfer) => transfer.tag === tag && !transfer.hasBegun);
  }

  recvTimingResp(packet: Packet): boolean {
    this.#isUnderWay = false;
    this.#account(this.#transfers.items[0]!, packet);
    if (this.#isDraining) this.drainDone();
    this.#schedule(ZERO_TICKS);
    return true;
  }

  recvReqRetry(): void {
    this.port.sendTimingReq(this.#packet);
  }

  /** What has not been sent yet is state and stays: a guest cannot hold up a drain. */
  override drain(): DrainAnswer {
    return this.#isUnderWay ? 'draining' : 'drained';
  }

  override drainResume(): void {
    this.#schedule(ZERO_TICKS);
  }

  get #isDraining(): boolean {
    return this.root.drainManager.state !== 'running';
  }

  #add(tag: string, isWrite: boolean, address: number, data: Uint8Array): void {
    this.#transfers.items.push({ tag, isWrite, address, data, hasBegun: false, done: 0 });
    this.#schedule(ZERO_TICKS);
  }

  #schedule(delay: Ticks): void {
    if (this.#transfers.items.length === 0 || this.#isUnderWay || this.#event.scheduled) return;
    this.eventQueue.schedule(this.#event, delay);
  }

  #step(): void {
    const transfer = this.#transfers.items[0]!;
    if (transfer.done >= transfer.data.length) this.#finish(transfer);
    else if (!this.#canReach(transfer)) this.#abort(transfer);
    else if (!isTiming(this.#wiring.memoryMode())) this.#schedule(this.#atomic(transfer));
    // In a drain nothing new is sent; the resume begins anew.
    else if (!this.#isDraining) this.#send(transfer);
  }

  #finish({ tag, data }: Transfer): void {
    this.#transfers.items.shift();
    this.stats.numTransfers.inc();
    this.#wiring.done(tag, data);
    this.#schedule(ZERO_TICKS);
  }

  /** Beyond the space of memory there are other spaces, which a device has no way to. */
  #canReach({ address, data }: Transfer): boolean {
    return address + data.length <= MEMORY_SPACE_END && (this.#wiring.isEnabled?.() ?? true);
  }

  #abort(transfer: Transfer): void {
    if (!transfer.isWrite) transfer.data.fill(0xff, transfer.done);
    transfer.done = transfer.data.length;
    this.stats.numErrors.inc();
    this.#schedule(ZERO_TICKS);
  }

  /** The whole transfer; returns its duration, which is never nothing: a device that triggers itself must not stop time. */
  #atomic(transfer: Transfer): Ticks {
    let ticks = 0;
    // What the device reaches may ask it for more: that is for later.
    this.#isUnderWay = true;
    while (transfer.done < transfer.data.length) {
      ticks += this.port.sendAtomic(this.#nextPacket(transfer));
      this.#account(transfer, this.#packet);
    }
    this.#isUnderWay = false;
    return Math.max(1, ticks) as Ticks;
  }

  #send(transfer: Transfer): void {
    this.#isUnderWay = true;
    this.port.sendTimingReq(this.#nextPacket(transfer));
  }

  #nextPacket(transfer: Transfer): Packet {
    transfer.hasBegun = true;
    const { isWrite, address, data, done } = transfer;
    const at = address + done;
    const sizeBytes = Math.min(data.length - done, LINE_BYTES - (at % LINE_BYTES));
    const cmd = isWrite ? Command.WriteReq : Command.ReadReq;
    const packet = this.#packet.set(cmd, at as PhysAddr, sizeBytes);
    if (isWrite) packet.data.set(data.subarray(done, done + sizeBytes));
    return packet;
  }

  /** A packet has been answered. */
  #account(transfer: Transfer, packet: Packet): void {
    const { data, sizeBytes, isError } = packet;
    if (isError) this.stats.numErrors.inc();
    if (transfer.isWrite) this.stats.bytesWritten.inc(sizeBytes);
    else {
      this.stats.bytesRead.inc(sizeBytes);
      if (isError) data.fill(0xff);
      transfer.data.set(data, transfer.done);
    }
    transfer.done += sizeBytes;
  }
}

function encodeTransfer({ data, ...rest }: Transfer): Json {
  return { ...rest, data: data.toHex() };
}

function decodeTransfer(saved: Json): Transfer {
  const record = asRecord(saved);
  const { tag = null, isWrite, hasBegun, address = null, data = null, done = null } = record;
  const hex = decodeString(data);
  if (hex.length % 2 !== 0 || /[^0-9a-fA-F]/.test(hex)) throw new StateError('a transfer without data');
  return {
    tag: decodeString(tag),
    isWrite: isWrite === true,
    hasBegun: hasBegun === true,
    address: decodeNumber(address),
    data: Uint8Array.fromHex(hex),
    done: decodeNumber(done),
  };
}
