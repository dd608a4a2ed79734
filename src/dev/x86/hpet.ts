/**
 * High Precision Event Timer: a 64-bit counter at 100 MHz and timers that compare with it. IA-PC HPET Specification
 * 1.0a. No FSB delivery. Counter, comparators and status bits are computed when somebody looks; the only event is the next
 * match that interrupts.
 */
import { IO_APIC_INPUTS } from '../../arch/x86/interrupt-state.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { declareParams, duration, int, type ParamInputs } from '../../sim/params.ts';
import { OutputPin, type PinSink } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { eventCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bit, type RegisterBank, RegisterFile, reg } from '../register-file.ts';
import { COUNTER_PERIOD_FS, HpetCounter } from './hpet-counter.ts';
import { HPET_TIMER_STRIDE, HpetTimer } from './hpet-timer.ts';

const VENDOR_INTEL = 0x8086;
const REVISION = 0x01;

export const HPET_REGISTERS = {
  capabilities: reg({
    at: 0x000,
    sizeBytes: 4,
    access: 'ro',
    reset: (VENDOR_INTEL << 16) | 0x8000 | 0x2000 | REVISION,
    doc: 'GCAP_ID, bits 31:0: vendor, legacy routes (15), 64 bits (13), number of timers − 1 (12:8), revision',
  }),
  counterPeriod: reg({
    at: 0x004,
    sizeBytes: 4,
    access: 'ro',
    reset: COUNTER_PERIOD_FS,
    doc: 'GCAP_ID, bits 63:32: period of the counter in femtoseconds',
  }),
  config: reg({
    at: 0x010,
    sizeBytes: 4,
    writable: 0x3,
    doc: 'GEN_CONF: general configuration',
    fields: { enable: bit(0), legacyReplacement: bit(1) },
  }),
  status: reg({ at: 0x020, sizeBytes: 4, access: 'w1c', doc: 'GINTR_STA: level-triggered interrupts' }),
  counterLow: reg({ at: 0x0f0, sizeBytes: 4, doc: 'MAIN_CNT, bits 31:0' }),
  counterHigh: reg({ at: 0x0f4, sizeBytes: 4, doc: 'MAIN_CNT, bits 63:32' }),
};

const TIMERS_AT = 0x100;
const SIZE_BYTES = 0x400;
const LOW = 0xffff_ffffn;
const MAX_TIMERS = (SIZE_BYTES - TIMERS_AT) / HPET_TIMER_STRIDE;

const PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  base: int({ default: 0xfed0_0000, min: 0, description: 'address of its 1 KiB of registers' }),
  timers: int({ default: 3, min: 3, max: MAX_TIMERS, description: 'number of timers' }),
  routes: int({
    default: 0x00f0_0000,
    min: 0,
    max: 0xff_ffff,
    description: 'inputs of the I/O APIC to which timers can be routed, a bit each',
  }),
  minEventPeriod: duration({
    default: '20us',
    description: 'matches of a timer that follow each other faster than this are merged',
  }),
});
export type HpetParams = ParamInputs<typeof PARAMS>;

/** Where the interrupts go. */
export interface HpetPins {
  /** Input n of the I/O APIC; asked once for each bit of `routes`. */
  ioApicInput(n: number): PinSink;
}

export class Hpet extends PioDevice {
  /** Timer 0 in legacy replacement mode: IRQ0 of the 8259, input 2 of the I/O APIC. */
  readonly legacyIrq0 = new OutputPin();
  /** Timer 1 in legacy replacement mode: IRQ8. */
  readonly legacyIrq8 = new OutputPin();
  /** High in legacy replacement mode: the PIT and the RTC do not interrupt then. See LegacySwitch. */
  readonly legacyReplacement = new OutputPin();
  readonly #regs: RegisterFile<typeof HPET_REGISTERS>;
  readonly #timers: readonly HpetTimer[];
  readonly #routed = new Map<number, OutputPin>();
  readonly #counter: HpetCounter;
  readonly #event: SimEvent;
  readonly #minCycles: number;

  constructor(parent: SimObject, name: string, pins: HpetPins, given: HpetParams = {}) {
    super(parent, name);
    const params = this.resolveParams(PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.#counter = this.state('counter', new HpetCounter(this.eventQueue));
    this.#minCycles = this.#counter.cyclesIn(params.minEventPeriod);
    this.#event = new SimEvent(`${this.path}.match`, () => this.#onMatch());
    this.state('event', eventCell(this.eventQueue, this.#event));
    for (let n = 0; n < IO_APIC_INPUTS; n++) {
      if (((params.routes >>> n) & 1) === 0) continue;
      const pin = new OutputPin();
      pin.connect(pins.ioApicInput(n));
      this.#routed.set(n, pin);
    }
    this.#timers = Array.from({ length: params.timers }, (_, i) =>
      this.state(`timer${i}`, new HpetTimer(this.#counter, params.routes)),
    );
    this.#regs = this.state('regs', this.#generalRegisters());
    this.#regs.set('capabilities', this.#regs.get('capabilities') | ((params.timers - 1) << 8));
    this.#place(params.base);
  }

  override restored(): void {
    this.#drive();
  }

  #onMatch(): void {
    this.#noticeMatches();
    this.#update();
  }

  #generalRegisters(): RegisterFile<typeof HPET_REGISTERS> {
    const counter = this.#counter;
    const set = (value: bigint) => {
      counter.value = value;
      this.#armAll();
    };
    const hooks = {
      config: { write: () => this.#writeConfig() },
      counterLow: {
        read: () => counter.low,
        write: (low: number) => set((counter.value & ~LOW) | BigInt(low)),
      },
      counterHigh: {
        read: () => Number(counter.value >> 32n),
        write: (high: number) => set((counter.value & LOW) | (BigInt(high) << 32n)),
      },
    };
    return new RegisterFile(HPET_REGISTERS, hooks, { sizeBytes: TIMERS_AT });
  }

  /** General registers, timers, and zeros up to the end of the 1 KiB. */
  #place(base: number): void {
    const banks = [this.#regs, ...this.#timers.map(({ regs }) => regs)];
    let at = base;
    for (const bank of banks) {
      this.addBank(at as PhysAddr, this.#settled(bank));
      at += bank.sizeBytes;
    }
    const rest = base + SIZE_BYTES - at;
    if (rest > 0) this.addBank(at as PhysAddr, new RegisterFile({}, {}, { sizeBytes: rest }));
  }

  /** A bank whose registers are up to date before each access, and whose effects show after it. */
  #settled(bank: RegisterBank): RegisterBank {
    return {
      sizeBytes: bank.sizeBytes,
      read: (offset, sizeBytes) => {
        if (this.#noticeMatches()) this.#update();
        return bank.read(offset, sizeBytes);
      },
      write: (offset, sizeBytes, value) => {
        this.#noticeMatches();
        bank.write(offset, sizeBytes, value);
        this.#noticeMatches();
        this.#update();
      },
    };
  }

  #writeConfig(): void {
    this.#counter.isRunning = this.#regs.field('config', 'enable') !== 0;
    this.#armAll();
  }

  #armAll(): void {
    for (const timer of this.#timers) timer.arm();
  }

  /** Status bits and edges of matches up to now; says whether there were any. */
  #noticeMatches(): boolean {
    const { cycle } = this.#counter;
    let any = false;
    for (const [i, timer] of this.#timers.entries()) {
      if (!timer.settle(cycle)) continue;
      any = true;
      if (timer.isLevel) this.#regs.set('status', this.#regs.get('status') | (1 << i));
      else if (timer.isEnabled) pulse(this.#pinOf(i));
    }
    return any;
  }

  #update(): void {
    this.#drive();
    this.#schedule();
  }

  /** Level-triggered interrupts. */
  #drive(): void {
    this.legacyReplacement.set(this.#isLegacy);
    const high = new Set<OutputPin | undefined>();
    for (const [i, timer] of this.#timers.entries()) {
      if (timer.isEnabled && timer.isLevel && this.#hasStatus(i)) high.add(this.#pinOf(i));
    }
    for (const pin of [this.legacyIrq0, this.legacyIrq8, ...this.#routed.values()]) pin.set(high.has(pin));
  }

  /** The next match that can have an effect: not those that are masked, or whose status bit is set already. */
  #schedule(): void {
    let next = Infinity;
    for (const [i, timer] of this.#timers.entries()) {
      if (!timer.isEnabled || (timer.isLevel && this.#hasStatus(i))) continue;
      const match = timer.nextMatch(this.#minCycles) ?? Infinity;
      if (match > (timer.nextMatch(0) ?? Infinity)) {
        this.warnOnce('a periodic timer interrupts faster than minEventPeriod: matches are merged');
      }
      next = Math.min(next, match);
    }
    const tick = next === Infinity ? undefined : this.#counter.tickOf(next);
    if (this.#event.scheduled) {
      if (tick === this.eventQueue.whenOf(this.#event)) return;
      this.eventQueue.deschedule(this.#event);
    }
    if (tick !== undefined) this.eventQueue.scheduleAt(this.#event, tick);
  }

  get #isLegacy(): boolean {
    return this.#regs.field('config', 'legacyReplacement') !== 0;
  }

  #hasStatus(i: number): boolean {
    return ((this.#regs.get('status') >>> i) & 1) !== 0;
  }

  #pinOf(i: number): OutputPin | undefined {
    if (this.#isLegacy && i === 0) return this.legacyIrq0;
    if (this.#isLegacy && i === 1) return this.legacyIrq8;
    return this.#routed.get(this.#timers[i]!.route);
  }
}

/** An edge; on a line that another timer holds high there is none. */
function pulse(pin: OutputPin | undefined): void {
  if (pin !== undefined && !pin.level) pin.pulse();
}
