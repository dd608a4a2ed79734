// A local APIC that tests script: what is pending is what they say, and what the CPU takes is recorded.

import type { InterruptController } from '../../src/arch/x86/interrupts.ts';

export class ScriptedApic implements InterruptController {
  init = false;
  startup: number | undefined;
  nmi = false;
  /** External interrupts, the next one first. */
  readonly vectors: number[] = [];
  /** What the CPU has taken, and MSR accesses, in order. */
  readonly log: string[] = [];
  readonly msrs = new Map<number, bigint>();
  cr8 = 0;
  apicBase = 0xfee0_0900;
  msrsReachable = false;
  #revision = 0;
  #seen = '';

  /** Tests change fields at will: whether they have is found when somebody asks. */
  get revision(): number {
    const { init, startup, nmi, vectors, cr8, apicBase } = this;
    const now = JSON.stringify([init, startup, nmi, vectors, cr8, apicBase]);
    if (now !== this.#seen) this.#revision++;
    this.#seen = now;
    return this.#revision;
  }

  get isPending(): boolean {
    return this.init || this.startup !== undefined || this.nmi || this.vectors.length > 0;
  }
  get hasInit(): boolean {
    return this.init;
  }
  get hasStartup(): boolean {
    return this.startup !== undefined;
  }
  get hasNmi(): boolean {
    return this.nmi;
  }
  get hasExternal(): boolean {
    return this.vectors.length > 0;
  }
  takeInit(): void {
    this.init = false;
    this.log.push('init');
  }
  takeStartup(): number {
    const vector = this.startup ?? 0;
    this.startup = undefined;
    this.log.push(`startup ${vector}`);
    return vector;
  }
  takeNmi(): void {
    this.nmi = false;
    this.log.push('nmi');
  }
  takeExternal(): number | undefined {
    const vector = this.vectors.shift();
    this.log.push(`external ${vector}`);
    return vector;
  }
  readMsr(index: number): bigint | undefined {
    this.log.push(`rdmsr 0x${index.toString(16)}`);
    return this.msrs.get(index);
  }
  writeMsr(index: number, value: bigint): boolean {
    this.log.push(`wrmsr 0x${index.toString(16)} 0x${value.toString(16)}`);
    if (!this.msrs.has(index)) return false;
    this.msrs.set(index, value);
    return true;
  }
  reset(): void {
    this.log.push('reset');
  }
}
