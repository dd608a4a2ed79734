/**
 * What a local APIC holds for its processor beside IRR and ISR: NMI, INIT, STARTUP and ExtINT messages, each at most once.
 * Intel SDM vol. 3A §8.4 (INIT and STARTUP), §10.6.1 (delivery modes).
 */
import { booleanCell, numberCell } from '../../../sim/state.ts';

/** Kinds of messages, a bit each. */
export const Latch = { Init: 1, Startup: 2, Nmi: 4, ExtInt: 8 } as const;
export type LatchKind = (typeof Latch)[keyof typeof Latch];

export class MessageLatches {
  /** State of the APIC. */
  readonly cells = {
    latches: numberCell(),
    startupVector: numberCell(),
    awaitsStartup: booleanCell(),
  };
  readonly #isBootstrap: boolean;

  /**
   * @param isBootstrap the bootstrap processor does not wait for STARTUP after RESET. After INIT a real one would execute
   *   the BIOS (SDM vol. 3A §8.4.2); there is none here, and it waits like the others
   */
  constructor(isBootstrap: boolean) {
    this.#isBootstrap = isBootstrap;
  }

  /** The kinds that are pending, as bits. Hot path. */
  get kinds(): number {
    return this.cells.latches.value;
  }

  set(kind: LatchKind): void {
    if (kind === Latch.Init) this.#beginInit();
    this.cells.latches.value |= kind;
  }

  clear(kind: LatchKind): void {
    this.cells.latches.value &= ~kind;
  }

  /** RESET and INIT drop what is pending, but for a STARTUP that has followed the INIT already. */
  reset(init: boolean): void {
    this.cells.latches.value &= init ? Latch.Init | Latch.Startup : 0;
    this.awaitsStartup = init || !this.#isBootstrap;
  }

  /** Ignored unless the processor waits for it: systems send two, of which the second finds it running. */
  setStartup(vector: number): void {
    if (!this.awaitsStartup) return;
    this.cells.startupVector.value = vector;
    this.set(Latch.Startup);
  }

  /** Returns the vector. */
  takeStartup(): number {
    this.awaitsStartup = false;
    return this.cells.startupVector.value;
  }

  /** Whether a STARTUP would start the processor. */
  get awaitsStartup(): boolean {
    return this.cells.awaitsStartup.value;
  }

  set awaitsStartup(value: boolean) {
    this.cells.awaitsStartup.value = value;
    if (!value) this.clear(Latch.Startup);
  }

  /** A STARTUP that came before this INIT was for another start. */
  #beginInit(): void {
    this.clear(Latch.Startup);
    this.cells.awaitsStartup.value = true;
  }
}
