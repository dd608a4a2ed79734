// `node tools/fuzz/main.ts`: random cases on the host's processor through KVM, each twice, in other company the second time. They
// must come out the same; how they end and what they cost is printed. With `--replay FILE`, cases of a file instead.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Random } from '../../tests/support/random.ts';
import { describeDifference, describeEnding, sameOutcome } from './difference.ts';
import type { Executor } from './executor.ts';
import { KvmExecutor } from './kvm-executor.ts';
import { randomSequence } from './random-sequence.ts';
import type { Sequence } from './sequence.ts';
import { formatCase, parseCases } from './sequence-text.ts';

/** Cases that are made and run at a time. */
const ROUND = 4096;

/** Runs random cases twice. @returns how many came out differently */
function compareWithItself(executor: Executor, seed: number, count: number): number {
  const random = new Random(seed);
  const endings = new Map<string, number>();
  let differing = 0;
  let runMs = 0;
  for (let done = 0; done < count; done += ROUND) {
    const cases = Array.from(
      { length: Math.min(ROUND, count - done) },
      () => randomSequence(random).sequence,
    );
    const start = performance.now();
    const outcomes = executor.run(cases);
    runMs += performance.now() - start;
    const again = executor.run(cases.toReversed()).reverse();
    for (const [i, outcome] of outcomes.entries()) {
      const { ending } = outcome;
      const kind = ending.kind === 'exception' ? describeEnding({ ...ending, address: 0n }) : ending.kind;
      endings.set(kind, (endings.get(kind) ?? 0) + 1);
      if (sameOutcome(outcome, again[i]!, executor.tolerance)) continue;
      differing++;
      const lines = describeDifference(outcome, again[i]!, ['once', 'again'], executor.tolerance);
      console.log(`${formatCase(cases[i]!)}${lines.map((line) => `# ${line}\n`).join('')}`);
    }
  }
  for (const [kind, number] of [...endings].sort((a, b) => b[1] - a[1])) console.log(`${number} ${kind}`);
  const each = ((runMs * 1000) / count).toFixed(1);
  console.log(
    `${count} cases of seed ${seed}, ${differing} not the same twice, ${each} µs each on ${executor.name}`,
  );
  return differing;
}

/** Runs the cases of a file. @returns how many came out differently from what the file says */
function replay(executor: Executor, file: string): number {
  const recorded = parseCases(readFileSync(file, 'utf8'));
  const sequences: Sequence[] = recorded.map(({ sequence }) => sequence);
  let differing = 0;
  for (const [i, outcome] of executor.run(sequences).entries()) {
    const { sequence, outcome: expected } = recorded[i]!;
    console.log(formatCase(sequence, outcome));
    if (expected === undefined || sameOutcome(expected, outcome, executor.tolerance)) continue;
    differing++;
    for (const line of describeDifference(expected, outcome, ['recorded', executor.name], executor.tolerance))
      console.log(`# ${line}`);
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
