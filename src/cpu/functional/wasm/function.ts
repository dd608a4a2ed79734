/**
 * FunctionWriter: one WebAssembly function under construction: its code, its locals, and its branch hints. Temporaries come
 * from pools by type, so that long functions keep few locals.
 */

import { CodeWriter } from './code.ts';
import type { BranchHint } from './module.ts';
import { EMPTY_BLOCK, Op, ValueType } from './opcodes.ts';

/** Value types: numbers in a row, v128 the first of them. */
const TYPES = 5;
const NOTHING = new Uint8Array(0);

export class FunctionWriter {
  readonly code = new CodeWriter();
  #parameters = 0;
  readonly #types: ValueType[] = [];
  /** Temporaries by type, and how many of them are lent. */
  readonly #temporaries: readonly number[][] = Array.from({ length: TYPES }, () => []);
  readonly #lent = new Uint32Array(TYPES);
  readonly #hints: BranchHint[] = [];
  #depth = 0;

  /** Begins a function with so many parameters: locals 0, 1, … */
  begin(parameters: number): void {
    this.code.clear();
    this.#parameters = parameters;
    this.#types.length = 0;
    for (const pool of this.#temporaries) pool.length = 0;
    this.#lent.fill(0);
    this.#hints.length = 0;
    this.#depth = 0;
  }

  /** A local for the whole function. */
  local(type: ValueType): number {
    return this.#parameters + this.#types.push(type) - 1;
  }

  /** A local until {@link releaseTemporaries}. */
  temporary(type: ValueType): number {
    const pool = this.#temporaries[type - ValueType.v128]!;
    const lent = this.#lent[type - ValueType.v128]!++;
    if (lent === pool.length) pool.push(this.local(type));
    return pool[lent]!;
  }

  /** Temporaries lent so far may be used again. */
  releaseTemporaries(): void {
    this.#lent.fill(0);
  }

  // ---- structure; labels count from the outermost block: see branch ----

  /** Opens a block and returns its label. */
  block(): number {
    return this.#open(Op.block, EMPTY_BLOCK);
  }

  loop(): number {
    return this.#open(Op.loop, EMPTY_BLOCK);
  }

  /** Opens an `if` on the condition on the stack. */
  if(result?: ValueType, isLikely?: boolean): number {
    this.#hint(isLikely);
    return this.#open(Op.if, result ?? EMPTY_BLOCK);
  }

  else(): void {
    this.code.op(Op.else);
  }

  end(): void {
    this.code.op(Op.end);
    this.#depth--;
  }

  branch(label: number): void {
    this.code.opIndex(Op.br, this.#depth - label);
  }

  branchIf(label: number, isLikely?: boolean): void {
    this.#hint(isLikely);
    this.code.opIndex(Op.br_if, this.#depth - label);
  }

  /** To the label that the number on the stack chooses; a number that is too large chooses the last. */
  branchTable(labels: readonly number[]): void {
    this.code.op(Op.br_table);
    this.code.u32(labels.length - 1);
    for (const label of labels) this.code.u32(this.#depth - label);
  }

  #open(op: Op, type: number): number {
    this.code.op(op);
    this.code.byte(type);
    return ++this.#depth;
  }

  #hint(isLikely: boolean | undefined): void {
    if (isLikely !== undefined) this.#hints.push({ offset: this.code.length, isLikely });
  }

  /**
   * The finished body, with its hints at their places.
   * @param prologue code that goes in front of all other
   */
  finish(prologue: Uint8Array = NOTHING): {
    readonly body: Uint8Array;
    readonly hints: readonly BranchHint[];
  } {
    this.code.op(Op.end);
    const head = new CodeWriter();
    const runs = runsOf(this.#types);
    head.u32(runs.length);
    for (const { type, count } of runs) {
      head.u32(count);
      head.byte(type);
    }
    const start = head.length + prologue.length;
    const body = new Uint8Array(start + this.code.length);
    body.set(head.bytes);
    body.set(prologue, head.length);
    body.set(this.code.bytes, start);
    return { body, hints: this.#hints.map((hint) => ({ ...hint, offset: hint.offset + start })) };
  }
}

function runsOf(types: readonly ValueType[]): { readonly type: ValueType; count: number }[] {
  const runs: { readonly type: ValueType; count: number }[] = [];
  for (const type of types) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  return runs;
}
