/**
 * The assist behind the x87 instructions: X87Unit on the engine's thread context, with the memory operand in the scratch bytes.
 * What precedes an instruction's execution (availability, a pending exception, faults of its memory operand, FIP and FDP)
 * is said in its definition, arch/x86/isa/x87/unit.ts.
 */

import { STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { x87Instruction } from '../../arch/x86/x87/instructions.ts';
import { type X87Operand, X87Unit } from '../../arch/x86/x87/unit.ts';
import { panic } from '../../sim/trouble.ts';

/** The first of the eight escape opcodes: FOP holds the rest. */
const ESCAPE = 0xd8;
type Operand = { -readonly [K in keyof X87Operand]: X87Operand[K] };

export class X87Assist {
  readonly #unit: X87Unit;
  readonly #operand: Operand;

  constructor(tc: X86ThreadContext, { buffer, byteOffset, byteLength }: DataView) {
    this.#unit = new X87Unit(tc);
    this.#operand = {
      memory: new Uint8Array(buffer, byteOffset, byteLength),
      i: 0,
      opcode: 0,
      fip: 0n,
      fdp: 0n,
      operandSize16: false,
      stored: false,
    };
  }

  /** Of a state that was loaded: bits of the control word that do not exist, and the summary of unmasked exceptions. */
  normalize(): void {
    const unit = this.#unit;
    unit.fcw = unit.fcw & 0xffff;
    unit.updateSummary();
  }

  /**
   * Executes an instruction, the bytes of whose memory operand are in the scratch bytes; there it also puts those to be stored.
   * @param flags the status flags in front of it, for FCMOVcc
   * @returns the status flags behind it, and bit 31: the memory operand is to be stored
   */
  run(fop: number, flags: number, operandBits: number): number {
    const { tc } = this.#unit;
    const instruction = x87Instruction(ESCAPE + (fop >> 8), fop & 0xff);
    if (instruction === undefined) return panic('functional CPU', `no x87 instruction has FOP ${fop}`);
    const operand = this.#operand;
    operand.i = fop & 7;
    operand.operandSize16 = operandBits === 16;
    operand.stored = false;
    tc.rflags = (tc.rflags & ~STATUS_FLAGS) | flags;
    instruction.run(this.#unit, operand);
    return (tc.rflags & STATUS_FLAGS) | (operand.stored ? 1 << 31 : 0);
  }
}
