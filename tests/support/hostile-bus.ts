// A PcBoard whose processor is a fuzzer: it makes accesses to everything, atomic and timing, and executes nothing.

import type { InterruptController, InterruptedCpu } from '../../src/arch/x86/interrupts.ts';
import { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { BaseCpu } from '../../src/cpu/base-cpu.ts';
import { MemoryBackend } from '../../src/dev/serial/char-backend.ts';
import type { AddrRange, PhysAddr } from '../../src/mem/addr.ts';
import { Command, Packet } from '../../src/mem/packet.ts';
import { RequestPort } from '../../src/mem/port.ts';
import { Root } from '../../src/sim/root.ts';
import type { SimObject } from '../../src/sim/sim-object.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import type { Tick } from '../../src/sim/tick.ts';
import { PcBoard } from '../../src/system/pc-board.ts';

/** A processor that has a port and registers. Responses can be refused for a while. */
class BusCpu extends BaseCpu implements InterruptedCpu {
  readonly context = new X86ThreadContext();
  readonly busyTicks = 0;
  readonly canSwitchThread = true;
  readonly tscHz = 1e9;
  readonly #queue: Packet[] = [];
  readonly #answered: (packet: Packet) => void;
  /** How many responses are refused before the next is taken. */
  refuse = 0;
  refusals = 0;
  /** Requests that are waiting or under way. */
  outstanding = 0;
  #owesRetry = false;
  readonly dataPort = new RequestPort('cpu.port', {
    recvTimingResp: (packet) => this.#receive(packet),
    recvReqRetry: () => this.#send(),
  });

  constructor(parent: SimObject, answered: (packet: Packet) => void) {
    super(parent, 'cpu');
    this.#answered = answered;
    this.state('context', this.context);
  }

  /** Sends a timing request as soon as it can be. */
  request(packet: Packet): void {
    this.outstanding++;
    this.#queue.push(packet);
    if (this.#queue.length === 1) this.#send();
  }

  /** Takes the response that was refused. */
  retry(): void {
    if (!this.#owesRetry) return;
    this.#owesRetry = false;
    this.dataPort.sendRetryResp();
  }

  #send(): void {
    for (let packet = this.#queue[0]; packet !== undefined; packet = this.#queue[0]) {
      if (!this.dataPort.sendTimingReq(packet)) return;
      this.#queue.shift();
    }
  }

  #receive(packet: Packet): boolean {
    if (this.refuse > 0) {
      this.refuse--;
      this.refusals++;
      this.#owesRetry = true;
      return false;
    }
    this.outstanding--;
    this.#answered(packet);
    return true;
  }

  readState(): X86ThreadContext {
    return this.context;
  }
  modifyState(): X86ThreadContext {
    return this.context;
  }
  activateContext(): void {
    this.thread.status = 'active';
  }
  suspendContext(): void {
    this.thread.status = 'suspended';
  }
  haltContext(): void {
    this.thread.status = 'halted';
  }
  wakeup(): void {}
  readTsc(): bigint {
    return this.curTick / 1000n;
  }
}

const TICKS_PER_MS = 1e9;
/** More in a millisecond without an access would be a storm. */
const MOST_EVENTS_PER_MS = 2000;

export class HostileBus {
  readonly root = new Root({ warnSink: () => {}, traceSink: () => {}, hostMemory: () => 0 });
  readonly board: PcBoard;
  readonly simulator: Simulator;
  readonly cpu: BusCpu;
  readonly interrupts: InterruptController;
  /** Every address that a device or memory answers, in ascending order. */
  readonly answered: readonly AddrRange[];
  readonly #packet = new Packet();

  /** @param hear is told the answer of each timing request */
  constructor(hear: (packet: Packet) => void = () => {}) {
    const com1 = new MemoryBackend();
    com1.end();
    let cpu: BusCpu | undefined;
    let interrupts: InterruptController | undefined;
    this.board = new PcBoard(this.root, 'board', {
      memorySize: '2MiB',
      iommu: 'intel',
      edu: true,
      serial: [com1],
      processor: (parent, { localApic }) => {
        interrupts = localApic?.controller;
        cpu = new BusCpu(parent, hear);
        return { cpu };
      },
    });
    this.cpu = cpu!;
    this.interrupts = interrupts!;
    this.simulator = new Simulator(this.root);
    const ranges = this.board.devices.flatMap((device) => [...device.addrRanges()]);
    this.answered = [...ranges, ...this.board.memory.regions.map(({ range }) => range)].sort(
      (a, b) => a.start - b.start,
    );
    this.board.boot({ image: Uint8Array.of(0xeb, 0xfe), name: 'spin' });
  }

  /** Whether somebody answers this address. */
  isAnswered(address: number): boolean {
    return this.answered.some((range) => range.contains(address as PhysAddr));
  }

  /** An atomic access; returns its data, which are the packet's until the next. */
  access(address: number, sizeBytes: number, written?: number): Uint8Array {
    const packet = this.#packet.set(
      written === undefined ? Command.ReadReq : Command.WriteReq,
      address as PhysAddr,
      sizeBytes,
    );
    packet.data.fill(0);
    if (written !== undefined) packet.setUint(written);
    this.cpu.dataPort.sendAtomic(packet);
    if (packet.isError) throw new Error(`${packet} is refused`);
    return packet.data;
  }

  /** The timing access of the same kind: it is answered later. */
  request(address: number, sizeBytes: number, written?: number): Packet {
    const cmd = written === undefined ? Command.ReadReq : Command.WriteReq;
    const packet = new Packet().set(cmd, address as PhysAddr, sizeBytes);
    packet.data.fill(0);
    if (written !== undefined) packet.setUint(written);
    this.cpu.request(packet);
    return packet;
  }

  /** Lets time pass; a refused response is taken in between. Exit events are dropped. */
  pass(ticks: number): void {
    const queue = this.root.eventQueue;
    const end = (queue.curTick + BigInt(ticks)) as Tick;
    const most = 500 + Math.ceil((MOST_EVENTS_PER_MS * ticks) / TICKS_PER_MS);
    let count = 0;
    for (let next = queue.nextTick(); next !== undefined && next <= end; next = queue.nextTick()) {
      queue.serviceOne();
      this.cpu.retry();
      if (++count > most) throw new Error(`more than ${most} events in ${ticks} ticks`);
    }
    queue.advanceTo(end);
    this.cpu.retry();
    while (this.root.hasExit) this.root.takeExit();
  }

  /** The processor takes what is pending, and ends the interrupt. */
  takeInterrupt(): void {
    const { interrupts } = this;
    if (interrupts.hasInit) interrupts.takeInit();
    if (interrupts.hasStartup) interrupts.takeStartup();
    if (interrupts.hasNmi) interrupts.takeNmi();
    if (interrupts.hasExternal) interrupts.takeExternal();
  }
}
