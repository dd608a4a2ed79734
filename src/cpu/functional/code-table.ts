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
  #next = 1;

  /**
   * @param core bytes of the core module
   * @param engine what generated code and the core import besides the table
   */
  constructor(core: Uint8Array, engine: ImportObject) {
    const imports = { engine: { ...engine, table: this.#table } };
    this.core = new WebAssembly.Instance(new WebAssembly.Module(core), imports).exports;
    this.#imports = { ...imports, core: this.core };
  }

  /** Index that the next function gets. Index 0 stays empty. */
  get next(): number {
    return this.#next;
  }

  /** Compiles a module whose functions go to `next` and behind. */
  instantiate(module: ModuleWriter, functions: number): WebAssembly.Instance {
    const needed = this.#next + functions;
    if (needed > this.#table.length)
      this.#table.grow(Math.max(needed - this.#table.length, this.#table.length));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), this.#imports);
    this.#next = needed;
    return instance;
  }
}
