/**
 * The x87 unit over a thread context: the register stack, tags, status word and exceptions that the
 * instructions (the other files here) are written in. Intel SDM vol. 1 §8.1 (execution environment), §8.5
 * (exceptions), §8.6 (when they are raised); APM vol. 2 §11.4.4.
 */

import { environmentFromFcw, type FloatEnvironment, FloatFlag, settleFlags } from '../float/environment.ts';
import { EXTENDED80 } from '../float/format.ts';
import { physicalRegister, topOfStack } from '../fxsave.ts';
import { OFFSET, STRIDE } from '../state-layout.ts';
import type { X86ThreadContext } from '../thread-context.ts';

/** Bits of the status word above the exception flags. SDM vol. 1 figure 8-4. */
export const Fsw = {
  SF: 0x40,
  ES: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  TOP: 0x3800,
  C3: 0x4000,
  B: 0x8000,
} as const;

/** What an x87 instruction is executed with besides the unit's state. */
export type X87Operand = {
  /** The memory operand's bytes, from 0; what it stores is put here too. */
  readonly memory: Uint8Array;
  /** The i of ST(i). */
  readonly i: number;
  /** Bits 2:0 of the opcode's first byte and the ModRM byte: what FOP becomes. */
  readonly opcode: number;
  /** Address of the instruction. */
  readonly fip: bigint;
  /** Address of the memory operand. */
  readonly fdp: bigint;
  /** The formats of 16-bit operand size: 14 and 94 bytes instead of 28 and 108. */
  readonly operandSize16: boolean;
  /** Out: `memory` is to be stored. An unmasked exception keeps a store from happening. */
  stored: boolean;
};

/** What the caller has to raise: nothing, or #MF (on entry: the instruction has not been executed). */
export type X87Outcome = 'none' | 'mf';

/** One instruction in one form. */
export type X87Instruction = {
  /** Mnemonic and operands in the manual's notation, such as `FADD m32fp`. */
  readonly name: string;
  /** The first byte, 0xD8 to 0xDF. */
  readonly opcode: number;
  /** The ModRM byte of register 0, at least 0xC0; for memory forms the reg field, below 8. */
  readonly modrm: number;
  /** ModRM bytes that belong to it: 8 for ST(i), 1 otherwise. */
  readonly registers: number;
  /** Size of the memory operand and, where it differs, with 16-bit operand size; 0 without one. */
  readonly sizeBytes: number;
  readonly sizeBytes16: number;
  /** Whether the memory operand is written (never read too). */
  readonly stores: boolean;
  /** Whether a pending exception is raised before it: all but the FN… ones. */
  readonly waits: boolean;
  /** Whether FOP, FIP and FDP say afterwards that it came last. */
  readonly pointers: boolean;
  readonly run: (unit: X87Unit, operand: X87Operand) => void;
};

const EXPONENT_OFFSET = 8;

export class X87Unit {
  readonly tc: X86ThreadContext;

  constructor(tc: X86ThreadContext) {
    this.tc = tc;
  }

  /**
   * Executes an instruction. With `mf` nothing has changed; an exception that the instruction itself finds
   * is pending afterwards (FSW.ES) and raised by the next waiting one. The caller has made sure that a
   * memory operand can be written, since the stack may be popped here, and writes it if `operand.stored`.
   */
  execute(instruction: X87Instruction, operand: X87Operand): X87Outcome {
    operand.stored = false;
    if (instruction.waits && this.fsw & Fsw.ES) return 'mf';
    if (instruction.pointers) {
      this.tc.u16[OFFSET.fop >> 1] = operand.opcode & 0x7ff;
      this.tc.set(OFFSET.fip, operand.fip);
      if (instruction.sizeBytes > 0) this.tc.set(OFFSET.fdp, operand.fdp);
    }
    instruction.run(this, operand);
    return 'none';
  }

  get fcw(): number {
    return this.tc.u16[OFFSET.fcw >> 1]!;
  }
  /** Bits that exist: 12:8 and the masks; bit 6 reads as one. */
  set fcw(value: number) {
    this.tc.u16[OFFSET.fcw >> 1] = (value & 0x1f3f) | 0x40;
  }
  get fsw(): number {
    return this.tc.u16[OFFSET.fsw >> 1]!;
  }
  set fsw(value: number) {
    this.tc.u16[OFFSET.fsw >> 1] = value;
  }
  /** Abridged: bit i is set where R<i> is not empty. */
  get ftw(): number {
    return this.tc.u16[OFFSET.ftw >> 1]!;
  }
  set ftw(value: number) {
    this.tc.u16[OFFSET.ftw >> 1] = value & 0xff;
  }
  get top(): number {
    return topOfStack(this.fsw);
  }
  set top(value: number) {
    this.fsw = (this.fsw & ~Fsw.TOP) | ((value & 7) << 11);
  }

  /** The modes of the control word, without flags. */
  environment(): FloatEnvironment {
    return environmentFromFcw(this.fcw);
  }

  isEmpty(i: number): boolean {
    return !(this.ftw & (1 << physicalRegister(this.fsw, i)));
  }

  /** ST(`i`), whether empty or not. */
  st(i: number): bigint {
    const at = OFFSET.st + physicalRegister(this.fsw, i) * STRIDE.st;
    return this.tc.get(at) | (BigInt(this.tc.u16[(at + EXPONENT_OFFSET) >> 1]!) << 64n);
  }

  /** Sets ST(`i`), which is not empty afterwards. */
  setSt(i: number, bits: bigint): void {
    const register = physicalRegister(this.fsw, i);
    const at = OFFSET.st + register * STRIDE.st;
    this.tc.set(at, bits);
    this.tc.u16[(at + EXPONENT_OFFSET) >> 1] = Number(bits >> 64n);
    this.ftw |= 1 << register;
  }

  push(bits: bigint): void {
    this.top = this.top - 1;
    this.setSt(0, bits);
  }

  free(i: number): void {
    this.ftw &= ~(1 << physicalRegister(this.fsw, i));
  }

  pop(): void {
    this.free(0);
    this.top = this.top + 1;
  }

  /** Sets condition bits: those of `mask` become `value`. */
  setConditions(mask: number, value: number): void {
    this.fsw = (this.fsw & ~mask) | (value & mask);
  }

  /** Enters exceptions into the status word; unmasked ones also ES and B. */
  signal(flags: number): void {
    this.fsw |= flags;
    if (flags & FloatFlag.all & ~this.fcw) this.fsw |= Fsw.ES | Fsw.B;
  }

  /**
   * Enters what an operation raised, and C1.
   * @returns the unmasked exceptions
   */
  settle(env: FloatEnvironment): number {
    const unmasked = settleFlags(env);
    this.setConditions(
      Fsw.C1,
      env.roundedUp && !(env.flags & FloatFlag.preComputation & unmasked) ? Fsw.C1 : 0,
    );
    this.signal(env.flags);
    return unmasked;
  }

  /**
   * A stack fault: IE and SF, C1 says overflow. SDM vol. 1 §8.5.1.1.
   * @returns whether IE is masked, so that the indefinite value is the result
   */
  stackFault(overflow: boolean): boolean {
    this.setConditions(Fsw.C1, overflow ? Fsw.C1 : 0);
    this.signal(FloatFlag.IE | Fsw.SF);
    return (this.fcw & FloatFlag.IE) !== 0;
  }

  /** Whether all of the given registers hold something; if not, the stack fault is raised. */
  needs(...registers: readonly number[]): boolean | 'masked' {
    if (!registers.some((i) => this.isEmpty(i))) return true;
    return this.stackFault(false) ? 'masked' : false;
  }

  /** Pushes what a load brings, or answers the overflow of a full stack. */
  load(bits: () => bigint): void {
    if (!this.isEmpty(7)) {
      if (this.stackFault(true)) this.push(EXTENDED80.defaultNan);
      return;
    }
    this.setConditions(Fsw.C1, 0);
    this.push(bits());
  }

  /** Makes ES and B say whether an unmasked exception is flagged: after the control or status word is loaded. */
  updateSummary(): void {
    const pending = this.fsw & ~this.fcw & FloatFlag.all;
    this.fsw = (this.fsw & ~(Fsw.ES | Fsw.B)) | (pending ? Fsw.ES | Fsw.B : 0);
  }
}

/**
 * Whether FXSAVE and XSAVE store FOP, FIP and FDP: AMD's store zeros unless an unmasked exception is pending,
 * Intel's always store them. APM vol. 2 §11.4.4.3.
 */
export function savesPointers(vendor: 'amd' | 'intel', fsw: number): boolean {
  return vendor === 'intel' || (fsw & Fsw.ES) !== 0;
}

/** A row of the instruction tables. `modrm` from 0xC0 on: register form. */
export function row(
  name: string,
  opcode: number,
  modrm: number,
  run: X87Instruction['run'],
  more: Partial<X87Instruction> = {},
): X87Instruction {
  const sizeBytes = more.sizeBytes ?? 0;
  return {
    name,
    opcode,
    modrm,
    registers: name.includes('ST(i)') ? 8 : 1,
    sizeBytes,
    sizeBytes16: sizeBytes,
    stores: false,
    waits: true,
    pointers: true,
    run,
    ...more,
  };
}
