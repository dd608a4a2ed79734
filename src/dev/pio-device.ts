/**
 * PioDevice: a device that software reaches by loads and stores or port I/O: banks of registers behind one response
 * port, one latency for all of them (gem5: src/dev/io_device.hh, PioDevice and BasicPioDevice).
 */
import { AddrRange, type PhysAddr } from '../mem/addr.ts';
import { Command, type Packet } from '../mem/packet.ts';
import { PacketQueue } from '../mem/packet-queue.ts';
import { type Responder, ResponsePort } from '../mem/port.ts';
import { declareParams, duration, type ParamInputs } from '../sim/params.ts';
import { type DrainAnswer, SimObject } from '../sim/sim-object.ts';
import type { Ticks } from '../sim/tick.ts';
import type { RegisterBank } from './register-file.ts';

export const PIO_DEVICE_PARAMS = declareParams({
  pioLatency: duration({ default: '100ns', description: 'time from a request to its response' }),
});
export type PioDeviceParams = ParamInputs<typeof PIO_DEVICE_PARAMS>;

interface PlacedBank {
  readonly range: AddrRange;
  readonly bank: RegisterBank;
}

export abstract class PioDevice extends SimObject implements Responder {
  readonly pio: ResponsePort;
  readonly #banks: PlacedBank[] = [];
  readonly #responses: PacketQueue;
  #latency = 100_000 as Ticks;

  constructor(parent: SimObject, name: string) {
    super(parent, name);
    this.pio = new ResponsePort(`${this.path}.pio`, this);
    this.#responses = new PacketQueue(
      `${this.path}.responses`,
      this.eventQueue,
      (packet) => this.pio.sendTimingResp(packet),
      () => this.reportIfDrained(),
    );
  }

  /** Time from a request to its response; devices set it from their `pioLatency`. */
  protected set pioLatency(latency: Ticks) {
    this.#latency = latency;
  }

  /** Places a bank at a physical address (of a port: `portAddress`). */
  protected addBank<B extends RegisterBank>(base: PhysAddr, bank: B): B {
    this.#banks.push({ range: AddrRange.ofSize(base, bank.sizeBytes), bank });
    return bank;
  }

  recvAtomic(packet: Packet): Ticks {
    this.access(packet);
    return this.#latency;
  }

  /** A debugger's access is the real one, side effects included: a device has no other face. */
  recvFunctional(packet: Packet): void {
    this.access(packet);
  }

  /** The registers are touched when the request arrives; the response leaves after the latency. */
  recvTimingReq(packet: Packet): boolean {
    const delay = (packet.headerDelay + packet.payloadDelay + this.#latency) as Ticks;
    packet.headerDelay = 0 as Ticks;
    packet.payloadDelay = 0 as Ticks;
    this.access(packet);
    this.#responses.push(packet, delay);
    return true;
  }

  recvRespRetry(): void {
    this.#responses.retry();
  }

  addrRanges(): readonly AddrRange[] {
    return this.#banks.map(({ range }) => range);
  }

  /** Responses under way are the only thing in flight; a device with more overrides this and calls it too. */
  override drain(): DrainAnswer {
    return this.#responses.isEmpty ? 'drained' : 'draining';
  }

  /** Something in flight has ended: a drain may be waiting for it. */
  protected reportIfDrained(): void {
    if (this.drain() === 'drained') this.drainDone();
  }

  /** Serves a request and makes it a response. A device that is no set of registers overrides this. */
  protected access(packet: Packet): void {
    const { addr, sizeBytes, cmd } = packet;
    if (!cmd.isRead && !cmd.isWrite) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    const placed = this.#bankAt(addr, sizeBytes);
    if (placed !== undefined) {
      const step = sizeBytes === 1 || sizeBytes === 2 || sizeBytes % 4 === 0 ? Math.min(sizeBytes, 4) : 1;
      for (let i = 0; i < sizeBytes; i += step) accessBank(placed, packet, i, step);
    } else {
      // It begins or ends outside: byte by byte, ones where nothing is.
      for (let i = 0; i < sizeBytes; i++) this.#accessByte(packet, i);
    }
    packet.makeResponse();
  }

  #accessByte(packet: Packet, i: number): void {
    const placed = this.#bankAt((packet.addr + i) as PhysAddr, 1);
    if (placed !== undefined) accessBank(placed, packet, i, 1);
    else if (packet.isRead) packet.data[i] = 0xff;
  }

  #bankAt(addr: PhysAddr, sizeBytes: number): PlacedBank | undefined {
    for (const placed of this.#banks) if (placed.range.contains(addr, sizeBytes)) return placed;
    return undefined;
  }
}

/** Bytes `i` to `i + size` of the packet's data, little-endian, from or to the bank. An exchange reads first. */
function accessBank({ range, bank }: PlacedBank, packet: Packet, i: number, size: number): void {
  const { data, cmd } = packet;
  const offset = packet.addr + i - range.start;
  const written = cmd.isWrite ? getUint(data, i, size) : 0;
  if (cmd.isRead) setUint(data, i, size, bank.read(offset, size));
  if (cmd.isWrite) bank.write(offset, size, written);
}

function getUint(data: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= data[at + i]! << (8 * i);
  return value >>> 0;
}

function setUint(data: Uint8Array, at: number, size: number, value: number): void {
  for (let i = 0; i < size; i++) data[at + i] = value >>> (8 * i);
}
