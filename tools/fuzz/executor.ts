// What executes cases of the fuzzer: KVM, or a simulated processor. Both give the same outcomes, or one of them is wrong.

import type { Tolerance } from './difference.ts';
import type { Outcome, Sequence } from './sequence.ts';

export interface Executor {
  /** For reports: `kvm`. */
  readonly name: string;
  /** What its outcomes are not to be trusted in. */
  readonly tolerance: Tolerance;

  /**
   * Executes cases, each from its own initial state and memory. Many at once cost less than one by one.
   * @returns one outcome per case, in order; they stay valid
   * @throws RangeError for a case that is none: code or data outside the pages, reserved bits of MXCSR
   */
  run(cases: readonly Sequence[]): Outcome[];

  /** Whether a case comes to the same where there is nothing of other cases. Absent: there never is. */
  isSelfContained?(sequence: Sequence): boolean;

  /** Whether its own outcome of a case is not to be trusted, seeing what another executor says. */
  excuses?(sequence: Sequence, mine: Outcome, other: Outcome): boolean;

  close(): void;
}
