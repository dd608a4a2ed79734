// Runs the cases that are run on silicon on the engine: the same registers and memory in, the same record out.

import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { OFFSET, STRIDE } from '../../../src/arch/x86/state-layout.ts';
import { CODE, DATA, FunctionalMachine } from '../../support/functional-machine.ts';
import type { SiliconCase } from '../float/silicon.ts';

const STATUS_FLAGS = 0x8d5;
/** What Linux makes of #XM and #GP. */
const SIGNALS: ReadonlyMap<number, number> = new Map([
  [Vector.XM, 8],
  [Vector.GP, 11],
]);
const NO_SIGNAL = 255;
const RBX = 3;
const RDI = 7;
/** Control, status and tag word of x87, as FXSAVE has them and the thread context. */
const X87_BYTES = 5;
/** Bytes for the instruction and the jump behind it. */
const SLOT_BYTES = 32;
const SLOTS = 128;
/** Executions after which an endless loop has been translated. */
const WARM_UP = 4096;

export class EngineCases {
  readonly #machine = new FunctionalMachine();
  readonly #slots = new Map<string, number>();
  #loaded = '';

  /** Interprets the instruction of a case once, in place. */
  run(one: SiliconCase): void {
    this.#enter(one);
    const end = this.#machine.engine.run(1);
    this.#leave(one, end);
  }

  /** The same in a region: the instruction and a jump back to it have become one. */
  runTranslated(one: SiliconCase): void {
    const key = one.code.join();
    if (this.#loaded !== key) {
      this.#enter(one);
      this.#machine.tc.setGpr(RDI, BigInt(DATA));
      this.#machine.tc.u32[OFFSET.mxcsr >> 2] = 0x1fa0;
      this.#machine.engine.run(WARM_UP);
      this.#loaded = key;
    }
    this.#enter(one);
    this.#leave(one, this.#machine.engine.run(2));
  }

  #enter(one: SiliconCase): void {
    const { tc } = this.#machine;
    tc.ripNumber = this.#slotOf([...one.code]);
    tc.setGpr(0, one.rax);
    tc.setGpr(RBX, one.rbx);
    tc.setGpr(RDI, BigInt(DATA));
    tc.rflags = one.rflags;
    tc.u32[OFFSET.mxcsr >> 2] = one.mxcsr;
    for (const index of [0, 1]) {
      tc.u8.set(one.xmm(index), OFFSET.zmm + index * STRIDE.zmm);
      tc.u8.set(one.mmx(index), OFFSET.st + index * STRIDE.st);
    }
    tc.u8.set(one.fxsave.subarray(0, X87_BYTES), OFFSET.fcw);
    this.#machine.write(DATA, one.memory.subarray(0, 32));
  }

  #leave(one: SiliconCase, end: ReturnType<FunctionalMachine['engine']['run']>): void {
    const { tc } = this.#machine;
    one.signal = end.kind === 'exception' ? (SIGNALS.get(end.vector) ?? NO_SIGNAL) : 0;
    one.rax = tc.gpr(0);
    one.rflags = tc.rflags;
    one.mxcsr = tc.u32[OFFSET.mxcsr >> 2]!;
    one.fxsave.set(tc.u8.subarray(OFFSET.fcw, OFFSET.fcw + X87_BYTES));
    for (const index of [0, 1]) {
      const xmm = OFFSET.zmm + index * STRIDE.zmm;
      one.xmm(index).set(tc.u8.subarray(xmm, xmm + 16));
      const mmx = OFFSET.st + index * STRIDE.st;
      one.mmx(index).set(tc.u8.subarray(mmx, mmx + 8));
    }
  }

  /** Where the code is, followed by a jump back to it. */
  #slotOf(code: readonly number[]): number {
    const key = code.join();
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    const at = CODE + SLOT_BYTES * (this.#slots.size % SLOTS);
    this.#machine.write(at, Uint8Array.from([...code, 0xeb, -2 - code.length]));
    this.#slots.set(key, at);
    return at;
  }
}

/** What must agree, as text. */
export function outcome(one: SiliconCase): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).reverse().toString('hex');
  return [
    `signal ${one.signal}`,
    `mxcsr ${one.mxcsr.toString(16)}`,
    `xmm0 ${hex(one.xmm(0))}`,
    `xmm1 ${hex(one.xmm(1))}`,

    // Whether #XM leaves the MMX state behind that the instruction would have is not said: AMD's processors do.
    one.signal === 0 ? `x87 ${hex(one.fxsave.subarray(0, X87_BYTES))} mm0 ${hex(one.mmx(0))}` : '',
    `rax ${one.rax.toString(16)}`,
    `flags ${(one.rflags & STATUS_FLAGS).toString(16)}`,
  ].join(' ');
}
