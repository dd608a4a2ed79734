// A test case of the differential fuzzer and what came of it, as plain data shared by everything that executes cases: KVM
// (kvm-executor.ts) and simulated processors. address-space.ts says what lies where; sequence-text.ts writes cases as text.
//
// A case is a few instructions in ring 3 of 64-bit mode. They end where RIP reaches END_ADDRESS: a jump there stands behind
// them. Final states are those of the instruction boundary: at END_ADDRESS; at the instruction that has faulted, or behind one
// that has trapped; behind SYSCALL, with what SYSCALL writes to RCX and R11.

import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';

/** Bytes at a virtual address. */
export interface MemoryBytes {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** One test case. */
export interface Sequence {
  /** Virtual address of the first instruction, in the code pages. */
  readonly codeAddress: number;
  /** The code, one entry per instruction. Which one is executed when is up to the code itself. */
  readonly instructions: readonly Uint8Array[];
  /**
   * Initial state: general registers, RFLAGS, bases of FS and GS, x87 and vector registers count. RIP is `codeAddress`;
   * all else is the environment's.
   */
  readonly state: X86ThreadContext;
  /** What the data pages hold: 0 for zeros, else a number that stands for pseudo-random bytes (address-space.ts). */
  readonly fill: number;
  /** Bytes over that, in ascending order. */
  readonly data: readonly MemoryBytes[];
}

/** How a case ended. */
export type Ending =
  /** RIP has reached END_ADDRESS. */
  | { readonly kind: 'end' }
  | {
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: number;
      /** CR2 after a page fault, else 0. */
      readonly address: bigint;
    }
  | { readonly kind: 'syscall' }
  /** It went on for longer than the executor allows. State and memory are not told. */
  | { readonly kind: 'timeout' }
  /** This executor cannot tell: the reason. State and memory are not told. */
  | { readonly kind: 'refused'; readonly reason: string };

/** What came of a case. */
export interface Outcome {
  readonly ending: Ending;
  /**
   * The final state, as far as {@link Sequence.state} counts, and RIP; all else as `emptyState()` has it. Of RFLAGS, IF is
   * always set and RF clear: what an exception's frame says of them depends on the way there.
   */
  readonly state: X86ThreadContext;
  /** Bytes of code and data pages that differ from the beginning: longest runs, ascending. */
  readonly memory: readonly MemoryBytes[];
}

/** All bytes of the code. */
export function codeBytes(sequence: Pick<Sequence, 'instructions'>): Uint8Array {
  const bytes = new Uint8Array(sequence.instructions.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const instruction of sequence.instructions) {
    bytes.set(instruction, at);
    at += instruction.length;
  }
  return bytes;
}
