/**
 * Local APIC: what reaches a processor as an interrupt, and in which order; interrupts between processors; the timer.
 * Intel SDM vol. 3A chapter 10. An integrated APIC (version 0x14), with x2APIC mode where its MSRs can be reached.
 *
 *   bus, LVT: timer, pins, error ──▶ IRR ──(above PPR)──▶ takeExternal ──▶ ISR ──▶ EOI ──▶ bus
 *   NMI, INIT, STARTUP, ExtINT pass by IRR and ISR
 */
import { localApicAddress } from '../../../arch/x86/address-spaces.ts';
import type { LocalApicState } from '../../../arch/x86/interrupt-state.ts';
import {
  DeliveryMode,
  type InterruptController,
  type InterruptedCpu,
  type InterruptMessage,
} from '../../../arch/x86/interrupts.ts';
import { ApicBase } from '../../../arch/x86/registers.ts';
import type { PinSink } from '../../../sim/pin.ts';
import type { SimObject } from '../../../sim/sim-object.ts';
import { arrayCell, numberCell } from '../../../sim/state.ts';
import { clockPeriodTicks } from '../../../sim/tick.ts';
import { PioDevice } from '../../pio-device.ts';
import type { ApicBus, InterruptTarget } from './apic-bus.ts';
import {
  ApicMode,
  isDestination,
  isLegalBase,
  isLegalVector,
  logicalIdX2Apic,
  modeOf,
  sendCommand,
} from './local-apic-addressing.ts';
import { LocalApicPage } from './local-apic-page.ts';
import { LOCAL_APIC_PARAMS, type LocalApicParams, VIRTUAL_WIRE } from './local-apic-params.ts';
import {
  APIC_BASE_MSR,
  ApicError,
  LVT_ENTRIES,
  LVT_MASKED,
  type LvtName,
  Shorthand,
  SVR_ENABLE,
  TSC_DEADLINE_MSR,
  WORD,
} from './local-apic-registers.ts';
import { LocalApicTimer } from './local-apic-timer.ts';
import { LocalPins } from './local-pins.ts';
import { Latch, type LatchKind, MessageLatches } from './message-latches.ts';
import { VectorRegisters } from './vector-registers.ts';

/** The 8259 pair at LINT0, asked for a vector in the interrupt acknowledge cycle. */
export interface ExternalPic {
  acknowledge(): number;
}

const LVT_TIMER_DEADLINE = 0x4_0000;

export class LocalApic extends PioDevice implements InterruptController, InterruptTarget {
  /** INTR of the 8259 pair, and NMI, as a PC wires them. */
  readonly lint0: PinSink = { setLevel: (level) => this.#pins.setLevel('lvtLint0', level) };
  readonly lint1: PinSink = { setLevel: (level) => this.#pins.setLevel('lvtLint1', level) };
  msrsReachable = false;
  revision = 0;
  readonly #bus: ApicBus;
  readonly #pic: ExternalPic;
  readonly #params;
  readonly #page: LocalApicPage;
  readonly #words: Uint32Array;
  readonly #vectors: VectorRegisters;
  readonly #timer: LocalApicTimer;
  readonly #pins: LocalPins;
  readonly #latches: MessageLatches;
  readonly #base = this.state('apicBase', numberCell());
  /** Errors since the last write to the ESR. */
  readonly #errors = this.state('errors', numberCell());
  #cpu: InterruptedCpu | undefined;
  // What follows from the state, see #compute.
  /** Bits of {@link Latch}; ExtInt stands for any external interrupt that may be taken. */
  #pending = 0;
  /** The vector that the processor may take from the IRR; −1: none above its priority. */
  #deliverable = -1;

  /** @param pic whose INTR is wired to `lint0` */
  constructor(parent: SimObject, name: string, bus: ApicBus, pic: ExternalPic, given: LocalApicParams = {}) {
    super(parent, name);
    const params = this.resolveParams(LOCAL_APIC_PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.#params = params;
    this.#bus = bus;
    this.#pic = pic;
    this.#page = this.addBank(localApicAddress(params.id), this.#makePage());
    const { words } = this.#page;
    this.#words = words;
    this.#vectors = new VectorRegisters(words);
    this.#latches = new MessageLatches(params.bootstrap);
    this.#timer = new LocalApicTimer(
      { name: `${this.path}.timer`, queue: this.eventQueue, busPeriod: clockPeriodTicks(params.busClock) },
      words,
      this.#vectors,
      () => this.#requestLocal('lvtTimer'),
    );
    this.#pins = new LocalPins(words, {
      isEnabled: () => this.#isEnabled,
      request: (vector, isLevel) => this.#request(vector, isLevel),
      nmi: () => this.#latch(Latch.Nmi),
      init: () => this.#latch(Latch.Init),
      changed: () => this.#update(),
    });
    const cells = { registers: arrayCell(words), pins: this.#pins.levels, ...this.#latches.cells };
    for (const [cellName, cell] of Object.entries({ ...cells, ...this.#timer.cells }))
      this.state(cellName, cell);
    this.reset(false);
    bus.attach(this);
  }

  /** The processor that is interrupted from now on: another one after a switch. */
  connect(cpu: InterruptedCpu): void {
    this.#cpu = cpu;
    this.#timer.connect(cpu);
  }

  // What is pending, and taking it.

  get isPending(): boolean {
    return this.#pending !== 0;
  }

  get hasInit(): boolean {
    return (this.#pending & Latch.Init) !== 0;
  }

  get hasStartup(): boolean {
    return (this.#pending & Latch.Startup) !== 0;
  }

  get hasNmi(): boolean {
    return (this.#pending & Latch.Nmi) !== 0;
  }

  get hasExternal(): boolean {
    return (this.#pending & Latch.ExtInt) !== 0;
  }

  takeInit(): void {
    this.#latches.clear(Latch.Init);
    this.reset(true);
  }

  takeStartup(): number {
    const vector = this.#latches.takeStartup();
    this.#update();
    return vector;
  }

  takeNmi(): void {
    this.#latches.clear(Latch.Nmi);
    this.#update();
  }

  takeExternal(): number | undefined {
    if (this.#hasExtInt) {
      this.#latches.clear(Latch.ExtInt);
      const vector = this.#pic.acknowledge();
      this.#update();
      return vector;
    }
    const vector = this.#deliverable;
    if (vector < 0) return undefined;
    this.#vectors.take(vector);
    this.#update();
    this.#timer.vectorTaken(vector);
    return vector;
  }

  /** Whether a STARTUP message would start the processor; it comes with the CPU's state where KVM has the APIC. */
  get awaitsStartup(): boolean {
    return this.#latches.awaitsStartup;
  }

  set awaitsStartup(value: boolean) {
    this.#latches.awaitsStartup = value;
    this.#update();
  }

  // Registers.

  get cr8(): number {
    return (this.#words[WORD.tpr]! >>> 4) & 0xf;
  }

  set cr8(value: number) {
    this.#words[WORD.tpr] = (value & 0xf) << 4;
    this.#update();
  }

  get apicBase(): number {
    return this.#base.value;
  }

  /** Takes over a value that the processor has checked. Software's writes come by {@link writeMsr}. */
  set apicBase(value: number) {
    if (value === this.#base.value) return;
    const wasEnabled = this.#isEnabled;
    const wasX2Apic = this.#isX2Apic;
    this.#base.value = value;
    const words = this.#words;
    const { id } = this.#params;
    if (this.#isX2Apic !== wasX2Apic) {
      words[WORD.ldr] = this.#isX2Apic ? logicalIdX2Apic(id) : 0;
      words[WORD.dfr] = 0xffff_ffff;
    }
    // A change of modes makes the id the initial one; the other registers keep their values.
    if (this.#isX2Apic !== wasX2Apic || !wasEnabled) words[WORD.id] = id << 24;
    this.#update();
    this.#timer.changed();
  }

  readMsr(index: number): bigint | undefined {
    if (index === APIC_BASE_MSR) return BigInt(this.#base.value);
    if (!this.msrsReachable) return undefined;
    if (index === TSC_DEADLINE_MSR) return this.#timer.deadline;
    return this.#isX2Apic ? this.#page.readMsr(index) : undefined;
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index === APIC_BASE_MSR) {
      if (!isLegalBase(this.#base.value, value, this.msrsReachable)) return false;
      this.apicBase = Number(value);
      return true;
    }
    if (!this.msrsReachable) return false;
    if (index === TSC_DEADLINE_MSR) {
      this.#timer.deadline = value;
      return true;
    }
    return this.#isX2Apic && this.#page.writeMsr(index, value);
  }

  /** RESET, or INIT: that keeps the id, IA32_APIC_BASE, and a STARTUP that has followed already. */
  reset(init: boolean): void {
    const { id, bootstrap, virtualWire } = this.#params;
    const words = this.#words;
    const keptId = words[WORD.id]!;
    this.#page.reset();
    this.#errors.value = 0;
    this.#latches.reset(init);
    if (init) {
      words[WORD.id] = keptId;
      if (this.#isX2Apic) words[WORD.ldr] = logicalIdX2Apic(id);
    } else {
      words[WORD.id] = id << 24;
      this.#base.value = ApicBase.DEFAULT_ADDRESS + ApicBase.ENABLE + (bootstrap ? ApicBase.BSP : 0);
      if (virtualWire && bootstrap) for (const [word, value] of VIRTUAL_WIRE) words[word] = value;
    }
    this.#timer.reset();
    this.#update();
  }

  tscChanged(): void {
    this.#timer.changed();
  }

  saveState(): LocalApicState {
    const registers = this.#words.slice();
    registers[WORD.currentCount] = this.#timer.currentCount;
    return { registers };
  }

  /** IA32_APIC_BASE goes first. Messages, which the record does not have, stay as they are; the TSC deadline is disarmed. */
  restoreState({ registers }: LocalApicState): void {
    const version = this.#words[WORD.version]!;
    this.#words.set(registers);
    this.#words[WORD.version] = version;
    this.#words[WORD.currentCount] = 0;
    this.#errors.value = 0;
    this.#timer.resume(registers[WORD.currentCount]!);
    this.#update();
  }

  override restored(): void {
    this.#compute();
  }

  // The bus's view.

  matches(destination: number, isLogical: boolean): boolean {
    return this.#isEnabled && isDestination(this.#words, this.#isX2Apic, destination, isLogical);
  }

  get arbitrationPriority(): number {
    return this.#vectors.arbitrationPriority;
  }

  accept(message: InterruptMessage): boolean {
    if (!this.#isEnabled) return false;
    // The end of a level asks for nothing; that of an INIT only made buses of old agree on arbitration ids.
    if (!message.assert) return true;
    switch (message.deliveryMode) {
      case DeliveryMode.Fixed:
      case DeliveryMode.LowestPriority:
        return this.#request(message.vector, message.isLevel);
      case DeliveryMode.Nmi:
        return this.#latch(Latch.Nmi);
      case DeliveryMode.ExtInt:
        return this.#isSoftwareEnabled && this.#latch(Latch.ExtInt);
      case DeliveryMode.Init:
        return this.#latch(Latch.Init);
      case DeliveryMode.Startup:
        this.#latches.setStartup(message.vector);
        this.#update();
        return true;
      case DeliveryMode.Smi:
        this.warnOnce('there is no system management mode: an SMI was dropped');
        return true;
      default:
        return false;
    }
  }

  get #isEnabled(): boolean {
    return modeOf(this.#base.value) !== ApicMode.Disabled;
  }

  get #isX2Apic(): boolean {
    return modeOf(this.#base.value) === ApicMode.X2Apic;
  }

  get #isSoftwareEnabled(): boolean {
    return (this.#words[WORD.svr]! & SVR_ENABLE) !== 0;
  }

  #latch(kind: LatchKind): boolean {
    this.#latches.set(kind);
    this.#update();
    return true;
  }

  /** A vector into the IRR. */
  #request(vector: number, isLevel: boolean): boolean {
    if (!this.#isSoftwareEnabled) return false;
    if (!isLegalVector(vector)) {
      this.#error(ApicError.ReceiveIllegalVector);
      return false;
    }
    this.#vectors.request(vector, isLevel);
    this.#update();
    return true;
  }

  /** The timer's or the error's interrupt: fixed, edge-triggered. */
  #requestLocal(name: LvtName): void {
    const lvt = this.#words[WORD[name]]!;
    if (this.#isEnabled && (lvt & LVT_MASKED) === 0) this.#request(lvt & 0xff, false);
  }

  /** Only a new kind of error interrupts, until software has read the old ones: an illegal error vector ends here. */
  #error(kind: number): void {
    if ((this.#errors.value & kind) !== 0) return;
    this.#errors.value |= kind;
    this.#requestLocal('lvtError');
  }

  get #hasExtInt(): boolean {
    return (this.#latches.kinds & Latch.ExtInt) !== 0 || this.#pins.hasExtInt;
  }

  #compute(): void {
    this.revision++;
    this.#words[WORD.ppr] = this.#vectors.processorPriority;
    this.#deliverable = this.#isEnabled ? this.#vectors.deliverable : -1;
    const beside = this.#latches.kinds & (Latch.Init | Latch.Startup | Latch.Nmi);
    this.#pending = beside | (this.#deliverable >= 0 || this.#hasExtInt ? Latch.ExtInt : 0);
  }

  /** To be called after every change of state: wakes the processor if there is something of a kind that was not. */
  #update(): void {
    const before = this.#pending;
    this.#compute();
    if ((this.#pending & ~before) !== 0) this.#cpu?.wakeup();
  }

  // What registers do when they are written.

  #makePage(): LocalApicPage {
    const update = () => this.#update();
    const lvtEntries = LVT_ENTRIES.map((name) => {
      const write = (_value: number, previous: number) => this.#lvtWritten(name, previous);
      return [name, { write }] as const;
    });
    return new LocalApicPage(
      {
        ...Object.fromEntries(lvtEntries),
        tpr: { write: update },
        apr: { read: () => this.arbitrationPriority },
        eoi: { write: () => this.#endInterrupt() },
        svr: { write: (value) => this.#svrWritten(value) },
        esr: { write: () => this.#showErrors() },
        icr: { write: (value) => this.#send(value) },
        initialCount: { write: (_value, previous) => this.#timer.initialCountWritten(previous) },
        currentCount: { read: () => this.#timer.currentCount },
        divide: { write: (_value, previous) => this.#timer.divideWritten(previous) },
        selfIpi: { write: (vector) => this.#send((Shorthand.Self << 18) | vector) },
      },
      () => this.#isEnabled && !this.#isX2Apic,
      () => this.#error(ApicError.IllegalRegister),
    );
  }

  /** The highest interrupt in service ends. Without one, nothing happens. */
  #endInterrupt(): void {
    const vector = this.#vectors.end();
    if (vector < 0) return;
    // Asked before the end is told: a level that lasts requests again at once.
    const isLevel = this.#vectors.isLevel(vector);
    this.#update();
    this.#pins.endOfInterrupt(vector);
    if (isLevel) this.#bus.broadcastEoi(vector);
  }

  /** Software-disabled, the local vector table is masked. What is in IRR and ISR stays (SDM vol. 3A §10.4.7.2). */
  #svrWritten(value: number): void {
    if ((value & SVR_ENABLE) !== 0) return;
    for (const name of LVT_ENTRIES) this.#words[WORD[name]]! |= LVT_MASKED;
    this.#update();
    this.#timer.changed();
  }

  #lvtWritten(name: LvtName, previous: number): void {
    const words = this.#words;
    if (!this.#isSoftwareEnabled) words[WORD[name]]! |= LVT_MASKED;
    if (name === 'lvtTimer') {
      // Without its MSR there is no deadline mode, and its bit is reserved.
      if (!this.msrsReachable) words[WORD.lvtTimer]! &= ~LVT_TIMER_DEADLINE;
      this.#timer.lvtWritten(previous);
    } else if (name === 'lvtLint0' || name === 'lvtLint1') {
      this.#pins.lvtWritten(name);
    }
  }

  /** A write shows the errors since the one before (SDM vol. 3A §10.5.3). */
  #showErrors(): void {
    this.#words[WORD.esr] = this.#errors.value;
    this.#errors.value = 0;
  }

  #send(command: number): void {
    const sent = sendCommand(this.#bus, this, command, this.#words[WORD.icrHigh]!, this.#isX2Apic);
    if (!sent) this.#error(ApicError.SendIllegalVector);
  }
}
