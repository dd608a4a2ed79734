/**
 * One counter of the 8254 programmable interval timer: six modes, binary or BCD, latches, read-back.
 * Intel 8254 data sheet (order number 231164-005), "Programming" and "Mode Definitions".
 *
 * Nothing here happens by itself. The counter knows at which cycle of its clock the present count was loaded, and
 * computes from that what it shows at another cycle:
 *
 *   cycle   w         w+1 = origin         origin + k
 *           count     the counting         k clocks
 *           written   element is loaded    counted
 */
import { asRecord, decodeNumber, type Json, type StateCell } from '../../sim/state.ts';

/** Which bytes of a count are accessed: RW1–RW0 of the control word. */
const Access = { Latch: 0, Low: 1, High: 2, LowThenHigh: 3 } as const;

const NEVER = -1;
/** The data sheet leaves the mode after power-up open; this is the PC firmware's choice: mode 3, so that OUT is high. */
const RESET_CONTROL = 0x36;

/** State of a counter: plain numbers, 0 or 1 where they are flags. */
interface CounterState {
  /** Bits 5:0 of the last control word: RW, mode, BCD. */
  control: number;
  /** CR, the count register: what software has written, in BCD if so programmed. */
  countRegister: number;
  /** A whole count has been written since the control word. */
  armed: number;
  /** The low byte of a two-byte count has been written: this one. */
  awaitsHigh: number;
  lowByte: number;
  /** The next byte read of a two-byte count is the high one. */
  readsHigh: number;
  /** OL, the output latch, and how many bytes of it are to be read. */
  latch: number;
  latchedBytes: number;
  status: number;
  statusLatched: number;
  /** The count register has not been loaded into the counting element. */
  nullCount: number;
  /** CE, the counting element, was last loaded with this: 1 to 65536 (10000 in BCD). */
  loaded: number;
  /** It has been loaded since the control word. */
  started: number;
  /** It stands still. */
  stopped: number;
  /** The cycle at which it was loaded; while it stands still: the clocks that it has counted. */
  origin: number;
  gate: number;
  /** The cycle at which the count register is loaded into it, or NEVER. */
  loadAt: number;
  /** Mode 3: that load is where the output falls, not where it rises. */
  loadAtFall: number;
}

export class PitCounter implements StateCell {
  #s: CounterState;

  /** @param gate its level at reset */
  constructor(gate: boolean) {
    this.#s = {
      control: RESET_CONTROL,
      countRegister: 0,
      armed: 0,
      awaitsHigh: 0,
      lowByte: 0,
      readsHigh: 0,
      latch: 0,
      latchedBytes: 0,
      status: 0,
      statusLatched: 0,
      nullCount: 1,
      loaded: 0x1_0000,
      started: 0,
      stopped: 1,
      origin: 0,
      gate: gate ? 1 : 0,
      loadAt: NEVER,
      loadAtFall: 0,
    };
  }

  save(): Json {
    return { ...this.#s };
  }

  restore(saved: Json): void {
    const record = asRecord(saved);
    const names = Object.keys(this.#s) as (keyof CounterState)[];
    for (const name of names) this.#s[name] = decodeNumber(record[name] ?? null);
  }

  /** 0 to 5; M2 does not count where M1 is set. */
  get mode(): number {
    const mode = (this.#s.control >> 1) & 7;
    return mode > 5 ? mode - 4 : mode;
  }

  /** Clocks from one rising edge of OUT to the next, if they follow each other until something is written. */
  get period(): number | undefined {
    const { started, stopped, loaded, loadAt } = this.#s;
    const goesOn = this.#isPeriodic && started !== 0 && stopped === 0 && loadAt === NEVER;
    return goesOn ? loaded : undefined;
  }

  /** Control word: mode and access; counting ends until a count is written. */
  writeControl(word: number, now: number): void {
    this.#settle(now);
    const s = this.#s;
    const value = this.#value(now);
    s.control = word & 0x3f;
    s.countRegister = 0;
    s.armed = 0;
    s.awaitsHigh = 0;
    s.readsHigh = 0;
    s.latchedBytes = 0;
    s.statusLatched = 0;
    s.nullCount = 1;
    // The counting element keeps what it shows.
    s.loaded = value === 0 ? this.#modulus : value;
    s.started = 0;
    s.stopped = 1;
    s.origin = 0;
    s.loadAt = NEVER;
  }

  /** Counter latch command: holds the count until it is read. A second one before that is ignored. */
  latchCount(now: number): void {
    const s = this.#s;
    if (s.latchedBytes > 0) return;
    s.latch = this.count(now);
    s.latchedBytes = this.#access === Access.LowThenHigh ? 2 : 1;
    s.readsHigh = 0;
  }

  /** Read-back command with STATUS: holds it until it is read. */
  latchStatus(now: number): void {
    const out = this.out(now) ? 0x80 : 0;
    const s = this.#s;
    if (s.statusLatched !== 0) return;
    s.status = out | (s.nullCount << 6) | s.control;
    s.statusLatched = 1;
  }

  /** A read of the counter's port: latched status, then latched count, else the count as it is. */
  read(now: number): number {
    const s = this.#s;
    if (s.statusLatched !== 0) {
      s.statusLatched = 0;
      return s.status;
    }
    const count = s.latchedBytes > 0 ? s.latch : this.count(now);
    if (s.latchedBytes > 0) s.latchedBytes--;
    if (this.#access === Access.Low) return count & 0xff;
    if (this.#access === Access.High) return count >> 8;
    s.readsHigh ^= 1;
    return s.readsHigh !== 0 ? count & 0xff : count >> 8;
  }

  /** A write to the counter's port. */
  write(byte: number, now: number): void {
    this.#settle(now);
    const s = this.#s;
    // Mode 0: OUT goes low with the first byte already, and counting ends.
    if (this.mode === 0) {
      this.#stop(now);
      s.started = 0;
      s.loadAt = NEVER;
    }
    if (this.#access === Access.LowThenHigh && s.awaitsHigh === 0) {
      s.awaitsHigh = 1;
      s.lowByte = byte;
      return;
    }
    if (this.#access === Access.Low) s.countRegister = byte;
    else if (this.#access === Access.High) s.countRegister = byte << 8;
    else s.countRegister = s.lowByte | (byte << 8);
    s.awaitsHigh = 0;
    s.armed = 1;
    s.nullCount = 1;
    this.#planLoad(now);
  }

  /** The GATE input. A rising edge triggers modes 1, 2, 3 and 5; a low level stops modes 0, 2, 3 and 4. */
  setGate(level: boolean, now: number): void {
    this.#settle(now);
    const s = this.#s;
    if (level === (s.gate !== 0)) return;
    s.gate = level ? 1 : 0;
    if (this.#isTriggered) {
      if (level && s.armed !== 0) this.#loadAt(now + 1);
    } else if (!level) {
      this.#stop(now);
      // In modes 2 and 3 a new count waits for the trigger now, not for the end of the period.
      if (this.#isPeriodic && s.started !== 0) s.loadAt = NEVER;
    } else if (this.#isPeriodic) {
      if (s.armed !== 0) this.#loadAt(now + 1);
    } else if (s.started !== 0) {
      s.stopped = 0;
      s.origin = now - s.origin;
    }
  }

  /** What a read without a latch shows: 16 bits, binary or BCD. */
  count(now: number): number {
    this.#settle(now);
    const value = this.#value(now);
    return this.#isBcd ? toBcd(value % this.#modulus) : value & 0xffff;
  }

  /** Level of the OUT pin. */
  out(now: number): boolean {
    this.#settle(now);
    return this.#outAfter(this.#elapsed(now));
  }

  /** The first cycle after `now` at which OUT goes from low to high, if nothing is written; undefined if never. */
  nextRise(now: number): number | undefined {
    this.#settle(now);
    const { loadAt } = this.#s;
    const own = this.#riseAfter(this.#elapsed(now));
    const rise = own === undefined ? undefined : now + own;
    if (loadAt === NEVER || (rise !== undefined && rise < loadAt)) return rise;
    const wasHigh = this.#outAfter(this.#elapsed(loadAt - 1));
    const loaded = new PitCounter(false);
    loaded.#s = { ...this.#s };
    if (loaded.out(loadAt) && !wasHigh) return loadAt;
    return loaded.nextRise(loadAt);
  }

  get #access(): number {
    return (this.#s.control >> 4) & 3;
  }

  get #isBcd(): boolean {
    return (this.#s.control & 1) !== 0;
  }

  get #modulus(): number {
    return this.#isBcd ? 10_000 : 0x1_0000;
  }

  get #isPeriodic(): boolean {
    return this.mode === 2 || this.mode === 3;
  }

  /** Counts from a rising edge of GATE on, whatever its level then. */
  get #isTriggered(): boolean {
    return this.mode === 1 || this.mode === 5;
  }

  /** The count that the count register means: 0 is the largest. 1 is illegal in modes 2 and 3 and taken as 2. */
  get #programmed(): number {
    const { countRegister } = this.#s;
    const count = (this.#isBcd ? fromBcd(countRegister) : countRegister) || this.#modulus;
    return this.#isPeriodic ? Math.max(count, 2) : count;
  }

  /** A count has been written: when does it get into the counting element? */
  #planLoad(now: number): void {
    const s = this.#s;
    if (this.#isTriggered) return;
    if (!this.#isPeriodic || s.started === 0) this.#loadAt(now + 1);
    else if (s.stopped === 0 && s.loadAt === NEVER) {
      const phase = this.#elapsed(now) % s.loaded;
      const falls = this.mode === 3 && phase < this.#highClocks;
      this.#loadAt(now + (falls ? this.#highClocks : s.loaded) - phase);
      s.loadAtFall = falls ? 1 : 0;
    }
  }

  #loadAt(cycle: number): void {
    this.#s.loadAt = cycle;
    this.#s.loadAtFall = 0;
  }

  /** Does what has become due until `now`. */
  #settle(now: number): void {
    const s = this.#s;
    if (s.loadAt === NEVER || s.loadAt > now) return;
    s.loaded = this.#programmed;
    s.nullCount = 0;
    s.started = 1;
    const counted = s.loadAtFall !== 0 ? this.#highClocks : 0;
    s.stopped = s.gate === 0 && !this.#isTriggered ? 1 : 0;
    s.origin = s.stopped !== 0 ? counted : s.loadAt - counted;
    s.loadAt = NEVER;
  }

  #stop(now: number): void {
    this.#s.origin = this.#elapsed(now);
    this.#s.stopped = 1;
  }

  /** Clocks counted since the load. */
  #elapsed(now: number): number {
    const { stopped, origin } = this.#s;
    return stopped !== 0 ? origin : now - origin;
  }

  /** Mode 3: OUT is high for this many clocks of a period, one more than low if the count is odd. */
  get #highClocks(): number {
    return Math.ceil(this.#s.loaded / 2);
  }

  /** The counting element as a number from 0 to 65536. */
  #value(now: number): number {
    const { loaded } = this.#s;
    const elapsed = this.#elapsed(now);
    const phase = elapsed % loaded;
    if (this.mode === 2) return loaded - phase;
    if (this.mode === 3) {
      // It counts down by two, from an even number, once for each half.
      const clocks = phase < this.#highClocks ? phase : phase - this.#highClocks;
      return loaded - (loaded % 2) - 2 * clocks;
    }
    const wrapped = (loaded - elapsed) % this.#modulus;
    return wrapped < 0 ? wrapped + this.#modulus : wrapped;
  }

  #outAfter(elapsed: number): boolean {
    const { started, stopped, loaded } = this.#s;
    if (started === 0) return this.mode !== 0;
    if (this.mode < 2) return elapsed >= loaded;
    // A low gate ends a low pulse.
    if (stopped !== 0) return true;
    if (this.mode === 2) return elapsed % loaded !== loaded - 1;
    if (this.mode === 3) return elapsed % loaded < this.#highClocks;
    return elapsed !== loaded;
  }

  /** Clocks until OUT next rises, from `elapsed` ones on. */
  #riseAfter(elapsed: number): number | undefined {
    const { started, stopped, loaded } = this.#s;
    if (started === 0 || stopped !== 0) return undefined;
    if (this.#isPeriodic) return loaded - (elapsed % loaded);
    const rise = this.mode < 2 ? loaded : loaded + 1;
    return elapsed < rise ? rise - elapsed : undefined;
  }
}

/** Digits above 9 count as what they are, as the counting element's adder would have it. */
function fromBcd(bcd: number): number {
  return (bcd >> 12) * 1000 + ((bcd >> 8) & 15) * 100 + ((bcd >> 4) & 15) * 10 + (bcd & 15);
}

function toBcd(value: number): number {
  const digit = (unit: number) => Math.floor(value / unit) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
