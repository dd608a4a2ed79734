/** LegacyReplacement routes of the HPET, seen from the interrupt line. IA-PC HPET Specification 1.0a, §2.3.5. */
import type { PinSink } from '../../sim/pin.ts';
import { SimObject } from '../../sim/sim-object.ts';
import { arrayCell } from '../../sim/state.ts';

/** Indices of the levels. */
const Input = { device: 0, hpet: 1, select: 2 } as const;

/**
 * IRQ0 or IRQ8 of a board with an HPET: in legacy replacement mode the line is the HPET's, and the PIT's or the RTC's
 * output leads nowhere.
 *
 *   const irq0 = new LegacySwitch(this, 'irq0', line);
 *   pit.out0.connect(irq0.device);
 *   hpet.legacyIrq0.connect(irq0.hpet);
 *   hpet.legacyReplacement.connect(fanOut(irq0.select, irq8.select));
 *
 * The levels are state, unlike a pin's: after a restore the sources drive their outputs one by one, and a line that
 * followed each of them could rise and fall on the way, an interrupt that never was.
 */
export class LegacySwitch extends SimObject {
  /** For the PIT's or the RTC's output. */
  readonly device = this.#input(Input.device);
  /** For the HPET's output. */
  readonly hpet = this.#input(Input.hpet);
  /** For `hpet.legacyReplacement`. */
  readonly select = this.#input(Input.select);
  readonly #levels = this.state('levels', arrayCell(new Uint8Array(3)));
  readonly #line: PinSink;
  #driven = false;

  constructor(parent: SimObject, name: string, line: PinSink) {
    super(parent, name);
    this.#line = line;
  }

  /** The inputs are right already, and so is what the line leads to. */
  override restored(): void {
    this.#driven = this.#selected;
  }

  #input(i: number): PinSink {
    return {
      setLevel: (level) => {
        const { array } = this.#levels;
        if (array[i] === Number(level)) return;
        array[i] = Number(level);
        if (this.#selected === this.#driven) return;
        this.#driven = this.#selected;
        this.#line.setLevel(this.#driven);
      },
    };
  }

  get #selected(): boolean {
    const { array } = this.#levels;
    return array[array[Input.select] ? Input.hpet : Input.device] !== 0;
  }
}
