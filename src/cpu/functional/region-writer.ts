/**
 * A translated region: several blocks as one WebAssembly function. Loops are loops, registers live in locals, and there is one
 * way out, which stores them.
 *
 *   load registers and flags
 *   block out, block leave
 *     the blocks; each pays for its instructions from the budget
 *   end leave, end out
 *   store registers and flags
 *   dispatch to where control leads, leave an instruction to the interpreter, or stop: the budget is too small
 *
 * What misses the TLB or faults is left to the interpreter: nothing of the instruction has taken effect then, and its record
 * tells the interpreter everything. The code of a region never raises an exception and never calls slow paths of memory.
 *
 * A region may have several entries, chosen by its argument. Returns find the places behind the region's own calls without
 * leaving it.
 *
 * The budget is compared at the entry and at the head of each loop with the longest way to the next comparison, so that it
 * never runs out in between.
 */

import { OFFSET } from '../../arch/x86/state-layout.ts';
import { panic } from '../../sim/trouble.ts';
import type { Block } from './blocks.ts';
import { isBackEdge, isSideways, longestWay, type RegionGraph, type RegionNode } from './control-flow.ts';
import { CODE_TYPE_INDEX, type CoreFunctions, ENGINE } from './core-functions.ts';
import { emitJump, emitLoad, emitStore } from './core-module.ts';
import {
  CELL,
  CONTEXT_AT,
  RECORD,
  RECORD_BYTES,
  REGION_COUNTS,
  REGION_COUNTS_AT,
  Stop,
  VERY_HOT_ENTRIES,
} from './layout.ts';
import { liveFlagsAtEnds, liveFlagsBehind, registersWrittenBelow } from './liveness.ts';
import { isReturn } from './operand-places.ts';
import { branchTarget } from './record-writer.ts';
import { RegionCracker, type RegionOptions } from './region-cracker.ts';
import type { KnownPages } from './region-memory.ts';
import { CodeWriter } from './wasm/code.ts';
import type { FunctionWriter } from './wasm/function.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import type { Value } from './wasm-ops.ts';

const { i32, i64 } = ValueType;
const ARGUMENT = 0;
const BUDGET = 1;
/** So many addresses are compared one after the other. */
const LINEAR_SEARCH = 3;
/** A way out that is no stop. */
const TO_INTERPRETER = -1;

export interface WrittenRegion {
  readonly body: Uint8Array;
  readonly hints: ReturnType<FunctionWriter['finish']>['hints'];
}

export class RegionWriter {
  readonly #f: FunctionWriter;
  readonly #core: CoreFunctions;
  readonly #cracker: RegionCracker;
  /** Why the region is left: 0 (which is Stop.lookUp): to go on elsewhere. */
  #wayLocal = 0;
  #ripLocal = 0;
  /** Record of the instruction that is left to the interpreter. */
  #recordLocal = 0;
  #outLabel = 0;
  /** Labels of nodes that control may branch to: of a loop's head or of the end of a block. */
  readonly #loopLabels = new Map<RegionNode, number>();
  readonly #mergeLabels = new Map<RegionNode, number>();
  #rootLabel = 0;
  /** What is known of memory where control leaves each node. */
  readonly #pagesAtEnd = new Map<RegionNode, KnownPages>();
  #liveAtEnd: ReadonlyMap<RegionNode, number> = new Map();
  #graph!: RegionGraph;
  #returns: readonly number[] = [];
  readonly #byRip = new Map<number, RegionNode>();

  constructor(f: FunctionWriter, core: CoreFunctions) {
    this.#f = f;
    this.#core = core;
    this.#cracker = new RegionCracker(f, core);
  }

  /**
   * Writes a region.
   * @param graph whose first `entries` successors of the root are the entries: the argument is their number
   * @param returns addresses behind calls within the region, where returns may lead
   * @param id of the region, for its count of entries
   */
  write(graph: RegionGraph, returns: readonly number[], id: number, options: RegionOptions): WrittenRegion {
    const f = this.#f;
    f.begin(2);
    this.#graph = graph;
    this.#liveAtEnd = liveFlagsAtEnds(graph);
    this.#returns = returns;
    this.#byRip.clear();
    for (const node of graph.nodes) if (node.block !== undefined) this.#byRip.set(node.block.rip, node);
    this.#loopLabels.clear();
    this.#mergeLabels.clear();
    this.#pagesAtEnd.clear();
    this.#wayLocal = f.local(i32);
    this.#ripLocal = f.local(i64);
    this.#recordLocal = f.local(i32);
    this.#outLabel = f.block();
    const leaveLabel = f.block();
    const missLabel = f.block();
    this.#cracker.beginRegion({ leaveLabel, missLabel, recordLocal: this.#recordLocal }, options);
    if (options.countsEntries) this.#countEntry(id);
    this.#writeRoot();
    f.code.op(Op.unreachable);
    f.end();
    this.#countMiss(id);
    f.end();
    f.code.i32(TO_INTERPRETER);
    f.code.set(this.#wayLocal);
    f.end();
    this.#writeExit();
    this.#cracker.finishPages();
    const { body, hints } = f.finish(this.#prologue());
    return { body, hints };
  }

  // ---- structure (Ramsey, figures 5 and 6) ----

  /** The root is a loop around everything: it leads to the node whose number is in the argument. */
  #writeRoot(): void {
    const { root } = this.#graph;
    this.#pagesAtEnd.set(root, this.#cracker.pages);
    this.#rootLabel = this.#f.loop();
    this.#compareBudget(root);
    this.#writeWithin(root, mergesBelow(root), 0);
    this.#f.end();
  }

  #writeTree(node: RegionNode): void {
    const merges = mergesBelow(node);
    if (!node.isLoopHeader) {
      this.#writeWithin(node, merges, 0);
      return;
    }
    this.#cracker.forgetFlags();
    this.#cracker.enterLoop(registersWrittenBelow(node));
    this.#loopLabels.set(node, this.#f.loop());
    this.#compareBudget(node);
    this.#writeWithin(node, merges, 0);
    this.#f.end();
  }

  /** The node inside a block for each node where ways from it meet: those that come later lie further out. */
  #writeWithin(node: RegionNode, merges: readonly RegionNode[], from: number): void {
    const merge = merges[from];
    if (merge === undefined) {
      if (node.block === undefined)
        this.#selectBy(node.successors.map((next) => this.#mergeLabels.get(next)!));
      else this.#writeBlock(node, node.block);
      return;
    }
    this.#mergeLabels.set(merge, this.#f.block());
    this.#writeWithin(node, merges, from + 1);
    this.#f.end();
    this.#cracker.flags = undefined;
    this.#cracker.comeFrom(this.#pagesAtEnd.get(node)!);
    this.#writeTree(merge);
  }

  /** Branches to the label whose number is in the argument. */
  #selectBy(labels: readonly number[]): void {
    this.#f.code.get(ARGUMENT);
    this.#f.branchTable(labels);
  }

  #writeBlock(node: RegionNode, block: Block): void {
    const { instructions } = block;
    this.#cracker.beginBlock();
    this.#pay(instructions.length);
    const live = liveFlagsBehind(block, this.#liveAtEnd.get(node)!);
    for (const [i, instruction] of instructions.entries()) {
      const control = this.#cracker.crackAt(
        instruction,
        block.record + (i + 1) * RECORD_BYTES,
        instructions.length - i,
        live[i]!,
      );
      const isLast = i === instructions.length - 1;
      if (isLast) this.#pagesAtEnd.set(node, this.#cracker.pages);
      if (control.kind === 'next') {
        if (isLast) this.#goTo(node, block.end);
      } else if (control.kind === 'jump') this.#jump(node, control.target);
      else if (control.kind === 'jumpTo') this.#goTo(node, this.#targetOf(block, control.target));
      else if (control.kind === 'jumpIf')
        this.#branch(node, control.condition, this.#targetOf(block, control.target));
      else panic('region', `${instruction.decoded.form.instruction.mnemonic} cannot be translated`);
      this.#f.releaseTemporaries();
    }
  }

  #targetOf(block: Block, operand: Parameters<typeof branchTarget>[1]): number {
    const { decoded, rip } = block.instructions.at(-1)!;
    return branchTarget(decoded, operand, rip + decoded.lengthBytes);
  }

  #branch(node: RegionNode, condition: Value, target: number): void {
    const { end } = node.block!;
    if (target === end) {
      this.#goTo(node, target);
      return;
    }
    const { flags, pages } = this.#cracker;
    this.#cracker.put(condition);
    this.#f.if();
    this.#goTo(node, target);
    this.#f.end();
    this.#cracker.flags = flags;
    this.#cracker.pages = pages;
    this.#goTo(node, end);
  }

  /** Control goes from a node to an address: within the region, or out of it. */
  #goTo(from: RegionNode, rip: number): void {
    const to = this.#byRip.get(rip);
    if (to === undefined) this.#exitTo(this.#cracker.int(64, rip));
    else if (isSideways(from, to)) this.#goByRoot(to);
    else if (isBackEdge(from, to)) {
      this.#cracker.forgetFlags();
      this.#f.branch(this.#loopLabels.get(to)!);
    } else if (to.isMerge) {
      this.#cracker.forgetFlags();
      this.#f.branch(this.#mergeLabels.get(to)!);
    } else this.#writeTree(to);
  }

  #goByRoot(to: RegionNode): void {
    this.#cracker.forgetFlags();
    this.#f.code.i32(this.#graph.root.successors.indexOf(to));
    this.#f.code.set(ARGUMENT);
    this.#f.branch(this.#rootLabel);
  }

  /** To an address that is computed: it is compared with those that are likely. */
  #jump(from: RegionNode, target: Value): void {
    const returns = isReturn(from.block!.instructions.at(-1)!.decoded);
    const likely = returns ? this.#returns : from.successors.map(({ block }) => block!.rip);
    this.#cracker.forgetFlags();
    const sorted = [...likely].sort((a, b) => a - b);
    this.#search(sorted, target, (rip) => {
      if (returns) this.#goByRoot(this.#byRip.get(rip)!);
      else this.#goTo(from, rip);
    });
    this.#exitTo(target);
  }

  /** Goes to the one of the sorted addresses that the target is; if it is none, code goes on behind. */
  #search(sorted: readonly number[], target: Value, goTo: (rip: number) => void): void {
    const cracker = this.#cracker;
    const { pages } = cracker;
    if (sorted.length > LINEAR_SEARCH) {
      const half = sorted.length >> 1;
      cracker.put(cracker.ltS(64, target, cracker.int(64, sorted[half]!)));
      this.#f.if();
      this.#search(sorted.slice(0, half), target, goTo);
      this.#f.else();
      cracker.pages = pages;
      this.#search(sorted.slice(half), target, goTo);
      this.#f.end();
      return;
    }
    for (const rip of sorted) {
      cracker.put(cracker.eq(64, target, cracker.int(64, rip)));
      this.#f.if();
      goTo(rip);
      this.#f.end();
      cracker.flags = undefined;
      cracker.pages = pages;
    }
  }

  #exitTo(target: Value): void {
    this.#cracker.forgetFlags();
    this.#cracker.put(target);
    this.#f.code.set(this.#ripLocal);
    this.#f.branch(this.#outLabel);
  }

  /** Stops as hot, in front of the entry's first instruction, after each so many entries. */
  #countEntry(id: number): void {
    const { code } = this.#f;
    this.#count(REGION_COUNTS_AT + 4 * (id % REGION_COUNTS));
    code.i32(VERY_HOT_ENTRIES - 1);
    code.op(Op.i32_and);
    code.op(Op.i32_eqz);
    this.#f.if(undefined, false);
    code.i32(Stop.hot);
    code.set(this.#wayLocal);
    this.#exitToEntry(this.#graph.root);
    this.#f.end();
  }

  /** For the engine, which has regions translated anew that miss often. */
  #countMiss(id: number): void {
    const { code } = this.#f;
    this.#count(CELL.sharedMisses);
    code.op(Op.drop);
    code.i32(0);
    code.i32(id);
    code.memory(Op.i32_store, ENGINE, CELL.missingRegion);
  }

  /** Adds 1 to a cell, and leaves it on the stack. */
  #count(at: number): void {
    const { code } = this.#f;
    const count = this.#f.local(i32);
    code.i32(0);
    code.i32(0);
    code.memory(Op.i32_load, ENGINE, at);
    code.i32(1);
    code.op(Op.i32_add);
    code.tee(count);
    code.memory(Op.i32_store, ENGINE, at);
    code.get(count);
  }

  // ---- budget ----

  #pay(instructions: number): void {
    const { code } = this.#f;
    code.get(BUDGET);
    code.i32(instructions);
    code.op(Op.i32_sub);
    code.set(BUDGET);
  }

  /** Stops in front of a node if the budget does not suffice for every way to the next comparison. */
  #compareBudget(node: RegionNode): void {
    const { code } = this.#f;
    code.get(BUDGET);
    code.i32(longestWay(this.#graph, node));
    code.op(Op.i32_lt_s);
    this.#f.if(undefined, false);
    code.i32(Stop.budget);
    code.set(this.#wayLocal);
    if (node.block === undefined) this.#exitToEntry(node);
    else this.#exitTo(this.#cracker.int(64, node.block.rip));
    this.#f.end();
  }

  /** To the address of the root's successor that the argument says. */
  #exitToEntry(root: RegionNode): void {
    const { code } = this.#f;
    const labels = root.successors.map(() => this.#f.block());
    this.#selectBy(labels);
    for (const next of [...root.successors].reverse()) {
      this.#f.end();
      code.i64(next.block!.rip);
      code.set(this.#ripLocal);
      this.#f.branch(this.#outLabel);
    }
  }

  // ---- entry and exit ----

  #prologue(): Uint8Array {
    const code = new CodeWriter();
    const load = (op: Op, at: number, local: number) => {
      code.i32(0);
      code.memory(op, ENGINE, at);
      code.set(local);
    };
    const [flagCode, flagA, flagB] = this.#cracker.flagLocals;
    load(Op.i32_load, CELL.flagCode, flagCode);
    load(Op.i64_load, CELL.flagA, flagA);
    load(Op.i64_load, CELL.flagB, flagB);
    const f = { code } as FunctionWriter;
    for (const { at, local, sizeBytes } of this.#cracker.registers.values()) {
      code.i32(0);
      emitLoad(f, sizeBytes, ENGINE, at);
      code.set(local);
    }
    this.#cracker.writeFloatPrologue(code);
    return code.bytes.slice();
  }

  #writeExit(): void {
    const f = this.#f;
    const { code } = f;
    const store = (op: Op, at: number, local: number) => {
      code.i32(0);
      code.get(local);
      code.memory(op, ENGINE, at);
    };
    const [flagCode, flagA, flagB] = this.#cracker.flagLocals;
    store(Op.i32_store, CELL.flagCode, flagCode);
    store(Op.i64_store, CELL.flagA, flagA);
    store(Op.i64_store, CELL.flagB, flagB);
    for (const { at, local, sizeBytes, isDirty } of this.#cracker.registers.values()) {
      if (!isDirty) continue;
      code.i32(0);
      code.get(local);
      emitStore(f, sizeBytes, ENGINE, at);
    }
    code.get(this.#wayLocal);
    code.op(Op.i32_eqz);
    f.if(undefined, true);
    emitJump(f, this.#ripLocal, BUDGET);
    code.get(this.#ripLocal);
    code.get(BUDGET);
    code.opIndex(Op.return_call, this.#core.dispatch);
    f.end();
    this.#leaveToInterpreter();
    store(Op.i64_store, CONTEXT_AT + OFFSET.rip, this.#ripLocal);
    store(Op.i32_store, CELL.budget, BUDGET);
    code.get(this.#wayLocal);
  }

  /** It executes the instruction from its beginning, whatever the region has noted of a fault. */
  #leaveToInterpreter(): void {
    const { code } = this.#f;
    code.get(this.#wayLocal);
    code.i32(TO_INTERPRETER);
    code.op(Op.i32_eq);
    this.#f.if();
    code.i32(0);
    code.i32(-1);
    code.memory(Op.i32_store, ENGINE, CELL.faultVector);
    code.get(this.#recordLocal);
    code.get(BUDGET);
    code.get(this.#recordLocal);
    code.memory(Op.i32_load, ENGINE, RECORD.handler);
    code.opIndex(Op.return_call_indirect, CODE_TYPE_INDEX);
    code.u32(0);
    this.#f.end();
  }
}

/** Nodes below a node where ways meet: those that come last in order lie outermost. */
function mergesBelow(node: RegionNode): RegionNode[] {
  return node.children.filter(({ isMerge }) => isMerge).sort((a, b) => b.order - a.order);
}
