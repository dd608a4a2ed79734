/**
 * A WebAssembly module under construction: types, imports, functions, exports, places of functions in an
 * imported table, and branch hints. WebAssembly Core Specification §5.5; branch hints: the proposal's
 * custom section "metadata.code.branch_hint".
 */

import { CodeWriter } from './code.ts';
import { Op, type ValueType } from './opcodes.ts';

const Section = { custom: 0, type: 1, import: 2, function: 3, export: 7, element: 9, code: 10 } as const;
const ExternalKind = { function: 0, table: 1, memory: 2 } as const;
const HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const FUNCTION_TYPE = 0x60;
const FUNCTION_REFERENCE = 0x70;
const SHARED_WITH_MAXIMUM = 3;
const MAXIMUM_PAGES = 65_536;
/** The custom section of names, and its part with the module's (§7.4.1). */
const NAMES = 'name';
const MODULE_NAME = 0;
const BRANCH_HINTS = 'metadata.code.branch_hint';

export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Where a hint applies: offset of an `if` or `br_if` from the start of the function's body, its local declarations included. */
export interface BranchHint {
  readonly offset: number;
  readonly isLikely: boolean;
}

interface FunctionBody {
  readonly type: number;
  readonly body: Uint8Array;
  readonly hints: readonly BranchHint[];
}

export class ModuleWriter {
  readonly #name: string;
  readonly #types: FunctionType[] = [];
  readonly #imports: ((to: CodeWriter) => void)[] = [];
  readonly #functions: FunctionBody[] = [];
  readonly #exports: { readonly name: string; readonly index: number }[] = [];
  #importedFunctions = 0;
  readonly #elements: { readonly index: number; readonly place: number }[] = [];

  /** @param name of the module, for profilers: V8 puts it into the URL of its functions */
  constructor(name: string) {
    this.#name = name;
  }

  /** Index of a function type. */
  type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.#types.push({ parameters, results }) - 1;
  }

  /** A shared memory of up to 4 GiB; memories are numbered in the order of their import. */
  importMemory(module: string, name: string, isShared: boolean): void {
    this.#imports.push((to) => {
      writeName(to, module, name);
      to.byte(ExternalKind.memory);
      to.byte(isShared ? SHARED_WITH_MAXIMUM : 0);
      to.u32(0);
      if (isShared) to.u32(MAXIMUM_PAGES);
    });
  }

  importTable(module: string, name: string): void {
    this.#imports.push((to) => {
      writeName(to, module, name);
      to.byte(ExternalKind.table);
      to.byte(FUNCTION_REFERENCE);
      to.byte(0);
      to.u32(0);
    });
  }

  /** Index of an imported function. All are imported before the first function is added. */
  importFunction(module: string, name: string, type: number): number {
    this.#imports.push((to) => {
      writeName(to, module, name);
      to.byte(ExternalKind.function);
      to.u32(type);
    });
    return this.#importedFunctions++;
  }

  /**
   * Index of a function.
   * @param body local declarations and code, with the last `end`
   */
  addFunction(type: number, body: Uint8Array, hints: readonly BranchHint[] = []): number {
    return this.#importedFunctions + this.#functions.push({ type, body, hints }) - 1;
  }

  export(name: string, index: number): void {
    this.#exports.push({ name, index });
  }

  /** A function goes to this place of the imported table. */
  placeInTable(index: number, place: number): void {
    this.#elements.push({ index, place });
  }

  /** The module's bytes. */
  finish(): Uint8Array {
    const to = new CodeWriter();
    to.raw(HEADER);
    section(to, Section.type, (body) => {
      body.u32(this.#types.length);
      for (const { parameters, results } of this.#types) {
        body.byte(FUNCTION_TYPE);
        for (const list of [parameters, results]) {
          body.u32(list.length);
          for (const type of list) body.byte(type);
        }
      }
    });
    section(to, Section.import, (body) => {
      body.u32(this.#imports.length);
      for (const write of this.#imports) write(body);
    });
    section(to, Section.function, (body) => {
      body.u32(this.#functions.length);
      for (const { type } of this.#functions) body.u32(type);
    });
    section(to, Section.export, (body) => {
      body.u32(this.#exports.length);
      for (const { name, index } of this.#exports) {
        writeString(body, name);
        body.byte(ExternalKind.function);
        body.u32(index);
      }
    });
    if (this.#elements.length > 0) this.#writeElements(to);
    this.#writeHints(to);
    section(to, Section.code, (body) => {
      body.u32(this.#functions.length);
      for (const { body: bytes } of this.#functions) {
        body.u32(bytes.length);
        body.raw(bytes);
      }
    });
    section(to, Section.custom, (body) => {
      writeString(body, NAMES);
      const name = new CodeWriter();
      writeString(name, this.#name);
      body.byte(MODULE_NAME);
      body.u32(name.length);
      body.raw(name.bytes);
    });
    return to.bytes.slice();
  }

  /** One active segment per function: their places need not be in a row. */
  #writeElements(to: CodeWriter): void {
    section(to, Section.element, (body) => {
      body.u32(this.#elements.length);
      for (const { index, place } of this.#elements) {
        body.u32(0);
        body.i32(place);
        body.op(Op.end);
        body.u32(1);
        body.u32(index);
      }
    });
  }

  #writeHints(to: CodeWriter): void {
    const hinted = this.#functions.map((f, i) => ({ ...f, i })).filter(({ hints }) => hints.length > 0);
    if (hinted.length === 0) return;
    section(to, Section.custom, (body) => {
      writeString(body, BRANCH_HINTS);
      body.u32(hinted.length);
      for (const { hints, i } of hinted) {
        body.u32(this.#importedFunctions + i);
        body.u32(hints.length);
        for (const { offset, isLikely } of hints) {
          body.u32(offset);
          body.u32(1);
          body.byte(isLikely ? 1 : 0);
        }
      }
    });
  }
}

function section(to: CodeWriter, id: number, write: (body: CodeWriter) => void): void {
  const body = new CodeWriter();
  write(body);
  to.byte(id);
  to.u32(body.length);
  to.raw(body.bytes);
}

function writeName(to: CodeWriter, module: string, name: string): void {
  writeString(to, module);
  writeString(to, name);
}

function writeString(to: CodeWriter, text: string): void {
  const bytes = new TextEncoder().encode(text);
  to.u32(bytes.length);
  to.raw(bytes);
}
