/**
 * The PC's two cascaded 8259A: ports 0x20–0x21 and 0xa0–0xa1, edge/level control at 0x4d0–0x4d1. Sixteen inputs, one
 * output, and the interrupt acknowledge cycle that turns a request into a vector.
 *
 *   IRQ 0 1 3…7 ──────────▶ master ─▶ intr
 *   IRQ 8…15 ─▶ slave ─▶ IR2 ┘
 */

import { portAddress } from '../../arch/x86/address-spaces.ts';
import { BIOS_VECTORS, type PicState, restorePic, savePic } from '../../arch/x86/interrupt-state.ts';
import { bool, declareParams, type ParamInputs } from '../../sim/params.ts';
import { OutputPin, type PinSink } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { customCell, type StateCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { RegisterFile, reg } from '../register-file.ts';
import { CASCADE, ICW1_SELECT, Pic8259Chip } from './pic8259-chip.ts';

/** What a read returns and a write means depends on the words before: see {@link Pic8259Chip}. */
export const PIC_REGISTERS = {
  command: reg({ at: 0, doc: 'ICW1, OCW2, OCW3; read: IRR, ISR or poll word' }),
  data: reg({ at: 1, doc: 'ICW2–ICW4, OCW1 (mask)' }),
};
export const ELCR_REGISTERS = {
  elcr1: reg({ at: 0, doc: 'IRQ 0–7: 1 is level-triggered' }),
  elcr2: reg({ at: 1, doc: 'IRQ 8–15: 1 is level-triggered' }),
};

const PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  biosVectors: bool({
    default: false,
    description: "IRQ 0 is vector 08H and IRQ 8 vector 70H from the start, as a PC's BIOS leaves them",
  }),
});
export type Pic8259Params = ParamInputs<typeof PARAMS>;

const MASTER_PORT = 0x20;
const SLAVE_PORT = 0xa0;
const ELCR_PORT = 0x4d0;
/** An acknowledgement without a request gives the vector of IR7. */
const SPURIOUS = 7;

/** State of both chips, as the in-kernel ones have it too. */
export interface PicPairState {
  readonly master: PicState;
  readonly slave: PicState;
}

export class Pic8259Pair extends PioDevice {
  /** INT of the master: to the processor's INTR, or LINT0 of its local APIC. */
  readonly intr = new OutputPin();
  readonly #master: Pic8259Chip;
  readonly #slave: Pic8259Chip;

  constructor(parent: SimObject, name: string, given: Pic8259Params = {}) {
    super(parent, name);
    const { pioLatency, biosVectors } = this.resolveParams(PARAMS, given);
    this.pioLatency = pioLatency;
    this.#master = new Pic8259Chip(true, biosVectors ? BIOS_VECTORS.master : 0);
    this.#slave = new Pic8259Chip(false, biosVectors ? BIOS_VECTORS.slave : 0);
    this.state('master', chipCell(this.#master));
    this.state('slave', chipCell(this.#slave));
    const ports = (chip: Pic8259Chip) =>
      new RegisterFile(PIC_REGISTERS, {
        command: {
          read: () => this.#read(chip, chip.readCommand),
          write: (value) => this.#writeCommand(chip, value),
        },
        data: {
          read: () => this.#read(chip, chip.readData),
          write: (value) => this.#writeData(chip, value),
        },
      });
    const elcr = (chip: Pic8259Chip) => ({
      read: () => chip.elcr,
      write: (value: number) => this.#writeElcr(chip, value),
    });
    this.addBank(portAddress(MASTER_PORT), ports(this.#master));
    this.addBank(portAddress(SLAVE_PORT), ports(this.#slave));
    const trigger = new RegisterFile(ELCR_REGISTERS, { elcr1: elcr(this.#master), elcr2: elcr(this.#slave) });
    this.addBank(portAddress(ELCR_PORT), trigger);
  }

  /** Input of an IRQ, 0 to 15. IRQ 2 is the cascade and leads nowhere. */
  input(irq: number): PinSink {
    if (!Number.isInteger(irq) || irq < 0 || irq > 15) throw new RangeError(`no IRQ ${irq}`);
    if (irq === CASCADE) return { setLevel: () => {} };
    const chip = irq < 8 ? this.#master : this.#slave;
    return {
      setLevel: (level) => {
        chip.setInput(irq & 7, level);
        this.#update();
      },
    };
  }

  /** The processor's interrupt acknowledge cycle: returns the vector and puts the request into service. */
  acknowledge(): number {
    const vector = this.#acknowledgeMaster();
    // INT falls with INTA, and rises again if there is more: for sinks that look for edges.
    this.intr.set(false);
    this.#update();
    return vector;
  }

  saveState(): PicPairState {
    return { master: this.#master.state, slave: this.#slave.state };
  }

  restoreState({ master, slave }: PicPairState): void {
    this.#master.state = master;
    this.#slave.state = slave;
    this.#update();
  }

  override restored(): void {
    this.#update();
  }

  #acknowledgeMaster(): number {
    const input = this.#master.request;
    if (input < 0) return this.#master.vectorBase + SPURIOUS;
    this.#master.acknowledge(input);
    if (input !== CASCADE) return this.#master.vectorBase + input;
    // IR2 follows the slave at once: there is a request, and no race that would give the slave's own default vector.
    const slaveInput = this.#slave.request;
    this.#slave.acknowledge(slaveInput);
    this.#dropCascade(this.#slave);
    return this.#slave.vectorBase + slaveInput;
  }

  #read(chip: Pic8259Chip, read: () => number): number {
    const isAcknowledge = chip.isPolled;
    const value = read.call(chip);
    if (isAcknowledge) this.#dropCascade(chip);
    this.#update();
    return value;
  }

  #writeCommand(chip: Pic8259Chip, value: number): void {
    chip.writeCommand(value);
    if ((value & ICW1_SELECT) !== 0) this.#dropCascade(chip);
    this.#update();
  }

  #writeData(chip: Pic8259Chip, value: number): void {
    chip.writeData(value);
    this.#update();
  }

  #writeElcr(chip: Pic8259Chip, value: number): void {
    chip.elcr = value;
    this.#update();
  }

  /** The slave's INT falls with its acknowledgement: a further request is a new edge to the master. */
  #dropCascade(chip: Pic8259Chip): void {
    if (chip === this.#slave) this.#master.withdrawInput(CASCADE);
  }

  #update(): void {
    if (this.#slave.request >= 0) this.#master.setInput(CASCADE, true);
    else this.#master.withdrawInput(CASCADE);
    this.intr.set(this.#master.request >= 0);
  }
}

function chipCell(chip: Pic8259Chip): StateCell {
  return customCell(
    () => savePic(chip.state),
    (saved) => {
      chip.state = restorePic(saved);
    },
  );
}
