/**
 * The translator: gathers hot blocks, puts each together with what it leads to into a region, and compiles regions in
 * batches. What is decoded, but has never been executed, is left out.
 */

import { OperandKind } from '../../arch/x86/isa/decoded.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import type { Block, BlockInstruction, Blocks } from './blocks.ts';
import type { CodeTable } from './code-table.ts';
import { buildGraph } from './control-flow.ts';
import { CODE_TYPE_INDEX, importCore } from './core-functions.ts';
import { MXCSR_COMMON, MXCSR_MODE } from './float-scalars.ts';
import type { Interpreter } from './interpreter.ts';
import { BLOCK_ENTRIES, CONTEXT_AT, HOT_ENTRIES } from './layout.ts';
import { isRepeated, isReturn } from './operand-places.ts';
import { branchTarget } from './record-writer.ts';
import { RegionWriter } from './region-writer.ts';
import { FunctionWriter } from './wasm/function.ts';
import { ModuleWriter } from './wasm/module.ts';

/** How much goes into a region. Small ones lead to each other; large ones take along what has regions of its own. */
const SMALL = { blocks: 8, instructions: 80 } as const;
const LARGE = { blocks: 48, instructions: 400 } as const;
/** A block is taken along if it was entered this often for each entry of the hot one. */
const WORTH_TAKING = 1 / 64;

/** Entries besides the hot block: behind calls, where returns lead. And as many places does a return compare with. */
const MAX_FURTHER_ENTRIES = 8;

/**
 * Bytes of machine code, of both of V8's compilers together, for a byte of WebAssembly: 2.4 to 3.1 have been measured, by the
 * resident executable pages of python3.
 */
const MACHINE_CODE_PER_BYTE = 4;

/** So many regions are compiled at once at most: it takes a millisecond for each of them, during which nothing else happens. */
const MOST_WAITING = 8;

/** Code of several blocks. The argument of its function is the number of an entry. */
export interface Region {
  readonly id: number;
  readonly isLarge: boolean;
  readonly entries: readonly Block[];
  readonly blocks: readonly Block[];
  readonly functionIndex: number;
}

export interface RegionEntry {
  readonly region: Region;
  readonly argument: number;
}

export class Translator {
  readonly #table: CodeTable;
  readonly #blocks: Blocks;
  readonly #records: DataView;
  readonly #interpreter: Interpreter;
  readonly #f = new FunctionWriter();
  #waiting = new Set<Block>();
  readonly #byId = new Map<number, Region>();
  /** Regions that contain a block, and the region that begins with it. */
  readonly #containing = new Map<Block, Set<Region>>();
  readonly #byEntry = new Map<Block, RegionEntry>();
  /** First blocks of regions whose shared look-ups have missed often. */
  readonly #missesPages = new WeakSet<Block>();
  readonly #limitBytes: number;
  /** WebAssembly of all regions. */
  #codeBytes = 0;
  #nextId = 1;

  /** @param limitBytes of machine code, for all regions together */
  constructor(
    table: CodeTable,
    blocks: Blocks,
    interpreter: Interpreter,
    engineMemory: ArrayBuffer,
    limitBytes: number,
  ) {
    this.#interpreter = interpreter;
    this.#limitBytes = limitBytes;
    this.#table = table;
    this.#blocks = blocks;
    this.#records = new DataView(engineMemory);
  }

  get regionCount(): number {
    return this.#byId.size;
  }

  /** Whether the regions together have more code than they may: V8's, estimated from what it is made of. */
  get isFull(): boolean {
    return this.#codeBytes * MACHINE_CODE_PER_BYTE > this.#limitBytes;
  }

  /** The region that can be entered at a block. */
  at(block: Block): RegionEntry | undefined {
    return this.#byEntry.get(block);
  }

  /**
   * A block is hot, or the small region that begins with it. The first time the block waits for others, the second time, or when
   * many wait, all of them are translated.
   * @returns regions that are new
   */
  hot(block: Block): readonly Region[] {
    if (!isTranslatable(block)) return [];
    const known = this.#byEntry.get(block);
    if (known !== undefined) return known.region.isLarge ? [] : this.#translate([block], true);
    if (!this.#waiting.has(block)) {
      this.#waiting.add(block);
      if (this.#waiting.size < MOST_WAITING) return [];
    }
    const waiting = this.#waiting;
    this.#waiting = new Set();
    return this.translate([...waiting]);
  }

  /** The block's code has changed: the regions with it are no more. Returns them. */
  drop(block: Block): readonly Region[] {
    this.#waiting.delete(block);
    const regions = [...(this.#containing.get(block) ?? [])];
    for (const region of regions) this.#dropRegion(region);
    this.#containing.delete(block);
    return regions;
  }

  #dropRegion(region: Region): void {
    this.#byId.delete(region.id);
    this.#table.release(region.functionIndex);
    for (const entry of region.entries)
      if (this.#byEntry.get(entry)?.region === region) this.#byEntry.delete(entry);
    for (const part of region.blocks) this.#containing.get(part)?.delete(region);
  }

  /** Translates a region anew, whose accesses do not share look-ups. Returns the old one and what takes its place. */
  replaceMissing(id: number): readonly [old: Region, fresh: readonly Region[]] | undefined {
    const region = this.#byId.get(id);
    const [entry] = region?.entries ?? [];
    if (region === undefined || entry === undefined || this.#missesPages.has(entry)) return undefined;
    this.#missesPages.add(entry);
    this.#dropRegion(region);
    return [region, this.#translate([entry], region.isLarge)];
  }

  /** Forgets all regions. */
  clear(): void {
    for (const { functionIndex } of this.#byId.values()) this.#table.release(functionIndex);
    this.#codeBytes = 0;
    this.#waiting.clear();
    this.#byId.clear();
    this.#byEntry.clear();
    this.#containing.clear();
  }

  /** Translates the regions of these blocks as one module, without those that have been translated or cannot be. */
  translate(hot: readonly Block[]): readonly Region[] {
    // Where records have run out in between, the blocks from before are not known any more.
    const isNew = (block: Block) => this.#blocks.at(block.rip) === block && !this.#byEntry.has(block);
    const entries = hot.filter((block) => isNew(block) && isTranslatable(block));
    return entries.length === 0 ? [] : this.#translate(entries, false);
  }

  #translate(entries: readonly Block[], isLarge: boolean): readonly Region[] {
    const module = new ModuleWriter('regions');
    const core = importCore(module);
    const writer = new RegionWriter(this.#f, core);
    const mxcsr = this.#records.getUint32(CONTEXT_AT + OFFSET.mxcsr, true);
    const isCommonMode = (mxcsr & MXCSR_MODE) === MXCSR_COMMON;
    const regions = entries.map((entry): Region => {
      const functionIndex = this.#table.take();
      const blocks = this.#gather(entry, isLarge);
      const returns = returnsOf(blocks);
      const graph = buildGraph(
        [entry, ...returns.filter((block) => block !== entry)],
        blocks,
        this.successorsOf,
      );
      const id = this.#nextId++;
      const { body, hints } = writer.write(
        graph,
        returns.map(({ rip }) => rip),
        id,
        { countsEntries: !isLarge, isCommonMode, sharesPages: !this.#missesPages.has(entry) },
      );
      module.placeInTable(module.addFunction(CODE_TYPE_INDEX, body, hints), functionIndex);
      this.#codeBytes += body.length;
      const entries = graph.root.successors.map(({ block }) => block!);
      return { id, isLarge, entries, blocks: [...blocks.values()], functionIndex };
    });
    this.#table.instantiate(module);
    for (const region of regions) this.#enter(region);
    return regions;
  }

  #enter(region: Region): void {
    this.#byId.set(region.id, region);
    for (const [argument, entry] of region.entries.entries()) {
      const known = this.#byEntry.get(entry);
      if (argument === 0 || known === undefined || (region.isLarge && !known.region.isLarge))
        this.#byEntry.set(entry, { region, argument });
    }
    for (const block of region.blocks) {
      const regions = this.#containing.get(block);
      if (regions === undefined) this.#containing.set(block, new Set([region]));
      else regions.add(region);
    }
  }

  /** The blocks that belong to the region of a hot block, breadth first, by address. */
  #gather(entry: Block, isLarge: boolean): ReadonlyMap<number, Block> {
    const most = isLarge ? LARGE : SMALL;
    const gathered = new Map([[entry.rip, entry]]);
    const least = Math.min(this.#entriesOf(entry), HOT_ENTRIES) * WORTH_TAKING;
    let instructions = entry.instructions.length;
    for (const block of gathered.values()) {
      const successors = this.successorsOf(block);
      for (const rip of isCall(block) ? [...successors, block.end] : successors) {
        const next = this.#blocks.at(rip);
        if (next === undefined || gathered.has(rip) || next.is64 !== entry.is64) continue;
        if (!isLarge && this.#byEntry.has(next)) continue;
        if (!isTranslatable(next) || !(this.#entriesOf(next) >= least)) continue;
        instructions += next.instructions.length;
        if (gathered.size >= most.blocks || instructions > most.instructions) return gathered;
        gathered.set(rip, next);
      }
    }
    return gathered;
  }

  /** Addresses to which control may go from a block, as far as they are known. */
  readonly successorsOf = (block: Block): readonly number[] => {
    const { decoded, effects, rip } = block.instructions.at(-1)!;
    if (!effects.endsBlock) return [block.end];
    if (effects.isIndirect) return isReturn(decoded) ? [] : this.#interpreter.targetsOf(block);
    const target = decoded.operands.find(({ kind }) => kind === OperandKind.relative);
    if (target === undefined) return [];
    const taken = branchTarget(decoded, target, rip + decoded.lengthBytes);
    return effects.isConditional ? [block.end, taken] : [taken];
  };

  /** How often a block was entered; those that are translated count as ever so often. */
  #entriesOf(block: Block): number {
    if (this.#byEntry.has(block)) return Number.POSITIVE_INFINITY;
    return this.#records.getUint32(block.record + BLOCK_ENTRIES, true);
  }
}

/** Blocks behind calls. */
function returnsOf(blocks: ReadonlyMap<number, Block>): Block[] {
  const returns: Block[] = [];
  for (const block of blocks.values()) {
    const behind = isCall(block) ? blocks.get(block.end) : undefined;
    if (behind !== undefined && returns.length < MAX_FURTHER_ENTRIES) returns.push(behind);
  }
  return returns;
}

function isCall(block: Block): boolean {
  return block.instructions.at(-1)!.decoded.form.instruction.mnemonic === 'CALL';
}

/** Whether all instructions of a block can be part of a region. */
export function isTranslatable(block: Block): boolean {
  return block.instructions.every(canTranslate);
}

/** An instruction that misses the TLB in a region is begun anew by the interpreter: it must not see what it has stored. */
function canTranslate({ decoded, effects }: BlockInstruction): boolean {
  if (effects.leaves || effects.readsBehindStore || isRepeated(decoded)) return false;
  return decoded.form.instruction.interpreted !== true;
}
