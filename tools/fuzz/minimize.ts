// Makes a case on which two executors disagree as small as it gets while they still do: fewer instructions, less data, registers
// as they are in emptyState(). Deterministic: the same case and the same answers give the same result.

import type { RegisterDescription } from '../../src/arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { slotAddress } from './address-space.ts';
import type { MemoryBytes, Sequence } from './sequence.ts';
import { copyUserState, emptyState, USER_REGISTERS } from './user-state.ts';

export interface MinimizeOptions {
  /** How often the question may be asked; the best case so far is the result then. */
  readonly maxTrials?: number;
}

const NOP = 0x90;

/**
 * The smallest case found. Every simplification that is still possible has been tried on it, one by one.
 * @param differs whether a case still shows the difference; true for the case given
 */
export function minimize(
  sequence: Sequence,
  differs: (candidate: Sequence) => boolean,
  { maxTrials = 20_000 }: MinimizeOptions = {},
): Sequence {
  const search = new Search(sequence, differs, maxTrials);
  do {
    search.progress = false;
    removeInstructions(search);
    blankInstructions(search);
    simplifyData(search);
    simplifyRegisters(search);
    search.offer({ codeAddress: slotAddress(search.best.codeAddress) });
  } while (search.progress);
  return search.best;
}

/** The best case so far, and whether another one is better. */
class Search {
  best: Sequence;
  progress = false;
  readonly #differs: (candidate: Sequence) => boolean;
  #trialsLeft: number;

  constructor(sequence: Sequence, differs: (candidate: Sequence) => boolean, maxTrials: number) {
    this.best = sequence;
    this.#differs = differs;
    this.#trialsLeft = maxTrials;
  }

  /** Takes over a change of the best case if it still differs. Changes must be towards something smaller. */
  offer(change: Partial<Sequence>): boolean {
    if (change.codeAddress === this.best.codeAddress) return false;
    if (this.#trialsLeft-- <= 0) return false;
    const candidate = { ...this.best, ...change };
    if (!this.#differs(candidate)) return false;
    this.best = candidate;
    this.progress = true;
    return true;
  }
}

/** Leaves out runs of instructions, long ones first. */
function removeInstructions(search: Search): void {
  for (let length = search.best.instructions.length; length >= 1; length = Math.floor(length / 2)) {
    for (let at = 0; at < search.best.instructions.length; ) {
      const instructions = search.best.instructions.toSpliced(at, length);
      if (instructions.length === 0 || !search.offer({ instructions })) at += length;
    }
  }
}

/** Where leaving out moves what is jumped to, NOPs may do. */
function blankInstructions(search: Search): void {
  for (const [i, instruction] of search.best.instructions.entries()) {
    if (instruction.every((byte) => byte === NOP)) continue;
    const nops = new Uint8Array(instruction.length).fill(NOP);
    search.offer({ instructions: search.best.instructions.with(i, nops) });
  }
}

function simplifyData(search: Search): void {
  if (search.best.fill !== 0) search.offer({ fill: 0 });
  for (let i = search.best.data.length - 1; i >= 0; i--) {
    if (search.offer({ data: search.best.data.toSpliced(i, 1) })) continue;
    const withPiece = (piece: MemoryBytes) => ({ data: search.best.data.with(i, piece) });
    for (const trim of [trimEnd, trimStart]) {
      let piece = search.best.data[i]!;
      while (piece.bytes.length > 1 && search.offer(withPiece(trim(piece)))) piece = search.best.data[i]!;
    }
    const { address, bytes } = search.best.data[i]!;
    const zeros = new Uint8Array(bytes.length);
    const result = bytes.slice();
    moveTowards(result, zeros, (candidate) => search.offer(withPiece({ address, bytes: candidate })));
  }
}

const trimEnd = ({ address, bytes }: MemoryBytes): MemoryBytes => ({ address, bytes: bytes.slice(0, -1) });
const trimStart = ({ address, bytes }: MemoryBytes): MemoryBytes => ({
  address: address + 1,
  bytes: bytes.slice(1),
});

function simplifyRegisters(search: Search): void {
  const goal = emptyState();
  for (const register of USER_REGISTERS) {
    if (register.name === 'rip') continue;
    const value = bytesOf(search.best.state, register);
    moveTowards(value.slice(), bytesOf(goal, register), (candidate) => {
      const state = emptyState();
      copyUserState(state, search.best.state);
      state.u8.set(candidate, register.at);
      return search.offer({ state });
    });
  }
}

function bytesOf(state: X86ThreadContext, { at, sizeBytes }: RegisterDescription): Uint8Array {
  return state.u8.slice(at, at + sizeBytes);
}

/**
 * Gives as much of `value` as possible the bits that `goal` has: all, else each half, down to single bits.
 * @param accepts whether a candidate will do; it is kept by whoever asks
 */
function moveTowards(
  value: Uint8Array,
  goal: Uint8Array,
  accepts: (candidate: Uint8Array) => boolean,
  start = 0,
  end = value.length,
): void {
  if (value.every((byte, i) => i < start || i >= end || byte === goal[i])) return;
  const candidate = value.slice();
  candidate.set(goal.subarray(start, end), start);
  if (accepts(candidate)) {
    value.set(candidate);
    return;
  }
  if (end - start > 1) {
    const middle = (start + end) >> 1;
    // The upper half first: what is left is then a small number.
    moveTowards(value, goal, accepts, middle, end);
    moveTowards(value, goal, accepts, start, middle);
    return;
  }
  for (let bit = 0x80; bit !== 0; bit >>= 1) {
    if (((value[start]! ^ goal[start]!) & bit) === 0) continue;
    const flipped = value.slice();
    flipped[start]! ^= bit;
    if (accepts(flipped)) value.set(flipped);
  }
}
