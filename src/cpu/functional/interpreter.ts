/**
 * Decoding into records: the interpreter's form of code. A block is a record that begins it (`enter`), one record per
 * instruction, and, where the last one does not go elsewhere, one that leads to what follows.
 */

import type { DecodeTable } from '../../arch/x86/isa/decode-table.ts';
import type { Decoded } from '../../arch/x86/isa/decoded.ts';
import { Decoder } from '../../arch/x86/isa/decoder.ts';
import { type DecodeFailure, MAX_LENGTH_BYTES } from '../../arch/x86/isa/instruction-bytes.ts';
import type { UnitState } from '../../arch/x86/isa/units.ts';
import { panic } from '../../sim/trouble.ts';
import { Block, type BlockInstruction } from './blocks.ts';
import type { Handlers } from './handlers.ts';
import {
  ENGINE_MEMORY_BYTES,
  PAGE_SHIFT,
  RECORD,
  RECORD_BYTES,
  RECORDS_AT,
  TARGETS,
  TARGETS_BEHIND,
} from './layout.ts';
import { RecordWriter } from './record-writer.ts';
import type { Shape } from './shapes.ts';
import { Templates } from './templates.ts';

const PAGE_BYTES = 2 ** PAGE_SHIFT;
const TWO_32 = 2 ** 32;
const WORD_BYTES = 4;
const MAX_INSTRUCTIONS = 64;
const TARGETS_BYTES = 8 * TARGETS;
/** Records that are set aside for running a part of a block. */
const SCRATCH_RECORDS = MAX_INSTRUCTIONS + 2 + TARGETS_BYTES / RECORD_BYTES;
const FIRST_RECORD = RECORDS_AT + SCRATCH_RECORDS * RECORD_BYTES;

/** Where code lies in RAM: an offset, or −1 where fetching faults, with the fault's cells set. */
export type Fetch = (rip: number) => number;

/** Why there is no instruction; `fetch`: its bytes cannot be fetched. */
export type NoInstruction = Exclude<DecodeFailure, 'incomplete'> | 'fetch';

type Span = [start: number, end: number];

export class Interpreter {
  readonly #decoder: Decoder;
  readonly #handlers: Handlers;
  readonly #ram: Uint8Array;
  readonly #records: DataView;
  readonly #words: Uint32Array;
  readonly #writer: RecordWriter;
  /** For 64-bit mode, and for compatibility mode. */
  readonly #templates: readonly [Templates, Templates];
  readonly #fetch: Fetch;
  readonly #acrossPages = new Uint8Array(2 * MAX_LENGTH_BYTES);
  #nextRecord = FIRST_RECORD;
  #units: UnitState = 0;

  constructor(
    table: DecodeTable,
    handlers: Handlers,
    ram: Uint8Array,
    engineMemory: ArrayBuffer,
    fetch: Fetch,
  ) {
    this.#decoder = new Decoder(table);
    this.#templates = [new Templates(table), new Templates(table)];
    this.#handlers = handlers;
    this.#ram = ram;
    this.#records = new DataView(engineMemory);
    this.#words = new Uint32Array(engineMemory);
    this.#writer = new RecordWriter(engineMemory);
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

  /** Makes the records of a block. What comes back instead is why its first instruction cannot be executed. Hot path. */
  build(rip: number, is64: boolean, units: UnitState): Block | NoInstruction {
    this.#useUnits(units);
    const linear = this.#fetch(rip);
    if (linear < 0) return 'fetch';
    const pageEnd = linear - (linear % PAGE_BYTES) + PAGE_BYTES;
    const record = this.#nextRecord;
    const spans: Span[] = [[linear, linear]];
    let count = 0;
    let isIndirect = false;
    let lengthBytes = 0;
    while (count < MAX_INSTRUCTIONS && linear + lengthBytes < pageEnd) {
      const at = record + (count + 1) * RECORD_BYTES;
      const written = this.#writeInstruction(
        linear + lengthBytes,
        pageEnd,
        rip + lengthBytes,
        is64,
        at,
        spans,
      );
      if (typeof written === 'string') {
        if (count === 0) return written;
        break;
      }
      count++;
      lengthBytes += this.#lengthBytes;
      isIndirect = written.effects.isIndirect;
      if (written.effects.endsBlock) break;
    }
    spans[0]![1] = Math.min(linear + lengthBytes, pageEnd);
    for (let i = 1; i <= count; i++)
      this.#words[(record + i * RECORD_BYTES + RECORD.remaining) / WORD_BYTES] = count - i + 1;
    const end = rip + lengthBytes;
    this.#finish(record, count, rip, end, isIndirect);
    return new Block({ rip, is64, units, count, end, spans, record }, this.#decodeBlock);
  }

  /** Templates are good for one state of the units. */
  #useUnits(units: UnitState): void {
    if (units === this.#units) return;
    this.#units = units;
    for (const templates of this.#templates) templates.clear();
  }

  /** The records around a block's instructions, and the handlers that are new. */
  #finish(record: number, count: number, rip: number, end: number, isIndirect: boolean): void {
    const { enter, goto } = this.#handlers.special;
    const last = record + (count + 1) * RECORD_BYTES;
    this.#writer.writeHead(record, enter, count, rip, 0);
    this.#writer.writeHead(last, goto, 0, end, end);
    this.#nextRecord = last + RECORD_BYTES;
    if (isIndirect) {
      const first = this.#nextRecord / WORD_BYTES;
      this.#words.fill(0, first, first + TARGETS_BYTES / WORD_BYTES);
      this.#nextRecord += TARGETS_BYTES;
    }
    this.#handlers.flush();
  }

  /** Bytes of the instruction that was written last. */
  #lengthBytes = 0;

  /**
   * The record of an instruction.
   * @param linear where it lies in RAM; its page ends at `pageEnd`
   * @param spans gets those of its bytes that lie in the next page
   */
  #writeInstruction(
    linear: number,
    pageEnd: number,
    rip: number,
    is64: boolean,
    record: number,
    spans: Span[],
  ): Shape | NoInstruction {
    const hasAllBytes = linear + MAX_LENGTH_BYTES <= pageEnd;
    const templates = this.#templates[is64 ? 0 : 1];
    if (hasAllBytes) {
      const shape = templates.write(this.#ram, linear, is64, rip, this.#words, record / WORD_BYTES);
      if (shape !== undefined) {
        this.#lengthBytes = templates.lengthBytes;
        return shape;
      }
    }
    const decoded = this.#decode(linear, pageEnd, is64, () => this.#fetch(rip + pageEnd - linear), spans);
    if (typeof decoded === 'string') return decoded;
    this.#lengthBytes = decoded.lengthBytes;
    const shape = this.#handlers.shapeOf(decoded);
    this.#writer.write(record, decoded, shape.handler, rip, 0);
    if (hasAllBytes) templates.add(this.#ram, linear, decoded, shape);
    return shape;
  }

  /** The instructions of a block: its bytes are still what they were. */
  readonly #decodeBlock = ({ rip, is64, units, count, spans }: Block): readonly BlockInstruction[] => {
    this.#useUnits(units);
    const [[start], second] = spans as [Span, Span?];
    const pageEnd = start - (start % PAGE_BYTES) + PAGE_BYTES;
    const instructions: BlockInstruction[] = [];
    let lengthBytes = 0;
    for (let i = 0; i < count; i++) {
      const decoded = this.#decode(start + lengthBytes, pageEnd, is64, () => second?.[0] ?? -1, []);
      if (typeof decoded === 'string') return panic('functional CPU', `a block has become ${decoded}`);
      const { effects, handler } = this.#handlers.shapeOf(decoded);
      instructions.push({ decoded, effects, handler, rip: rip + lengthBytes });
      lengthBytes += decoded.lengthBytes;
    }
    return instructions;
  };

  /** Addresses to which the indirect jump that ends a block has gone, as far as the interpreter has executed it. */
  targetsOf({ record, count }: Block): number[] {
    const first = record + count * RECORD_BYTES + TARGETS_BEHIND;
    const targets: number[] = [];
    for (let at = first; at < first + TARGETS_BYTES; at += 8) {
      const target = this.#records.getInt32(at + 4, true) * TWO_32 + this.#records.getUint32(at, true);
      if (target !== 0) targets.push(target);
    }
    return targets;
  }

  /** The instruction at an address, if there is one. */
  decodeAt(rip: number, is64: boolean): Decoded | undefined {
    const linear = this.#fetch(rip);
    if (linear < 0) return undefined;
    const pageEnd = linear - (linear % PAGE_BYTES) + PAGE_BYTES;
    const decoded = this.#decode(linear, pageEnd, is64, () => this.#fetch(rip + pageEnd - linear), []);
    return typeof decoded === 'string' ? undefined : decoded;
  }

  /** The first `count` instructions of a block, and a stop behind them; returns the first record. */
  buildPart(block: Block, count: number): number {
    const words = this.#words;
    const first = block.record + RECORD_BYTES;
    const bytes = count * RECORD_BYTES;
    words.copyWithin(RECORDS_AT / WORD_BYTES, first / WORD_BYTES, (first + bytes) / WORD_BYTES);
    for (let i = 0; i < count; i++)
      words[(RECORDS_AT + i * RECORD_BYTES + RECORD.remaining) / WORD_BYTES] = count - i;
    const end = RECORDS_AT + bytes;
    this.#writer.writeHead(end, this.#handlers.special.stop, 0, 0, 0);
    // The place behind the part is that of the instruction in the block, or of the record that ends the block.
    const rip = (first + bytes + RECORD.rip) / WORD_BYTES;
    words.copyWithin((end + RECORD.rip) / WORD_BYTES, rip, rip + 2);
    return RECORDS_AT;
  }

  /** The bytes of the block have changed: whoever executes it goes on with the new ones at the next instruction. */
  markStale({ record, count }: Block): void {
    for (let i = 0; i <= count; i++)
      this.#records.setUint32(record + i * RECORD_BYTES + RECORD.handler, this.#handlers.special.stale, true);
    this.#records.setUint32(record + RECORD.remaining, 0, true);
  }

  /** Table index of a record's handler. */
  handlerOf(record: number): number {
    return this.#records.getUint32(record + RECORD.handler, true);
  }

  /**
   * @param nextPage where the page behind `pageEnd` lies in RAM, or −1
   * @param spans gets the bytes that lie there
   */
  #decode(
    linear: number,
    pageEnd: number,
    is64: boolean,
    nextPage: () => number,
    spans: Span[],
  ): Decoded | NoInstruction {
    const decoded = this.#decoder.decode(this.#ram, linear, pageEnd, is64, this.#units);
    if (decoded !== 'incomplete') return decoded;
    const inFirst = pageEnd - linear;
    const second = nextPage();
    if (second < 0) return 'fetch';
    const bytes = this.#acrossPages;
    bytes.set(this.#ram.subarray(linear, pageEnd));
    bytes.set(this.#ram.subarray(second, second + MAX_LENGTH_BYTES), inFirst);
    const whole = this.#decoder.decode(bytes, 0, inFirst + MAX_LENGTH_BYTES, is64, this.#units);
    if (typeof whole === 'string') return whole === 'incomplete' ? 'tooLong' : whole;
    spans.push([second, second + whole.lengthBytes - inFirst]);
    return whole;
  }
}
