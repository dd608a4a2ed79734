/**
 * The two pins of a local APIC, LINT0 and LINT1, and their entries in the local vector table: fixed interrupts by edge or
 * level, NMI, INIT, or the INTR of an 8259 (ExtINT). Intel SDM vol. 3A §10.5.1. With the APIC disabled in IA32_APIC_BASE
 * they are the processor's INTR and NMI (§10.4.3).
 *
 * A level is assertion: the polarity bit of an entry is kept and has no effect.
 */
import { DeliveryMode } from '../../../arch/x86/interrupts.ts';
import { numberCell } from '../../../sim/state.ts';
import { LVT_LEVEL, LVT_MASKED, LVT_REMOTE_IRR, WORD } from './local-apic-registers.ts';

export type LocalPin = 'lvtLint0' | 'lvtLint1';
const PINS = ['lvtLint0', 'lvtLint1'] as const satisfies readonly LocalPin[];
const BIT = { lvtLint0: 1, lvtLint1: 2 } as const;

/** What the pins do to their APIC. */
export interface LocalPinActions {
  /** Whether IA32_APIC_BASE enables it. */
  isEnabled(): boolean;
  /** A vector into the IRR; false if it is refused. */
  request(vector: number, isLevel: boolean): boolean;
  nmi(): void;
  init(): void;
  /** `hasExtInt` may have changed. */
  changed(): void;
}

export class LocalPins {
  /** Bit 0 is LINT0, bit 1 is LINT1; state of the APIC. */
  readonly levels = numberCell();
  readonly #words: Uint32Array;
  readonly #actions: LocalPinActions;

  constructor(words: Uint32Array, actions: LocalPinActions) {
    this.#words = words;
    this.#actions = actions;
  }

  /** An 8259 requests: an asserted pin whose entry says ExtINT. */
  get hasExtInt(): boolean {
    if (!this.#actions.isEnabled()) return this.#isAsserted('lvtLint0');
    return (
      this.levels.value !== 0 &&
      PINS.some((pin) => this.#isAsserted(pin) && this.#mode(pin) === DeliveryMode.ExtInt)
    );
  }

  setLevel(pin: LocalPin, level: boolean): void {
    if (level === this.#isAsserted(pin)) return;
    this.levels.value ^= BIT[pin];
    if (level) this.#asserted(pin);
    this.#actions.changed();
  }

  /** A level-triggered input that is asserted requests at once; an edge-triggered entry has no remote IRR. */
  lvtWritten(pin: LocalPin): void {
    if (!this.#isLevel(pin)) this.#words[WORD[pin]]! &= ~LVT_REMOTE_IRR;
    this.#serveLevel(pin);
    this.#actions.changed();
  }

  endOfInterrupt(vector: number): void {
    for (const pin of PINS) {
      const lvt = this.#words[WORD[pin]]!;
      if ((lvt & LVT_REMOTE_IRR) === 0 || (lvt & 0xff) !== vector) continue;
      this.#words[WORD[pin]] = lvt & ~LVT_REMOTE_IRR;
      this.#serveLevel(pin);
    }
  }

  /** A pin rises. */
  #asserted(pin: LocalPin): void {
    if (!this.#actions.isEnabled()) {
      if (pin === 'lvtLint1') this.#actions.nmi();
      return;
    }
    switch (this.#mode(pin)) {
      case DeliveryMode.Fixed:
        if (this.#isLevel(pin)) this.#serveLevel(pin);
        else this.#actions.request(this.#words[WORD[pin]]! & 0xff, false);
        break;
      case DeliveryMode.Nmi:
        this.#actions.nmi();
        break;
      case DeliveryMode.Init:
        this.#actions.init();
        break;
    }
  }

  /** Only fixed interrupts can be level-triggered; NMI and INIT are edges whatever the entry says. */
  #serveLevel(pin: LocalPin): void {
    const lvt = this.#words[WORD[pin]]!;
    const isDue = this.#isAsserted(pin) && this.#isLevel(pin) && (lvt & LVT_REMOTE_IRR) === 0;
    if (!isDue || this.#mode(pin) !== DeliveryMode.Fixed) return;
    if (this.#actions.request(lvt & 0xff, true)) this.#words[WORD[pin]]! |= LVT_REMOTE_IRR;
  }

  #isAsserted(pin: LocalPin): boolean {
    return (this.levels.value & BIT[pin]) !== 0;
  }

  #isLevel(pin: LocalPin): boolean {
    return (this.#words[WORD[pin]]! & LVT_LEVEL) !== 0;
  }

  /** The delivery mode of an entry; −1: it is masked. */
  #mode(pin: LocalPin): number {
    const lvt = this.#words[WORD[pin]]!;
    return (lvt & LVT_MASKED) !== 0 ? -1 : (lvt >>> 8) & 7;
  }
}
