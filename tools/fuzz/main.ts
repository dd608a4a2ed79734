// `node tools/fuzz/main.ts`: random cases on the host's processor through KVM, each twice, in other company the second time. They
// must come out the same; how they end and what they cost is printed. With `--replay FILE`, cases of a file instead.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Random } from '../../tests/support/random.ts';
import { describeDifference, describeEnding, sameOutcome } from './difference.ts';
import { Comparison } from './disagreement.ts';
import type { Executor } from './executor.ts';
import { KvmExecutor } from './kvm-executor.ts';
import { randomSequence } from './random-sequence.ts';
import type { Ending, Outcome, Sequence } from './sequence.ts';
import { formatCase, parseCases } from './sequence-text.ts';
import { StateSource } from './user-state.ts';

/** Cases that are made and run at a time: few enough to be garbage while they are young. */
const ROUND = 512;

/** Passes cases on, counts how they end and how long that takes. */
class Counting implements Executor {
  readonly name: string;
  readonly tolerance: Executor['tolerance'];
  readonly endings = new Map<string, number>();
  count = 0;
  spentMs = 0;
  readonly #executor: Executor;

  constructor(executor: Executor) {
    this.#executor = executor;
    this.name = executor.name;
    this.tolerance = executor.tolerance;
  }

  run(cases: readonly Sequence[]): Outcome[] {
    const start = performance.now();
    const outcomes = this.#executor.run(cases);
    this.spentMs += performance.now() - start;
    this.count += cases.length;
    for (const { ending } of outcomes) {
      const kind = kindOf(ending);
      this.endings.set(kind, (this.endings.get(kind) ?? 0) + 1);
    }
    return outcomes;
  }

  close(): void {}
}

/** Leaves out what is another one each time: addresses, and error codes that are selectors. */
function kindOf(ending: Ending): string {
  if (ending.kind !== 'exception') return ending.kind;
  const errorCode = ending.errorCode < 0x20 ? ending.errorCode : 0x20;
  return describeEnding({ ...ending, errorCode, address: 0n }).replace(/, address.*/, '');
}

/** The same executor, last case first. */
const reversed = (executor: Executor): Executor => ({
  name: `${executor.name} again`,
  tolerance: executor.tolerance,
  run: (cases) => executor.run(cases.toReversed()).reverse(),
  close: () => {},
});

/** Runs random cases twice. @returns how many came out differently */
function compareWithItself(executor: Executor, seed: number, count: number): number {
  const random = new Random(seed);
  const states = new StateSource();
  const counting = new Counting(executor);
  const comparison = new Comparison(counting, reversed(executor));
  let differing = 0;
  for (let done = 0; done < count; done += ROUND) {
    const length = Math.min(ROUND, count - done);
    const cases = Array.from({ length }, () => randomSequence(random, { states }).sequence);
    for (const { sequence, lines } of comparison.run(cases)) {
      differing++;
      console.log(`${formatCase(sequence)}${lines.map((line) => `# ${line}\n`).join('')}`);
    }
  }
  for (const [kind, number] of [...counting.endings].sort((a, b) => b[1] - a[1]))
    console.log(`${number} ${kind}`);
  const each = ((counting.spentMs * 1000) / counting.count).toFixed(1);
  const unconfirmed = `${comparison.unconfirmed} once only`;
  console.log(
    `${count} cases of seed ${seed}, ${differing} not the same twice, ${unconfirmed}; ${each} µs each`,
  );
  return differing;
}

/** Runs the cases of a file. @returns how many came out differently from what the file says */
function replay(executor: Executor, file: string): number {
  const recorded = parseCases(readFileSync(file, 'utf8'));
  const outcomes = executor.run(recorded.map(({ sequence }) => sequence));
  let differing = 0;
  for (const [i, outcome] of outcomes.entries()) {
    const { sequence, outcome: expected } = recorded[i]!;
    console.log(formatCase(sequence, outcome));
    if (expected === undefined || sameOutcome(expected, outcome, executor.tolerance)) continue;
    differing++;
    const lines = describeDifference(expected, outcome, ['recorded', executor.name], executor.tolerance);
    for (const line of lines) console.log(`# ${line}`);
  }
  return differing;
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100000' },
    replay: { type: 'string' },
  },
});
const executor = new KvmExecutor();
try {
  const differing =
    values.replay === undefined
      ? compareWithItself(executor, Number(values.seed), Number(values.count))
      : replay(executor, values.replay);
  process.exitCode = differing === 0 ? 0 : 1;
} finally {
  executor.close();
}
