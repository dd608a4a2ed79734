/**
 * The interpreter's handlers in the table of code: made in batches, when instructions of a new shape are decoded.
 */

import type { Decoded } from '../../arch/x86/isa/decoded.ts';
import { effectsOf } from '../../arch/x86/isa/effects.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import type { CodeTable } from './code-table.ts';
import { CODE_TYPE_INDEX, type CoreFunctions, ENGINE, importCore } from './core-functions.ts';
import { HandlerCracker } from './handler-cracker.ts';
import { BLOCK_ENTRIES, CELL, CONTEXT_AT, RECORD, RECORD_BYTES, Stop } from './layout.ts';
import { type Shape, shapeNumber } from './shapes.ts';
import { FunctionWriter } from './wasm/function.ts';
import { ModuleWriter } from './wasm/module.ts';
import { Op, ValueType } from './wasm/opcodes.ts';

/** Table indices of the handlers that no instruction has. */
export interface SpecialHandlers {
  /** Begins a block: pays for its instructions and counts the entry. */
  readonly enter: number;
  /** Goes on at the address in `immediate`. */
  readonly goto: number;
  /** Ends the run in front of the record's address. */
  readonly stop: number;
  /** The bytes of the block have changed: goes on at the record's address, and gives back what was paid. */
  readonly stale: number;
}

interface Pending {
  readonly decoded: Decoded;
  readonly shape: Shape;
}

export class Handlers {
  readonly special: SpecialHandlers;
  readonly #table: CodeTable;
  readonly #byShape = new Map<number, Shape>();
  #pending: Pending[] = [];
  #waits = false;
  readonly #f = new FunctionWriter();

  /** @param hotEntries after so many entries, a power of two, a block stops as hot; and again after as many */
  constructor(table: CodeTable, hotEntries: number) {
    this.#table = table;
    const enter = (f: FunctionWriter) => writeEnter(f, hotEntries);
    const writers = { enter, goto: writeGoto, stop: writeStop, stale: writeStale };
    const special = { enter: table.take(), goto: table.take(), stop: table.take(), stale: table.take() };
    this.#compile((module, core) => {
      for (const [name, write] of Object.entries(writers)) {
        this.#f.begin(2);
        write(this.#f, core);
        const place = special[name as keyof SpecialHandlers];
        module.placeInTable(module.addFunction(CODE_TYPE_INDEX, this.#f.finish().body), place);
      }
    });
    this.special = special;
  }

  /** How many shapes there are. */
  get count(): number {
    return this.#byShape.size;
  }

  /** The shape of an instruction; its handler is there after the next {@link flush}. */
  shapeOf(decoded: Decoded): Shape {
    const number = shapeNumber(decoded);
    const known = this.#byShape.get(number);
    if (known !== undefined) return known;
    const shape = { handler: this.#table.take(), effects: effectsOf(decoded) };
    this.#pending.push({ decoded, shape });
    this.#byShape.set(number, shape);
    return shape;
  }

  /** Handlers that are asked for while `work` goes on are made behind it, as one module. */
  together(work: () => void): void {
    this.#waits = true;
    work();
    this.#waits = false;
    this.flush();
  }

  /** Makes the handlers that have been asked for. */
  flush(): void {
    if (this.#waits || this.#pending.length === 0) return;
    const pending = this.#pending;
    this.#pending = [];
    this.#compile((module, core) => {
      const cracker = new HandlerCracker(this.#f, core);
      for (const { decoded, shape } of pending) {
        cracker.writeHandler(decoded, shape.effects);
        const { body, hints } = this.#f.finish();
        module.placeInTable(module.addFunction(CODE_TYPE_INDEX, body, hints), shape.handler);
      }
    });
  }

  #compile(write: (module: ModuleWriter, core: CoreFunctions) => void): void {
    const module = new ModuleWriter();
    write(module, importCore(module));
    this.#table.instantiate(module);
  }
}

/** The block at the record begins, unless the budget does not suffice. */
function writeEnter(f: FunctionWriter, hotEntries: number): void {
  const { code } = f;
  code.get(1);
  code.get(0);
  code.memory(Op.i32_load, ENGINE, RECORD.remaining);
  code.op(Op.i32_lt_s);
  f.if(undefined, false);
  storeRip(f, RECORD.rip);
  stopWith(f, Stop.budget);
  f.end();
  const entries = f.local(ValueType.i32);
  code.get(0);
  code.get(0);
  code.memory(Op.i32_load, ENGINE, BLOCK_ENTRIES);
  code.i32(1);
  code.op(Op.i32_add);
  code.tee(entries);
  code.memory(Op.i32_store, ENGINE, BLOCK_ENTRIES);
  code.get(entries);
  code.i32((hotEntries - 1) | 0);
  code.op(Op.i32_and);
  code.op(Op.i32_eqz);
  f.if(undefined, false);
  storeRip(f, RECORD.rip);
  stopWith(f, Stop.hot);
  f.end();
  code.get(0);
  code.i32(RECORD_BYTES);
  code.op(Op.i32_add);
  code.get(1);
  code.get(0);
  code.memory(Op.i32_load, ENGINE, RECORD.remaining);
  code.op(Op.i32_sub);
  code.get(0);
  code.memory(Op.i32_load, ENGINE, RECORD_BYTES + RECORD.handler);
  code.opIndex(Op.return_call_indirect, CODE_TYPE_INDEX);
  code.u32(0);
}

function writeGoto(f: FunctionWriter, core: CoreFunctions): void {
  f.code.get(0);
  f.code.memory(Op.i64_load, ENGINE, RECORD.immediate);
  f.code.get(1);
  f.code.opIndex(Op.return_call, core.dispatch);
}

function writeStop(f: FunctionWriter): void {
  storeRip(f, RECORD.rip);
  stopWith(f, Stop.budget);
}

function writeStale(f: FunctionWriter, core: CoreFunctions): void {
  f.code.get(0);
  f.code.memory(Op.i64_load, ENGINE, RECORD.rip);
  f.code.get(1);
  f.code.get(0);
  f.code.memory(Op.i32_load, ENGINE, RECORD.remaining);
  f.code.op(Op.i32_add);
  f.code.opIndex(Op.return_call, core.dispatch);
}

function storeRip(f: FunctionWriter, field: number): void {
  f.code.i32(0);
  f.code.get(0);
  f.code.memory(Op.i64_load, ENGINE, field);
  f.code.memory(Op.i64_store, ENGINE, CONTEXT_AT + OFFSET.rip);
}

function stopWith(f: FunctionWriter, reason: number): void {
  f.code.i32(0);
  f.code.get(0);
  f.code.memory(Op.i32_store, ENGINE, CELL.stopRecord);
  f.code.i32(0);
  f.code.get(1);
  f.code.memory(Op.i32_store, ENGINE, CELL.budget);
  f.code.i32(reason);
  f.code.op(Op.return);
}
