/**
 * I/O APIC: 24 inputs, each with an entry that says which message its interrupt becomes. Intel 82093AA data sheet
 * (290566-001), §3. Version 0x11, as KVM's: there is no EOI register, remote IRR ends with the EOI message only.
 */
import { IO_APIC_INPUTS, type IoApicState } from '../../../arch/x86/interrupt-state.ts';
import { DeliveryMode, messageFromMsi } from '../../../arch/x86/interrupts.ts';
import { asPhysAddr } from '../../../mem/addr.ts';
import { declareParams, int, type ParamInputs } from '../../../sim/params.ts';
import type { PinSink } from '../../../sim/pin.ts';
import type { SimObject } from '../../../sim/sim-object.ts';
import { type ArrayCell, arrayCell, numberCell } from '../../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../../pio-device.ts';
import { bit, bits, RegisterFile, reg } from '../../register-file.ts';
import type { ApicBus, EoiListener } from './apic-bus.ts';

export const IO_APIC_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  id: int({ default: 0, min: 0, max: 15, description: 'APIC id after reset' }),
});
export type IoApicParams = ParamInputs<typeof IO_APIC_PARAMS>;

/** The two registers in memory: an index, and the register that it selects. */
export const IO_APIC_WINDOW = {
  ioregsel: reg({ at: 0x00, sizeBytes: 4, writable: 0xff, doc: 'I/O register select' }),
  iowin: reg({ at: 0x10, sizeBytes: 4, doc: 'I/O window' }),
};

/** The selected registers: `at` is their index. The two words of an entry are 0x10 + 2 × input and the one after it. */
export const IO_APIC_REGISTERS = {
  id: reg({ at: 0, sizeBytes: 4, writable: 0x0f00_0000, doc: 'APIC id', fields: { id: bits(27, 24) } }),
  version: reg({
    at: 1,
    sizeBytes: 4,
    access: 'ro',
    reset: ((IO_APIC_INPUTS - 1) << 16) | 0x11,
    doc: 'version, and highest input',
  }),
  arbitration: reg({ at: 2, sizeBytes: 4, access: 'ro', doc: 'arbitration id' }),
  redirectionLow: reg({
    at: 0x10,
    sizeBytes: 4,
    writable: 0x1_afff,
    reset: 0x1_0000,
    doc: 'redirection entry, low word',
    fields: {
      vector: bits(7, 0),
      mode: bits(10, 8),
      logical: bit(11),
      status: bit(12),
      polarity: bit(13),
      remoteIrr: bit(14),
      level: bit(15),
      masked: bit(16),
    },
  }),
  redirectionHigh: reg({
    at: 0x11,
    sizeBytes: 4,
    writable: 0xff00_0000,
    doc: 'redirection entry, high word; before an IOMMU 23:16 can be written, too, the extended destination id of later chips',
    fields: { destination: bits(31, 24) },
  }),
};

/** Extended destination id: bits 11:4 of the address (Intel I/O Controller Hub 9 data sheet, §13.5.7). */
const EXTENDED_DESTINATION = 0x00ff_0000;
const MSI_BASE = 0xfee0_0000;
const IO_APIC_BASE = 0xfec0_0000;
const BANK_SIZE = 0x1000;
const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x1_0000;
/** Of a message's data: a level-triggered interrupt begins. */
const ASSERT = 0x4000;

/** An IOMMU, as the I/O APIC sees it: takes what would be an MSI. false: nobody accepts it. */
export type InterruptRequestSink = (address: number, data: number) => boolean;

/**
 * An input's level is its assertion: whether a wire is active high or low is between the wire and the entry's polarity
 * bit, which is kept and has no effect.
 */
export class IoApic extends PioDevice implements EoiListener {
  readonly #request: InterruptRequestSink;
  /** Bits of the high words of entries that software can change. */
  readonly #writableHigh: number;
  readonly #window: RegisterFile<typeof IO_APIC_WINDOW>;
  readonly #id: ReturnType<typeof numberCell>;
  /** A bit per asserted input. */
  readonly #asserted = this.state('asserted', numberCell());
  /** Low and high words in turn. */
  readonly #redirection: ArrayCell<Uint32Array>;

  /** @param remapper what its interrupts go through on their way to the bus */
  constructor(
    parent: SimObject,
    name: string,
    bus: ApicBus,
    given: IoApicParams = {},
    remapper?: InterruptRequestSink,
  ) {
    super(parent, name);
    const { id, pioLatency } = this.resolveParams(IO_APIC_PARAMS, given);
    this.pioLatency = pioLatency;
    this.#request = remapper ?? ((address, data) => bus.send(messageFromMsi(address, data)));
    const { writable } = IO_APIC_REGISTERS.redirectionHigh;
    this.#writableHigh = remapper === undefined ? writable : (writable | EXTENDED_DESTINATION) >>> 0;
    this.#id = this.state('id', numberCell(id));
    this.#redirection = this.state('redirection', arrayCell(new Uint32Array(2 * IO_APIC_INPUTS)));
    const { redirectionLow, redirectionHigh } = IO_APIC_REGISTERS;
    for (let i = 0; i < IO_APIC_INPUTS; i++) {
      this.#redirection.array.set([redirectionLow.reset, redirectionHigh.reset], 2 * i);
    }
    const iowin = { read: () => this.#read(), write: (value: number) => this.#write(value) };
    this.#window = new RegisterFile(IO_APIC_WINDOW, { iowin }, { sizeBytes: BANK_SIZE });
    this.state('window', this.#window);
    this.addBank(asPhysAddr(IO_APIC_BASE), this.#window);
    bus.attachIoApic(this);
  }

  /** Input 0 to 23. */
  input(n: number): PinSink {
    if (!Number.isInteger(n) || n < 0 || n >= IO_APIC_INPUTS) throw new RangeError(`no input ${n}`);
    return { setLevel: (level) => this.#setInput(n, level) };
  }

  endOfInterrupt(vector: number): void {
    const entries = this.#redirection.array;
    for (let n = 0; n < IO_APIC_INPUTS; n++) {
      const low = entries[2 * n]!;
      if ((low & 0xff) !== vector || (low & REMOTE_IRR) === 0) continue;
      entries[2 * n] = low & ~REMOTE_IRR;
      this.#serveLevel(n);
    }
  }

  saveState(): IoApicState {
    const redirection = this.#redirection.array.slice();
    let irr = 0;
    for (let n = 0; n < IO_APIC_INPUTS; n++) if ((redirection[2 * n]! & LEVEL) !== 0) irr |= 1 << n;
    irr &= this.#asserted.value;
    return { id: this.#id.value, ioregsel: this.#window.get('ioregsel'), irr, redirection };
  }

  /** Inputs in `irr` are asserted anew: an edge among them is delivered. */
  restoreState({ id, ioregsel, irr, redirection }: IoApicState): void {
    this.#id.value = id;
    this.#window.set('ioregsel', ioregsel);
    this.#redirection.array.set(redirection);
    this.#asserted.value = 0;
    for (let n = 0; n < IO_APIC_INPUTS; n++) if (((irr >>> n) & 1) !== 0) this.#setInput(n, true);
  }

  #setInput(n: number, level: boolean): void {
    const before = this.#asserted.value;
    const now = level ? before | (1 << n) : before & ~(1 << n);
    if (now === before) return;
    this.#asserted.value = now;
    if (!level) return;
    const low = this.#redirection.array[2 * n]!;
    if ((low & LEVEL) !== 0) this.#serveLevel(n);
    // An edge at a masked input is lost (data sheet §3.2.4, interrupt mask).
    else if ((low & MASKED) === 0) this.#send(n);
  }

  /** A level-triggered input requests until the processor's EOI, and after it again if it is still asserted. */
  #serveLevel(n: number): void {
    const entries = this.#redirection.array;
    const low = entries[2 * n]!;
    const isAsserted = ((this.#asserted.value >>> n) & 1) !== 0;
    if (!isAsserted || (low & (MASKED | REMOTE_IRR | LEVEL)) !== LEVEL) return;
    // Set before the message goes: a processor may answer at once.
    if (hasEoi(low)) entries[2 * n] = low | REMOTE_IRR;
    if (!this.#send(n)) entries[2 * n]! &= ~REMOTE_IRR;
  }

  /** An entry is a message in other words: its high half is bits 19:4 of the address, the destination mode bit 2. */
  #send(n: number): boolean {
    const low = this.#redirection.array[2 * n]!;
    const high = this.#redirection.array[2 * n + 1]!;
    const address = MSI_BASE + ((high >>> 16) << 4) + ((low & 0x800) >>> 9);
    const isLevel = (low & LEVEL) !== 0 && hasEoi(low);
    return this.#request(address, (low & 0x7ff) | (isLevel ? LEVEL | ASSERT : 0));
  }

  #read(): number {
    const index = this.#window.get('ioregsel');
    const { id, version, arbitration, redirectionLow } = IO_APIC_REGISTERS;
    if (index === id.at || index === arbitration.at) return this.#id.value << 24;
    if (index === version.at) return version.reset;
    return this.#redirection.array[index - redirectionLow.at] ?? 0;
  }

  #write(value: number): void {
    const index = this.#window.get('ioregsel');
    const { id, redirectionLow } = IO_APIC_REGISTERS;
    const entries = this.#redirection.array;
    const word = index - redirectionLow.at;
    if (index === id.at) {
      this.#id.value = (value >>> 24) & 0xf;
    } else if (word >= 0 && word < entries.length) {
      const writable = word % 2 === 0 ? redirectionLow.writable : this.#writableHigh;
      entries[word] = (entries[word]! & ~writable) | (value & writable);
      this.#entryWritten(word >>> 1);
    }
  }

  /** Edge-triggered, an entry has no remote IRR: this is how software gets rid of it without an EOI. */
  #entryWritten(n: number): void {
    const entries = this.#redirection.array;
    if ((entries[2 * n]! & LEVEL) === 0) entries[2 * n]! &= ~REMOTE_IRR;
    this.#serveLevel(n);
  }
}

/** NMI, INIT, SMI and ExtINT are edge-triggered whatever the entry says: no EOI ends them. */
function hasEoi(low: number): boolean {
  const mode = (low >>> 8) & 7;
  return mode === DeliveryMode.Fixed || mode === DeliveryMode.LowestPriority;
}
