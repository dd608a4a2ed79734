/**
 * Encoding rows: how one form of an instruction is encoded, in the notation of the manual's opcode tables
 * (SDM vol. 2A §3.1.1). `enc(0x81, Ev, Iz).ext(0)` is "81 /0 iz"; opcodes of the further maps are written with their escape
 * bytes: 0x0f58, 0x0f3800, 0x0f3a0f.
 */

import type { Instruction } from './instruction.ts';
import type { OperandSpec } from './operands.ts';

/** The mandatory prefix that a form needs: none of 66, F3, F2 (`np`), one of them, or it does not matter (`any`). */
export type MandatoryPrefix = 'any' | 'np' | '66' | 'f3' | 'f2';

/** Operand size in 64-bit mode without a prefix: 32, or 64 (PUSH, POP, near branches). */
export type DefaultSize = 32 | 64;

export class Form {
  /** Position among all forms; set when the instruction set is put together. */
  id = -1;
  /** The instruction of which this is a form; set by `inst`. */
  instruction!: Instruction;
  /** 0: one byte; 1: 0F; 2: 0F 38; 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly operands: readonly OperandSpec[];
  prefix: MandatoryPrefix = 'any';
  /** ModRM.reg as an extension of the opcode, ModRM.rm likewise, ModRM.mod; undefined: an operand, or no ModRM. */
  extension: number | undefined;
  rmExtension: number | undefined;
  modrmKind: 'memory' | 'register' | undefined;
  /** REX.W (or VEX.W), and REX.B, must have this value. */
  rexW: 0 | 1 | undefined;
  rexB: 0 | 1 | undefined;
  /** Encoded with VEX, whose L must have this value; undefined: without VEX. */
  vexL: 0 | 1 | 'any' | undefined;
  /** An address relative to RSP is meant as RSP is behind the instruction. */
  isAfterPop = false;
  defaultSize: DefaultSize = 32;
  /** Modes in which the encoding exists. */
  in64 = true;
  inCompatibility = true;
  /** CPUID feature of this form, where it is not the instruction's. */
  formFeature: string | undefined;

  constructor(opcode: number, operands: readonly OperandSpec[]) {
    this.map = mapOf(opcode);
    this.opcode = opcode & 0xff;
    this.operands = operands;
    const rm = operands.find(({ source }) => source === 'rm');
    this.modrmKind = rm?.only;
  }

  /** "/digit": ModRM.reg extends the opcode. */
  ext(digit: number): this {
    this.extension = digit;
    return this;
  }

  /** The whole ModRM byte is part of the opcode: mod 3, the extension, and this rm. */
  rm(digit: number): this {
    this.rmExtension = digit;
    this.modrmKind = 'register';
    return this;
  }

  /** ModRM names memory, though no operand says so. */
  mem(): this {
    this.modrmKind = 'memory';
    return this;
  }

  /** ModRM names a register, though no operand says so. */
  reg(): this {
    this.modrmKind = 'register';
    return this;
  }

  /** "NP": none of the prefixes F3, F2; nor 66 unless it can mean the operand size. */
  np(): this {
    this.prefix = 'np';
    return this;
  }

  p66(): this {
    this.prefix = '66';
    return this;
  }

  pf3(): this {
    this.prefix = 'f3';
    return this;
  }

  pf2(): this {
    this.prefix = 'f2';
    return this;
  }

  w0(): this {
    this.rexW = 0;
    return this;
  }

  w1(): this {
    this.rexW = 1;
    return this;
  }

  /** Only without REX.B: with it, NOP is XCHG R8, RAX. */
  b0(): this {
    this.rexB = 0;
    return this;
  }

  /** "VEX.128", "VEX.256", "VEX.LIG". The other parts of VEX are said as without it: `np`, `p66`, …, `w0`, `w1`. */
  vex(l: 0 | 1 | 'any'): this {
    this.vexL = l;
    return this;
  }

  /** The address is computed behind the effect on RSP: POP to memory (SDM vol. 2B "POP"). */
  afterPop(): this {
    this.isAfterPop = true;
    return this;
  }

  /** 64 bits by default in 64-bit mode, 16 with the prefix 66; there is no form with 32 bits. */
  d64(): this {
    this.defaultSize = 64;
    return this;
  }

  /** "i64": not in 64-bit mode. */
  i64(): this {
    this.in64 = false;
    return this;
  }

  /** "o64": only in 64-bit mode. */
  o64(): this {
    this.inCompatibility = false;
    return this;
  }

  /** Needs this feature (a name of /proc/cpuinfo) and not the instruction's. */
  feature(name: string): this {
    this.formFeature = name;
    return this;
  }

  /** Whether a ModRM byte follows the opcode. */
  get hasModrm(): boolean {
    return (
      this.extension !== undefined ||
      this.modrmKind !== undefined ||
      this.operands.some(({ source }) => source === 'rm' || source === 'reg')
    );
  }

  /** Whether the operand size changes what the form does. */
  get hasOperandSize(): boolean {
    return this.defaultSize === 64 || this.sizedBy66 || this.operands.some(({ bits }) => bits === 'y');
  }

  /** Whether the prefix 66 can mean the operand size, and then is no mandatory prefix. It does not change y. */
  get sizedBy66(): boolean {
    return this.operands.some(({ bits }) => bits === 'v' || bits === 'z');
  }

  /** "0F 38 F0 /r" and the like, for messages. */
  toString(): string {
    const escapes = ['', '0F ', '0F 38 ', '0F 3A '][this.map];
    const extension = this.extension === undefined ? '' : ` /${this.extension}`;
    const prefix = this.prefix === 'any' ? '' : `${this.prefix.toUpperCase()} `;
    const vex = this.vexL === undefined ? '' : 'VEX ';
    const opcode = this.opcode.toString(16).padStart(2, '0').toUpperCase();
    return `${vex}${prefix}${escapes}${opcode}${extension}`;
  }
}

/** One row: the opcode with its escape bytes, and the operands in Intel's order (destination first). */
export function enc(opcode: number, ...operands: OperandSpec[]): Form {
  return new Form(opcode, operands);
}

function mapOf(opcode: number): 0 | 1 | 2 | 3 {
  if (opcode <= 0xff) return 0;
  if (opcode >>> 8 === 0x0f) return 1;
  if (opcode >>> 8 === 0x0f38) return 2;
  if (opcode >>> 8 === 0x0f3a) return 3;
  throw new RangeError(`opcode 0x${opcode.toString(16)} has escape bytes of no known map`);
}
