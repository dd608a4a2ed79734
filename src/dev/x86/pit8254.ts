/**
 * The PC's 8254 interval timer, ports 0x40–0x43, with system control port B, 0x61. Counter 0 drives IRQ0, counter 2 the
 * speaker. Counts and outputs are computed when somebody looks ({@link PitCounter}); the only event is IRQ0's.
 *
 * One event per period: `out0` shows each rising edge of OUT at its exact time, and falls only just before it, so that the low
 * phases of modes 2 to 5 take no event of their own. Software sees the true level by read-back.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { declareParams, duration, type ParamInputs } from '../../sim/params.ts';
import { OutputPin } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { booleanCell, eventCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { RegisterFile, reg } from '../register-file.ts';
import { ExactClock } from './exact-clock.ts';
import { PitCounter } from './pit8254-counter.ts';
import { PORT61_REGISTERS, REFRESH_CLOCKS } from './port61.ts';

/** The PC's 14.31818 MHz crystal divided by 12. */
export const PIT_HZ = 1_193_182;
const PIT_PORT = 0x40;
const CONTROL_PORT_B = 0x61;

const PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  minEventPeriod: duration({
    default: '20us',
    description: 'rising edges of counter 0 that follow each other faster than this are merged',
  }),
});
export type Pit8254Params = ParamInputs<typeof PARAMS>;

export const PIT_REGISTERS = {
  counter0: reg({ at: 0, doc: 'counter 0: the system timer' }),
  counter1: reg({ at: 1, doc: 'counter 1: once the refresh of memory' }),
  counter2: reg({ at: 2, doc: 'counter 2: the speaker' }),
  control: reg({ at: 3, access: 'wo', doc: 'control word, counter latch and read-back commands' }),
};

export class Pit8254 extends PioDevice {
  /** OUT of counter 0, for IRQ0. */
  readonly out0 = new OutputPin();
  readonly #clock = new ExactClock(PIT_HZ);
  readonly #counters = [new PitCounter(true), new PitCounter(true), new PitCounter(false)] as const;
  readonly #portB: RegisterFile<typeof PORT61_REGISTERS>;
  readonly #rise: SimEvent;
  /** What `out0` shows. */
  readonly #level = this.state('out0', booleanCell());
  readonly #minClocks: number;

  constructor(parent: SimObject, name: string, given: Pit8254Params = {}) {
    super(parent, name);
    const params = this.resolveParams(PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.#minClocks = this.#clock.cyclesIn(params.minEventPeriod);
    for (const [i, counter] of this.#counters.entries()) this.state(`counter${i}`, counter);
    this.#rise = new SimEvent(`${this.path}.rise`, () => this.#onRise());
    this.state('rise', eventCell(this.eventQueue, this.#rise));
    const hook = (i: 0 | 1 | 2) => ({
      read: () => this.#counters[i].read(this.#now),
      write: (value: number) => this.#writeCounter(i, value),
    });
    const counters = new RegisterFile(PIT_REGISTERS, {
      counter0: hook(0),
      counter1: hook(1),
      counter2: hook(2),
      control: { read: () => 0xff, write: (value) => this.#writeControl(value) },
    });
    this.addBank(portAddress(PIT_PORT), counters);
    this.#portB = this.state(
      'portB',
      new RegisterFile(PORT61_REGISTERS, {
        nmiSc: { read: () => this.#readPortB(), write: () => this.#writePortB() },
      }),
    );
    this.addBank(portAddress(CONTROL_PORT_B), this.#portB);
    this.#drive();
  }

  override restored(): void {
    this.out0.set(this.#level.value);
  }

  /** Whether the speaker is switched on, and the level at it. */
  get speaker(): { readonly isOn: boolean; readonly level: boolean } {
    return {
      isOn: this.#portB.field('nmiSc', 'speaker') !== 0,
      level: this.#counters[2].out(this.#now),
    };
  }

  get #now(): number {
    return this.#clock.cycleAt(this.curTick);
  }

  #writeCounter(i: 0 | 1 | 2, value: number): void {
    this.#catchUp();
    this.#counters[i].write(value, this.#now);
    if (i === 0) this.#rearm();
  }

  /** Bits 7:6 select the counter, or read-back; a counter with RW = 0 is a latch command. */
  #writeControl(word: number): void {
    this.#catchUp();
    const now = this.#now;
    const select = word >> 6;
    if (select === 3) {
      for (const [i, counter] of this.#counters.entries()) {
        if ((word & (2 << i)) === 0) continue;
        if ((word & 0x20) === 0) counter.latchCount(now);
        if ((word & 0x10) === 0) counter.latchStatus(now);
      }
      return;
    }
    const counter = this.#counters[select]!;
    if ((word & 0x30) === 0) counter.latchCount(now);
    else counter.writeControl(word, now);
    if (select === 0) this.#rearm();
  }

  #readPortB(): number {
    const now = this.#now;
    this.#portB.setField('nmiSc', 'refresh', Math.floor(now / REFRESH_CLOCKS) & 1);
    this.#portB.setField('nmiSc', 'timer2Out', this.#counters[2].out(now) ? 1 : 0);
    return this.#portB.get('nmiSc');
  }

  #writePortB(): void {
    this.#counters[2].setGate(this.#portB.field('nmiSc', 'timer2Gate') !== 0, this.#now);
  }

  /** An edge that is due at this very tick comes before what software does then. */
  #catchUp(): void {
    if (!this.#rise.scheduled || this.eventQueue.whenOf(this.#rise) > this.curTick) return;
    this.eventQueue.deschedule(this.#rise);
    this.#onRise();
  }

  #onRise(): void {
    this.#setPin(false);
    this.#setPin(true);
    this.#schedule(this.#minClocks);
  }

  #rearm(): void {
    if (this.#rise.scheduled) this.eventQueue.deschedule(this.#rise);
    this.#drive();
    this.#schedule(0);
  }

  /** Level between two edges; see the head of this file. */
  #drive(): void {
    const [counter] = this.#counters;
    this.#setPin(counter.mode >= 2 || counter.out(this.#now));
  }

  #setPin(level: boolean): void {
    this.#level.value = level;
    this.out0.set(level);
  }

  /** Schedules the next rising edge; of a periodic output the first one that is `minClocks` away or more. */
  #schedule(minClocks: number): void {
    const [counter] = this.#counters;
    const now = this.#now;
    let rise = counter.nextRise(now);
    if (rise === undefined) return;
    const { period } = counter;
    if (period !== undefined && rise - now < minClocks) {
      this.warnOnce('counter 0 interrupts faster than minEventPeriod: edges are merged');
      rise += Math.ceil((minClocks - (rise - now)) / period) * period;
    }
    const tick = this.#clock.tickOf(rise);
    if (tick !== undefined) this.eventQueue.scheduleAt(this.#rise, tick);
  }
}
