// Executes cases on the engine of the functional CPU.

import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { Cr4, Rflags } from '../../src/arch/x86/registers.ts';
import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { Engine } from '../../src/cpu/functional/engine.ts';
import type { EngineOptions, RunEnd } from '../../src/cpu/functional/engine-interface.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import {
  AREA_BYTES,
  areaBackground,
  areaChanges,
  areaOffset,
  areaPatches,
  buildPageTable,
  END_ADDRESS,
} from './address-space.ts';
import { type Tolerance, X87_POINTERS } from './difference.ts';
import type { Executor } from './executor.ts';
import type { Ending, Outcome, Sequence } from './sequence.ts';
import {
  copyUserState,
  emptyState,
  enterEnvironment,
  FIXED_RFLAGS,
  StateSource,
  USER_RFLAGS,
} from './user-state.ts';

const RAM_BYTES = 2 << 20;
const AREA_BASE = 0x10_0000 as PhysAddr;
const TABLES_BASE = 0x1000;
const PAGE = 4096;
/** A case that has executed so many instructions has timed out. */
const DEFAULT_LIMIT = 20_000_000;
/** State components: a mask of XCR0. */
export const X87_AND_SSE = 3;
/** All that is implemented, whatever CPUID says by default. */
export const ALL_FEATURES = { has: () => true } as unknown as ReadonlySet<string>;

export interface FunctionalExecutorOptions extends Pick<EngineOptions, 'translate'> {
  /** Instructions after which a case times out. */
  readonly limit?: number;
  /** Default: the x87 pointers, in which processors differ. */
  readonly tolerance?: Tolerance;
}

export class FunctionalExecutor implements Executor {
  readonly name: string;
  readonly tolerance: Tolerance;
  readonly #memory: PhysicalMemory;
  readonly #engine: Engine;
  readonly #environment: X86ThreadContext;
  readonly #limit: number;
  /** The area before and after a case. */
  readonly #before = new Uint8Array(AREA_BYTES);
  readonly #after = new Uint8Array(AREA_BYTES);
  readonly #states = new StateSource();
  readonly #backgrounds = new Map<number, Uint8Array>();

  constructor({
    translate = 'never',
    limit = DEFAULT_LIMIT,
    tolerance = { registers: X87_POINTERS },
  }: FunctionalExecutorOptions) {
    this.tolerance = tolerance;
    this.name = translate === 'never' ? 'interpreter' : 'translator';
    this.#limit = limit;
    this.#memory = new PhysicalMemory(new Root(), 'memory', { ranges: [{ start: 0, sizeBytes: RAM_BYTES }] });
    let tables = TABLES_BASE;
    const { root } = buildPageTable(
      {
        readU64: (pa) => this.#memory.readU64(pa as PhysAddr),
        writeU64: (pa, value) => this.#memory.writeU64(pa as PhysAddr, value),
      },
      () => {
        tables += PAGE;
        return tables - PAGE;
      },
      AREA_BASE,
    );
    this.#engine = new Engine({
      memory: this.#memory,
      features: ALL_FEATURES,
      translate,
      readTsc: () => [0, 0],
      cpuid: () => [0, 0, 0, 0],
      random: () => 0,
    });
    this.#environment = emptyState();
    enterEnvironment(this.#environment, { pageTableRoot: root, xcr0: X87_AND_SSE, cr4: Cr4.FSGSBASE });
  }

  run(cases: readonly Sequence[]): Outcome[] {
    return cases.map((sequence) => this.#runOne(sequence));
  }

  close(): void {
    // Nothing outside this process is held.
  }

  #runOne(sequence: Sequence): Outcome {
    this.#setInitialArea(sequence);
    this.#memory.write(AREA_BASE, this.#before);
    const { tc } = this.#engine;
    tc.u8.set(this.#environment.u8);
    copyUserState(tc, sequence.state);
    tc.ripNumber = sequence.codeAddress;
    const ending = this.#ending(this.#engine.run(this.#limit));
    const state = emptyState(this.#states);
    copyUserState(state, tc);
    state.rflags = (tc.rflags & USER_RFLAGS & ~Rflags.RF) | FIXED_RFLAGS;
    this.#memory.read(AREA_BASE, this.#after);
    return { ending, state, memory: areaChanges(this.#before, this.#after) };
  }

  /** The background is the same for many cases. */
  #setInitialArea(sequence: Sequence): void {
    let background = this.#backgrounds.get(sequence.fill);
    if (background === undefined) {
      background = areaBackground(sequence.fill);
      this.#backgrounds.set(sequence.fill, background);
    }
    this.#before.set(background);
    for (const { address, bytes } of areaPatches(sequence)) this.#before.set(bytes, areaOffset(address));
  }

  #ending(end: RunEnd): Ending {
    switch (end.kind) {
      case 'exception': {
        const { vector, errorCode, address } = end;
        const isFetch = vector === Vector.PF && (errorCode & PageFaultError.FETCH) !== 0;
        if (isFetch && this.#engine.tc.ripNumber === END_ADDRESS) return { kind: 'end' };
        return { kind: 'exception', vector, errorCode, address };
      }
      case 'syscall':
        return { kind: 'syscall' };
      case 'budget':
        return { kind: 'timeout' };
      default:
        return { kind: 'refused', reason: end.kind };
    }
  }
}
