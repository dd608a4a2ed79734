// Executes cases on the engine of the functional CPU: as many at a time as have their code in different slots. All their code
// is decoded and translated at once, before the first one is executed; the data pages are those of one case after the other.

import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { Cr4, Rflags } from '../../src/arch/x86/registers.ts';
import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { Engine } from '../../src/cpu/functional/engine.ts';
import type { EngineOptions, RunEnd } from '../../src/cpu/functional/engine-interface.ts';
import { RandomNumbers } from '../../src/cpu/functional/random.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import {
  AREA_BYTES,
  areaBackground,
  areaChanges,
  buildPageTable,
  CODE_BYTES,
  CODE_SLOTS,
  END_ADDRESS,
  fillArea,
  slotAddress,
  slotOf,
} from './address-space.ts';
import { sameOutcome, type Tolerance, X87_POINTERS } from './difference.ts';
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
/** The area, and the code pages of each slot for cases that are not alone. */
const AREA_BASE = 0x10_0000 as PhysAddr;
const CODE_BASE = 0x11_0000;
const DATA_BASE = (AREA_BASE + CODE_BYTES) as PhysAddr;
const TABLES_BASE = 0x1000;
const PAGE = 4096;
/** A case that has executed so many instructions has timed out, or that is one of many and has executed so many. */
const DEFAULT_LIMIT = 100_000_000;
const LIMIT_OF_MANY = 50_000;
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

/** Each case is executed from the same state: that of a generator would be another each time. */
class SameNumber extends RandomNumbers {
  override next(): number {
    return 0;
  }
}

/**
 * What a case finds around it. One of many has its code pages for itself, and in other slots those of others; one that is alone
 * has its own in all slots, as under KVM, and more time. The difference is seen once in a hundred thousand cases of random
 * bytes: a disagreement is only one when the case is executed alone, too, or does not reach into other slots.
 */
interface Surroundings {
  /** The processor's state but for the user state. */
  readonly context: X86ThreadContext;
  /** Physical address of the code pages of a slot; undefined: there are none. */
  readonly codeBase: (slot: number) => PhysAddr | undefined;
  /** A case that has executed so many instructions has timed out. */
  readonly limit: number;
}

export class FunctionalExecutor implements Executor {
  readonly name: string;
  readonly tolerance: Tolerance;
  readonly #memory: PhysicalMemory;
  readonly #engine: Engine;
  readonly #alone: Surroundings;
  readonly #ofMany: Surroundings;
  /** Surroundings in which there is no slot but this one. */
  readonly #withSlot: (slot: number) => Surroundings;
  /** The area before and after a case. */
  readonly #before = new Uint8Array(AREA_BYTES);
  readonly #after = new Uint8Array(AREA_BYTES);
  readonly #beforeCode = Buffer.from(this.#before.buffer, 0, CODE_BYTES);
  readonly #afterCode = Buffer.from(this.#after.buffer, 0, CODE_BYTES);
  readonly #states = new StateSource();
  readonly #backgrounds = new Map<number, Uint8Array>();

  constructor({
    translate = 'never',
    limit = DEFAULT_LIMIT,
    tolerance = { registers: X87_POINTERS },
  }: FunctionalExecutorOptions) {
    this.tolerance = tolerance;
    this.name = translate === 'never' ? 'interpreter' : 'translator';
    this.#memory = new PhysicalMemory(new Root(), 'memory', { ranges: [{ start: 0, sizeBytes: RAM_BYTES }] });
    let tables = TABLES_BASE;
    let firstFree = TABLES_BASE;
    const access = {
      readU64: (pa: number) => this.#memory.readU64(pa as PhysAddr),
      writeU64: (pa: number, value: bigint) => this.#memory.writeU64(pa as PhysAddr, value),
    };
    const surroundings = (ownCode: Surroundings['codeBase'], most: number): Surroundings => {
      const allocate = () => {
        tables += PAGE;
        return tables - PAGE;
      };
      const { root } = buildPageTable(access, allocate, AREA_BASE, ownCode);
      const context = emptyState();
      enterEnvironment(context, { pageTableRoot: root, xcr0: X87_AND_SSE, cr4: Cr4.FSGSBASE });
      return { context, codeBase: ownCode, limit: most };
    };
    this.#alone = surroundings(() => AREA_BASE, limit);
    this.#ofMany = surroundings(codeBase, Math.min(limit, LIMIT_OF_MANY));
    firstFree = tables;
    this.#withSlot = (own) => {
      this.#memory.write(firstFree as PhysAddr, new Uint8Array(tables - firstFree));
      tables = firstFree;
      return surroundings((slot) => (slot === own ? AREA_BASE : undefined), limit);
    };
    this.#engine = new Engine({
      memory: this.#memory,
      features: ALL_FEATURES,
      translate,
      readTsc: () => [0, 0],
      cpuid: () => [0, 0, 0, 0],
      random: new SameNumber(),
    });
  }

  run(cases: readonly Sequence[]): Outcome[] {
    if (cases.length === 1) return [this.#runAlone(cases[0]!, this.#alone)];
    return [...inDifferentSlots(cases)].flatMap((batch) => this.#runBatch(batch, this.#ofMany));
  }

  isSelfContained(sequence: Sequence): boolean {
    const outcome = this.#runAlone(sequence, this.#withSlot(slotOf(sequence.codeAddress)));
    return sameOutcome(outcome, this.#runAlone(sequence, this.#alone));
  }

  close(): void {
    // Nothing outside this process is held.
  }

  #runAlone(sequence: Sequence, surroundings: Surroundings): Outcome {
    this.#engine.flushTlb();
    const [outcome] = this.#runBatch([sequence], surroundings);
    this.#engine.flushTlb();
    return outcome!;
  }

  #runBatch(batch: readonly Sequence[], surroundings: Surroundings): Outcome[] {
    for (const sequence of batch) {
      // All of the code pages: what is not code is INT3.
      this.#setInitialArea(sequence);
      this.#memory.write(surroundings.codeBase(slotOf(sequence.codeAddress))!, this.#before, CODE_BYTES);
    }
    this.#engine.tc.u8.set(surroundings.context.u8);
    this.#engine.prepare(batch.map(({ codeAddress }) => codeAddress));
    return batch.map((sequence) => this.#runOne(sequence, surroundings));
  }

  #runOne(sequence: Sequence, { context, codeBase: baseOf, limit }: Surroundings): Outcome {
    this.#setInitialArea(sequence);
    const code = baseOf(slotOf(sequence.codeAddress))!;
    this.#memory.read(code, this.#after, CODE_BYTES);
    // Another case of the batch has reached into this one's code pages.
    if (this.#beforeCode.compare(this.#afterCode) !== 0) this.#memory.write(code, this.#before, CODE_BYTES);
    this.#memory.write(DATA_BASE, this.#before.subarray(CODE_BYTES));
    const { tc } = this.#engine;
    tc.u8.set(context.u8);
    copyUserState(tc, sequence.state);
    tc.ripNumber = sequence.codeAddress;
    const ending = this.#ending(this.#engine.run(limit));
    const state = emptyState(this.#states);
    copyUserState(state, tc);
    state.rflags = (tc.rflags & USER_RFLAGS & ~Rflags.RF) | FIXED_RFLAGS;
    this.#memory.read(code, this.#after, CODE_BYTES);
    this.#memory.read(DATA_BASE, this.#after.subarray(CODE_BYTES));
    return {
      ending,
      state,
      memory: areaChanges(this.#before, this.#after, slotAddress(sequence.codeAddress)),
    };
  }

  /** The background is the same for many cases. */
  #setInitialArea(sequence: Sequence): void {
    let background = this.#backgrounds.get(sequence.fill);
    if (background === undefined) {
      background = areaBackground(sequence.fill);
      this.#backgrounds.set(sequence.fill, background);
    }
    fillArea(this.#before, background, sequence);
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

/** Physical address of the code pages of a slot. */
function codeBase(slot: number): PhysAddr {
  return (CODE_BASE + slot * CODE_BYTES) as PhysAddr;
}

/** Cuts where a slot comes a second time. */
function* inDifferentSlots(cases: readonly Sequence[]): Generator<readonly Sequence[]> {
  let start = 0;
  const taken = new Set<number>();
  for (const [i, { codeAddress }] of cases.entries()) {
    const slot = slotOf(codeAddress);
    if (slot < 0 || slot >= CODE_SLOTS) throw new RangeError(`no code at 0x${codeAddress.toString(16)}`);
    if (taken.has(slot)) {
      yield cases.slice(start, i);
      start = i;
      taken.clear();
    }
    taken.add(slot);
  }
  if (start < cases.length) yield cases.slice(start);
}
