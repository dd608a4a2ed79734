// A campaign: random cases, round by round, on the host's processor and on simulated ones. What comes out differently is made
// small. A round is the same whoever runs it: several processes may share a campaign.

import { Random } from '../../tests/support/random.ts';
import type { Coverage } from './coverage.ts';
import { Comparison } from './disagreement.ts';
import type { Executor } from './executor.ts';
import { minimize } from './minimize.ts';
import { type CodeSource, type RandomCase, randomSequence } from './random-sequence.ts';
import type { Outcome, Sequence } from './sequence.ts';
import { formatCase } from './sequence-text.ts';
import { StateSource } from './user-state.ts';

/** Cases that are made and run at a time: few enough to be garbage while they are young. */
const ROUND = 512;

export interface CampaignOptions {
  readonly seed: number;
  readonly count: number;
  /** After so many disagreements there are enough. */
  readonly maxFailures: number;
  /** Instructions of a case, at most. */
  readonly maxInstructions?: number;
  readonly source: CodeSource;
  /** Whether a disagreement is none, whatever the reason. */
  readonly isExpected?: (sequence: Sequence, expected: Outcome, actual: Outcome) => boolean;
  /** Rounds are dealt out to so many; this one gets those whose number leaves this remainder. Without it, it gets all. */
  readonly share?: { readonly of: number; readonly remainder: number };
  /** Counts what has been compared. */
  readonly coverage?: Coverage;
  /** Called behind each round: cases that were run in it, and all so far. */
  readonly progress?: (cases: number, result: CampaignResult) => void;
  /** Called with each disagreement: the case made small, and what differs as comments. */
  readonly found?: (failure: string) => void;
}

export interface CampaignResult {
  /** Cases that were run. */
  readonly count: number;
  /** The disagreements, each as text: see {@link CampaignOptions.found}. */
  readonly failures: readonly string[];
  /** Disagreements that were not there a second time. */
  readonly unconfirmed: number;
  /** Disagreements that `isExpected` knows. */
  readonly expected: number;
  /** Milliseconds that each executor has taken; `cases`: to make them. */
  readonly spentMs: Readonly<Record<string, number>>;
}

/** Runs random cases on `oracle` once and on each of `subjects`. */
export function runCampaign(
  oracle: Executor,
  subjects: readonly Executor[],
  options: CampaignOptions,
): CampaignResult {
  const campaign = new Campaign(oracle, subjects, options);
  const { of, remainder } = options.share ?? { of: 1, remainder: 0 };
  const rounds = Math.ceil(options.count / ROUND);
  for (let round = remainder; round < rounds && !campaign.isOver; round += of) campaign.runRound(round);
  return campaign.result;
}

class Campaign {
  readonly #oracle: Executor;
  readonly #comparisons: readonly { readonly comparison: Comparison; readonly subject: Executor }[];
  readonly #options: CampaignOptions;
  readonly #states = new StateSource();
  readonly #failures: string[] = [];
  readonly #spentMs: Record<string, number> = {};
  #count = 0;
  #expected = 0;

  constructor(oracle: Executor, subjects: readonly Executor[], options: CampaignOptions) {
    this.#oracle = oracle;
    this.#comparisons = subjects.map((subject) => ({ subject, comparison: new Comparison(oracle, subject) }));
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#failures.length >= this.#options.maxFailures;
  }

  get result(): CampaignResult {
    return {
      count: this.#count,
      failures: this.#failures,
      unconfirmed: this.#comparisons.reduce((sum, { comparison }) => sum + comparison.unconfirmed, 0),
      expected: this.#expected,
      spentMs: this.#spentMs,
    };
  }

  runRound(round: number): void {
    const { coverage, isExpected, maxFailures, found, progress } = this.#options;
    const cases = this.#time('cases', () => this.#casesOf(round));
    const sequences = cases.map(({ sequence }) => sequence);
    const expected = this.#time(this.#oracle.name, () => this.#oracle.run(sequences));
    const differing = new Set<number>();
    const failing = new Map<number, readonly string[]>();
    for (const { comparison, subject } of this.#comparisons) {
      const actual = this.#time(subject.name, () => subject.run(sequences));
      const result = comparison.compare(cases, expected, actual);
      for (const index of result.differing) differing.add(index);
      for (const { index, ...seen } of result.confirmed)
        if (isExpected?.(seen.sequence, seen.expected, seen.actual) === true) this.#expected++;
        else failing.set(index, seen.lines);
    }
    for (const [i, each] of cases.entries())
      coverage?.count(each, differing.has(i) ? undefined : expected[i]);
    this.#count += cases.length;
    for (const [index, lines] of [...failing].slice(0, maxFailures - this.#failures.length)) {
      const failure = describeSmall(
        this.#comparisons.map(({ comparison }) => comparison),
        cases[index]!,
        lines,
        isExpected,
      );
      this.#failures.push(failure);
      found?.(failure);
    }
    progress?.(cases.length, this.result);
  }

  #casesOf(round: number): RandomCase[] {
    const { seed, count } = this.#options;
    const random = new Random(seed, round);
    const first = round * ROUND;
    return Array.from({ length: Math.min(ROUND, count - first) }, (_, i) =>
      randomSequence(random, { ...this.#options, states: this.#states, caseNumber: first + i }),
    );
  }

  #time<T>(name: string, work: () => T): T {
    const start = performance.now();
    const result = work();
    this.#spentMs[name] = (this.#spentMs[name] ?? 0) + performance.now() - start;
    return result;
  }
}

/**
 * The case made as small as it may be while one of the subjects, the same all the time, disagrees; and what all say of it.
 * @param seen what has differed, in case none of them disagrees again
 */
function describeSmall(
  comparisons: readonly Comparison[],
  given: RandomCase,
  seen: readonly string[],
  isExpected: CampaignOptions['isExpected'] = () => false,
): string {
  const differs = (comparison: Comparison, candidate: Sequence): boolean => {
    const found = comparison.runOne({ ...given, sequence: candidate });
    return found !== undefined && !isExpected(candidate, found.expected, found.actual);
  };
  const { sequence } = given;
  const first = comparisons.find((comparison) => differs(comparison, sequence));
  if (first === undefined) return formatCase(sequence) + comments(['not every time:', ...seen]);
  const small = minimize(sequence, (candidate) => differs(first, candidate));
  const lines = comparisons.flatMap(
    (comparison) => comparison.runOne({ ...given, sequence: small })?.lines ?? [],
  );
  return formatCase(small) + comments(lines);
}

function comments(lines: readonly string[]): string {
  return lines.map((line) => `# ${line}\n`).join('');
}
