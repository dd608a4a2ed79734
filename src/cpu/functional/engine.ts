/**
 * The engine of the functional CPU: executes x86 code, in guest RAM, on a thread context of its own. It knows neither events
 * nor time: it is given a number of instructions, and says how many it has executed and why it stopped.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { ASSISTS } from '../../arch/x86/isa/assists.ts';
import { STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import { DecodeTable } from '../../arch/x86/isa/decode-table.ts';
import { MAX_LENGTH_BYTES } from '../../arch/x86/isa/instruction-bytes.ts';
import { INSTRUCTIONS } from '../../arch/x86/isa/instructions.ts';
import { flagCode } from '../../arch/x86/isa/lazy-flags.ts';
import { type UnitState, unitState } from '../../arch/x86/isa/units.ts';
import { Rflags } from '../../arch/x86/registers.ts';
import { OFFSET, X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { panic } from '../../sim/trouble.ts';
import { assistContext } from './assist-context.ts';
import { ASSIST_ROUTINES } from './assists.ts';
import { type Block, Blocks } from './blocks.ts';
import { CodeHashes } from './code-hashes.ts';
import { CodeTable } from './code-table.ts';
import { buildCoreModule } from './core-module.ts';
import type { EngineOptions, RunEnd } from './engine-interface.ts';
import { Handlers } from './handlers.ts';
import { Interpreter } from './interpreter.ts';
import { JumpCache } from './jump-cache.ts';
import { CELL, CONTEXT_AT, ENGINE_MEMORY_BYTES, HOT_ENTRIES, PAGE_SHIFT, RECORD, Stop } from './layout.ts';
import { isCanonical, Mmu, NOT_CANONICAL_VECTOR } from './mmu.ts';
import { blocksFrom } from './prepare.ts';
import { holdsTrapsBack, isStackReference } from './stack-reference.ts';
import { Translator } from './translator.ts';

const WASM_PAGE = 65_536;
/** Generated code returns at least so often: a loop that V8 has optimized meanwhile is entered anew. */
const MAX_SLICE = 2 ** 20;
/** Counts of entries are compared modulo this: nothing ever comes so far. */
const NEVER_HOT = 2 ** 31;
/** A shared look-up that misses costs as much as a hundred instructions: more than one in so many is too often. */
const MISS_RATE = 1024;
const MOST_MISSES = 64;
const CODE_CACHE_BYTES = 2 ** 28;
const RIP = OFFSET.rip >> 2;
const [PAGE_BYTES, TWO_32] = [2 ** PAGE_SHIFT, 2 ** 32];
/** Of more pages than these, flushing all is cheaper than flushing each. */
const MOST_PAGES = 256;

export class Engine {
  /** The architectural state. While the engine runs, status flags are elsewhere. */
  readonly tc: X86ThreadContext;
  /** Instructions executed since the beginning. */
  executed = 0;
  readonly #memory: PhysicalMemory;
  readonly #cells: DataView;
  readonly #mmu: Mmu;
  readonly #blocks: Blocks;
  readonly #jumpCache: JumpCache;
  readonly #handlers: Handlers;
  readonly #interpreter: Interpreter;
  readonly #translator: Translator;
  readonly #core: WebAssembly.Instance['exports'];
  readonly #translatesAlways: boolean;
  readonly #codeHashes: CodeHashes;
  #codeMayHaveMoved = false;
  #checksAlignment = false;
  /** What the budget was when generated code was entered, while it runs; else what it has left. */
  #entered = 0;
  /** Units that are on, and the mode, for which the blocks in the jump cache have been decoded. */
  #units: UnitState = 0;
  #is64 = true;

  constructor(options: EngineOptions) {
    const { memory, features, translate = 'hot', codeCacheBytes = CODE_CACHE_BYTES } = options;
    const { isWritable = () => true } = options;
    const pages = ENGINE_MEMORY_BYTES / WASM_PAGE;
    const engineMemory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const buffer = engineMemory.buffer as ArrayBuffer;
    this.#memory = memory;
    this.tc = new X86ThreadContext(buffer, CONTEXT_AT);
    this.#cells = new DataView(buffer);
    this.#blocks = new Blocks((block) => this.#dropped(block));
    this.#jumpCache = new JumpCache(buffer);
    const mmu = new Mmu(this.tc, memory, buffer, this.#blocks);
    this.#mmu = mmu;
    const context = assistContext(this.tc, mmu, new DataView(buffer, CELL.scratch, 512), options);
    const routines = ASSISTS.map((name) => ASSIST_ROUTINES[name]);
    const table = new CodeTable(buildCoreModule(), {
      ram: memory.memory,
      memory: engineMemory,
      translate: (lo: number, hi: number, size: number, isWrite: number) =>
        mmu.translate(lo, hi, size, isWrite),
      commit: () => mmu.commit(),
      assist: (number: number, a: number, b: number, c: number) => routines[number]!(context, a, b, c),
    });
    this.#core = table.core;
    const hashPage = table.core.hashPage as unknown as (page: number) => bigint;
    this.#codeHashes = new CodeHashes(hashPage, memory.versions, isWritable);
    this.#translatesAlways = translate === 'always';
    this.#handlers = new Handlers(table, translate === 'never' ? NEVER_HOT : HOT_ENTRIES);
    const decodeTable = new DecodeTable(INSTRUCTIONS, features);
    const ram = new Uint8Array(memory.memory.buffer);
    const fetch = (rip: number) => mmu.fetchAt(rip);
    this.#interpreter = new Interpreter(decodeTable, this.#handlers, ram, buffer, fetch);
    this.#translator = new Translator(table, this.#blocks, this.#interpreter, buffer, codeCacheBytes);
  }

  /**
   * Instructions executed before the one that asks: for assists, whose instruction is in the middle of a run. The instructions
   * of that run that are not executed yet are those of CELL.budget.
   */
  get executedSoFar(): number {
    const cells = this.#cells;
    const left = cells.getInt32(CELL.budget, true);
    return this.executed + this.#entered - left - cells.getUint32(CELL.unfinished, true);
  }

  /** Translations changed, any of them. */
  flushTlb(): void {
    this.#mmu.flush();
    this.#codeMayHaveMoved = true;
  }

  /** Translations of these pages changed. Addresses are those of the lower half. */
  flushPages(start: number, sizeBytes: number): void {
    if (sizeBytes > MOST_PAGES * PAGE_BYTES) this.#mmu.flush();
    else
      for (let at = start - (start % PAGE_BYTES); at < start + sizeBytes; at += PAGE_BYTES)
        this.#mmu.flushPage(at >>> 0, Math.floor(at / TWO_32));
    this.#codeMayHaveMoved ||= this.#blocks.hasVirtual(start, sizeBytes);
  }

  /** All of RAM is another: that of a checkpoint. */
  forgetCode(): void {
    this.flushTlb();
    this.#forgetAll();
  }

  /** Somebody else gets RAM who does not mark what he writes there: another processor. */
  giveRam(): void {
    this.#codeHashes.take(this.#blocks.pages);
  }

  /** RAM is back. Code that the other processor has written is forgotten. */
  takeRam(): void {
    for (const page of this.#codeHashes.takeChanged()) this.#blocks.pageWritten(page);
  }

  /** The bytes at RIP, as far as they can be fetched: at most those of the longest instruction. */
  codeAtRip(): Uint8Array {
    return this.#mmu.codeAt(this.#rip, MAX_LENGTH_BYTES);
  }

  /**
   * Decodes the code at these addresses, for runs to come. With `translate: 'always'` it becomes one module, with what it
   * leads to.
   * What cannot be decoded is left for the run to find.
   */
  prepare(addresses: readonly number[]): void {
    this.#begin();
    const blockAt = (rip: number) => this.#blockAt(rip);
    this.#handlers.together(() => {
      if (!this.#translatesAlways) addresses.forEach(blockAt);
      else this.#translator.translate(blocksFrom(addresses, blockAt, this.#translator));
    });
    this.#cells.setInt32(CELL.faultVector, -1, true);
  }

  /** Executes up to `budget` instructions, a number below 2^31. */
  run(budget: number): RunEnd {
    this.#begin();
    if ((this.tc.rflags & Rflags.TF) !== 0 && budget > 0) return this.#singleStep();
    const end = this.#run(budget);
    this.#flagsToContext();
    return end;
  }

  /** SDM vol. 3 §17.3.1.4: one instruction, or one round of a repeated one, then #DB, unless it faults. */
  #singleStep(): RunEnd {
    const decoded = this.#interpreter.decodeAt(this.#rip, this.tc.in64BitMode);
    this.#takeFault(); // That its bytes cannot be fetched is for the run to find.
    const end = this.#run(1);
    this.#flagsToContext();
    if (end.kind !== 'budget' || holdsTrapsBack(decoded)) return end;
    return { kind: 'exception', vector: Vector.DB, errorCode: 0, address: 0n };
  }

  #begin(): void {
    const { tc } = this;
    const cells = this.#cells;
    cells.setUint32(CELL.flagCode, flagCode('bits', 32), true);
    cells.setUint32(CELL.flagA, tc.rflags & STATUS_FLAGS, true);
    cells.setUint32(CELL.flagA + 4, 0, true);
    cells.setInt32(CELL.faultVector, -1, true);
    this.#mmu.beforeRun();
    this.#noticeWrites();
    this.#noticeMoves();
    this.#noticeMode();
    this.#noticeAlignmentChecks();
  }

  /** What is in the jump cache has been decoded for one mode, and for units that are on. */
  #noticeMode(): void {
    const { in64BitMode, u32 } = this.tc;
    const units = unitState(u32[OFFSET.cr0 >> 2]!, u32[OFFSET.cr4 >> 2]!);
    if (units !== this.#units || in64BitMode !== this.#is64) this.#jumpCache.clear();
    this.#units = units;
    this.#is64 = in64BitMode;
  }

  /** While they are made, the TLBs are empty: every access is looked at. */
  #noticeAlignmentChecks(): void {
    const { checksAlignment } = this.#mmu;
    if (checksAlignment !== this.#checksAlignment) this.#mmu.flush();
    this.#checksAlignment = checksAlignment;
  }

  /** Pages with code that somebody else has written. */
  #noticeWrites(): void {
    for (const page of this.#memory.versions.takeWatchedWrites()) this.#blocks.pageWritten((page << 12) | 0);
  }

  /** A region is entered without a look at where all its pages are. */
  #noticeMoves(): void {
    if (!this.#codeMayHaveMoved) return;
    this.#codeMayHaveMoved = false;
    this.#blocks.dropMoved((address) => this.#mmu.fetchAt(address));
    this.#cells.setInt32(CELL.faultVector, -1, true);
  }

  #run(budget: number): RunEnd {
    const cells = this.#cells;
    let left = budget;
    for (;;) {
      cells.setUint32(CELL.unfinished, 0, true);
      const slice = Math.min(left, MAX_SLICE);
      this.#entered = slice;
      const stop = this.#core.run!(slice);
      const used = slice - cells.getInt32(CELL.budget, true);
      if (cells.getUint32(CELL.sharedMisses, true) > MOST_MISSES + used / MISS_RATE) this.#replaceMissing();
      cells.setUint32(CELL.sharedMisses, 0, true);
      this.executed += used - cells.getUint32(CELL.unfinished, true);
      left -= used;
      const before = this.executed;
      const end = this.#stopped(stop, left, slice - used);
      if (end !== undefined) return end;
      left -= this.executed - before;
      if (left <= 0) return { kind: 'budget' };
    }
  }

  /** Does what a stop asks for; undefined: the run goes on. */
  #stopped(stop: number, left: number, leftInSlice: number): RunEnd | undefined {
    switch (stop) {
      case Stop.lookUp:
        return left === 0 ? undefined : this.#lookUp();
      case Stop.budget:
        return leftInSlice === 0 ? undefined : this.#runPart(left);
      case Stop.hot:
        this.#hot();
        return undefined;
      case Stop.fault:
        return this.#fault();
      case Stop.syscall:
        return { kind: 'syscall' };
      case Stop.halt:
        return { kind: 'halt' };
      case Stop.flags:
        return this.#flagsChanged(left);
      case Stop.far:
        this.#noticeMode();
        return this.#flagsChanged(left);
      case Stop.trap:
        return this.#exception();
      case Stop.interrupt:
        return this.#interrupt();
      default:
        return panic('functional CPU', `stopped for reason ${stop}`);
    }
  }

  /** Alignment may be checked from now on, or no more; TF traps behind the next instruction. */
  #flagsChanged(left: number): RunEnd | undefined {
    this.#noticeAlignmentChecks();
    return (this.tc.rflags & Rflags.TF) !== 0 && left > 0 ? this.#singleStep() : undefined;
  }

  /** Enters the block at RIP into the jump cache, decoding it if it is new. */
  #lookUp(): RunEnd | undefined {
    if (this.tc.in64BitMode && !isCanonical(this.tc.u32[RIP + 1]! | 0)) {
      this.#mmu.setFault(Vector.GP, 0);
      return this.#exception();
    }
    const rip = this.#rip;
    const block = this.#blockAt(rip);
    if (typeof block !== 'string') {
      if (this.#translatesAlways) this.#translator.translate([block]);
      this.#enterIntoJumpCache(block);
      return undefined;
    }
    if (block === 'undefined') this.#mmu.setFault(Vector.UD, 0);
    if (block === 'tooLong') this.#mmu.setFault(Vector.GP, 0);
    return this.#exception();
  }

  #blockAt(rip: number): Block | ReturnType<Interpreter['build']> {
    const { in64BitMode: is64 } = this.tc;
    const known = this.#blocks.at(rip);
    if (
      known !== undefined &&
      known.is64 === is64 &&
      known.units === this.#units &&
      this.#mmu.codeLiesAt(rip, known.spans)
    )
      return known;
    if (!this.#interpreter.hasRoom) this.#forgetAll();
    const block = this.#interpreter.build(rip, is64, this.#units);
    if (typeof block !== 'string') {
      // Fetching may have failed behind the last instruction: that is not for this block to tell.
      this.#cells.setInt32(CELL.faultVector, -1, true);
      for (const [start] of block.spans) {
        const page = start & ~(PAGE_BYTES - 1);
        if (this.#blocks.has(page)) continue;
        this.#memory.versions.watch(page);
        this.#mmu.flushWritesTo(page);
      }
      this.#blocks.add(block);
    }
    return block;
  }

  #forgetAll(): void {
    this.#blocks.clear();
    this.#jumpCache.clear();
    this.#interpreter.clear();
    this.#translator.clear();
  }

  #enterIntoJumpCache(block: Block): void {
    const entry = this.#translator.at(block);
    if (entry !== undefined) this.#jumpCache.set(block.rip, entry.region.functionIndex, entry.argument);
    else this.#jumpCache.set(block.rip, this.#interpreter.handlerOf(block.record), block.record);
  }

  /** The block at RIP has been entered often. */
  #hot(): void {
    const block = this.#blocks.at(this.#rip);
    if (block === undefined) return;
    if (this.#translator.isFull) {
      this.#translator.clear();
      this.#jumpCache.clear();
    }
    for (const { entries } of this.#translator.hot(block))
      for (const entry of entries) this.#enterIntoJumpCache(entry);
  }

  /** A region leaves to the interpreter too often, since accesses that share a look-up do not lie in one page. */
  #replaceMissing(): void {
    const replaced = this.#translator.replaceMissing(this.#cells.getUint32(CELL.missingRegion, true));
    if (replaced === undefined) return;
    const [old, fresh] = replaced;
    for (const { rip } of old.entries) this.#jumpCache.remove(rip);
    for (const { entries } of fresh) for (const entry of entries) this.#enterIntoJumpCache(entry);
  }

  /** The code at RIP is longer than what may still be executed: interprets its first `count` instructions, or its first block. */
  #runPart(count: number): RunEnd | undefined {
    const block = this.#blockAt(this.#rip);
    if (typeof block === 'string')
      return panic('functional CPU', 'a block that was entered cannot be decoded');
    const part = Math.min(count, block.count);
    const record = this.#interpreter.buildPart(block, part);
    this.#cells.setUint32(CELL.unfinished, 0, true);
    this.#entered = part;
    const stop = this.#core.start!(this.#interpreter.handlerOf(record), record, 0);
    const rest = this.#cells.getInt32(CELL.budget, true);
    const unfinished = this.#cells.getUint32(CELL.unfinished, true);
    this.executed += part - rest - unfinished;
    if (unfinished > 0 && (this.tc.rflags & Rflags.TF) !== 0) return { kind: 'budget' };
    return this.#stopped(stop, 0, 0);
  }

  /** Nothing of the instruction that faulted has taken effect, nor of those behind it, which were paid for. */
  #fault(): RunEnd {
    const cells = this.#cells;
    const record = cells.getUint32(CELL.stopRecord, true);
    this.executed -= cells.getUint32(record + RECORD.remaining, true);
    for (const half of [0, 1])
      this.tc.u32[RIP + half] = cells.getUint32(record + RECORD.rip + 4 * half, true);
    return this.#exception(this.#interpreter.handlerOf(record) === this.#handlers.special.stale);
  }

  /** Of the interpreter: instructions that ask for interrupts are not translated. */
  #interrupt(): RunEnd {
    const record = this.#cells.getUint32(CELL.stopRecord, true);
    const at = this.#cells.getBigUint64(record + RECORD.rip, true);
    return { kind: 'interrupt', vector: this.#takeFault(), at };
  }

  /** @param hasChanged whether the instruction that raises it has changed its own bytes before */
  #exception(hasChanged = false): RunEnd {
    const cells = this.#cells;
    const raised = this.#takeFault();
    const errorCode = cells.getUint32(CELL.faultCode, true);
    const where = cells.getBigUint64(CELL.faultAddress, true);
    const vector = raised === NOT_CANONICAL_VECTOR ? this.#vectorOfAddress(where, hasChanged) : raised;
    return { kind: 'exception', vector, errorCode, address: vector === Vector.PF ? where : 0n };
  }

  /** SDM vol. 3 §6.15, interrupts 12 and 13: which exception the instruction at RIP gets for an address that is not canonical. */
  #vectorOfAddress(address: bigint, hasChanged: boolean): number {
    // What stores before it may fault is ENTER and its like: it is the stack that they access.
    if (hasChanged) return Vector.SS;
    const decoded = this.#interpreter.decodeAt(this.#rip, this.tc.in64BitMode);
    return decoded !== undefined && isStackReference(decoded, address, this.tc) ? Vector.SS : Vector.GP;
  }

  #takeFault(): number {
    const vector = this.#cells.getInt32(CELL.faultVector, true);
    this.#cells.setInt32(CELL.faultVector, -1, true);
    return vector;
  }

  #flagsToContext(): void {
    const cells = this.#cells;
    const word = (this.#core.flagWord as unknown as (code: number, a: bigint, b: bigint) => number)(
      cells.getUint32(CELL.flagCode, true),
      cells.getBigInt64(CELL.flagA, true),
      cells.getBigInt64(CELL.flagB, true),
    );
    this.tc.rflags = (this.tc.rflags & ~STATUS_FLAGS) | word;
  }

  get #rip(): number {
    return (this.tc.u32[RIP + 1]! | 0) * TWO_32 + this.tc.u32[RIP]!;
  }

  #dropped(block: Block): void {
    for (const { entries } of this.#translator.drop(block))
      for (const { rip } of entries) this.#jumpCache.remove(rip);
    this.#jumpCache.remove(block.rip);
    this.#interpreter.markStale(block);
  }
}
