/**
 * Decoding into records: the interpreter's form of code. A block is a record that begins it (`enter`), one record per
 * instruction, and, where the last one does not go elsewhere, one that leads to what follows.
 */

import {
  BASE_RIP,
  type Decoded,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from '../../arch/x86/isa/decoded.ts';
import type { Decoder } from '../../arch/x86/isa/decoder.ts';
import { type DecodeFailure, MAX_LENGTH_BYTES } from '../../arch/x86/isa/instruction-bytes.ts';
import type { UnitState } from '../../arch/x86/isa/units.ts';
import { Seg } from '../../arch/x86/registers.ts';
import type { Block, BlockInstruction } from './blocks.ts';
import type { Handlers } from './handlers.ts';
import {
  CELL,
  CONTEXT_AT,
  ENGINE_MEMORY_BYTES,
  PAGE_SHIFT,
  RECORD,
  RECORD_BYTES,
  RECORDS_AT,
  TARGETS,
  TARGETS_BEHIND,
} from './layout.ts';
import { gprAt, registerAt, registerOperands, segmentBaseAt, sourceOf } from './operand-places.ts';

const PAGE_BYTES = 2 ** PAGE_SHIFT;
const TWO_32 = 2 ** 32;
const MAX_INSTRUCTIONS = 64;
/** Records that are set aside for running a part of a block. */
const SCRATCH_RECORDS = MAX_INSTRUCTIONS + 2 + (8 * TARGETS) / RECORD_BYTES;
const FIRST_RECORD = RECORDS_AT + SCRATCH_RECORDS * RECORD_BYTES;

/** Where code lies in RAM: an offset, or −1 where fetching faults, with the fault's cells set. */
export type Fetch = (rip: number) => number;

export class Interpreter {
  readonly #decoder: Decoder;
  readonly #handlers: Handlers;
  readonly #ram: Uint8Array;
  readonly #records: DataView;
  readonly #fetch: Fetch;
  readonly #acrossPages = new Uint8Array(2 * MAX_LENGTH_BYTES);
  #nextRecord = FIRST_RECORD;
  #units: UnitState = 0;

  constructor(
    decoder: Decoder,
    handlers: Handlers,
    ram: Uint8Array,
    engineMemory: ArrayBuffer,
    fetch: Fetch,
  ) {
    this.#decoder = decoder;
    this.#handlers = handlers;
    this.#ram = ram;
    this.#records = new DataView(engineMemory);
    this.#fetch = fetch;
  }

  /** Whether there is room for one more block. */
  get hasRoom(): boolean {
    return this.#nextRecord + SCRATCH_RECORDS * RECORD_BYTES <= ENGINE_MEMORY_BYTES;
  }

  /** All blocks are forgotten. */
  clear(): void {
    this.#nextRecord = FIRST_RECORD;
  }

  /** Decodes a block. What comes back instead is why its first instruction cannot be executed; `fetch`: it cannot be fetched. */
  build(
    rip: number,
    is64: boolean,
    units: UnitState,
  ): Block | Exclude<DecodeFailure, 'incomplete'> | 'fetch' {
    this.#units = units;
    const instructions: BlockInstruction[] = [];
    const spans: [number, number][] = [];
    let at = rip;
    while (instructions.length < MAX_INSTRUCTIONS) {
      const linear = this.#fetch(at);
      if (linear < 0) {
        if (instructions.length === 0) return 'fetch';
        break;
      }
      const decoded = this.#decode(linear, at, is64, spans);
      if (typeof decoded === 'string') {
        if (instructions.length === 0) return decoded;
        break;
      }
      const { effects, handler } = this.#handlers.shapeOf(decoded);
      instructions.push({ decoded, effects, handler, rip: at });
      at += decoded.lengthBytes;
      if (effects.endsBlock || Math.floor(at / PAGE_BYTES) !== Math.floor(rip / PAGE_BYTES)) break;
    }
    const record = this.#nextRecord;
    this.#nextRecord += (instructions.length + 2) * RECORD_BYTES + 8 * TARGETS;
    this.#writeHead(record, this.#handlers.special.enter, instructions.length, rip, 0);
    this.#writeRecords(record + RECORD_BYTES, instructions);
    const end = record + (instructions.length + 1) * RECORD_BYTES;
    this.#writeHead(end, this.#handlers.special.goto, 0, at, at);
    for (let i = 0; i < TARGETS; i++) this.#setNumber(end + RECORD_BYTES + 8 * i, 0);
    this.#handlers.flush();
    return { rip, is64, units, instructions, end: at, spans, record };
  }

  /** Addresses to which the indirect jump that ends a block has gone, as far as the interpreter has executed it. */
  targetsOf({ record, instructions }: Block): number[] {
    const first = record + instructions.length * RECORD_BYTES + TARGETS_BEHIND;
    const targets: number[] = [];
    for (let at = first; at < first + 8 * TARGETS; at += 8) {
      const target = this.#records.getInt32(at + 4, true) * TWO_32 + this.#records.getUint32(at, true);
      if (target !== 0) targets.push(target);
    }
    return targets;
  }

  /** The instruction at an address, if there is one. */
  decodeAt(rip: number, is64: boolean): Decoded | undefined {
    const linear = this.#fetch(rip);
    const decoded = linear < 0 ? 'fetch' : this.#decode(linear, rip, is64, []);
    return typeof decoded === 'string' ? undefined : decoded;
  }

  /** The first `count` instructions of a block, and a stop behind them; returns the first record. */
  buildPart(block: Block, count: number): number {
    const part = block.instructions.slice(0, count);
    this.#writeRecords(RECORDS_AT, part);
    const { rip } = block.instructions[count] ?? { rip: block.end };
    this.#writeHead(RECORDS_AT + count * RECORD_BYTES, this.#handlers.special.stop, 0, rip, rip);
    return RECORDS_AT;
  }

  /** The bytes of the block have changed: whoever executes it goes on with the new ones at the next instruction. */
  markStale(block: Block): void {
    for (let i = 0; i <= block.instructions.length; i++)
      this.#records.setUint32(
        block.record + i * RECORD_BYTES + RECORD.handler,
        this.#handlers.special.stale,
        true,
      );
    this.#records.setUint32(block.record + RECORD.remaining, 0, true);
  }

  /** Table index of a record's handler. */
  handlerOf(record: number): number {
    return this.#records.getUint32(record + RECORD.handler, true);
  }

  #decode(
    linear: number,
    rip: number,
    is64: boolean,
    spans: [number, number][],
  ): Decoded | Exclude<DecodeFailure, 'incomplete'> | 'fetch' {
    const pageEnd = linear - (linear % PAGE_BYTES) + PAGE_BYTES;
    const decoded = this.#decoder.decode(this.#ram, linear, pageEnd, is64, this.#units);
    if (decoded !== 'incomplete') {
      if (typeof decoded !== 'string') addSpan(spans, linear, linear + decoded.lengthBytes);
      return decoded;
    }
    const inFirst = pageEnd - linear;
    const second = this.#fetch(rip + inFirst);
    if (second < 0) return 'fetch';
    const bytes = this.#acrossPages;
    bytes.set(this.#ram.subarray(linear, pageEnd));
    bytes.set(this.#ram.subarray(second, second + MAX_LENGTH_BYTES), inFirst);
    const whole = this.#decoder.decode(bytes, 0, inFirst + MAX_LENGTH_BYTES, is64, this.#units);
    if (typeof whole === 'string') return whole === 'incomplete' ? 'tooLong' : whole;
    addSpan(spans, linear, pageEnd);
    addSpan(spans, second, second + whole.lengthBytes - inFirst);
    return whole;
  }

  #writeHead(record: number, handler: number, remaining: number, rip: number, immediate: number): void {
    this.#records.setUint32(record + RECORD.handler, handler, true);
    this.#records.setUint32(record + RECORD.remaining, remaining, true);
    this.#setNumber(record + RECORD.rip, rip);
    this.#setNumber(record + RECORD.immediate, immediate);
  }

  #writeRecords(first: number, instructions: readonly BlockInstruction[]): void {
    for (const [i, instruction] of instructions.entries())
      this.#writeRecord(first + i * RECORD_BYTES, instruction, instructions.length - i);
  }

  #writeRecord(record: number, { decoded, handler, rip }: BlockInstruction, remaining: number): void {
    const view = this.#records;
    const nextRip = rip + decoded.lengthBytes;
    this.#writeHead(record, handler, remaining, rip, 0);
    this.#setNumber(record + RECORD.nextRip, nextRip);
    for (const operand of decoded.operands) {
      if (operand.kind === OperandKind.immediate) this.#setNumber(record + RECORD.immediate, operand.value);
      if (operand.kind === OperandKind.farPointer)
        this.#setNumber(record + RECORD.immediate, operand.selector * TWO_32 + offsetOf(operand));
      if (operand.kind === OperandKind.relative)
        this.#setNumber(record + RECORD.immediate, branchTarget(decoded, operand, nextRip));
      // The destination of MOVS and its like needs none: its address is implied.
      if (operand.memory !== undefined && sourceOf(decoded, operand) !== 'stringDestination')
        this.#writeAddress(record, decoded, operand.memory, nextRip);
    }
    for (const [i, operand] of registerOperands(decoded).entries())
      view.setUint16(record + RECORD.registers + 2 * i, registerAt(operand), true);
  }

  #writeAddress(record: number, decoded: Decoded, memory: MemoryOperand, nextRip: number): void {
    const view = this.#records;
    const { base, index, scale, displacement, segment } = memory;
    const isRelative = base === BASE_RIP;
    view.setUint32(record + RECORD.base, isRelative || base === NO_REGISTER ? CELL.zero : gprAt(base), true);
    view.setUint32(record + RECORD.index, index === NO_REGISTER ? CELL.zero : gprAt(index), true);
    view.setUint32(record + RECORD.scale, scale, true);
    const hasBase = !decoded.is64 || segment >= Seg.FS;
    view.setUint32(record + RECORD.segment, hasBase ? CONTEXT_AT + segmentBaseAt(segment) : CELL.zero, true);
    this.#setNumber(record + RECORD.displacement, isRelative ? nextRip + Number(displacement) : displacement);
  }

  /** A number of at most 53 bits, or a bigint, as 64 bits. */
  #setNumber(at: number, value: number | bigint): void {
    if (typeof value === 'bigint') this.#records.setBigInt64(at, value, true);
    else {
      this.#records.setInt32(at, value, true);
      this.#records.setInt32(at + 4, Math.floor(value / TWO_32), true);
    }
  }
}

/** Where a relative branch leads: truncated to the operand size outside 64-bit mode (SDM vol. 2A "JMP"). */
export function branchTarget({ is64, operandBits }: Decoded, { value }: Operand, nextRip: number): number {
  const target = nextRip + Number(value);
  if (is64) return target;
  return operandBits === 16 ? target & 0xffff : target >>> 0;
}

/** The offset of an immediate far pointer. */
function offsetOf({ bits, value }: Operand): number {
  return bits === 16 ? Number(value) & 0xffff : Number(value) >>> 0;
}

function addSpan(spans: [number, number][], start: number, end: number): void {
  const last = spans.at(-1);
  if (last !== undefined && last[1] === start && start % PAGE_BYTES !== 0) last[1] = end;
  else spans.push([start, end]);
}
