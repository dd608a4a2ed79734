/** Scripted ends of ports: a requestor and a responder that note all they see and refuse what they are told to. */

import { AddrRange, asPhysAddr } from '../../../src/mem/addr.ts';
import { Command, type MemCmd, Packet } from '../../../src/mem/packet.ts';
import { type Requestor, RequestPort, type Responder, ResponsePort } from '../../../src/mem/port.ts';
import type { EventQueue } from '../../../src/sim/event-queue.ts';
import type { Ticks } from '../../../src/sim/tick.ts';

export function packet(cmd: MemCmd, addr: number, sizeBytes = 4, value = 0): Packet {
  const made = new Packet().set(cmd, asPhysAddr(addr), sizeBytes);
  made.setUint(value);
  return made;
}

export function readReq(addr: number, sizeBytes = 4): Packet {
  return packet(Command.ReadReq, addr, sizeBytes);
}

export function writeReq(addr: number, value: number, sizeBytes = 4): Packet {
  return packet(Command.WriteReq, addr, sizeBytes, value);
}

/** Runs the queue until nothing is scheduled. */
export function runAll(queue: EventQueue): void {
  while (!queue.isEmpty) queue.serviceOne();
}

export class ScriptedRequestor implements Requestor {
  readonly port: RequestPort;
  readonly log: string[] = [];
  /** How many responses are still to be refused. */
  refusals = 0;
  readonly #queue: EventQueue;
  readonly #toSend: Packet[] = [];

  constructor(name: string, queue: EventQueue) {
    this.port = new RequestPort(name, this);
    this.#queue = queue;
  }

  /** Sends now, or after those that wait for a retry. */
  send(request: Packet): void {
    this.#toSend.push(request);
    if (this.#toSend.length === 1) this.#sendFirst();
  }

  recvTimingResp(response: Packet): boolean {
    if (this.refusals > 0) {
      this.refusals--;
      this.log.push(`${this.#queue.curTick} refuse ${response}`);
      return false;
    }
    this.log.push(`${this.#queue.curTick} ${response}`);
    return true;
  }

  recvReqRetry(): void {
    this.log.push(`${this.#queue.curTick} retry`);
    this.#sendFirst();
  }

  #sendFirst(): void {
    while (this.#toSend.length > 0 && this.port.sendTimingReq(this.#toSend[0]!)) this.#toSend.shift();
  }
}

export class ScriptedResponder implements Responder {
  readonly port: ResponsePort;
  readonly log: string[] = [];
  ranges: readonly AddrRange[];
  /** How many requests are still to be refused. */
  refusals = 0;
  /** The request that was taken last, for the test to answer. */
  taken: Packet | undefined;
  readonly #queue: EventQueue;

  constructor(name: string, queue: EventQueue, start: number, end: number) {
    this.port = new ResponsePort(name, this);
    this.#queue = queue;
    this.ranges = [new AddrRange(start, end)];
  }

  recvAtomic(request: Packet): Ticks {
    this.log.push(`${this.#queue.curTick} atomic ${request}`);
    request.makeResponse();
    return 1000 as Ticks;
  }

  recvFunctional(request: Packet): void {
    this.log.push(`${this.#queue.curTick} functional ${request}`);
    request.makeResponse();
  }

  /** Keeps the packet; the test answers it. */
  recvTimingReq(request: Packet): boolean {
    if (this.refusals > 0) {
      this.refusals--;
      this.log.push(`${this.#queue.curTick} refuse ${request}`);
      return false;
    }
    this.log.push(`${this.#queue.curTick} ${request} +${request.headerDelay}`);
    this.taken = request;
    return true;
  }

  recvRespRetry(): void {
    this.log.push(`${this.#queue.curTick} retry`);
  }

  addrRanges(): readonly AddrRange[] {
    return this.ranges;
  }
}
