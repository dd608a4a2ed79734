/** The table of all generated code, and the modules that are put into it. */

import type { ModuleWriter } from './wasm/module.ts';

declare global {
  namespace WebAssembly {
    class Table {
      constructor(descriptor: { readonly element: 'anyfunc'; readonly initial: number });
      readonly length: number;
      grow(by: number): number;
      set(index: number, value: null): void;
    }
    class Module {
      constructor(bytes: Uint8Array);
    }
    class Instance {
      constructor(module: Module, imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
      readonly exports: Readonly<Record<string, (...values: number[]) => number>>;
    }
  }
}

const FIRST_SIZE = 4096;

type ImportObject = Readonly<Record<string, unknown>>;

export class CodeTable {
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: FIRST_SIZE });
  readonly #imports: Readonly<Record<string, ImportObject>>;
  /** Exports of the core. */
  readonly core: WebAssembly.Instance['exports'];
  /** Indices from here on have never been used, and these have been given back. */
  #end = 1;
  readonly #free: number[] = [];

  /**
   * @param core bytes of the core module
   * @param engine what generated code and the core import besides the table
   */
  constructor(core: Uint8Array, engine: ImportObject) {
    const imports = { engine: { ...engine, table: this.#table } };
    this.core = new WebAssembly.Instance(new WebAssembly.Module(core), imports).exports;
    this.#imports = { ...imports, core: this.core };
  }

  /** Sets an index aside. Index 0 stays empty. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#end === this.#table.length) this.#table.grow(this.#end);
    return this.#end++;
  }

  /** Nobody calls this function any more: V8 may drop its code. */
  release(index: number): void {
    this.#table.set(index, null);
    this.#free.push(index);
  }

  /** Compiles a module, which puts its functions where it says. */
  instantiate(module: ModuleWriter): void {
    new WebAssembly.Instance(new WebAssembly.Module(module.finish()), this.#imports);
  }
}
