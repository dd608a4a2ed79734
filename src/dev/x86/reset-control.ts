/** Reset control register of the PC's chipsets, port 0xcf9: Intel 82371SB data sheet §2.5.6 (RC), ICH9 §13.7.5 (RST_CNT). */
import { SimObject } from '../../sim/sim-object.ts';
import { bit, RegisterFile, reg } from '../register-file.ts';

/** `soft`: INIT to the processors; `hard`: reset of the platform; `full`: with power off and on. */
export type ResetKind = 'soft' | 'hard' | 'full';

/** What the register takes for a hard reset: the RESET_VALUE of the ACPI tables. */
export const HARD_RESET = 0x06;

export const RESET_REGISTERS = {
  rstCnt: reg({
    at: 0,
    writable: 0x0e,
    doc: 'reset control: a write with bit 2 resets',
    fields: { hard: bit(1), reset: bit(2), full: bit(3) },
  }),
};

/**
 * One port in the midst of the PCI configuration address, which is only ever accessed as a double word: the host bridge
 * answers for it.
 */
export class ResetControl extends SimObject {
  /** One byte. */
  readonly registers: RegisterFile<typeof RESET_REGISTERS>;
  readonly #onReset: (kind: ResetKind) => void;

  /** @param onReset is called within the write access */
  constructor(parent: SimObject, name: string, onReset: (kind: ResetKind) => void) {
    super(parent, name);
    this.#onReset = onReset;
    const hooks = { rstCnt: { write: () => this.#write() } };
    this.registers = this.state('regs', new RegisterFile(RESET_REGISTERS, hooks));
  }

  #write(): void {
    if (this.registers.field('rstCnt', 'reset') === 0) return;
    // The reset clears the bit that asks for it.
    this.registers.setField('rstCnt', 'reset', 0);
    const isHard = this.registers.field('rstCnt', 'hard') !== 0;
    const isFull = this.registers.field('rstCnt', 'full') !== 0;
    this.#onReset(isHard ? (isFull ? 'full' : 'hard') : 'soft');
  }
}
