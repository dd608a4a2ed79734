// Executes cases on the host's processor, in ring 3 of a KVM guest. Cases travel in batches through guest RAM
// (kvm-layout.ts); the guest code (kvm-harness.ts) goes from one to the next by itself, faults included.

import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { MXCSR_MASK } from '../../src/arch/x86/fxsave.ts';
import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import { Gpr, Rflags, Xcr0 } from '../../src/arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { XSAVE_HELD } from '../../src/arch/x86/xsave.ts';
import {
  AREA_BYTES,
  areaAddress,
  areaBackground,
  areaOffset,
  areaPatches,
  CODE_ADDRESS,
  END_ADDRESS,
  slotAddress,
} from './address-space.ts';
import type { Executor } from './executor.ts';
import { isKvmExcused } from './kvm-excuses.ts';
import {
  BATCH,
  BLOCK_BYTES,
  CHANGE,
  CONTROL,
  FRAME,
  HIDDEN,
  IMAGES,
  INPUT,
  OUTPUT,
  OUTPUT_RFLAGS,
  PATCH,
  PATCH_SPACE_BYTES,
  PHYSICAL,
  Way,
} from './kvm-layout.ts';
import { GuestLostError, KvmMachine } from './kvm-machine.ts';
import type { Ending, MemoryBytes, Outcome, Sequence } from './sequence.ts';
import { formatCase } from './sequence-text.ts';
import { emptyState, FIXED_RFLAGS, FS_BASE, GS_BASE, StateSource, USER_RFLAGS } from './user-state.ts';

/** State components that every simulated processor has. */
const BASELINE = Xcr0.X87 | Xcr0.SSE;

export interface KvmExecutorOptions {
  /** State components that cases have beside x87 and SSE: a mask of `Xcr0`. Those that the processor lacks are left out. */
  readonly components?: number;
  /** A case times out after some three times as long, in nanoseconds. */
  readonly tickNs?: number;
}

const DEFAULT_TICK_NS = 1_000_000;

/** A case of the batch that is being put together. */
interface Entry {
  readonly sequence: Sequence;
  readonly background: Uint8Array;
  readonly patches: readonly MemoryBytes[];
}

export class KvmExecutor implements Executor {
  readonly name = 'kvm';
  /** PVM loses NT when an interrupt of the host arrives during a case. */
  readonly tolerance = { flags: Rflags.NT };
  readonly excuses = isKvmExcused;
  /** State components that cases have: a mask of `Xcr0`. */
  readonly components: number;
  readonly #tickNs: number;
  #machine: KvmMachine;
  #ram!: Uint8Array;
  #words!: Uint32Array;
  #view!: DataView;
  readonly #states = new StateSource();
  /** Backgrounds in RAM, by fill. */
  readonly #images = new Map<number, { readonly at: number; readonly bytes: Uint8Array }>();
  #batch: Entry[] = [];
  /** Endings that the host knows of, by place in the batch. */
  readonly #troubles = new Map<number, Ending>();

  /** @throws HostError where KVM cannot be used */
  constructor({ components: extra = 0, tickNs = DEFAULT_TICK_NS }: KvmExecutorOptions = {}) {
    const components = (extra | BASELINE) & XSAVE_HELD & ~Xcr0.PKRU;
    this.#tickNs = tickNs;
    this.#machine = this.#open(components);
    this.components = components & this.#machine.environment.xcr0;
    this.#checkHarness();
  }

  #open(components: number): KvmMachine {
    const machine = new KvmMachine({ components, tickNs: this.#tickNs });
    this.#ram = machine.ram;
    this.#words = new Uint32Array(this.#ram.buffer);
    this.#view = new DataView(this.#ram.buffer);
    this.#images.clear();
    return machine;
  }

  run(cases: readonly Sequence[]): Outcome[] {
    const outcomes: Outcome[] = [];
    for (const sequence of cases) {
      if (this.#batch.length === BATCH || !this.#hasImage(sequence.fill)) this.#flush(outcomes);
      this.#add(sequence);
    }
    this.#flush(outcomes);
    return outcomes;
  }

  close(): void {
    this.#machine.close();
  }

  /** Runs a case of nothing: it also touches the memory for the first time, which takes long. */
  #checkHarness(): void {
    const nothing = { codeAddress: CODE_ADDRESS, instructions: [], state: emptyState(), fill: 0, data: [] };
    const [outcome] = this.run([nothing]);
    const kind = outcome?.ending.kind;
    if (kind !== 'end' && kind !== 'timeout') throw new Error(`the guest code does not run: ${kind}`);
  }

  #hasImage(fill: number): boolean {
    return this.#images.has(fill) || this.#images.size < IMAGES;
  }

  /** The background's place in RAM. */
  #image(fill: number): { readonly at: number; readonly bytes: Uint8Array } {
    let image = this.#images.get(fill);
    if (image === undefined) {
      // Nothing in the batch needs the old ones any more: run() has seen to that.
      if (this.#images.size === IMAGES) {
        this.#images.clear();
        this.#setControl('image', 0);
      }
      image = { at: PHYSICAL.images + this.#images.size * AREA_BYTES, bytes: areaBackground(fill) };
      this.#ram.set(image.bytes, image.at);
      this.#images.set(fill, image);
    }
    return image;
  }

  #setControl(field: keyof typeof CONTROL, value: number): void {
    this.#view.setBigUint64(PHYSICAL.control + CONTROL[field], BigInt(value), true);
  }

  /** Writes a case into RAM. */
  #add(sequence: Sequence): void {
    const { state } = sequence;
    const index = this.#batch.length;
    const patches = areaPatches(sequence);
    const image = this.#image(sequence.fill);
    const at = PHYSICAL.inputs + index * INPUT.sizeBytes;
    if ((state.u32[OFFSET.mxcsr >> 2]! & ~MXCSR_MASK) !== 0)
      throw new RangeError('MXCSR has reserved bits set');
    const words = this.#words;
    for (let i = 0; i < 32; i++) words[((at + INPUT.gpr) >> 2) + i] = state.u32[(OFFSET.gpr >> 2) + i]!;
    this.#setWord(at + INPUT.rip, sequence.codeAddress);
    this.#setWord(at + INPUT.rflags, (state.rflags & USER_RFLAGS) | FIXED_RFLAGS);
    copy64(words, at + INPUT.fsBase, state.u32, FS_BASE);
    copy64(words, at + INPUT.gsBase, state.u32, GS_BASE);
    this.#setWord(at + INPUT.image, HIDDEN + image.at);
    this.#setWord(at + INPUT.patches, HIDDEN + this.#addPatches(index, patches));
    this.#machine.format.write(
      state,
      this.#ram.subarray(at + INPUT.xsave, at + INPUT.sizeBytes),
      this.components,
    );
    this.#batch.push({ sequence, background: image.bytes, patches });
  }

  /** @returns physical address of the list */
  #addPatches(index: number, patches: readonly MemoryBytes[]): number {
    const start = PHYSICAL.patches + index * PATCH_SPACE_BYTES;
    let at = start;
    for (const { address, bytes } of patches) {
      const end = at + PATCH.bytes + Math.ceil(bytes.length / 8) * 8;
      if (end + PATCH.bytes > start + PATCH_SPACE_BYTES) throw new RangeError('a case with too much data');
      this.#setWord(at + PATCH.address, HIDDEN + PHYSICAL.area + areaOffset(address));
      this.#setWord(at + PATCH.length, bytes.length);
      this.#ram.set(bytes, at + PATCH.bytes);
      at = end;
    }
    this.#setWord(at + PATCH.length, 0);
    return start;
  }

  /** A u64 in RAM, from an exact Number. */
  #setWord(at: number, value: number): void {
    this.#words[at >> 2] = value;
    this.#words[(at >> 2) + 1] = Math.floor(value / 0x1_0000_0000);
  }

  #flush(outcomes: Outcome[]): void {
    const count = this.#batch.length;
    if (count === 0) return;
    this.#setControl('index', 0);
    this.#setControl('count', count);
    this.#setControl('input', HIDDEN + PHYSICAL.inputs);
    this.#setControl('output', HIDDEN + PHYSICAL.outputs);
    this.#setControl('changes', HIDDEN + PHYSICAL.changes);
    this.#troubles.clear();
    try {
      this.#machine.runBatch(count, {
        timedOut: (index) => this.#troubles.set(index, { kind: 'timeout' }),
        refused: (index, reason) => this.#troubles.set(index, { kind: 'refused', reason }),
      });
    } catch (error) {
      if (!(error instanceof GuestLostError) || error.index >= count) throw error;
      outcomes.push(...this.#runWithout(error));
      return;
    }
    let changesAt: number = PHYSICAL.changes;
    for (const [index, entry] of this.#batch.entries()) {
      const changesEnd =
        this.#numberAt(PHYSICAL.outputs + index * OUTPUT.sizeBytes + OUTPUT.changesEnd) - HIDDEN;
      outcomes.push(this.#read(index, entry, changesAt, changesEnd));
      changesAt = changesEnd;
    }
    this.#batch = [];
  }

  /** A new machine executes the batch, but for the case in which the old one was lost. */
  #runWithout({ index, message }: GuestLostError): Outcome[] {
    const sequences = this.#batch.map(({ sequence }) => sequence);
    process.stderr.write(
      `kvm: ${message}; a new machine executes the rest\n${formatCase(sequences[index]!)}`,
    );
    this.#batch = [];
    this.#machine.close();
    this.#machine = this.#open(this.components);
    const lost: Outcome = { ending: { kind: 'refused', reason: message }, state: emptyState(), memory: [] };
    return [...this.run(sequences.slice(0, index)), lost, ...this.run(sequences.slice(index + 1))];
  }

  #read(index: number, entry: Entry, changesAt: number, changesEnd: number): Outcome {
    const state = emptyState(this.#states);
    const trouble = this.#troubles.get(index);
    if (trouble !== undefined) return { ending: trouble, state, memory: [] };
    const at = PHYSICAL.outputs + index * OUTPUT.sizeBytes;
    const words = this.#words;
    for (let i = 0; i < 32; i++) state.u32[(OFFSET.gpr >> 2) + i] = words[((at + OUTPUT.gpr) >> 2) + i]!;
    copy64(state.u32, FS_BASE, words, at + OUTPUT.fsBase);
    copy64(state.u32, GS_BASE, words, at + OUTPUT.gsBase);
    this.#machine.format.read(
      this.#ram.subarray(at + OUTPUT.xsave, at + OUTPUT.sizeBytes),
      state,
      this.components,
    );
    const ending = this.#readEnding(at, state);
    // PVM delivers page faults with IF clear; RF is not told.
    state.rflags = (state.rflags & USER_RFLAGS) | FIXED_RFLAGS;
    return { ending, state, memory: this.#readChanges(entry, changesAt, changesEnd) };
  }

  /** How the case ended; sets RIP and RFLAGS, which the ways there have left in different places. */
  #readEnding(at: number, state: X86ThreadContext): Ending {
    const words = this.#words;
    const way = words[(at + OUTPUT.way) >> 2]!;
    if (way === Way.end) {
      state.ripNumber = END_ADDRESS;
      state.rflags = words[(at + OUTPUT_RFLAGS) >> 2]!;
      return { kind: 'end' };
    }
    if (way === Way.syscall) {
      copy64(state.u32, OFFSET.rip, state.u32, OFFSET.gpr + 8 * Gpr.RCX);
      state.rflags = state.gprLo(Gpr.R11);
      return { kind: 'syscall' };
    }
    const frame = at + OUTPUT.frame;
    copy64(state.u32, OFFSET.rip, words, frame + FRAME.rip);
    copy64(state.u32, OFFSET.gpr + 8 * Gpr.RSP, words, frame + FRAME.rsp);
    state.rflags = words[(frame + FRAME.rflags) >> 2]!;
    const vector = words[(frame + FRAME.vector) >> 2]!;
    let errorCode = words[(frame + FRAME.errorCode) >> 2]!;
    if (state.ripNumber >= HIDDEN && state.ripNumber < HIDDEN + PHYSICAL.changes + PAGE_SIZE)
      throw new Error(`vector ${vector} in the guest code at 0x${state.rip.toString(16)}`);
    if (vector === Vector.PF && errorCode & PageFaultError.RESERVED_BIT) {
      // The case's tables have no reserved bits. PVM tells of its own that way (seen from 2^64 − 2^47 on): nothing is mapped.
      errorCode &= ~(PageFaultError.RESERVED_BIT | PageFaultError.PRESENT);
    }
    const address = vector === Vector.PF ? this.#view.getBigUint64(frame + FRAME.cr2, true) : 0n;
    return { kind: 'exception', vector, errorCode, address };
  }

  /** What the case has changed: the guest tells of the blocks that differ from the background. */
  #readChanges({ sequence, background, patches }: Entry, start: number, end: number): MemoryBytes[] {
    const blocks = new Map<number, Uint8Array>();
    // Where a case has restored the background under one of its patches, the guest sees no difference.
    for (const patch of patches)
      for (const offset of blocksOf(patch))
        blocks.set(offset, background.subarray(offset, offset + BLOCK_BYTES));
    for (let at = start; at < end; at += CHANGE.sizeBytes) {
      const bytes = at + CHANGE.bytes;
      blocks.set(this.#words[(at + CHANGE.offset) >> 2]!, this.#ram.subarray(bytes, bytes + BLOCK_BYTES));
    }
    const runs: { address: number; bytes: number[] }[] = [];
    const before = new Uint8Array(BLOCK_BYTES);
    const code = slotAddress(sequence.codeAddress);
    for (const [offset, after] of [...blocks].sort((a, b) => a[0] - b[0])) {
      before.set(background.subarray(offset, offset + BLOCK_BYTES));
      for (const patch of patches) overlay(before, offset, patch);
      for (let i = 0; i < BLOCK_BYTES; i++) {
        if (after[i] === before[i]) continue;
        const address = areaAddress(offset + i, code);
        const last = runs.at(-1);
        if (last !== undefined && last.address + last.bytes.length === address) last.bytes.push(after[i]!);
        else runs.push({ address, bytes: [after[i]!] });
      }
    }
    return runs.map(({ address, bytes }) => ({ address, bytes: Uint8Array.from(bytes) }));
  }

  #numberAt(at: number): number {
    return this.#words[at >> 2]! + this.#words[(at >> 2) + 1]! * 0x1_0000_0000;
  }
}

/** Offsets in the area of the blocks that a patch touches. */
function blocksOf({ address, bytes }: MemoryBytes): number[] {
  const first = Math.floor(areaOffset(address) / BLOCK_BYTES);
  const last = Math.floor((areaOffset(address) + bytes.length - 1) / BLOCK_BYTES);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * BLOCK_BYTES);
}

/** Puts what a patch has in a block at `offset` of the area over it. */
function overlay(block: Uint8Array, offset: number, { address, bytes }: MemoryBytes): void {
  const shift = areaOffset(address) - offset;
  if (shift >= block.length || shift + bytes.length <= 0) return;
  const from = Math.max(0, -shift);
  const to = Math.min(bytes.length, block.length - shift);
  for (let i = from; i < to; i++) block[shift + i] = bytes[i]!;
}

/** Copies a u64 at byte offsets. */
function copy64(to: Uint32Array, toAt: number, from: Uint32Array, fromAt: number): void {
  to[toAt >> 2] = from[fromAt >> 2]!;
  to[(toAt >> 2) + 1] = from[(fromAt >> 2) + 1]!;
}
