/**
 * The PC's real-time clock with its CMOS RAM: Motorola MC146818 behind ports 0x70 (index, NMI mask) and 0x71 (data).
 * Its time is simulated time. Nothing happens between two accesses unless an interrupt is enabled: flags that nobody has
 * asked for are worked out when register C is read.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { declareParams, float, type ParamInputs, size } from '../../sim/params.ts';
import { OutputPin } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { arrayCell, bigintCell, eventCell, numberCell } from '../../sim/state.ts';
import { TICKS_PER_SECOND, type Tick } from '../../sim/tick.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bit, bits, RegisterFile, reg } from '../register-file.ts';
import { CMOS_SIZE, Cmos, describeMemory } from './cmos.ts';
import { decodeTime, encodeTime, nextAlarm, type TimeFormat } from './rtc-calendar.ts';

/** The two ports. */
export const RTC_PORT_REGISTERS = {
  index: reg({
    at: 0,
    access: 'wo',
    doc: 'which byte the data port is; bit 7 masks NMIs',
    fields: { address: bits(6, 0), nmiMask: bit(7) },
  }),
  data: reg({ at: 1, doc: 'the byte at the index' }),
};

/** What is behind the data port; the rest is CMOS RAM. */
export const RTC_REGISTERS = {
  seconds: reg({ at: 0x0, doc: 'seconds' }),
  secondsAlarm: reg({ at: 0x1, doc: 'seconds of the alarm; from 0xc0 on: any' }),
  minutes: reg({ at: 0x2, doc: 'minutes' }),
  minutesAlarm: reg({ at: 0x3, doc: 'minutes of the alarm' }),
  hours: reg({ at: 0x4, doc: 'hours' }),
  hoursAlarm: reg({ at: 0x5, doc: 'hours of the alarm' }),
  dayOfWeek: reg({ at: 0x6, doc: 'day of the week, Sunday is 1' }),
  dayOfMonth: reg({ at: 0x7, doc: 'day of the month' }),
  month: reg({ at: 0x8, doc: 'month' }),
  year: reg({ at: 0x9, doc: 'year of the century' }),
  a: reg({
    at: 0xa,
    reset: 0x26,
    writable: 0x7f,
    doc: 'A: update in progress, divider, rate of the periodic interrupt',
    fields: { rate: bits(3, 0), divider: bits(6, 4), updateInProgress: bit(7) },
  }),
  b: reg({
    at: 0xb,
    reset: 0x02,
    doc: 'B: 24 hours, binary, interrupt enables (update, alarm, periodic), set',
    fields: { hours24: bit(1), binary: bit(2), uie: bit(4), aie: bit(5), pie: bit(6), set: bit(7) },
  }),
  c: reg({
    at: 0xc,
    access: 'ro',
    doc: 'C: interrupt flags, cleared by a read',
    fields: { uf: bit(4), af: bit(5), pf: bit(6), irqf: bit(7) },
  }),
  d: reg({ at: 0xd, access: 'ro', reset: 0x80, doc: 'D: battery is good', fields: { validRam: bit(7) } }),
};

const TIME_REGISTERS = ['seconds', 'minutes', 'hours', 'dayOfWeek', 'dayOfMonth', 'month', 'year'] as const;

/** Flags in register C and their enables in B. */
const Flag = { update: 0x10, alarm: 0x20, periodic: 0x40, request: 0x80 } as const;
const ENABLES = 0x70;

/** Divider settings: from here on the chain is held in reset; a 32 kHz crystal wants 2. */
const DIVIDER_RUNS = 2;
const DIVIDER_RESET = 6;

const SECOND = BigInt(TICKS_PER_SECOND);
/** Update in progress says so this long before the time changes. */
const UIP_WARNING = 244_000_000n;
const RAM_START = 0x0e;

export const RTC_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  startTime: float({
    default: Date.UTC(2026, 0, 1) / 1000,
    min: 0,
    max: Date.UTC(9999, 11, 31) / 1000,
    description: 'time at tick 0, in seconds since 1970-01-01T00:00:00Z',
  }),
  memoryBelow4GiB: size({ default: 0, description: 'RAM below 4 GiB, for the size fields in CMOS RAM' }),
  memoryAbove4GiB: size({ default: 0, description: 'RAM from 4 GiB on' }),
});

export class RtcMc146818 extends PioDevice {
  /** IRQ 8: stays high until register C is read. */
  readonly interrupt = new OutputPin();
  /** High while bit 7 of port 0x70 keeps NMIs from the processor. */
  readonly nmiMask = new OutputPin();
  readonly #ports = this.state(
    'ports',
    new RegisterFile(RTC_PORT_REGISTERS, {
      // The index cannot be read back on a PC: the port floats.
      index: { read: () => 0xff, write: () => this.#driveNmiMask() },
      data: { read: () => this.#readByte(), write: (value) => this.#writeByte(value) },
    }),
  );
  readonly #regs = this.state('regs', new RegisterFile(RTC_REGISTERS));
  readonly #ram = this.state('ram', arrayCell(new Uint8Array(CMOS_SIZE))).array;
  /** A boundary between two seconds, and the seconds since 1970 that began there. */
  readonly #epochTick = this.state('epochTick', bigintCell());
  readonly #epochSeconds = this.state('epochSeconds', numberCell());
  /** What the guest's day of the week differs by: the chip counts it apart from the date. */
  readonly #weekdayShift = this.state('weekdayShift', numberCell());
  /** Up to here the flags of register C have been worked out. */
  readonly #settledTick = this.state('settledTick', bigintCell());
  readonly #event = new SimEvent(`${this.path}.interrupt`, () => this.#settleAndSchedule());

  constructor(
    parent: SimObject,
    name: string,
    {
      base = portAddress(0x70),
      ...given
    }: { readonly base?: PhysAddr } & ParamInputs<typeof RTC_PARAMS> = {},
  ) {
    super(parent, name);
    const params = this.resolveParams(RTC_PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.addBank(base, this.#ports);
    this.state('event', eventCell(this.eventQueue, this.#event));
    this.#epochSeconds.value = Math.floor(params.startTime);
    this.#epochTick.value = -BigInt(Math.round((params.startTime % 1) * TICKS_PER_SECOND));
    describeMemory(this.#ram, params.memoryBelow4GiB, params.memoryAbove4GiB);
  }

  /** A byte of CMOS RAM, 0x0e to 0x7f, as firmware leaves it for others: the shutdown status (0x0f), say. */
  cmos(index: number): number {
    return this.#ram[index]!;
  }

  setCmos(index: number, value: number): void {
    this.#ram[index] = value;
  }

  override restored(): void {
    this.#driveNmiMask();
    this.#driveInterrupt();
  }

  // ---- ports ----

  #driveNmiMask(): void {
    this.nmiMask.set(this.#ports.field('index', 'nmiMask') === 1);
  }

  #readByte(): number {
    const index = this.#ports.field('index', 'address');
    if (index === RTC_REGISTERS.a.at) return this.#regs.get('a') | (this.#isUpdating() ? 0x80 : 0);
    if (index === RTC_REGISTERS.c.at) return this.#readFlags();
    if (this.#isRunning) this.#latchTime();
    return index >= RAM_START ? this.#ram[index]! : this.#regs.read(index, 1);
  }

  #writeByte(value: number): void {
    const index = this.#ports.field('index', 'address');
    const isTime = TIME_REGISTERS.some((name) => RTC_REGISTERS[name].at === index) || index === Cmos.century;
    if (index >= RAM_START && !isTime) {
      this.#ram[index] = value;
      return;
    }
    // What has happened up to now happened under the old settings.
    this.#settle();
    const wasRunning = this.#isRunning;
    const wasReset = this.#isDividerReset;
    if (wasRunning) this.#latchTime();
    if (index === Cmos.century) this.#ram[index] = value;
    else this.#regs.write(index, 1, value);
    // Setting the clock and its update interrupt exclude each other.
    if (this.#regs.field('b', 'set') === 1) this.#regs.setField('b', 'uie', 0);
    // A divider released from reset makes the first update half a second later.
    if (wasReset && !this.#isDividerReset) this.#epochTick.value = this.curTick - SECOND / 2n;
    if (this.#isRunning && (!wasRunning || isTime)) this.#adoptTime();
    this.#settleAndSchedule();
  }

  // ---- time ----

  get #format(): TimeFormat {
    return {
      isBinary: this.#regs.field('b', 'binary') === 1,
      is24Hours: this.#regs.field('b', 'hours24') === 1,
    };
  }

  get #isRunning(): boolean {
    return this.#regs.field('b', 'set') === 0 && this.#regs.field('a', 'divider') <= DIVIDER_RUNS;
  }

  get #isDividerReset(): boolean {
    return this.#regs.field('a', 'divider') >= DIVIDER_RESET;
  }

  #secondsAt(tick: bigint): number {
    return this.#epochSeconds.value + Number(floorDiv(tick - this.#epochTick.value, SECOND));
  }

  #isUpdating(): boolean {
    const sinceUpdate = this.curTick - this.#epochTick.value;
    return this.#isRunning && SECOND - (sinceUpdate % SECOND) <= UIP_WARNING;
  }

  /** The running time goes into the registers. */
  #latchTime(): void {
    const time = encodeTime(this.#secondsAt(this.curTick), this.#format);
    time.dayOfWeek = ((time.dayOfWeek - 1 + this.#weekdayShift.value) % 7) + 1;
    for (const name of TIME_REGISTERS) this.#regs.set(name, time[name]);
    this.#ram[Cmos.century] = time.century;
  }

  /** The clock goes on from what the registers say; the phase of the divider stays. */
  #adoptTime(): void {
    const get = (name: (typeof TIME_REGISTERS)[number]) => this.#regs.get(name);
    const seconds = decodeTime(
      {
        seconds: get('seconds'),
        minutes: get('minutes'),
        hours: get('hours'),
        dayOfWeek: get('dayOfWeek'),
        dayOfMonth: get('dayOfMonth'),
        month: get('month'),
        year: get('year'),
        century: this.#ram[Cmos.century]!,
      },
      this.#format,
    );
    this.#epochTick.value += floorDiv(this.curTick - this.#epochTick.value, SECOND) * SECOND;
    this.#epochSeconds.value = seconds;
    const { dayOfWeek } = encodeTime(seconds, this.#format);
    this.#weekdayShift.value = (get('dayOfWeek') + 7 - dayOfWeek) % 7;
  }

  // ---- interrupts ----

  #readFlags(): number {
    this.#settle();
    const flags = this.#regs.get('c');
    this.#regs.set('c', 0);
    this.#settleAndSchedule();
    return flags;
  }

  /** Sets the flags of what has happened since the last time. */
  #settle(): void {
    const [from, to] = [this.#settledTick.value, this.curTick];
    this.#settledTick.value = to;
    let flags = this.#regs.get('c');
    if (this.#periodsUntil(to) !== this.#periodsUntil(from)) flags |= Flag.periodic;
    if (this.#isRunning && this.#secondsAt(to) !== this.#secondsAt(from)) {
      flags |= Flag.update;
      const alarm = this.#nextAlarm(this.#secondsAt(from));
      if (alarm !== undefined && alarm <= this.#secondsAt(to)) flags |= Flag.alarm;
    }
    this.#regs.set('c', flags);
  }

  #settleAndSchedule(): void {
    this.#settle();
    this.#driveInterrupt();
    const next = this.#nextInterrupt();
    if (this.#event.scheduled) this.eventQueue.deschedule(this.#event);
    if (next !== undefined) this.eventQueue.scheduleAt(this.#event, next);
  }

  #driveInterrupt(): void {
    const flags = this.#regs.get('c') & ~Flag.request;
    const isRequested = (flags & this.#regs.get('b') & ENABLES) !== 0;
    this.#regs.set('c', isRequested ? flags | Flag.request : flags);
    this.interrupt.set(isRequested);
  }

  /** When the pin goes up next; undefined while it is up, or if nothing can raise it. */
  #nextInterrupt(): Tick | undefined {
    if (this.interrupt.level) return undefined;
    const enables = this.#regs.get('b') & ENABLES;
    const candidates: bigint[] = [];
    if ((enables & Flag.periodic) !== 0 && this.#periodicHz > 0) {
      candidates.push(this.#startOfPeriod(this.#periodsUntil(this.curTick) + 1n));
    }
    if (this.#isRunning) {
      const now = this.#secondsAt(this.curTick);
      if ((enables & Flag.update) !== 0) candidates.push(this.#startOfSecond(now + 1));
      const alarm = (enables & Flag.alarm) !== 0 ? this.#nextAlarm(now) : undefined;
      if (alarm !== undefined) candidates.push(this.#startOfSecond(alarm));
    }
    if (candidates.length === 0) return undefined;
    return candidates.reduce((a, b) => (a < b ? a : b)) as Tick;
  }

  #nextAlarm(after: number): number | undefined {
    const alarm = {
      seconds: this.#regs.get('secondsAlarm'),
      minutes: this.#regs.get('minutesAlarm'),
      hours: this.#regs.get('hoursAlarm'),
    };
    return nextAlarm(after, alarm, this.#format);
  }

  #startOfSecond(seconds: number): bigint {
    return this.#epochTick.value + BigInt(seconds - this.#epochSeconds.value) * SECOND;
  }

  /** Table 5 of the data sheet for a 32.768 kHz crystal; 0: none. */
  get #periodicHz(): number {
    const rate = this.#regs.field('a', 'rate');
    if (rate === 0 || this.#regs.field('a', 'divider') > DIVIDER_RUNS) return 0;
    // The first two taps are where the slowest of a longer chain would be.
    return 32_768 >> ((rate <= 2 ? rate + 7 : rate) - 1);
  }

  /** Periods of the periodic interrupt from the epoch to a tick. */
  #periodsUntil(tick: bigint): bigint {
    return floorDiv((tick - this.#epochTick.value) * BigInt(this.#periodicHz), SECOND);
  }

  /** The first tick at which so many periods have passed. */
  #startOfPeriod(periods: bigint): bigint {
    return this.#epochTick.value - floorDiv(-periods * SECOND, BigInt(this.#periodicHz));
  }
}

function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}
