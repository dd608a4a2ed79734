/**
 * IntelIommu: remapping hardware between the DMA ports of PCI functions and memory, and between whoever interrupts and the local
 * APICs. Intel Virtualization Technology for Directed I/O, architecture specification, legacy mode.
 *
 *   function ─▶ RemappedPort ─┬─▶ memory bus        I/O APIC ─┐
 *                             └─ 0xfeex_xxxx ─────────────────┴─▶ interrupt remapping ─▶ local APICs
 *
 * Nothing is cached, so that every invalidation is done as soon as it is asked for; the entries that a request needs are read
 * each time and delay DMA by `tableLatency` each. Interrupts and the invalidation queue take no time.
 */
import { type InterruptBus, type InterruptMessage, messageFromMsi } from '../../../arch/x86/interrupts.ts';
import { asPhysAddr } from '../../../mem/addr.ts';
import { Command, type Packet } from '../../../mem/packet.ts';
import { RequestPort } from '../../../mem/port.ts';
import {
  bool,
  declareParams,
  duration,
  int,
  type ParamInputs,
  type ParamValues,
} from '../../../sim/params.ts';
import type { DrainAnswer, SimObject } from '../../../sim/sim-object.ts';
import { booleanCell, numberCell } from '../../../sim/state.ts';
import { scalar, statGroup } from '../../../sim/stats/group.ts';
import type { Ticks } from '../../../sim/tick.ts';
import { panic } from '../../../sim/trouble.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../../pio-device.ts';
import { RegisterFile } from '../../register-file.ts';
import type { InterruptRequestSink } from '../apic/io-apic.ts';
import { DmaRemapping } from './dma-remapping.ts';
import { EventMessage } from './event-message.ts';
import { type Fault, FaultReason, loud } from './fault.ts';
import { FaultLog, type FaultRecord } from './fault-log.ts';
import { GuestTables, type RamMap } from './guest-tables.ts';
import {
  type InterruptRequest,
  interruptIndex,
  isInterruptAddress,
  isRemappable,
  remapInterrupt,
} from './interrupt-remapping.ts';
import { InvalidationQueue } from './invalidation-queue.ts';
import { EXTENDED_INTERRUPT_MODE, FAULT_RECORDS_AT, VTD_REGISTERS } from './registers.ts';
import { RemappedPort, type Remapper } from './remapped-port.ts';

export const INTEL_IOMMU_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  base: int({ default: 0xfed9_0000, min: 0, description: 'address of its 4 KiB of registers' }),
  tableLatency: duration({ default: '30ns', description: 'time to read an entry of a table in memory' }),
  eim: bool({ default: false, description: 'extended interrupt mode: destinations of 32 bits' }),
  verifyIoApic: bool({
    default: false,
    description:
      "verify the source id of the I/O APIC's requests; kvm-unit-tests name the device behind it, which QEMU lets pass",
  }),
});

/** What it sits between. */
export interface IntelIommuWiring {
  readonly bus: InterruptBus;
  /** Where tables can be. */
  readonly ram: RamMap;
  /** Source id of the I/O APIC. */
  readonly ioApicSource: number;
}

class IntelIommuStats extends statGroup({
  numRequests: scalar('DMA requests'),
  numInterrupts: scalar('interrupt requests'),
  numTableReads: scalar('entries of tables read'),
  numFaults: scalar('requests that were blocked'),
}) {}

const BANK_BYTES = 0x1000;
const PAGE_BYTES = 0x1000;
/** Commands of GCMD that set a status bit and are over, and those that switch something. */
const SET_ROOT_TABLE = 1 << 30;
const SET_INTERRUPT_TABLE = 1 << 24;
const SWITCHES = {
  translation: 31,
  queuedInvalidation: 26,
  interruptRemapping: 25,
  compatibilityFormat: 23,
} as const;

export class IntelIommu extends PioDevice implements Remapper {
  readonly stats = this.addStats(new IntelIommuStats());
  /** To memory, for the tables. */
  readonly memory: RequestPort;
  /** The I/O APIC's way to interrupt. */
  readonly ioApic: InterruptRequestSink = (address, data) => {
    const { ioApicSource } = this.#wiring;
    const sourceId = this.#params.verifyIoApic ? ioApicSource : undefined;
    const isAccepted = this.#interrupt({ address, data, sourceId }, ioApicSource);
    this.#tableTime();
    return isAccepted;
  };
  readonly #params: ParamValues<typeof INTEL_IOMMU_PARAMS>;
  readonly #wiring: IntelIommuWiring;
  readonly #regs: RegisterFile<typeof VTD_REGISTERS>;
  readonly #faultEvent: EventMessage;
  readonly #completionEvent: EventMessage;
  readonly #faults: FaultLog;
  readonly #queue: InvalidationQueue;
  readonly #tables: GuestTables;
  readonly #dmaRemapping: DmaRemapping;
  readonly #ports: RemappedPort[] = [];
  readonly #nextRecord = this.state('nextRecord', numberCell());
  /** What the table registers said when software last had them taken over. */
  readonly #rootTable = this.state('rootTable', numberCell());
  readonly #interruptTable = this.state('interruptTable', numberCell());
  readonly #interruptEntries = this.state('interruptEntries', numberCell());
  readonly #isExtended = this.state('isExtended', booleanCell());

  constructor(
    parent: SimObject,
    name: string,
    { bus, ram, ioApicSource, ...given }: IntelIommuWiring & ParamInputs<typeof INTEL_IOMMU_PARAMS>,
  ) {
    super(parent, name);
    this.#params = this.resolveParams(INTEL_IOMMU_PARAMS, given);
    this.pioLatency = this.#params.pioLatency;
    this.#wiring = { bus, ram, ioApicSource };
    const functionalOnly = (): never => panic(this.path, 'a timing answer to a functional access');
    this.memory = new RequestPort(`${this.path}.memory`, {
      recvTimingResp: functionalOnly,
      recvReqRetry: functionalOnly,
    });
    this.#tables = new GuestTables(this.memory, ram);
    this.#dmaRemapping = new DmaRemapping(this.#tables);
    const regs = this.state('regs', this.#registers());
    this.#regs = regs;
    if (this.#params.eim) regs.set('extendedLow', regs.get('extendedLow') | EXTENDED_INTERRUPT_MODE);
    const isExtended = (): boolean => this.#isExtended.value;
    this.#faultEvent = new EventMessage(regs, 'fault', bus, isExtended);
    this.#completionEvent = new EventMessage(regs, 'completion', bus, isExtended);
    this.#faults = new FaultLog(regs, this.#faultEvent, this.#nextRecord);
    this.#queue = new InvalidationQueue(regs, this.#tables, this.#faults, this.#completionEvent);
    this.#place();
  }

  /** A way to memory for a requester. Both its ports are to be bound. */
  addRequester(sourceId: number): RemappedPort {
    const path = `${this.path}.ports[${this.#ports.length}]`;
    const port = new RemappedPort(path, this.eventQueue, this, sourceId, () => this.reportIfDrained());
    this.#ports.push(port);
    return port;
  }

  remap(packet: Packet, sourceId: number): Ticks {
    const { addr, sizeBytes } = packet;
    if (isInterruptAddress(addr)) this.#interruptFrom(packet, sourceId);
    else {
      this.stats.numRequests.inc();
      if ((addr % PAGE_BYTES) + sizeBytes > PAGE_BYTES) panic(this.path, `${packet} leaves its page`);
      if (this.#regs.field('globalStatus', 'translation') !== 0) this.#translate(packet, sourceId);
      if (packet.isRequest && this.#isProtected(packet)) packet.makeError(Command.BadAddressError);
    }
    return this.#tableTime();
  }

  override drain(): DrainAnswer {
    return this.#ports.every(({ isIdle }) => isIdle) ? super.drain() : 'draining';
  }

  #registers(): RegisterFile<typeof VTD_REGISTERS> {
    return new RegisterFile(
      VTD_REGISTERS,
      {
        globalCommand: { write: (command) => this.#command(command) },
        contextCommandHigh: { write: () => this.#invalidated('contextCommandHigh') },
        iotlbHigh: { write: () => this.#invalidated('iotlbHigh') },
        faultStatus: { write: () => this.#faultStatusWritten() },
        faultControl: { write: () => this.#faultEvent.controlWritten() },
        completionControl: { write: () => this.#completionEvent.controlWritten() },
        completionStatus: { write: () => this.#completionStatusWritten() },
        queueTail: { write: () => this.#processQueue() },
        protectedMemory: {
          write: () =>
            this.#regs.setField('protectedMemory', 'status', this.#regs.field('protectedMemory', 'enable')),
        },
      },
      { sizeBytes: FAULT_RECORDS_AT },
    );
  }

  /** Registers, fault recording registers, and zeros up to the end of the page. */
  #place(): void {
    const { base } = this.#params;
    this.addBank(asPhysAddr(base), this.#regs);
    let at = FAULT_RECORDS_AT;
    for (const [i, record] of this.#faults.records.entries()) {
      this.addBank(asPhysAddr(base + at), this.state(`fault${i}`, record));
      at += record.sizeBytes;
    }
    this.addBank(asPhysAddr(base + at), new RegisterFile({}, {}, { sizeBytes: BANK_BYTES - at }));
  }

  /** GCMD_REG: every command is carried out at once. */
  #command(command: number): void {
    const regs = this.#regs;
    if ((command & SET_ROOT_TABLE) !== 0) {
      this.#rootTable.value = regs.get('rootTableHigh') * 2 ** 32 + regs.get('rootTableLow');
      regs.setField('globalStatus', 'rootTable', 1);
    }
    if ((command & SET_INTERRUPT_TABLE) !== 0) this.#setInterruptTable();
    for (const [name, n] of Object.entries(SWITCHES))
      regs.setField('globalStatus', name as keyof typeof SWITCHES, (command >>> n) & 1);
    if (regs.field('globalStatus', 'queuedInvalidation') === 0) regs.set('queueHead', 0);
    this.#processQueue();
  }

  #processQueue(): void {
    this.#queue.process();
    this.#tableTime();
  }

  /** What the tables took that have been read since last asked. Only DMA waits for it. */
  #tableTime(): Ticks {
    const reads = this.#tables.takeReads();
    this.stats.numTableReads.inc(reads);
    return (reads * this.#params.tableLatency) as Ticks;
  }

  #setInterruptTable(): void {
    const regs = this.#regs;
    const low = (regs.get('interruptTableLow') & ~(PAGE_BYTES - 1)) >>> 0;
    this.#interruptTable.value = regs.get('interruptTableHigh') * 2 ** 32 + low;
    this.#interruptEntries.value = 2 ** (regs.field('interruptTableLow', 'size') + 1);
    this.#isExtended.value = this.#params.eim && regs.field('interruptTableLow', 'extended') !== 0;
    regs.setField('globalStatus', 'interruptTable', 1);
  }

  /** A register-based invalidation is over: the granularity is the one that was asked for. */
  #invalidated(name: 'contextCommandHigh' | 'iotlbHigh'): void {
    if (this.#regs.field(name, 'invalidate') === 0) return;
    this.#regs.setField(name, 'invalidate', 0);
    this.#regs.setField(name, 'actual', this.#regs.field(name, 'requested'));
  }

  /** A queue error that software has cleared lets the queue go on. */
  #faultStatusWritten(): void {
    this.#faults.statusWritten();
    this.#processQueue();
  }

  #completionStatusWritten(): void {
    if (this.#regs.field('completionStatus', 'wait') === 0) this.#completionEvent.withdraw();
  }

  /** An interrupt request is one aligned store of 32 bits; other accesses there are refused. */
  #interruptFrom(packet: Packet, sourceId: number): void {
    const { addr: address, sizeBytes } = packet;
    if (packet.isRead || sizeBytes !== 4 || address % 4 !== 0) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    this.#interrupt({ address, data: packet.getUint(), sourceId }, sourceId);
    packet.makeResponse();
  }

  #interrupt(request: InterruptRequest, requester: number): boolean {
    this.stats.numInterrupts.inc();
    const message = this.#messageOf(request);
    if (!('reason' in message)) return this.#wiring.bus.send(message);
    const infoHigh = isRemappable(request) ? (interruptIndex(request) & 0xffff) * 0x1_0000 : 0;
    this.#block(message, { sourceId: requester, isRead: false, infoLow: 0, infoHigh });
    return false;
  }

  /** Compatibility format passes if software lets it, and never in extended interrupt mode: §5.1.4. */
  #messageOf(request: InterruptRequest): InterruptMessage | Fault {
    const { address, data } = request;
    const regs = this.#regs;
    if (regs.field('globalStatus', 'interruptRemapping') === 0) return messageFromMsi(address, data);
    if (isRemappable(request)) {
      const table = {
        address: this.#interruptTable.value,
        entries: this.#interruptEntries.value,
        isExtended: this.#isExtended.value,
      };
      return remapInterrupt(this.#tables, table, request);
    }
    const passes = regs.field('globalStatus', 'compatibilityFormat') !== 0 && !this.#isExtended.value;
    return passes ? messageFromMsi(address, data) : loud(FaultReason.compatibilityFormat);
  }

  #translate(packet: Packet, sourceId: number): void {
    const { addr: address, isRead, isWrite } = packet;
    const request = { sourceId, address, isRead, isWrite };
    const to = this.#dmaRemapping.translate(this.#rootTable.value, request);
    if (typeof to === 'number') {
      packet.addr = to;
      return;
    }
    const page = Math.floor(address / PAGE_BYTES) * PAGE_BYTES;
    const info = { infoLow: page % 2 ** 32, infoHigh: Math.floor(page / 2 ** 32) };
    this.#block(to, { sourceId, isRead: isRead && !isWrite, ...info });
    packet.makeError(Command.BadAddressError);
  }

  #block({ reason, isSilent }: Fault, record: Omit<FaultRecord, 'reason'>): void {
    this.stats.numFaults.inc();
    if (!isSilent) this.#faults.record({ reason, ...record });
  }

  /** PMEN_REG: requests to protected memory are blocked, and not reported. Of translated ones it is the address in memory. */
  #isProtected({ addr, sizeBytes }: Packet): boolean {
    const regs = this.#regs;
    if (regs.field('protectedMemory', 'status') === 0) return false;
    const high = (name: 'highBase' | 'highLimit') =>
      regs.get(`${name}High`) * 2 ** 32 + regs.get(`${name}Low`);
    const spans = [
      [regs.get('lowBase'), regs.get('lowLimit')],
      [high('highBase'), high('highLimit')],
    ] as const;
    // The last piece of 2 MiB is in.
    return spans.some(([base, limit]) => addr + sizeBytes > base && addr < limit + 0x20_0000);
  }
}
