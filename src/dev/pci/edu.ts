/**
 * The educational device of QEMU (docs/specs/edu.rst there), PCI 1234:11e8: a device to write a first driver for. It inverts
 * a number, computes factorials, copies between memory and a buffer of 4 KiB by DMA, and interrupts by INTx or MSI.
 *
 * Differences to QEMU: factorials and transfers take the simulated time that parameters say; a transfer that leaves the buffer is
 * not made, with a warning, where QEMU ends.
 */
import { SimEvent } from '../../sim/event-queue.ts';
import { declareParams, duration, int, type ParamInputs } from '../../sim/params.ts';
import { arrayCell, eventCell } from '../../sim/state.ts';
import type { Ticks } from '../../sim/tick.ts';
import { bit, type RegisterBank, RegisterFile, reg } from '../register-file.ts';
import { PciEndpoint, type PciEndpointWiring } from './pci-endpoint.ts';
import type { PciAddress, PciBus } from './pci-function.ts';
import { msiCapability } from './pci-msi.ts';

const half = (at: number, doc: string) => reg({ at, sizeBytes: 4, doc });

export const EDU_REGISTERS = {
  identification: reg({
    at: 0x00,
    sizeBytes: 4,
    access: 'ro',
    reset: 0x0100_00ed,
    doc: 'version 1.0, and 0xed',
  }),
  liveness: reg({ at: 0x04, sizeBytes: 4, doc: 'reads as the inverse of what was written' }),
  factorial: reg({ at: 0x08, sizeBytes: 4, doc: 'n; n! modulo 2³² when it has been computed' }),
  status: reg({
    at: 0x20,
    sizeBytes: 4,
    writable: 0x80,
    doc: 'status',
    fields: { computing: bit(0), interruptEnable: bit(7) },
  }),
  interruptStatus: reg({
    at: 0x24,
    sizeBytes: 4,
    access: 'ro',
    doc: 'why it interrupts',
    fields: { factorial: bit(0), dma: bit(8) },
  }),
  interruptRaise: reg({ at: 0x60, sizeBytes: 4, access: 'wo', doc: 'bits to set in the interrupt status' }),
  interruptAcknowledge: reg({
    at: 0x64,
    sizeBytes: 4,
    access: 'wo',
    doc: 'bits to clear in the interrupt status',
  }),
  dmaSourceLow: half(0x80, 'DMA source, bits 31:0; the buffer is at 0x40000'),
  dmaSourceHigh: half(0x84, 'DMA source, bits 63:32'),
  dmaDestinationLow: half(0x88, 'DMA destination, bits 31:0'),
  dmaDestinationHigh: half(0x8c, 'DMA destination, bits 63:32'),
  dmaCountLow: half(0x90, 'bytes to transfer, bits 31:0'),
  dmaCountHigh: half(0x94, 'bytes to transfer, bits 63:32'),
  dmaCommand: reg({
    at: 0x98,
    sizeBytes: 4,
    writable: 0x7,
    doc: 'DMA command; DMA registers do not change while it runs',
    fields: { run: bit(0), toMemory: bit(1), interrupt: bit(2) },
  }),
};

const IDENTITY = { vendor: 0x1234, device: 0x11e8, revision: 0x10, classCode: 0x00_ff_00 } as const;
const MSI_AT = 0x40;
const BAR_BYTES = 0x10_0000;
const BUFFER_AT = 0x4_0000;
const BUFFER_BYTES = 0x1000;
/** Bits of the interrupt status. */
const FACTORIAL_DONE = 0x001;
const DMA_DONE = 0x100;
/** From here on n! is a multiple of 2³². */
const FACTORIAL_VANISHES = 34;
/** The name of its transfer. */
const COPY = 'copy';

export const EDU_PARAMS = declareParams({
  factorialLatency: duration({ default: '1ms', description: 'time that a factorial takes' }),
  dmaLatency: duration({
    default: '1ms',
    description: "time from a DMA command to the transfer (QEMU's edu: 100 ms)",
  }),
  dmaMask: int({
    default: 0x0fff_ffff,
    min: 0,
    description: 'bits of an address of memory that it drives: 28 by default',
  }),
});

export class Edu extends PciEndpoint {
  readonly #regs: RegisterFile<typeof EDU_REGISTERS>;
  readonly #buffer = this.state('buffer', arrayCell(new Uint8Array(BUFFER_BYTES))).array;
  readonly #dmaMask: bigint;
  readonly #factorialLatency: Ticks;
  readonly #dmaLatency: Ticks;
  readonly #factorialEvent: SimEvent;
  readonly #dmaEvent: SimEvent;

  constructor(
    parent: PciBus,
    name: string,
    address: PciAddress,
    { memoryMode, ...given }: PciEndpointWiring & ParamInputs<typeof EDU_PARAMS>,
  ) {
    // The function is made with its BARs, the registers with the function: they meet when software comes.
    let regs: RegisterBank | undefined;
    const bank = wordsOnly(BAR_BYTES, () => regs!);
    const identity = {
      ...IDENTITY,
      interruptPin: 1,
      bars: [{ index: 0, kind: 'memory', bank }],
      capabilities: [msiCapability(MSI_AT)],
    } as const;
    super(parent, name, address, identity, { memoryMode });
    const params = this.resolveParams(EDU_PARAMS, given);
    this.#dmaMask = BigInt(params.dmaMask);
    this.#factorialLatency = params.factorialLatency;
    this.#dmaLatency = params.dmaLatency;
    this.#regs = this.state('regs', this.#registers());
    regs = this.#regs;
    this.#factorialEvent = new SimEvent(`${this.path}.factorial`, () => this.#factorialDone());
    this.#dmaEvent = new SimEvent(`${this.path}.dma`, () => this.#startTransfer());
    this.state('factorialEvent', eventCell(this.eventQueue, this.#factorialEvent));
    this.state('dmaEvent', eventCell(this.eventQueue, this.#dmaEvent));
  }

  protected override dmaDone(_tag: string, data: Uint8Array): void {
    if (this.#regs.field('dmaCommand', 'toMemory') === 0)
      this.#buffer.set(data, this.#address('dmaDestination') - BUFFER_AT);
    this.#dmaDone();
  }

  #registers(): RegisterFile<typeof EDU_REGISTERS> {
    const dma = (name: keyof typeof EDU_REGISTERS) => ({
      write: (_value: number, previous: number) => {
        if (this.#isTransferring) this.#regs.set(name, previous);
      },
    });
    return new RegisterFile(
      EDU_REGISTERS,
      {
        liveness: { read: () => ~this.#regs.get('liveness') >>> 0 },
        factorial: { write: (_value, previous) => this.#compute(previous) },
        interruptRaise: { write: (bits) => this.#raise(bits) },
        interruptAcknowledge: { write: (bits) => this.#acknowledge(bits) },
        dmaSourceLow: dma('dmaSourceLow'),
        dmaSourceHigh: dma('dmaSourceHigh'),
        dmaDestinationLow: dma('dmaDestinationLow'),
        dmaDestinationHigh: dma('dmaDestinationHigh'),
        dmaCountLow: dma('dmaCountLow'),
        dmaCountHigh: dma('dmaCountHigh'),
        dmaCommand: { write: (value, previous) => this.#command(value, previous) },
      },
      { sizeBytes: BAR_BYTES },
    );
  }

  /** A number that comes while another is computed is lost. */
  #compute(previous: number): void {
    if (this.#regs.field('status', 'computing') !== 0) {
      this.#regs.set('factorial', previous);
      return;
    }
    this.#regs.setField('status', 'computing', 1);
    this.eventQueue.schedule(this.#factorialEvent, this.#factorialLatency);
  }

  #factorialDone(): void {
    this.#regs.set('factorial', factorial(this.#regs.get('factorial')));
    this.#regs.setField('status', 'computing', 0);
    if (this.#regs.field('status', 'interruptEnable') !== 0) this.#raise(FACTORIAL_DONE);
  }

  #raise(bits: number): void {
    const status = this.#regs.get('interruptStatus') | bits;
    this.#regs.set('interruptStatus', status);
    if (status !== 0) this.raiseInterrupt();
  }

  #acknowledge(bits: number): void {
    const status = this.#regs.get('interruptStatus') & ~bits;
    this.#regs.set('interruptStatus', status);
    if (status === 0) this.lowerInterrupt();
  }

  get #isTransferring(): boolean {
    return this.#dmaEvent.scheduled || this.dma.isPending(COPY);
  }

  /** Without the run bit, or while a transfer runs, a command does nothing. */
  #command(value: number, previous: number): void {
    if (this.#isTransferring || (value & 1) === 0) this.#regs.set('dmaCommand', previous);
    else this.eventQueue.schedule(this.#dmaEvent, this.#dmaLatency);
  }

  #startTransfer(): void {
    const toMemory = this.#regs.field('dmaCommand', 'toMemory') !== 0;
    const inBuffer = this.#address(toMemory ? 'dmaSource' : 'dmaDestination') - BUFFER_AT;
    const count = this.#address('dmaCount');
    if (inBuffer < 0 || inBuffer + count > BUFFER_BYTES) {
      this.warnOnce('a DMA transfer that leaves the buffer is not made');
      this.#dmaDone();
      return;
    }
    const address = this.#memoryAddress(toMemory ? 'dmaDestination' : 'dmaSource');
    if (toMemory) this.dma.write(COPY, address, this.#buffer.subarray(inBuffer, inBuffer + count));
    else this.dma.read(COPY, address, count);
  }

  #dmaDone(): void {
    this.#regs.setField('dmaCommand', 'run', 0);
    if (this.#regs.field('dmaCommand', 'interrupt') !== 0) this.#raise(DMA_DONE);
  }

  /** A register of 64 bits; large values are not exact, and too large for anything. */
  #address(name: 'dmaSource' | 'dmaDestination' | 'dmaCount'): number {
    return this.#regs.get(`${name}High`) * 2 ** 32 + this.#regs.get(`${name}Low`);
  }

  /** What of an address it drives on the bus. */
  #memoryAddress(name: 'dmaSource' | 'dmaDestination'): number {
    const address = (BigInt(this.#regs.get(`${name}High`)) << 32n) | BigInt(this.#regs.get(`${name}Low`));
    return Number(address & this.#dmaMask);
  }
}

/** Modulo 2³². */
function factorial(n: number): number {
  if (n >= FACTORIAL_VANISHES) return 0;
  let product = 1;
  for (let i = 2; i <= n; i++) product = Math.imul(product, i);
  return product >>> 0;
}

/** A bank whose registers are accessed in aligned words of 32 bits only; all else reads as ones and writes nothing. */
function wordsOnly(sizeBytes: number, registers: () => RegisterBank): RegisterBank {
  const isWord = (offset: number, count: number): boolean => count === 4 && offset % 4 === 0;
  return {
    sizeBytes,
    read: (offset, count) =>
      isWord(offset, count) ? registers().read(offset, count) : 0xffff_ffff >>> (32 - 8 * count),
    write: (offset, count, value) => {
      if (isWord(offset, count)) registers().write(offset, count, value);
    },
  };
}
