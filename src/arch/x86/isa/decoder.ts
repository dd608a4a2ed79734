/**
 * The decoder: bytes to a form and its operands. SDM vol. 2A chapter 2. Which instruction is meant follows from the tables;
 * this file knows prefixes, ModRM, SIB and immediates.
 */

import { Seg } from '../registers.ts';
import { type DecodeTable, VEX_MAP } from './decode-table.ts';
import {
  BASE_RIP,
  type Bits,
  type Decoded,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  OperandKind,
  type RepeatPrefix,
} from './decoded.ts';
import type { Form } from './encoding.ts';
import { type DecodeFailure, Failure, InstructionBytes, UNDEFINED } from './instruction-bytes.ts';
import type { OperandBits, OperandSpec } from './operands.ts';
import { ALL_UNITS, RAISING, type UnitState, unavailable, unitOf } from './units.ts';

const RSP = 4;
const RBP = 5;
const REGISTER_FORM = 3;
const HIGH_BYTE_REGISTERS = 4;

export class Decoder {
  readonly #table: DecodeTable;
  readonly #bytes = new InstructionBytes();
  #is64 = true;
  // Prefixes of the instruction being decoded.
  #rex = 0;
  #has66 = false;
  #has67 = false;
  #repeat: RepeatPrefix = 'none';
  #isLocked = false;
  #segment = -1;
  /** Behind a VEX prefix; its other fields are kept as the prefixes and REX bits that they stand for. */
  #isVex = false;
  #vexL: 0 | 1 = 0;
  #vvvv = 0;
  // ModRM, and the memory operand that it names.
  #mod = 0;
  #reg = 0;
  #rm = 0;
  #memory: MemoryOperand | undefined;
  #operandBits: 16 | 32 | 64 = 32;

  constructor(table: DecodeTable) {
    this.#table = table;
  }

  /**
   * Decodes one instruction.
   * @param at where it begins in `bytes`, and `end` where the bytes end that may be looked at
   * @param is64 64-bit mode, or compatibility mode with a default size of 32 bits
   * @param units an instruction of a unit that is off becomes one that raises the exception
   */
  decode(
    bytes: Uint8Array,
    at: number,
    end: number,
    is64: boolean,
    units: UnitState = ALL_UNITS,
  ): Decoded | DecodeFailure {
    this.#bytes.begin(bytes, at, end);
    this.#is64 = is64;
    try {
      return raisingIfOff(this.#decode(), units);
    } catch (failure) {
      if (failure instanceof Failure) return failure.reason;
      throw failure;
    }
  }

  #decode(): Decoded {
    const first = this.#prefixes();
    const map = this.#map(first);
    const opcode = map === 0 ? first : this.#bytes.u8();
    const entry = this.#table.entry(map, opcode);
    if (entry === undefined) throw UNDEFINED;
    if (entry.hasModrm) this.#modrm();
    const form = this.#select(entry.byReg[entry.hasModrm ? this.#reg : 0]!);
    if (this.#isLocked && !form.instruction.lock) throw UNDEFINED;
    this.#operandBits = this.#operandSize(form);
    this.#memory = undefined;
    if (entry.hasModrm && form.hasModrm && this.#mod !== REGISTER_FORM)
      this.#memory = this.#memoryOperand(form);
    const operands: Operand[] = [];
    for (const spec of form.operands) operands.push(this.#operand(spec, opcode));
    if (this.#isVex && this.#vvvv !== 0 && !form.operands.some(({ source }) => source === 'vvvv'))
      throw UNDEFINED;
    if (this.#isLocked && operands[0]?.kind !== OperandKind.memory) throw UNDEFINED;
    return {
      form,
      operands,
      lengthBytes: this.#bytes.lengthBytes,
      operandBits: this.#operandBits,
      addressBits: this.#addressBits(),
      repeat: this.#repeat,
      isLocked: this.#isLocked,
      is64: this.#is64,
    };
  }

  // ---- prefixes and opcode ----

  /** Reads all prefixes; returns the first byte of the opcode. REX counts only directly in front of it. */
  #prefixes(): number {
    this.#rex = 0;
    this.#has66 = false;
    this.#has67 = false;
    this.#repeat = 'none';
    this.#isLocked = false;
    this.#segment = -1;
    for (;;) {
      const byte = this.#bytes.u8();
      if (this.#is64 && (byte & 0xf0) === 0x40) this.#rex = byte;
      else if (this.#legacyPrefix(byte)) this.#rex = 0;
      else return byte;
    }
  }

  #legacyPrefix(byte: number): boolean {
    switch (byte) {
      case 0x66:
        this.#has66 = true;
        return true;
      case 0x67:
        this.#has67 = true;
        return true;
      case 0xf0:
        this.#isLocked = true;
        return true;
      case 0xf2:
        this.#repeat = 'f2';
        return true;
      case 0xf3:
        this.#repeat = 'f3';
        return true;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        // ES CS SS DS: ignored in 64-bit mode (SDM vol. 1 §3.3.7.1).
        if (!this.#is64) this.#segment = (byte >>> 3) & 3;
        return true;
      case 0x64:
        this.#segment = Seg.FS;
        return true;
      case 0x65:
        this.#segment = Seg.GS;
        return true;
      default:
        return false;
    }
  }

  /** The map that the opcode is in: of opcodes of one byte 0, of others from their escape bytes or VEX. */
  #map(first: number): number {
    this.#isVex = false;
    this.#vvvv = 0;
    if (first === 0xc4 || first === 0xc5) return this.#vex(first);
    if (first !== 0x0f) return 0;
    const next = this.#bytes.peek();
    if (next !== 0x38 && next !== 0x3a) return 1;
    this.#bytes.u8();
    return next === 0x38 ? 2 : 3;
  }

  /** SDM vol. 2A §2.3.5. Outside 64-bit mode it is LES or LDS unless a ModRM byte in its place would name a register. */
  #vex(first: number): number {
    if (!this.#is64 && this.#bytes.peek() >>> 6 !== REGISTER_FORM) return 0;
    if (this.#rex !== 0 || this.#has66 || this.#isLocked || this.#repeat !== 'none') throw UNDEFINED;
    const second = this.#bytes.u8();
    const last = first === 0xc5 ? second : this.#bytes.u8();
    const map = first === 0xc5 ? 1 : second & 0x1f;
    if (map < 1 || map > 3) throw UNDEFINED;
    const w = first === 0xc5 ? 0 : (last >>> 4) & 8;
    const xb = first === 0xc5 ? 0 : (~second >>> 5) & 3;
    this.#isVex = true;
    // 0x40: byte registers above 3 are not the high halves, and R, X and B are stored inverted.
    this.#rex = 0x40 | w | (this.#is64 ? ((~second >>> 5) & 4) | xb : 0);
    this.#vvvv = (~last >>> 3) & (this.#is64 ? 0xf : 7);
    this.#vexL = last & 4 ? 1 : 0;
    this.#has66 = (last & 3) === 1;
    if ((last & 2) !== 0) this.#repeat = (last & 1) === 0 ? 'f3' : 'f2';
    return VEX_MAP + map;
  }

  #modrm(): void {
    const byte = this.#bytes.u8();
    this.#mod = byte >>> 6;
    this.#reg = (byte >>> 3) & 7;
    this.#rm = byte & 7;
  }

  #select(candidates: readonly Form[]): Form {
    for (const form of candidates) if (this.#matches(form)) return form;
    throw UNDEFINED;
  }

  #matches(form: Form): boolean {
    if (!(this.#is64 ? form.in64 : form.inCompatibility)) return false;
    if (form.rexW !== undefined && form.rexW !== ((this.#rex >>> 3) & 1)) return false;
    if (form.rexB !== undefined && form.rexB !== (this.#rex & 1)) return false;
    if (form.modrmKind !== undefined && (form.modrmKind === 'register') !== (this.#mod === REGISTER_FORM))
      return false;
    if (form.rmExtension !== undefined && form.rmExtension !== this.#rm) return false;
    if (form.vexL !== undefined && form.vexL !== 'any' && form.vexL !== this.#vexL) return false;
    switch (form.prefix) {
      case 'any':
        return true;
      case 'np':
        return this.#repeat === 'none' && (!this.#has66 || form.sizedBy66);
      case '66':
        return this.#repeat === 'none' && this.#has66;
      default:
        return this.#repeat === form.prefix;
    }
  }

  #operandSize({ defaultSize, prefix }: Form): 16 | 32 | 64 {
    const has66 = this.#has66 && prefix !== '66';
    if (!this.#is64) return has66 ? 16 : 32;
    if ((this.#rex & 8) !== 0) return 64;
    return has66 ? 16 : defaultSize;
  }

  #addressBits(): 16 | 32 | 64 {
    if (this.#is64) return this.#has67 ? 32 : 64;
    return this.#has67 ? 16 : 32;
  }

  // ---- operands ----

  #bits(bits: OperandBits): Bits {
    if (bits === 'v') return this.#operandBits;
    if (bits === 'z') return this.#operandBits === 16 ? 16 : 32;
    if (bits === 'y') return this.#operandBits === 64 ? 64 : 32;
    return bits;
  }

  #operand(spec: OperandSpec, opcode: number): Operand {
    const bits = this.#bits(spec.bits);
    switch (spec.source) {
      case 'rm':
        if (this.#mod !== REGISTER_FORM) return memoryOperand(this.#bits(spec.memoryBits), this.#memory!);
        return this.#register(spec, bits, this.#rm, 1);
      case 'reg':
        return this.#register(spec, bits, this.#reg, 4);
      case 'vvvv':
        return { ...NOTHING, kind: kindOf(spec.file), bits, index: this.#vvvv };
      case 'opcode':
        return this.#register(spec, bits, opcode & 7, 1);
      case 'fixed':
        if (spec.file === 'none') return immediate(bits, spec.index!);
        return { ...NOTHING, kind: kindOf(spec.file), bits, index: spec.index! };
      case 'immediate':
        return immediate(bits, this.#bytes.number(this.#bits(spec.encodedBits ?? spec.bits)));
      case 'relative':
        return { ...NOTHING, kind: OperandKind.relative, bits, value: this.#bytes.number(bits) };
      case 'opcodeAndModrm':
        return immediate(bits, ((opcode & 7) << 8) | (this.#mod << 6) | (this.#reg << 3) | this.#rm);
      case 'farPointer': {
        const value = this.#bytes.number(bits);
        return {
          ...NOTHING,
          kind: OperandKind.farPointer,
          bits,
          value,
          selector: Number(this.#bytes.number(16)) & 0xffff,
        };
      }
      case 'offset':
        return memoryOperand(
          bits,
          this.#address(NO_REGISTER, NO_REGISTER, 0, this.#bytes.number(this.#addressBits())),
        );
      default:
        return memoryOperand(bits, this.#implied(spec.source));
    }
  }

  /** @param rexBit of the fourth bit of the number */
  #register(spec: OperandSpec, bits: Bits, low: number, rexBit: number): Operand {
    if (spec.file === 'gpr' && bits === 8 && this.#rex === 0 && low >= HIGH_BYTE_REGISTERS)
      return { ...NOTHING, kind: OperandKind.gprHigh, bits, index: low - HIGH_BYTE_REGISTERS };
    if (spec.file === 'segment' && low > Seg.GS) throw UNDEFINED;
    const extends4 = spec.file === 'gpr' || spec.file === 'xmm';
    const index = extends4 && (this.#rex & rexBit) !== 0 ? low + 8 : low;
    return { ...NOTHING, kind: kindOf(spec.file), bits, index };
  }

  #implied(source: OperandSpec['source']): MemoryOperand {
    const source7 = source === 'stringDestination' || source === 'maskStore' ? 7 : 6;
    if (source === 'stringDestination')
      return { base: 7, index: NO_REGISTER, scale: 0, displacement: 0, segment: Seg.ES };
    // XLAT adds AL by itself: it has no index register of eight bits.
    return this.#address(source === 'xlat' ? 3 : source7, NO_REGISTER, 0, 0, Seg.DS);
  }

  #address(
    base: number,
    index: number,
    scale: number,
    displacement: number | bigint,
    defaultSegment: number = base === RSP || base === RBP ? Seg.SS : Seg.DS,
  ): MemoryOperand {
    const segment = this.#segment === -1 ? defaultSegment : this.#segment;
    return { base, index, scale, displacement, segment };
  }

  /** SDM vol. 2A tables 2-1 to 2-3, and §2.2.1.6 for RIP. */
  #memoryOperand(form: Form): MemoryOperand {
    const memory = this.#modrmMemory();
    if (!form.isAfterPop || memory.base !== RSP) return memory;
    return { ...memory, displacement: Number(memory.displacement) + this.#operandBits / 8 };
  }

  #modrmMemory(): MemoryOperand {
    if (this.#addressBits() === 16) return this.#memoryOperand16();
    if (this.#rm === RSP) return this.#sib();
    if (this.#mod === 0 && this.#rm === RBP) {
      const displacement = this.#bytes.number(32);
      return this.#address(this.#is64 ? BASE_RIP : NO_REGISTER, NO_REGISTER, 0, displacement);
    }
    const base = this.#rm + ((this.#rex & 1) << 3);
    return this.#address(base, NO_REGISTER, 0, this.#displacement());
  }

  #sib(): MemoryOperand {
    const byte = this.#bytes.u8();
    const index = ((byte >>> 3) & 7) + ((this.#rex & 2) << 2);
    const indexOrNone = index === RSP ? NO_REGISTER : index;
    const scale = byte >>> 6;
    if (this.#mod === 0 && (byte & 7) === RBP)
      return this.#address(NO_REGISTER, indexOrNone, scale, this.#bytes.number(32));
    const base = (byte & 7) + ((this.#rex & 1) << 3);
    return this.#address(base, indexOrNone, scale, this.#displacement());
  }

  #memoryOperand16(): MemoryOperand {
    if (this.#mod === 0 && this.#rm === 6)
      return this.#address(NO_REGISTER, NO_REGISTER, 0, this.#bytes.number(16));
    const [base, index] = ADDRESSES_16[this.#rm]!;
    return this.#address(base, index, 0, this.#displacement());
  }

  #displacement(): number {
    if (this.#mod === 0) return 0;
    if (this.#mod === 1) return Number(this.#bytes.number(8));
    return Number(this.#bytes.number(this.#addressBits() === 16 ? 16 : 32));
  }
}

/** Base and index by ModRM.rm with 16-bit addresses: BX+SI, BX+DI, BP+SI, BP+DI, SI, DI, BP, BX. */
const ADDRESSES_16: readonly (readonly [base: number, index: number])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, NO_REGISTER],
  [7, NO_REGISTER],
  [5, NO_REGISTER],
  [3, NO_REGISTER],
];

/** Another exception of the decoder comes first: it is known that there is such an instruction. */
function raisingIfOff(decoded: Decoded, units: UnitState): Decoded {
  if (units === ALL_UNITS) return decoded;
  const { form } = decoded;
  const unit = form.instruction.unit ?? unitOf(form.operands);
  const vector = unit === undefined ? undefined : unavailable(unit, units);
  return vector === undefined ? decoded : { ...decoded, form: RAISING.get(vector)!, operands: [] };
}

const NOTHING = { index: 0, value: 0, selector: 0, memory: undefined } as const;

function immediate(bits: Bits, value: number | bigint): Operand {
  return { ...NOTHING, kind: OperandKind.immediate, bits, value };
}

function memoryOperand(bits: Bits, memory: MemoryOperand): Operand {
  return { ...NOTHING, kind: OperandKind.memory, bits, memory };
}

function kindOf(file: OperandSpec['file']): OperandKind {
  switch (file) {
    case 'xmm':
      return OperandKind.xmm;
    case 'mmx':
      return OperandKind.mmx;
    case 'segment':
      return OperandKind.segment;
    case 'st':
      return OperandKind.st;
    default:
      return OperandKind.gpr;
  }
}
