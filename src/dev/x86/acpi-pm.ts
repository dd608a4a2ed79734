/**
 * ACPI fixed hardware: PM1a event and control registers, power management timer.
 * ACPI Specification 6.5 §4.8.1 to §4.8.3 (registers), §5.2.9 (FADT: what the tables must say about it).
 *
 * There is no system management mode to come from: the machine is in ACPI mode from reset on, SCI_EN reads as one, and the
 * FADT's SMI_CMD has to be 0.
 *
 * Asleep (S3, suspend to RAM), the RTC's alarm and the power button wake it (§4.8.2.4, §16.1.3).
 *
 * The timer is computed when somebody looks; an event is scheduled only while its carry would interrupt.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import { SimEvent } from '../../sim/event-queue.ts';
import { choice, declareParams, int, type ParamInputs, type ParamValues } from '../../sim/params.ts';
import { OutputPin, type PinSink } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { booleanCell, eventCell, numberCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bit, bits, RegisterFile, reg } from '../register-file.ts';
import { ExactClock } from './exact-clock.ts';

export const PM_TIMER_HZ = 3_579_545;

/** Offsets of the register blocks from the base, for the FADT. */
export const PM1A_EVENT_OFFSET = 0;
export const PM1A_CONTROL_OFFSET = 4;
export const PM_TIMER_OFFSET = 8;

const events = {
  timer: bit(0),
  busMaster: bit(4),
  global: bit(5),
  powerButton: bit(8),
  sleepButton: bit(9),
  rtc: bit(10),
};
const TMR_STS = 0x0001;
const ENABLES = 0x0721;
/** Power button and RTC. */
const WAKES = 0x0500;

export const PM1A_EVENT_REGISTERS = {
  status: reg({
    at: 0,
    sizeBytes: 2,
    access: 'w1c',
    writable: 0x8731,
    doc: 'PM1 status',
    fields: { ...events, wake: bit(15) },
  }),
  enable: reg({ at: 2, sizeBytes: 2, writable: ENABLES, doc: 'PM1 enable', fields: events }),
};
export const PM1A_CONTROL_REGISTERS = {
  control: reg({
    at: 0,
    sizeBytes: 2,
    reset: 0x0001,
    writable: 0x3c02,
    doc: 'PM1 control',
    fields: {
      sciEnable: bit(0),
      busMasterReload: bit(1),
      globalRelease: bit(2),
      sleepType: bits(12, 10),
      sleepEnable: bit(13),
    },
  }),
};
export const PM_TIMER_REGISTERS = {
  timer: reg({ at: 0, sizeBytes: 4, access: 'ro', doc: 'power management timer, 3.579545 MHz' }),
};

const PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  base: int({ default: 0x600, min: 0, max: 0xfff0, description: 'port of the PM1a event block' }),
  timerWidth: choice(['24bit', '32bit'], { default: '32bit', description: 'width of the PM timer' }),
  s3SleepType: int({ default: 1, min: 0, max: 7, description: 'SLP_TYP of S3, as \\_S3 of the DSDT says' }),
  s5SleepType: int({ default: 5, min: 0, max: 7, description: 'SLP_TYP of S5, as \\_S5 of the DSDT says' }),
});
export type AcpiPmParams = ParamInputs<typeof PARAMS>;

/** What is done with the processors in S3. */
export interface SuspendToRam {
  /** They stop executing. */
  suspend(): void;
  /** The first of them starts at the waking vector. */
  resume(): void;
}

export class AcpiPm extends PioDevice {
  /** System control interrupt; level, usually IRQ 9. */
  readonly sci = new OutputPin();
  /** A rising edge is a press of the button. */
  readonly powerButton: PinSink;
  /** The RTC's interrupt: a rising edge sets RTC_STS, and wakes the machine if RTC_EN says so. */
  readonly rtcAlarm: PinSink;
  readonly params: ParamValues<typeof PARAMS>;
  readonly #clock = new ExactClock(PM_TIMER_HZ);
  readonly #timerSpan: number;
  readonly #suspendToRam: SuspendToRam | undefined;
  readonly #isAsleep = this.state('isAsleep', booleanCell());
  readonly #alarmLevel = this.state('alarmLevel', booleanCell());
  readonly #buttonLevel = this.state('buttonLevel', booleanCell());
  /** How often the timer's highest bit has changed, up to the last time that software cleared its status bit. */
  readonly #seenCarries = this.state('seenCarries', numberCell());
  readonly #event: RegisterFile<typeof PM1A_EVENT_REGISTERS>;
  readonly #control: RegisterFile<typeof PM1A_CONTROL_REGISTERS>;
  readonly #carry: SimEvent;

  /** @param suspendToRam undefined: the machine has no S3 */
  constructor(parent: SimObject, name: string, given: AcpiPmParams = {}, suspendToRam?: SuspendToRam) {
    super(parent, name);
    this.#suspendToRam = suspendToRam;
    this.params = this.resolveParams(PARAMS, given);
    this.pioLatency = this.params.pioLatency;
    this.#timerSpan = this.params.timerWidth === '24bit' ? 2 ** 24 : 2 ** 32;
    this.powerButton = { setLevel: (level) => this.#setButton(level) };
    this.rtcAlarm = { setLevel: (level) => this.#setAlarm(level) };
    this.#carry = new SimEvent(`${this.path}.carry`, () => this.#update());
    this.state('carry', eventCell(this.eventQueue, this.#carry));
    this.#event = this.state('event', new RegisterFile(PM1A_EVENT_REGISTERS, this.#eventHooks()));
    this.#control = this.state(
      'control',
      new RegisterFile(PM1A_CONTROL_REGISTERS, { control: { write: () => this.#writeControl() } }),
    );
    const timer = new RegisterFile(PM_TIMER_REGISTERS, {
      timer: { read: () => this.#cycle % this.#timerSpan },
    });
    const { base } = this.params;
    this.addBank(portAddress(base + PM1A_EVENT_OFFSET), this.#event);
    this.addBank(portAddress(base + PM1A_CONTROL_OFFSET), this.#control);
    this.addBank(portAddress(base + PM_TIMER_OFFSET), timer);
  }

  /** Whether the machine is in S3. */
  get isAsleep(): boolean {
    return this.#isAsleep.value;
  }

  override restored(): void {
    this.#drive();
  }

  get #cycle(): number {
    return this.#clock.cycleAt(this.curTick);
  }

  /** Changes of the timer's highest bit since tick 0. */
  get #carries(): number {
    return Math.floor(this.#cycle / (this.#timerSpan / 2));
  }

  #eventHooks(): ConstructorParameters<typeof RegisterFile<typeof PM1A_EVENT_REGISTERS>>[1] {
    return {
      status: {
        read: () => this.#status,
        write: (cleared) => {
          if ((cleared & TMR_STS) !== 0) this.#seenCarries.value = this.#carries;
          this.#update();
        },
      },
      enable: { write: () => this.#update() },
    };
  }

  /** The status register with TMR_STS, which is never stored. */
  get #status(): number {
    const carry = this.#carries > this.#seenCarries.value ? TMR_STS : 0;
    return this.#event.get('status') | carry;
  }

  #writeControl(): void {
    const sleeps = this.#control.field('control', 'sleepEnable') !== 0;
    // SLP_EN is write-only and reads as zero.
    this.#control.setField('control', 'sleepEnable', 0);
    if (sleeps) this.#sleep(this.#control.field('control', 'sleepType'));
  }

  #sleep(type: number): void {
    if (type === this.params.s5SleepType) {
      this.root.exitSimLoop('ACPI power off');
    } else if (type === this.params.s3SleepType && this.#suspendToRam !== undefined) {
      this.#isAsleep.value = true;
      this.#suspendToRam.suspend();
      // What came between the last look and this write.
      if ((this.#status & this.#event.get('enable') & WAKES) !== 0) this.#wake();
    } else {
      this.warnOnce(`sleep type ${type} is no state that this machine has; it stays awake`, `sleep ${type}`);
    }
  }

  #wake(): void {
    if (!this.#isAsleep.value) return;
    this.#isAsleep.value = false;
    this.#event.setField('status', 'wake', 1);
    this.#suspendToRam?.resume();
  }

  #setButton(level: boolean): void {
    const isPress = level && !this.#buttonLevel.value;
    this.#buttonLevel.value = level;
    if (!isPress) return;
    this.#event.setField('status', 'powerButton', 1);
    this.#wake();
    this.#update();
  }

  #setAlarm(level: boolean): void {
    const isAlarm = level && !this.#alarmLevel.value;
    this.#alarmLevel.value = level;
    if (!isAlarm) return;
    this.#event.setField('status', 'rtc', 1);
    if (this.#event.field('enable', 'rtc') !== 0) this.#wake();
    this.#update();
  }

  #update(): void {
    this.#drive();
    if (this.#carry.scheduled) this.eventQueue.deschedule(this.#carry);
    if (this.#event.field('enable', 'timer') === 0 || (this.#status & TMR_STS) !== 0) return;
    const half = this.#timerSpan / 2;
    const tick = this.#clock.tickOf((this.#carries + 1) * half);
    if (tick !== undefined) this.eventQueue.scheduleAt(this.#carry, tick);
  }

  #drive(): void {
    this.sci.set((this.#status & this.#event.get('enable')) !== 0);
  }
}
