// The engine of the functional CPU on bare guest memory: ring 3 of 64-bit mode, with a few pages mapped.

import { PagePreset } from '../../src/arch/x86/page-table.ts';
import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../src/arch/x86/user-mode.ts';
import { Engine } from '../../src/cpu/functional/engine.ts';
import type { EngineOptions } from '../../src/cpu/functional/engine-interface.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import { TinyOs } from './tiny-os.ts';

export const CODE = 0x40_0000;
export const DATA = 0x60_0000;
export const PAGES = 4;
/** Features of x86-64-v2 and all others that are implemented. */
const ALL_FEATURES = new Proxy(new Set<string>(), {
  get: (set, name) => (name === 'has' ? () => true : Reflect.get(set, name)),
});

export class FunctionalMachine {
  readonly memory: PhysicalMemory;
  readonly engine: Engine;
  readonly tc: X86ThreadContext;
  readonly os: TinyOs;
  readonly #frames = new Map<number, number>();

  constructor(options: Partial<EngineOptions> = {}, codeIsWritable = false) {
    const root = new Root();
    this.memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: 16 << 20 }] });
    const os = new TinyOs(this.memory);
    this.os = os;
    for (const [area, flags] of [
      [CODE, codeIsWritable ? PagePreset.userReadWriteExecute : PagePreset.userReadExecute],
      [DATA, PagePreset.userReadWrite],
    ] as const) {
      for (let i = 0; i < PAGES; i++) {
        const frame = os.frame();
        this.#frames.set(area + i * 4096, frame);
        os.mapReserved(area + i * 4096, frame, flags);
      }
    }
    this.engine = new Engine({
      memory: this.memory,
      features: ALL_FEATURES,
      readTsc: () => [0, 0],
      cpuid: () => [0, 0, 0, 0],
      ...options,
    });
    this.tc = this.engine.tc;
    setUserMode(this.tc, os.pageTableRoot, 7);
    this.tc.setGpr(4, BigInt(DATA + 0x2000));
  }

  /** Puts code at CODE and points RIP at it. */
  load(code: Uint8Array | readonly number[]): void {
    this.write(CODE, Uint8Array.from(code));
    this.tc.ripNumber = CODE;
  }

  write(address: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.memory.writeU8(this.physical(address + i), bytes[i]!);
  }

  read(address: number, sizeBytes: number): Uint8Array {
    return Uint8Array.from({ length: sizeBytes }, (_, i) => this.memory.readU8(this.physical(address + i)));
  }

  physical(address: number): PhysAddr {
    return (this.#frames.get(address - (address % 4096))! + (address % 4096)) as PhysAddr;
  }
}
