/**
 * The shared WebAssembly.Memory under guest RAM, and the part of the WebAssembly interface that it takes (see
 * WebAssembly JavaScript Interface §5.3): TypeScript's own library declares it only for browsers.
 */

import { FatalError } from '../sim/trouble.ts';
import { HUGE_PAGE_SIZE } from './host-pages.ts';

declare global {
  namespace WebAssembly {
    interface MemoryDescriptor {
      /** In pages of 64 KiB. */
      readonly initial: number;
      readonly maximum?: number;
      readonly shared?: boolean;
    }
    class Memory {
      constructor(descriptor: MemoryDescriptor);
      readonly buffer: ArrayBuffer | SharedArrayBuffer;
    }
  }
}

const WASM_PAGE_SIZE = 65_536;
/** A wasm32 memory ends at 4 GiB. */
const MAX_SIZE = 2 ** 32;

/** A shared linear memory that never grows; the host provides its pages when they are first touched. */
export interface LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly buffer: SharedArrayBuffer;
}

/**
 * @param path of the object that asks, for messages
 * @throws FatalError if wasm32 or the host cannot hold `sizeBytes` plus one huge page for alignment
 */
export function allocateLinearMemory(path: string, sizeBytes: number): LinearMemory {
  const mebibytes = Math.ceil(sizeBytes / 2 ** 20);
  const limit = MAX_SIZE - HUGE_PAGE_SIZE;
  if (sizeBytes > limit) {
    throw new FatalError(
      `${path}: ${mebibytes} MiB of memory are too many, at most ${limit / 2 ** 20} MiB are possible`,
    );
  }
  const pages = Math.ceil((sizeBytes + HUGE_PAGE_SIZE) / WASM_PAGE_SIZE);
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    return { memory, buffer: memory.buffer as SharedArrayBuffer };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new FatalError(`${path}: the host has no room for ${mebibytes} MiB of memory: ask for less`, {
      cause,
    });
  }
}
