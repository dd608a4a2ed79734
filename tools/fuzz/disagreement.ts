// Runs cases on two executors and finds those that they disagree on.

import { describeDifference, sameOutcome, type Tolerance, tellsState } from './difference.ts';
import type { Executor } from './executor.ts';
import type { RandomCase } from './random-sequence.ts';
import type { Outcome, Sequence } from './sequence.ts';

/** A case that two executors disagree on. */
export interface Disagreement {
  /** Place among the cases given. */
  readonly index: number;
  readonly sequence: Sequence;
  /** What the first executor says. */
  readonly expected: Outcome;
  readonly actual: Outcome;
  /** The differences, see {@link describeDifference}. */
  readonly lines: readonly string[];
}

/** Two executors, and what may differ between them whatever the case. */
export class Comparison {
  readonly #oracle: Executor;
  readonly #subject: Executor;
  readonly #tolerance: Tolerance;
  /** Cases in which a difference was seen once and not again. */
  unconfirmed = 0;

  constructor(oracle: Executor, subject: Executor, tolerance: Tolerance = {}) {
    this.#oracle = oracle;
    this.#subject = subject;
    this.#tolerance = joined(tolerance, joined(oracle.tolerance, subject.tolerance));
  }

  /**
   * Runs cases on both. Those that they disagree on are executed once more, each by itself. About once in a million cases
   * a processor under PVM raises an exception that has nothing to do with the case, and a store of REP STOS over its own
   * code takes effect when the next interrupt arrives.
   */
  run(cases: readonly RandomCase[]): readonly Disagreement[] {
    const sequences = cases.map(({ sequence }) => sequence);
    return this.compare(cases, this.#oracle.run(sequences), this.#subject.run(sequences)).confirmed;
  }

  /**
   * Like `run`, with what the executors have said.
   * @returns those that disagree a second time, or whose reference says the same again; and the numbers of all that did once, or
   *   of which one of the two cannot tell
   */
  compare(
    cases: readonly RandomCase[],
    expected: readonly Outcome[],
    actual: readonly Outcome[],
  ): { readonly confirmed: readonly Disagreement[]; readonly differing: readonly number[] } {
    const confirmed: Disagreement[] = [];
    const differing: number[] = [];
    for (const [index, each] of cases.entries()) {
      const { sequence } = each;
      const [one, other] = [expected[index]!, actual[index]!];
      const isSame = sameOutcome(one, other, this.#toleranceOf(each));
      if (isSame && tellsState(one.ending) && tellsState(other.ending)) continue;
      differing.push(index);
      if (isSame) continue;
      if (this.#oracle.excuses?.(sequence, one, other) === true) continue;
      const again = this.#runAgain(each);
      if (again !== undefined) confirmed.push({ ...again, index });
      else if (this.#isItsOwn(each, one, other)) confirmed.push(this.#describe(index, each, one, other));
      else this.unconfirmed++;
    }
    return { confirmed, differing };
  }

  /** A case, once more; twice, where one of the two has run out of time, which may be the host's load. */
  #runAgain(each: RandomCase): Disagreement | undefined {
    const again = this.runOne(each);
    if (again === undefined || (tellsState(again.expected.ending) && tellsState(again.actual.ending)))
      return again;
    return this.runOne(each);
  }

  /** One case, once. For {@link minimize}. */
  runOne(given: RandomCase): Disagreement | undefined {
    const { sequence } = given;
    const [expected] = this.#oracle.run([sequence]);
    const [actual] = this.#subject.run([sequence]);
    const tolerance = this.#toleranceOf(given);
    if (sameOutcome(expected!, actual!, tolerance)) return undefined;
    if (this.#oracle.excuses?.(sequence, expected!, actual!) === true) return undefined;
    return this.#describe(0, given, expected!, actual!);
  }

  /**
   * Whether a difference that is not seen again is the subject's fault, whose outcome then depends on what it has executed
   * before: unless it has run out of time among others, or the case reaches into others; and if the reference says the same
   * again.
   */
  #isItsOwn(given: RandomCase, one: Outcome, other: Outcome): boolean {
    const { sequence } = given;
    if (!tellsState(other.ending) || this.#subject.isSelfContained?.(sequence) === false) return false;
    const [again] = this.#oracle.run([sequence]);
    return sameOutcome(one, again!, this.#toleranceOf(given));
  }

  #describe(index: number, given: RandomCase, expected: Outcome, actual: Outcome): Disagreement {
    const names = [this.#oracle.name, this.#subject.name] as const;
    const lines = describeDifference(expected, actual, names, this.#toleranceOf(given));
    return { index, sequence: given.sequence, expected, actual, lines };
  }

  #toleranceOf({ undefinedFlags, isInexact = false }: RandomCase): Tolerance {
    if (undefinedFlags === 0 && !isInexact) return this.#tolerance;
    return { ...joined(this.#tolerance, { flags: undefinedFlags }), isInexact };
  }
}

function joined(one: Tolerance, other: Tolerance): Tolerance {
  return {
    flags: (one.flags ?? 0) | (other.flags ?? 0),
    registers: new Set([...(one.registers ?? []), ...(other.registers ?? [])]),
  };
}
