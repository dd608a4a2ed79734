/**
 * The core of the engine, in WebAssembly: slow paths of memory accesses, the look-up of the next piece of code, and
 * arithmetic that has no instruction of its own. It is generated like all other code.
 */

import { FLAG_CODES, lazyFlagWord } from '../../arch/x86/isa/lazy-flags.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { addFloatFunctions } from './core-float.ts';
import {
  CODE_TYPE,
  CODE_TYPE_INDEX,
  type CoreFunctionName,
  type CoreFunctions,
  ENGINE,
  importMemories,
  RAM,
  signatureOf,
} from './core-functions.ts';
import {
  CELL,
  CONTEXT_AT,
  JUMP_CACHE_AT,
  JUMP_CACHE_ENTRIES,
  JUMP_CACHE_STRIDE,
  PAGE_SHIFT,
  Stop,
  TARGETS,
  TARGETS_BEHIND,
} from './layout.ts';
import { writePageHash } from './page-hash.ts';
import { FunctionWriter } from './wasm/function.ts';
import { ModuleWriter } from './wasm/module.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { VectorOp } from './wasm/vector-opcodes.ts';
import { WasmOps } from './wasm-ops.ts';

const { i32, i64 } = ValueType;

/** Answers of `translate` that are no address in RAM. */
export const TRANSLATE_FAULT = -1;
export const TRANSLATE_BOUNCE = -2;

/** What the core needs of TypeScript. */
export interface CoreImports {
  /**
   * Where an access of `sizeBytes` at a linear address may take place: an offset in RAM; TRANSLATE_FAULT, with the fault's cells
   * set; or TRANSLATE_BOUNCE: in the bounce cell, which has been filled.
   */
  translate(lo: number, hi: number, sizeBytes: number, isWrite: number): number;
  /** The bounce cell has been written: its bytes go where they belong. */
  commit(): void;
  assist(number: number, a: number, b: number, c: number): number;
}

/** How a value of so many bytes is loaded and stored. */
interface Access {
  readonly load: Op | 'vector';
  readonly store: Op | 'vector';
}

const ACCESSES: Readonly<Record<number, Access>> = {
  1: { load: Op.i32_load8_u, store: Op.i32_store8 },
  2: { load: Op.i32_load16_u, store: Op.i32_store16 },
  4: { load: Op.i32_load, store: Op.i32_store },
  8: { load: Op.i64_load, store: Op.i64_store },
  16: { load: 'vector', store: 'vector' },
};

/** Appends the load of so many bytes from an address on the stack. */
export function emitLoad(f: FunctionWriter, sizeBytes: number, memory: number, offset: number): void {
  const { load } = ACCESSES[sizeBytes]!;
  if (load === 'vector') f.code.vectorMemory(VectorOp.load, memory, offset);
  else f.code.memory(load, memory, offset);
}

/** Appends the store of the value on the stack. */
export function emitStore(f: FunctionWriter, sizeBytes: number, memory: number, offset: number): void {
  const { store } = ACCESSES[sizeBytes]!;
  if (store === 'vector') f.code.vectorMemory(VectorOp.store, memory, offset);
  else f.code.memory(store, memory, offset);
}

/**
 * The bytes of the core module. It exports the functions of core-functions.ts, `run(budget)`, which goes on at RIP, and
 * `start(function, argument, budget)`, which calls code in the table, and `hashPage(offset)` of page-hash.ts.
 */
export function buildCoreModule(): Uint8Array {
  const module = new ModuleWriter('core');
  module.type(CODE_TYPE.parameters, CODE_TYPE.results);
  importMemories(module);
  const imports: Imports = {
    translate: module.importFunction('engine', 'translate', module.type([i32, i32, i32, i32], [i32])),
    commit: module.importFunction('engine', 'commit', module.type([], [])),
  };
  const assist = signatureOf('assist');
  const assistIndex = module.importFunction(
    'engine',
    'assist',
    module.type(assist.parameters, assist.results),
  );
  module.export('assist', assistIndex);
  const f = new FunctionWriter();
  const add = (name: CoreFunctionName, write: () => void): number => {
    const { parameters, results } = signatureOf(name);
    f.begin(parameters.length);
    write();
    const { body, hints } = f.finish();
    const index = module.addFunction(module.type(parameters, results), body, hints);
    module.export(name, index);
    return index;
  };
  for (const bytes of [1, 2, 4, 8, 16]) {
    add(`load${bytes * 8}` as CoreFunctionName, () => writeSlowLoad(f, imports, bytes));
    add(`store${bytes * 8}` as CoreFunctionName, () => writeSlowStore(f, imports, bytes));
  }
  const dispatch = add('dispatch', () => writeDispatch(f));
  add('observe', () => writeObserve(f));
  add('flagWord', () => writeFlagWord(f));
  const unsigned = add('mulHighU64', () => writeMulHighU64(f));
  add('mulHighS64', () => writeMulHighS64(f, unsigned));
  addFloatFunctions(module, f, assistIndex);
  f.begin(1);
  f.code.i32(0);
  f.code.memory(Op.i64_load, ENGINE, CONTEXT_AT + OFFSET.rip);
  f.code.get(0);
  f.code.opIndex(Op.return_call, dispatch);
  module.export('run', module.addFunction(module.type([i32], [i32]), f.finish().body));
  f.begin(3);
  for (const argument of [1, 2, 0]) f.code.get(argument);
  f.code.opIndex(Op.return_call_indirect, CODE_TYPE_INDEX);
  f.code.u32(0);
  module.export('start', module.addFunction(module.type([i32, i32, i32], [i32]), f.finish().body));
  f.begin(1);
  writePageHash(f);
  module.export('hashPage', module.addFunction(module.type([i32], [i64]), f.finish().body));
  return module.finish();
}

interface Imports {
  readonly translate: number;
  readonly commit: number;
}

/** Calls `translate` for the address in local 0 and keeps the answer in `at`. */
function translate(
  f: FunctionWriter,
  { translate }: Imports,
  sizeBytes: number,
  at: number,
  pushIsWrite: () => void,
): void {
  const { code } = f;
  code.get(0);
  code.op(Op.i32_wrap_i64);
  code.get(0);
  code.i64(32);
  code.op(Op.i64_shr_u);
  code.op(Op.i32_wrap_i64);
  code.i32(sizeBytes);
  pushIsWrite();
  code.opIndex(Op.call, translate);
  code.set(at);
}

/** A fault reads the bounce cell, too: somebody must be read, and the value is not used. */
function writeSlowLoad(f: FunctionWriter, imports: Imports, sizeBytes: number): void {
  const { code } = f;
  const at = f.local(i32);
  translate(f, imports, sizeBytes, at, () => code.get(1));
  code.get(at);
  code.i32(TRANSLATE_BOUNCE);
  code.op(Op.i32_ge_u);
  f.if();
  code.i32(0);
  emitLoad(f, sizeBytes, ENGINE, CELL.bounce);
  code.op(Op.return);
  f.end();
  code.get(at);
  emitLoad(f, sizeBytes, RAM, 0);
}

function writeSlowStore(f: FunctionWriter, imports: Imports, sizeBytes: number): void {
  const { code } = f;
  const at = f.local(i32);
  translate(f, imports, sizeBytes, at, () => code.i32(1));
  code.get(at);
  code.i32(TRANSLATE_FAULT);
  code.op(Op.i32_eq);
  f.if();
  code.op(Op.return);
  f.end();
  code.get(at);
  code.i32(TRANSLATE_BOUNCE);
  code.op(Op.i32_eq);
  f.if();
  code.i32(0);
  code.get(1);
  emitStore(f, sizeBytes, ENGINE, CELL.bounce);
  code.opIndex(Op.call, imports.commit);
  code.op(Op.return);
  f.end();
  code.get(at);
  code.get(1);
  emitStore(f, sizeBytes, RAM, 0);
}

/** Goes on at an address, or stops where the jump cache does not know it. */
function writeDispatch(f: FunctionWriter): void {
  const { code } = f;
  const slot = emitJump(f, 0, 1);
  code.get(slot);
  code.i32(JUMP_CACHE_STRIDE);
  code.op(Op.i32_xor);
  code.set(slot);
  emitJumpBySlot(f, slot, 0, 1);
  code.i32(0);
  code.get(0);
  code.memory(Op.i64_store, ENGINE, CONTEXT_AT + OFFSET.rip);
  code.i32(0);
  code.get(1);
  code.memory(Op.i32_store, ENGINE, CELL.budget);
  code.i32(Stop.lookUp);
}

/**
 * Appends a jump to the code for an address, if it is in its own slot of the jump cache (TypeScript's counterpart is slotOf in
 * jump-cache.ts); returns the local with the slot. The dispatch function looks into the slot beside it, too.
 */
export function emitJump(f: FunctionWriter, rip: number, budget: number): number {
  const { code } = f;
  const slot = f.local(i32);
  code.get(rip);
  code.get(rip);
  code.i64(PAGE_SHIFT);
  code.op(Op.i64_shr_u);
  code.op(Op.i64_xor);
  code.op(Op.i32_wrap_i64);
  code.i32(JUMP_CACHE_ENTRIES - 1);
  code.op(Op.i32_and);
  code.i32(Math.log2(JUMP_CACHE_STRIDE));
  code.op(Op.i32_shl);
  code.set(slot);
  emitJumpBySlot(f, slot, rip, budget);
  return slot;
}

function emitJumpBySlot(f: FunctionWriter, slot: number, rip: number, budget: number): void {
  const { code } = f;
  code.get(slot);
  code.memory(Op.i64_load, ENGINE, JUMP_CACHE_AT);
  code.get(rip);
  code.op(Op.i64_eq);
  f.if(undefined, true);
  code.get(slot);
  code.memory(Op.i32_load, ENGINE, JUMP_CACHE_AT + 12);
  code.get(budget);
  code.get(slot);
  code.memory(Op.i32_load, ENGINE, JUMP_CACHE_AT + 8);
  code.opIndex(Op.return_call_indirect, CODE_TYPE_INDEX);
  code.u32(0);
  f.end();
}

/** The first slot that is empty or has the address gets it; where all have others, nothing happens. */
function writeObserve(f: FunctionWriter): void {
  const { code } = f;
  const end = f.local(i32);
  code.get(0);
  code.i32(8 * TARGETS);
  code.op(Op.i32_add);
  code.set(end);
  const found = f.block();
  const next = f.loop();
  for (const isKnown of [false, true]) {
    code.get(0);
    code.memory(Op.i64_load, ENGINE, TARGETS_BEHIND);
    if (isKnown) {
      code.get(1);
      code.op(Op.i64_eq);
    } else code.op(Op.i64_eqz);
    f.if();
    code.get(0);
    code.get(1);
    code.memory(Op.i64_store, ENGINE, TARGETS_BEHIND);
    f.branch(found);
    f.end();
  }
  code.get(0);
  code.i32(8);
  code.op(Op.i32_add);
  code.tee(0);
  code.get(end);
  code.op(Op.i32_lt_u);
  f.branchIf(next);
  f.end();
  f.end();
}

/** One case per code, selected by a br_table. */
function writeFlagWord(f: FunctionWriter): void {
  const { code } = f;
  const labels = FLAG_CODES.map(() => f.block());
  code.get(0);
  code.op(Op.br_table);
  code.u32(labels.length);
  for (let i = 0; i <= labels.length; i++) code.u32(Math.min(i, labels.length - 1));
  const ops = new WasmOps(f, {} as CoreFunctions);
  for (const { kind, z } of FLAG_CODES) {
    f.end();
    const wide = { a: ops.ofLocal(1, i64), b: ops.ofLocal(2, i64) };
    const widthOfA = kind === 'bits' ? 32 : z;
    const widthOfB = kind === 'result' ? 32 : z;
    const a = ops.zext(64, widthOfA, wide.a);
    ops.put(lazyFlagWord(ops, { kind, z, a, b: ops.zext(64, widthOfB, wide.b) }));
    code.op(Op.return);
    f.releaseTemporaries();
  }
  code.op(Op.unreachable);
}

/** Four products of halves: (aH·2^32 + aL)(bH·2^32 + bL), and the carries of the middle. */
function writeMulHighU64(f: FunctionWriter): void {
  const o = new WasmOps(f, {} as CoreFunctions);
  const [a, b] = [o.ofLocal(0, i64), o.ofLocal(1, i64)];
  const low = (value: typeof a) => o.and(64, value, o.int(64, 0xffff_ffff));
  const high = (value: typeof a) => o.shr(64, value, o.int(32, 32));
  const [aL, aH, bL, bH] = [low(a), high(a), low(b), high(b)];
  const middle = o.add(64, o.mul(64, aH, bL), high(o.mul(64, aL, bL)));
  const carried = o.add(64, o.mul(64, aL, bH), low(middle));
  o.put(o.add(64, o.mul(64, aH, bH), o.add(64, high(middle), high(carried))));
}

/** From the unsigned product: minus b where a is negative, minus a where b is. */
function writeMulHighS64(f: FunctionWriter, unsigned: number): void {
  const o = new WasmOps(f, {} as CoreFunctions);
  const [a, b] = [o.ofLocal(0, i64), o.ofLocal(1, i64)];
  const where = (sign: typeof a, value: typeof a) => o.and(64, o.sar(64, sign, o.int(32, 63)), value);
  o.put(a);
  o.put(b);
  f.code.opIndex(Op.call, unsigned);
  const product = o.take(i64);
  o.put(o.sub(64, o.sub(64, product, where(a, b)), where(b, a)));
}
