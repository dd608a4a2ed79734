/** Writes the records of the interpreter: decoded instructions as its handlers read them (layout.ts, RECORD). */

import {
  BASE_RIP,
  type Decoded,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from '../../arch/x86/isa/decoded.ts';
import { Seg } from '../../arch/x86/registers.ts';
import { CELL, CONTEXT_AT, RECORD } from './layout.ts';
import { gprAt, registerAt, registerOperands, segmentBaseAt, sourceOf } from './operand-places.ts';

const TWO_32 = 2 ** 32;

export class RecordWriter {
  readonly #view: DataView;

  /** @param memory the engine's, or any with room for records */
  constructor(memory: ArrayBuffer) {
    this.#view = new DataView(memory);
  }

  /** The fields that all records have. `immediate` is that of the special handlers. */
  writeHead(record: number, handler: number, remaining: number, rip: number, immediate: number): void {
    this.#view.setUint32(record + RECORD.handler, handler, true);
    this.#view.setUint32(record + RECORD.remaining, remaining, true);
    this.setNumber(record + RECORD.rip, rip);
    this.setNumber(record + RECORD.immediate, immediate);
  }

  /** A whole record. @param remaining instructions of the block from this one on */
  write(record: number, decoded: Decoded, handler: number, rip: number, remaining: number): void {
    const nextRip = rip + decoded.lengthBytes;
    this.writeHead(record, handler, remaining, rip, 0);
    this.setNumber(record + RECORD.nextRip, nextRip);
    // Where there are two immediates, the last is a literal.
    const immediate = decoded.operands.find(({ kind }) => kind === OperandKind.immediate);
    if (immediate !== undefined) this.setNumber(record + RECORD.immediate, immediate.value);
    for (const operand of decoded.operands) {
      if (operand.kind === OperandKind.farPointer)
        this.setNumber(record + RECORD.immediate, operand.selector * TWO_32 + offsetOf(operand));
      if (operand.kind === OperandKind.relative)
        this.setNumber(record + RECORD.immediate, branchTarget(decoded, operand, nextRip));
      // The destination of MOVS and its like needs none: its address is implied.
      if (operand.memory !== undefined && sourceOf(decoded, operand) !== 'stringDestination')
        this.#writeAddress(record, decoded, operand.memory, nextRip);
    }
    for (const [i, operand] of registerOperands(decoded).entries())
      this.#view.setUint16(record + RECORD.registers + 2 * i, registerAt(operand), true);
  }

  #writeAddress(record: number, decoded: Decoded, memory: MemoryOperand, nextRip: number): void {
    const view = this.#view;
    const { base, index, scale, displacement, segment } = memory;
    const isRelative = base === BASE_RIP;
    view.setUint32(record + RECORD.base, isRelative || base === NO_REGISTER ? CELL.zero : gprAt(base), true);
    view.setUint32(record + RECORD.index, index === NO_REGISTER ? CELL.zero : gprAt(index), true);
    view.setUint32(record + RECORD.scale, scale, true);
    const hasBase = !decoded.is64 || segment >= Seg.FS;
    view.setUint32(record + RECORD.segment, hasBase ? CONTEXT_AT + segmentBaseAt(segment) : CELL.zero, true);
    this.setNumber(record + RECORD.displacement, isRelative ? nextRip + Number(displacement) : displacement);
  }

  /** A number of at most 53 bits, or a bigint, as 64 bits. */
  setNumber(at: number, value: number | bigint): void {
    if (typeof value === 'bigint') this.#view.setBigInt64(at, value, true);
    else {
      this.#view.setInt32(at, value, true);
      this.#view.setInt32(at + 4, Math.floor(value / TWO_32), true);
    }
  }
}

/** Where a relative branch leads: truncated to the operand size (APM vol. 3 "JMP (Near)"). */
export function branchTarget({ is64, operandBits }: Decoded, { value }: Operand, nextRip: number): number {
  const target = nextRip + Number(value);
  if (operandBits === 16) return target & 0xffff;
  return is64 ? target : target >>> 0;
}

/** The offset of an immediate far pointer. */
function offsetOf({ bits, value }: Operand): number {
  return bits === 16 ? Number(value) & 0xffff : Number(value) >>> 0;
}
