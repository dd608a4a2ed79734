/**
 * Packets: one memory request and, later, its response, as the same object travelling both ways (gem5's
 * src/mem/packet.hh). What a command means is data, in the table `Command`. Packets are pooled.
 */

import type { Ticks } from '../sim/tick.ts';
import { hex, type PhysAddr } from './addr.ts';

/** What a packet asks for or answers. Compare by identity. */
export interface MemCmd {
  readonly name: string;
  /** Its place in {@link Command}, for tables. */
  readonly index: number;
  readonly isRead: boolean;
  readonly isWrite: boolean;
  readonly isError: boolean;
  /** Whether `data` means anything while the packet carries this command. */
  readonly hasData: boolean;
  /** The command of the answer; undefined for what is an answer itself. */
  readonly response: MemCmd | undefined;
}

type Attribute = 'read' | 'write' | 'data' | 'error';

function command(index: number, name: string, attributes: readonly Attribute[], response?: MemCmd): MemCmd {
  return {
    name,
    index,
    isRead: attributes.includes('read'),
    isWrite: attributes.includes('write'),
    isError: attributes.includes('error'),
    hasData: attributes.includes('data'),
    response,
  };
}

const ReadResp = command(1, 'ReadResp', ['read', 'data']);
const WriteResp = command(3, 'WriteResp', ['write']);
const SwapResp = command(5, 'SwapResp', ['read', 'write', 'data']);

export const Command = {
  ReadReq: command(0, 'ReadReq', ['read'], ReadResp),
  ReadResp,
  WriteReq: command(2, 'WriteReq', ['write', 'data'], WriteResp),
  WriteResp,
  /** Stores `data` and answers with what was there before, indivisibly. */
  SwapReq: command(4, 'SwapReq', ['read', 'write', 'data'], SwapResp),
  SwapResp,
  /** Nobody is at this address. */
  InvalidDestError: command(6, 'InvalidDestError', ['error']),
  /** Whoever is at this address refuses the access. */
  BadAddressError: command(7, 'BadAddressError', ['error']),
} as const satisfies Record<string, MemCmd>;

/** Attributes of a request, as bits of `Packet.flags`. */
export const PacketFlag = {
  Uncacheable: 1 << 0,
  /** Uncacheable, and not to be reordered with other strictly ordered accesses. */
  StrictOrder: 1 << 1,
  InstFetch: 1 << 2,
  /** A locked read-modify-write of the guest. */
  LockedRmw: 1 << 3,
} as const;

/** Widest payload that a pooled packet carries without allocating: a cache line. */
export const INLINE_DATA_SIZE = 64;

export class Packet {
  cmd: MemCmd = Command.ReadReq;
  addr: PhysAddr = 0 as PhysAddr;
  sizeBytes = 0;
  /** Bits of PacketFlag. */
  flags = 0;
  /** Who asked first; for statistics. */
  requestorId = 0;
  /** Exactly `sizeBytes` bytes. Its contents count only while `cmd.hasData`. */
  data: Uint8Array;
  /** Time until the head of the packet arrives, to be paid by whoever takes it next. */
  headerDelay = 0 as Ticks;
  /** Time from the head's arrival until the last byte's. */
  payloadDelay = 0 as Ticks;

  readonly #inline = new Uint8Array(INLINE_DATA_SIZE);
  readonly #inlineViews: Uint8Array[] = [];
  readonly #senderStates: unknown[] = [];

  constructor() {
    this.data = this.#inline.subarray(0, 0);
  }

  /** Starts a new life of the packet. The data are not cleared. */
  set(cmd: MemCmd, addr: PhysAddr, sizeBytes: number, flags = 0, requestorId = 0): this {
    this.cmd = cmd;
    this.addr = addr;
    this.sizeBytes = sizeBytes;
    this.flags = flags;
    this.requestorId = requestorId;
    this.headerDelay = 0 as Ticks;
    this.payloadDelay = 0 as Ticks;
    this.data = sizeBytes > INLINE_DATA_SIZE ? new Uint8Array(sizeBytes) : this.#inlineView(sizeBytes);
    if (this.#senderStates.length > 0) this.#senderStates.length = 0;
    return this;
  }

  /** Turns a request into its response, data and sender states kept. */
  makeResponse(): void {
    if (this.cmd.response === undefined) throw new Error(`${this} is no request`);
    this.cmd = this.cmd.response;
  }

  /** Turns a request into a refusal. */
  makeError(error: typeof Command.InvalidDestError | typeof Command.BadAddressError): void {
    if (this.isResponse) throw new Error(`${this} is no request`);
    this.cmd = error;
  }

  /** Leaves something of the sender's on the packet, to be popped when the response comes back. */
  pushSenderState(state: unknown): void {
    this.#senderStates.push(state);
  }

  popSenderState(): unknown {
    if (this.#senderStates.length === 0) throw new Error(`${this} carries no sender state`);
    return this.#senderStates.pop();
  }

  /** The data as an unsigned little-endian number, for payloads of at most 6 bytes. */
  getUint(): number {
    if (this.sizeBytes > 6) throw new RangeError(`${this} does not fit a Number`);
    let value = 0;
    for (let i = this.sizeBytes - 1; i >= 0; i--) value = value * 256 + this.data[i]!;
    return value;
  }

  /** Sets the data from an unsigned number, cut off or filled with zeros to the payload's size. */
  setUint(value: number): void {
    let rest = value;
    for (let i = 0; i < this.sizeBytes; i++) {
      this.data[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  get isRequest(): boolean {
    return this.cmd.response !== undefined;
  }

  get isResponse(): boolean {
    return this.cmd.response === undefined;
  }

  get isRead(): boolean {
    return this.cmd.isRead;
  }

  get isWrite(): boolean {
    return this.cmd.isWrite;
  }

  get isError(): boolean {
    return this.cmd.isError;
  }

  get isUncacheable(): boolean {
    return (this.flags & PacketFlag.Uncacheable) !== 0;
  }

  /** gem5's notation: `ReadReq [1000:1007]`. */
  toString(): string {
    return `${this.cmd.name} [${hex(this.addr).slice(2)}:${hex(this.addr + this.sizeBytes - 1).slice(2)}]`;
  }

  #inlineView(sizeBytes: number): Uint8Array {
    this.#inlineViews[sizeBytes] ??= this.#inline.subarray(0, sizeBytes);
    return this.#inlineViews[sizeBytes];
  }
}

/** Where packets come from and go back to. Hot path: nothing is allocated once the pool is warm. */
export class PacketPool {
  readonly #free: Packet[] = [];
  #inUse = 0;

  acquire(cmd: MemCmd, addr: PhysAddr, sizeBytes: number, flags = 0, requestorId = 0): Packet {
    this.#inUse++;
    return (this.#free.pop() ?? new Packet()).set(cmd, addr, sizeBytes, flags, requestorId);
  }

  /** Gives a packet back. Only its first sender does so, and forgets it. */
  release(packet: Packet): void {
    if (this.#inUse === 0) throw new Error(`${packet} was released twice`);
    this.#inUse--;
    this.#free.push(packet);
  }

  /** Packets acquired and not released: 0 in a drained system. */
  get inUse(): number {
    return this.#inUse;
  }
}
