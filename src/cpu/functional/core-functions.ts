/**
 * What all generated modules import: the engine's memory (memory 0), guest RAM (memory 1), the table of code, and the core's
 * functions, in a fixed order, so that their indices are constants.
 */

import type { FunctionType, ModuleWriter } from './wasm/module.ts';
import { ValueType } from './wasm/opcodes.ts';

const { i32, i64, f32, f64, v128 } = ValueType;

/** Parameters and results of the core's functions. Loads take the linear address, and 1 if a store to it follows. */
const SIGNATURES = {
  load8: { parameters: [i64, i32], results: [i32] },
  load16: { parameters: [i64, i32], results: [i32] },
  load32: { parameters: [i64, i32], results: [i32] },
  load64: { parameters: [i64, i32], results: [i64] },
  load128: { parameters: [i64, i32], results: [v128] },
  store8: { parameters: [i64, i32], results: [] },
  store16: { parameters: [i64, i32], results: [] },
  store32: { parameters: [i64, i32], results: [] },
  store64: { parameters: [i64, i64], results: [] },
  store128: { parameters: [i64, v128], results: [] },
  /** Goes on at an address with so many instructions left: never returns to where it is called from. */
  dispatch: { parameters: [i64, i32], results: [i32] },
  /** The interpreter goes from the jump of a record to an address: notes it among the jump's targets. */
  observe: { parameters: [i32, i64], results: [] },
  /** The status flags of a lazy form: code, A, B. */
  flagWord: { parameters: [i32, i64, i64], results: [i32] },
  mulHighU64: { parameters: [i64, i64], results: [i64] },
  mulHighS64: { parameters: [i64, i64], results: [i64] },
  /** Floating point beyond the fast paths: code of a routine (isa/float-ops.ts) and its operands. */
  float64: { parameters: [i32, f64, f64], results: [f64] },
  float32: { parameters: [i32, f32, f32], results: [f32] },
  floatPacked: { parameters: [i32, v128, v128], results: [v128] },
  /** A routine of the simulator: number and up to three values. */
  assist: { parameters: [i32, i32, i32, i32], results: [i32] },
} as const satisfies Record<string, FunctionType>;

export type CoreFunctionName = keyof typeof SIGNATURES;
export const CORE_FUNCTIONS = Object.keys(SIGNATURES) as CoreFunctionName[];
/** Index of each function in a module that imports the core. */
export type CoreFunctions = Readonly<Record<CoreFunctionName, number>>;

/** Of handlers and regions: argument and budget in, the reason of the stop out. Type 0 of every module. */
export const CODE_TYPE: FunctionType = { parameters: [i32, i32], results: [i32] };
export const CODE_TYPE_INDEX = 0;
/** V8 keeps the address of memory 0 at hand: it is the one that is accessed most, for the TLBs alone twice per access to RAM. */
export const ENGINE = 0;
export const RAM = 1;

export function signatureOf(name: CoreFunctionName): FunctionType {
  return SIGNATURES[name];
}

/** Declares the imports in a new module. Returns the indices of the core's functions. */
export function importCore(module: ModuleWriter): CoreFunctions {
  module.type(CODE_TYPE.parameters, CODE_TYPE.results);
  importMemories(module);
  return Object.fromEntries(
    CORE_FUNCTIONS.map((name) => {
      const { parameters, results } = SIGNATURES[name];
      return [name, module.importFunction('core', name, module.type(parameters, results))];
    }),
  ) as Record<CoreFunctionName, number>;
}

export function importMemories(module: ModuleWriter): void {
  module.importMemory('engine', 'memory', false);
  module.importMemory('engine', 'ram', true);
  module.importTable('engine', 'table');
}
