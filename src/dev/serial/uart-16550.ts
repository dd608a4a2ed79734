/**
 * The 16550A serial port: FIFOs of 16 bytes, modem control, loopback, interrupts (National Semiconductor PC16550D data
 * sheet, section 8; numbers of paragraphs are its). What is not modelled is the line: characters leave at once, whole,
 * whatever speed and format are programmed, so that a console is as fast as the simulation. Only the character timeout,
 * which software can wait for, takes its time.
 */
import type { PhysAddr } from '../../mem/addr.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { bool, declareParams, frequency, type ParamInputs } from '../../sim/params.ts';
import { OutputPin } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { booleanCell, eventCell } from '../../sim/state.ts';
import { TICKS_PER_SECOND, type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bit, bits, RegisterFile, reg } from '../register-file.ts';
import { BREAK, type CharBackend, NO_INPUT } from './char-backend.ts';
import { UartFifo } from './uart-fifo.ts';

/** MSR 7:4: DCD, RI, DSR, CTS, as the cable brings them: a terminal that is on and ready. */
const MSR_CONNECTED = 0xb0;

export const UART_16550_REGISTERS = {
  rbr: reg({ at: 0, when: 'dlab0', access: 'ro', doc: 'receiver buffer' }),
  thr: reg({ at: 0, when: 'dlab0', access: 'wo', doc: 'transmitter holding register' }),
  ier: reg({
    at: 1,
    when: 'dlab0',
    writable: 0x0f,
    doc: 'interrupt enable: received data, transmitter empty, line status, modem status',
    fields: { erbfi: bit(0), etbei: bit(1), elsi: bit(2), edssi: bit(3) },
  }),
  iir: reg({ at: 2, access: 'ro', reset: 0x01, doc: 'interrupt identification' }),
  fcr: reg({
    at: 2,
    access: 'wo',
    doc: 'FIFO control: enable, clear receiver, clear transmitter, DMA mode, trigger level 1, 4, 8, 14',
    fields: { enable: bit(0), clearRx: bit(1), clearTx: bit(2), dmaMode: bit(3), trigger: bits(7, 6) },
  }),
  lcr: reg({
    at: 3,
    doc: 'line control: word length, stop bits, parity, break, divisor latch access',
    fields: { wls: bits(1, 0), stb: bit(2), pen: bit(3), setBreak: bit(6), dlab: bit(7) },
  }),
  mcr: reg({
    at: 4,
    writable: 0x1f,
    doc: 'modem control; OUT2 lets the interrupt through on a PC',
    fields: { dtr: bit(0), rts: bit(1), out1: bit(2), out2: bit(3), loop: bit(4) },
  }),
  lsr: reg({
    at: 5,
    access: 'ro',
    reset: 0x60,
    doc: 'line status: data ready, overrun, parity, framing, break, transmitter empty, errors in FIFO',
    fields: { dr: bit(0), oe: bit(1), bi: bit(4), thre: bit(5), temt: bit(6), fifoError: bit(7) },
  }),
  msr: reg({
    at: 6,
    access: 'ro',
    reset: MSR_CONNECTED,
    doc: 'modem status: changes, and CTS, DSR, RI, DCD',
  }),
  scr: reg({ at: 7, doc: 'scratch' }),
  dll: reg({ at: 0, when: 'dlab1', reset: 12, doc: 'divisor latch, low: 9600 baud at reset' }),
  dlm: reg({ at: 1, when: 'dlab1', doc: 'divisor latch, high' }),
};

/** IIR bits 3:0, in order of priority (table III). */
const Iir = { lineStatus: 0x6, dataAvailable: 0x4, timeout: 0xc, thrEmpty: 0x2, modemStatus: 0x0, none: 0x1 };
const IIR_FIFOS_ENABLED = 0xc0;

/** LSR errors that a read clears: overrun, parity, framing, break. */
const LSR_ERRORS = 0x1e;

const MSR_DELTAS = 0x0f;
const RI = 0x40;

const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
const FIFO_DEPTH = 16;

export const UART_16550_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  clock: frequency({
    default: 1_843_200,
    description: 'input of the baud rate generator, 16 × divisor × baud',
  }),
  flowControl: bool({
    default: false,
    description: 'input waits until the guest raises RTS: nothing is lost while it starts up',
  }),
});

export class Uart16550 extends PioDevice {
  /** The interrupt request as it reaches the bus: through the gate that OUT2 opens. */
  readonly interrupt = new OutputPin();
  readonly #backend: CharBackend;
  readonly #clockHz: number;
  readonly #flowControl: boolean;
  readonly #regs = this.state(
    'regs',
    new RegisterFile(
      UART_16550_REGISTERS,
      {
        rbr: { read: () => this.#readData() },
        thr: { write: (value) => this.#transmit(value) },
        ier: { write: (value, previous) => this.#writeIer(value, previous) },
        iir: { read: () => this.#readIir() },
        fcr: { write: (value, previous) => this.#writeFcr(value, previous) },
        lcr: { write: (value, previous) => this.#writeLcr(value, previous) },
        mcr: { write: () => this.#writeMcr() },
        lsr: { read: () => this.#readLsr() },
        msr: { read: () => this.#readMsr() },
      },
      { selection: (): string => this.#selection },
    ),
  );
  readonly #rx = this.state('rx', new UartFifo(FIFO_DEPTH));
  /** The transmitter has become empty, and nobody has been told or has heard. */
  readonly #thrInterrupt = this.state('thrInterrupt', booleanCell());
  /** Characters lie in the FIFO below the trigger level, and neither came nor went for four character times. */
  readonly #timeoutInterrupt = this.state('timeoutInterrupt', booleanCell());
  readonly #timeout = new SimEvent(`${this.path}.timeout`, () => this.#timedOut());
  /** Not saved: what has not been fetched from the back end is outside the simulation. */
  readonly #fetch = new SimEvent(`${this.path}.fetch`, () => this.#fetchInput());

  constructor(
    parent: SimObject,
    name: string,
    {
      base,
      backend,
      ...given
    }: { readonly base: PhysAddr; readonly backend: CharBackend } & ParamInputs<typeof UART_16550_PARAMS>,
  ) {
    super(parent, name);
    const params = this.resolveParams(UART_16550_PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.#clockHz = params.clock;
    this.#flowControl = params.flowControl;
    this.#backend = backend;
    this.addBank(base, this.#regs);
    this.state('timeout', eventCell(this.eventQueue, this.#timeout));
    backend.connect({
      inputArrived: () => this.#inputArrived(),
      trouble: (message) => this.warnOnce(message),
    });
    this.root.addIdleSource({
      canWake: () => backend.canInput && this.#isListening,
      wait: (maxMs) => backend.waitForInput(maxMs),
    });
    this.root.beforeProcessExit(() => backend.close());
  }

  override startup(): void {
    this.#inputArrived();
  }

  override restored(): void {
    this.#updateInterrupt();
  }

  /** Whether input would interrupt the guest: only then is it worth waiting for. A full FIFO has done so already. */
  get #isListening(): boolean {
    const hasRoom = this.#rx.length < this.#capacity;
    return this.#regs.field('ier', 'erbfi') === 1 && this.#isGateOpen && this.#isReady && hasRoom;
  }

  /** OUT2 drives the gate of the interrupt line; a loop holds all modem outputs inactive (8.6.4). */
  get #isGateOpen(): boolean {
    return this.#regs.field('mcr', 'out2') === 1 && !this.#isLooped;
  }

  /** Whether the guest allows the other end to send. */
  get #isReady(): boolean {
    return !this.#flowControl || this.#regs.field('mcr', 'rts') === 1;
  }

  get #isLooped(): boolean {
    return this.#regs.field('mcr', 'loop') === 1;
  }

  get #hasFifos(): boolean {
    return this.#regs.field('fcr', 'enable') === 1;
  }

  get #capacity(): number {
    return this.#hasFifos ? FIFO_DEPTH : 1;
  }

  get #selection(): string {
    return this.#regs.field('lcr', 'dlab') === 1 ? 'dlab1' : 'dlab0';
  }

  // ---- receiver ----

  #inputArrived(): void {
    if (!this.#fetch.scheduled) this.eventQueue.schedule(this.#fetch, ZERO_TICKS);
  }

  /** Takes as much input as fits: the other end never overruns the receiver. */
  #fetchInput(): void {
    if (this.#isLooped || !this.#isReady) return;
    while (this.#rx.length < this.#capacity) {
      const received = this.#backend.read();
      if (received === NO_INPUT) break;
      this.#receive(received);
    }
  }

  /** A character arrives, from outside or around the loop. */
  #receive(received: number): void {
    if (this.#rx.length < this.#capacity) this.#rx.push(received);
    else {
      this.#regs.setField('lsr', 'oe', 1);
      // Without FIFOs the new character takes the place of the old one; with them it is the one that is lost (8.6.3).
      if (!this.#hasFifos) this.#rx.replaceLast(received);
    }
    this.#showFirst();
    this.#restartTimeout();
    this.#updateInterrupt();
  }

  #readData(): number {
    const received = this.#rx.shift() ?? 0;
    this.#timeoutInterrupt.value = false;
    this.#showFirst();
    this.#restartTimeout();
    this.#updateInterrupt();
    this.#fetchInput();
    return received & 0xff;
  }

  /** LSR tells of the character that is next to be read; a break shows when it comes to the top (8.6.3). */
  #showFirst(): void {
    this.#regs.setField('lsr', 'dr', this.#rx.isEmpty ? 0 : 1);
    if (this.#rx.first === BREAK) {
      this.#regs.setField('lsr', 'bi', 1);
      this.#rx.forgiveFirst();
    }
  }

  /** 8.5, "FIFO interrupt mode operation": four characters of silence with something in the FIFO. */
  #restartTimeout(): void {
    if (this.#timeout.scheduled) this.eventQueue.deschedule(this.#timeout);
    if (this.#hasFifos && !this.#rx.isEmpty && !this.#timeoutInterrupt.value) {
      this.eventQueue.schedule(this.#timeout, (4 * this.#characterTicks()) as Ticks);
    }
  }

  #timedOut(): void {
    this.#timeoutInterrupt.value = true;
    this.#updateInterrupt();
  }

  /** Start bit, data, parity and stop bits at the programmed rate. A divisor of 0 counts as 1. */
  #characterTicks(): Ticks {
    const divisor = Math.max(1, (this.#regs.get('dlm') << 8) | this.#regs.get('dll'));
    const lengthBits =
      7 + this.#regs.field('lcr', 'wls') + this.#regs.field('lcr', 'pen') + this.#regs.field('lcr', 'stb');
    return Math.round((16 * divisor * lengthBits * TICKS_PER_SECOND) / this.#clockHz) as Ticks;
  }

  // ---- transmitter ----

  /** The transmitter is empty again at once, and says so again. */
  #transmit(value: number): void {
    this.#thrInterrupt.value = false;
    this.#updateInterrupt();
    if (this.#isLooped) this.#receive(value);
    else this.#backend.write(value);
    this.#thrInterrupt.value = true;
    this.#updateInterrupt();
  }

  // ---- control ----

  /** Enabling the interrupt of the empty transmitter raises it, even if it had been acknowledged: drivers rely on it. */
  #writeIer(value: number, previous: number): void {
    const isTurnedOn = (value & ~previous & 0x02) !== 0;
    if (isTurnedOn) this.#thrInterrupt.value = true;
    this.#updateInterrupt();
  }

  /** A read that finds the transmitter's interrupt acknowledges it (table III). */
  #readIir(): number {
    const source = this.#source();
    if (source === Iir.thrEmpty) {
      this.#thrInterrupt.value = false;
      this.#updateInterrupt();
    }
    return this.#hasFifos ? source | IIR_FIFOS_ENABLED : source;
  }

  #writeFcr(value: number, previous: number): void {
    const isSwitched = ((value ^ previous) & 0x01) !== 0;
    // Without the enable bit the others are not programmed; the clear bits are not kept (8.6.2).
    this.#regs.set('fcr', (value & 0x01) === 0 ? 0 : value & 0xc9);
    if (isSwitched || (value & 0x03) === 0x03) this.#clearReceiver();
    if (isSwitched || (value & 0x05) === 0x05) this.#thrInterrupt.value = true;
    this.#updateInterrupt();
    this.#inputArrived();
  }

  #clearReceiver(): void {
    this.#rx.clear();
    this.#timeoutInterrupt.value = false;
    this.#showFirst();
    this.#restartTimeout();
  }

  #writeLcr(value: number, previous: number): void {
    const breakBegins = (value & ~previous & 0x40) !== 0;
    if (breakBegins && this.#isLooped) this.#receive(BREAK);
  }

  #writeMcr(): void {
    const inputs = this.#isLooped ? this.#loopedModemInputs() : MSR_CONNECTED;
    const old = this.#regs.get('msr');
    const changed = old ^ inputs;
    // The ring indicator reports only its end; the deltas of the others are four bits below them (8.6.7).
    const noticed = (changed & ~RI) | (old & ~inputs & RI);
    this.#regs.set('msr', inputs | (old & MSR_DELTAS) | (noticed >> 4));
    this.#updateInterrupt();
    this.#inputArrived();
  }

  /** In a loop DTR, RTS, OUT1 and OUT2 are DSR, CTS, RI and DCD. */
  #loopedModemInputs(): number {
    const { rts, dtr, out1, out2 } = {
      rts: this.#regs.field('mcr', 'rts'),
      dtr: this.#regs.field('mcr', 'dtr'),
      out1: this.#regs.field('mcr', 'out1'),
      out2: this.#regs.field('mcr', 'out2'),
    };
    return (rts << 4) | (dtr << 5) | (out1 << 6) | (out2 << 7);
  }

  #readLsr(): number {
    const hasError = this.#hasFifos && this.#rx.hasBreak;
    const value = this.#regs.get('lsr') | (hasError ? 0x80 : 0);
    this.#regs.set('lsr', value & ~(LSR_ERRORS | 0x80));
    this.#updateInterrupt();
    return value;
  }

  #readMsr(): number {
    const value = this.#regs.get('msr');
    this.#regs.set('msr', value & ~MSR_DELTAS);
    this.#updateInterrupt();
    return value;
  }

  // ---- interrupt ----

  #source(): number {
    const { erbfi, etbei, elsi, edssi } = this.#enables();
    if (elsi && (this.#regs.get('lsr') & LSR_ERRORS) !== 0) return Iir.lineStatus;
    if (erbfi && this.#rx.length >= this.#triggerLevel) return Iir.dataAvailable;
    if (erbfi && this.#timeoutInterrupt.value) return Iir.timeout;
    if (etbei && this.#thrInterrupt.value) return Iir.thrEmpty;
    if (edssi && (this.#regs.get('msr') & MSR_DELTAS) !== 0) return Iir.modemStatus;
    return Iir.none;
  }

  #enables() {
    const ier = this.#regs.get('ier');
    return {
      erbfi: (ier & 1) !== 0,
      etbei: (ier & 2) !== 0,
      elsi: (ier & 4) !== 0,
      edssi: (ier & 8) !== 0,
    };
  }

  get #triggerLevel(): number {
    return this.#hasFifos ? TRIGGER_LEVELS[this.#regs.field('fcr', 'trigger') as 0 | 1 | 2 | 3] : 1;
  }

  #updateInterrupt(): void {
    this.interrupt.set(this.#isGateOpen && this.#source() !== Iir.none);
  }
}
