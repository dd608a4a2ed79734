// A campaign: random cases, round by round, on the host's processor and on simulated ones. What comes out differently is made
// small.

import { Random } from '../../tests/support/random.ts';
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
  /** Called behind each round. */
  readonly progress?: (done: number, found: number) => void;
}

export interface CampaignResult {
  /** Cases that were run. */
  readonly count: number;
  /** The disagreements, each as text: the case made small, and what differs as comments. */
  readonly failures: readonly string[];
  /** Disagreements that were not there a second time. */
  readonly unconfirmed: number;
  /** Disagreements that `isExpected` knows. */
  readonly expected: number;
  /** Microseconds for a case, by executor; `cases`: to make one. */
  readonly costUs: ReadonlyMap<string, number>;
}

/** Adds up what executors take. */
class Clock {
  readonly spentMs = new Map<string, number>();

  time<T>(name: string, work: () => T): T {
    const start = performance.now();
    const result = work();
    this.spentMs.set(name, (this.spentMs.get(name) ?? 0) + performance.now() - start);
    return result;
  }
}

/** Runs random cases on `oracle` once and on each of `subjects`. */
export function runCampaign(
  oracle: Executor,
  subjects: readonly Executor[],
  options: CampaignOptions,
): CampaignResult {
  const { count, maxFailures, progress = () => {} } = options;
  const comparisons = subjects.map((subject) => new Comparison(oracle, subject));
  const random = new Random(options.seed);
  const states = new StateSource();
  const clock = new Clock();
  const failures: string[] = [];
  let done = 0;
  let expectedCount = 0;
  while (done < count && failures.length < maxFailures) {
    const length = Math.min(ROUND, count - done);
    const cases = clock.time('cases', () =>
      Array.from({ length }, () => randomSequence(random, { ...options, states })),
    );
    const sequences = cases.map(({ sequence }) => sequence);
    const expected = clock.time(oracle.name, () => oracle.run(sequences));
    const differing = new Set<number>();
    for (const [i, comparison] of comparisons.entries()) {
      const actual = clock.time(subjects[i]!.name, () => subjects[i]!.run(sequences));
      for (const { index, ...found } of comparison.compare(cases, expected, actual))
        if (options.isExpected?.(found.sequence, found.expected, found.actual) === true) expectedCount++;
        else differing.add(index);
    }
    done += length;
    for (const index of [...differing].slice(0, maxFailures - failures.length))
      failures.push(describeSmall(comparisons, cases[index]!, options.isExpected));
    progress(done, failures.length);
  }
  const costUs = new Map([...clock.spentMs].map(([name, ms]) => [name, (1000 * ms) / done]));
  const unconfirmed = comparisons.reduce((sum, comparison) => sum + comparison.unconfirmed, 0);
  return { count: done, failures, unconfirmed, expected: expectedCount, costUs };
}

/** The case made as small as it may be while one of the subjects, the same all the time, disagrees; and what all say of it. */
function describeSmall(
  comparisons: readonly Comparison[],
  { sequence, undefinedFlags }: RandomCase,
  isExpected: CampaignOptions['isExpected'] = () => false,
): string {
  const differs = (comparison: Comparison, candidate: Sequence): boolean => {
    const found = comparison.runOne(candidate, undefinedFlags);
    return found !== undefined && !isExpected(candidate, found.expected, found.actual);
  };
  const first = comparisons.find((comparison) => differs(comparison, sequence));
  if (first === undefined) return `${formatCase(sequence)}# not every time\n`;
  const small = minimize(sequence, (candidate) => differs(first, candidate));
  const lines = comparisons.flatMap((comparison) => comparison.runOne(small, undefinedFlags)?.lines ?? []);
  return formatCase(small) + lines.map((line) => `# ${line}\n`).join('');
}
