/**
 * One 8259A programmable interrupt controller: initialization words, operation words, priority resolution.
 * Intel 8259A data sheet (order number 231468-003); the edge/level register is the chipsets' (82371SB §2.5.4).
 *
 * Where the PC's chipsets differ from the chip of 1980, this follows them, as KVM's in-kernel chip does, whose state is the same
 * record: LTIM is ignored in favour of ELCR, the cascade is wired and ICW3 has no effect, MCS-80 mode and buffered
 * mode do not exist, and a rising edge stays latched until it is acknowledged even if the line falls before.
 */
import type { PicState } from '../../arch/x86/interrupt-state.ts';

/** What the next write to the odd port is; the values are KVM's, which has no single mode. */
const Init = {
  /** OCW1: the mask. */
  Done: 0,
  ExpectsIcw2: 1,
  ExpectsIcw3: 2,
  ExpectsIcw4: 3,
  /** ICW1 said SNGL: no ICW3 follows. */
  SingleExpectsIcw2: 4,
} as const;

const ICW1_IC4 = 0x01;
const ICW1_SNGL = 0x02;
/** Bit of a command that makes it ICW1. */
export const ICW1_SELECT = 0x10;
const OCW3_SELECT = 0x08;

/** Input of the master to which the slave's output leads. */
export const CASCADE = 2;

/** Inputs that can be level-triggered; not the timer, the keyboard, the cascade, the RTC and the coprocessor. */
export const ELCR_WRITABLE = { master: 0xf8, slave: 0xde } as const;

type MutableState = { -readonly [K in keyof PicState]: PicState[K] };

export class Pic8259Chip {
  readonly #isMaster: boolean;
  #state: MutableState;

  /** @param irqBase vector of input 0 until software says another */
  constructor(isMaster: boolean, irqBase: number) {
    this.#isMaster = isMaster;
    this.#state = {
      lastIrr: 0,
      irr: 0,
      imr: 0,
      isr: 0,
      priorityAdd: 0,
      irqBase,
      readRegSelect: 0,
      poll: 0,
      specialMask: 0,
      initState: Init.Done,
      autoEoi: 0,
      rotateOnAutoEoi: 0,
      specialFullyNested: 0,
      init4: 0,
      elcr: 0,
      elcrMask: isMaster ? ELCR_WRITABLE.master : ELCR_WRITABLE.slave,
    };
  }

  get state(): PicState {
    return { ...this.#state };
  }

  set state(state: PicState) {
    this.#state = { ...state };
  }

  /** Vector of input 0: bits 7:3 of ICW2. */
  get vectorBase(): number {
    return this.#state.irqBase;
  }

  /** An input's level. `lastIrr` is the lines, `irr` the requests. */
  setInput(input: number, level: boolean): void {
    const state = this.#state;
    const line = 1 << input;
    const rises = level && (state.lastIrr & line) === 0;
    state.lastIrr = level ? state.lastIrr | line : state.lastIrr & ~line;
    if ((state.elcr & line) !== 0) this.#followLevels();
    else if (rises) state.irr |= line;
  }

  /** The line falls and its edge is forgotten: the data sheet's rule, which here only the cascade follows. */
  withdrawInput(input: number): void {
    this.setInput(input, false);
    this.#state.irr &= ~(1 << input);
  }

  /** The input to be served next, or -1: the highest unmasked request above what is in service (INT is high). */
  get request(): number {
    const { irr, imr, isr, specialMask, specialFullyNested } = this.#state;
    const requested = this.#highest(irr & ~imr);
    if (requested === undefined) return -1;
    let inService = isr;
    // Special mask mode: a masked level that is in service holds nobody back.
    if (specialMask !== 0) inService &= ~imr;
    // Special fully nested mode: the slave may have a higher request than the one of its own in service.
    if (specialFullyNested !== 0 && this.#isMaster) inService &= ~(1 << CASCADE);
    const serving = this.#highest(inService);
    if (serving !== undefined && this.#rank(serving) <= this.#rank(requested)) return -1;
    return requested;
  }

  /** The next read is an acknowledgement. */
  get isPolled(): boolean {
    return this.#state.poll !== 0;
  }

  /** INTA: the request becomes the one in service; with automatic EOI it is done at once. */
  acknowledge(input: number): void {
    const state = this.#state;
    const line = 1 << input;
    if ((state.elcr & line) === 0) state.irr &= ~line;
    if (state.autoEoi === 0) state.isr |= line;
    else if (state.rotateOnAutoEoi !== 0) this.#makeLowest(input);
  }

  get elcr(): number {
    return this.#state.elcr;
  }

  set elcr(value: number) {
    this.#state.elcr = value & this.#state.elcrMask;
    this.#followLevels();
  }

  /** The even port. With a poll under way, the read is the INTA: bit 7 says whether bits 2:0 mean anything. */
  readCommand(): number {
    const { poll, readRegSelect, isr, irr } = this.#state;
    if (poll !== 0) return this.#poll();
    return readRegSelect !== 0 ? isr : irr;
  }

  /** The odd port: the mask, or the answer to a poll. */
  readData(): number {
    return this.#state.poll !== 0 ? this.#poll() : this.#state.imr;
  }

  /** The even port: ICW1, OCW2 or OCW3, told apart by bits 4 and 3. */
  writeCommand(value: number): void {
    if ((value & ICW1_SELECT) !== 0) this.#initialize(value);
    else if ((value & OCW3_SELECT) !== 0) this.#writeOcw3(value);
    else this.#writeOcw2(value >> 5, value & 7);
  }

  /** The odd port: ICW2 to ICW4 in an initialization, OCW1 otherwise. */
  writeData(value: number): void {
    const state = this.#state;
    const afterIcw3 = state.init4 !== 0 ? Init.ExpectsIcw4 : Init.Done;
    switch (state.initState) {
      case Init.ExpectsIcw2:
      case Init.SingleExpectsIcw2:
        state.irqBase = value & 0xf8;
        state.initState = state.initState === Init.ExpectsIcw2 ? Init.ExpectsIcw3 : afterIcw3;
        break;
      case Init.ExpectsIcw3:
        state.initState = afterIcw3;
        break;
      case Init.ExpectsIcw4:
        state.specialFullyNested = (value >> 4) & 1;
        state.autoEoi = (value >> 1) & 1;
        state.initState = Init.Done;
        break;
      default:
        state.imr = value;
    }
  }

  /** ICW1: edges seen so far are forgotten; lines that are high have to fall and rise again. */
  #initialize(icw1: number): void {
    const state = this.#state;
    state.irr = state.lastIrr & state.elcr;
    state.imr = 0;
    state.isr = 0;
    state.priorityAdd = 0;
    state.specialMask = 0;
    state.readRegSelect = 0;
    state.poll = 0;
    state.rotateOnAutoEoi = 0;
    state.init4 = icw1 & ICW1_IC4;
    if (state.init4 === 0) {
      state.specialFullyNested = 0;
      state.autoEoi = 0;
    }
    state.initState = (icw1 & ICW1_SNGL) !== 0 ? Init.SingleExpectsIcw2 : Init.ExpectsIcw2;
  }

  /** OCW2: bits 7:5 are R, SL and EOI. */
  #writeOcw2(command: number, level: number): void {
    const state = this.#state;
    switch (command) {
      case 0b000: // rotate in automatic EOI mode: clear
      case 0b100: // … set
        state.rotateOnAutoEoi = command >> 2;
        break;
      case 0b001: // non-specific EOI
      case 0b101: {
        // … and rotate
        const served = this.#highest(state.specialMask !== 0 ? state.isr & ~state.imr : state.isr);
        if (served === undefined) break;
        state.isr &= ~(1 << served);
        if (command === 0b101) this.#makeLowest(served);
        break;
      }
      case 0b011: // specific EOI
        state.isr &= ~(1 << level);
        break;
      case 0b111: // … and rotate
        state.isr &= ~(1 << level);
        this.#makeLowest(level);
        break;
      case 0b110: // set priority
        this.#makeLowest(level);
        break;
      // 0b010: no operation
    }
  }

  /** OCW3: ESMM and SMM (bits 6:5), P (2), RR and RIS (1:0). */
  #writeOcw3(value: number): void {
    const state = this.#state;
    if ((value & 0x40) !== 0) state.specialMask = (value >> 5) & 1;
    if ((value & 0x04) !== 0) state.poll = 1;
    else if ((value & 0x02) !== 0) state.readRegSelect = value & 1;
  }

  #poll(): number {
    this.#state.poll = 0;
    const input = this.request;
    if (input < 0) return 0;
    this.acknowledge(input);
    return 0x80 | input;
  }

  /** A level-triggered input requests as long as its line is high. */
  #followLevels(): void {
    const { lastIrr, elcr, irr } = this.#state;
    this.#state.irr = (irr & ~elcr) | (lastIrr & elcr);
  }

  /** `priorityAdd` is the input of the highest priority: the one after the lowest. */
  #makeLowest(input: number): void {
    this.#state.priorityAdd = (input + 1) & 7;
  }

  /** 0 is the highest priority. */
  #rank(input: number): number {
    return (input - this.#state.priorityAdd) & 7;
  }

  #highest(inputs: number): number | undefined {
    for (let rank = 0; rank < 8; rank++) {
      const input = (rank + this.#state.priorityAdd) & 7;
      if ((inputs & (1 << input)) !== 0) return input;
    }
    return undefined;
  }
}
