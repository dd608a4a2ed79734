// Runs the test suites one after the other, each in a process of its own, and ends with one line that sums them
// up. `npm test` runs all; `npm test -- unit kvm` some; `npm test -- tests/unit/sim` the files below a path.
// A suite's tests share a process (--test-isolation=none): starting one per file would cost more than the tests.

import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tally } from './test-reporter.ts';

const ROOT = join(import.meta.dirname, '..');

/** Suites in the order in which they run, cheapest first. */
const SUITES: Readonly<Record<string, string>> = {
  unit: 'tests/unit/**/*.test.ts',
  silicon: 'tests/silicon/**/*.test.ts',
  kvm: 'tests/kvm/*.test.ts',
  cli: 'tests/cli/*.test.ts',
  conformance: 'tests/conformance/*.test.ts',
  pack: 'tests/pack/*.test.ts',
};

/** The files to run by suite, as the arguments choose them. */
function choose(wanted: readonly string[]): [suite: string, files: string[]][] {
  const isWanted = (suite: string, file: string): boolean =>
    wanted.length === 0 ||
    wanted.some((word) => word === suite || file.startsWith(word.replace(/^\.\//, '')));
  return Object.entries(SUITES).map(([suite, pattern]) => [
    suite,
    globSync(pattern, { cwd: ROOT })
      .filter((file) => isWanted(suite, file))
      .sort(),
  ]);
}

function runSuite(suite: string, files: readonly string[], scratch: string): Tally {
  const tallyFile = join(scratch, `${suite}.json`);
  const reporter = join(import.meta.dirname, 'test-reporter.ts');
  const { status, signal } = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--test',
      '--test-isolation=none',
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
      ...files,
    ],
    { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, TEST_TALLY: tallyFile } },
  );
  const tally = readTally(tallyFile);
  if (status !== 0 && tally.failed === 0) {
    tally.failed = 1;
    console.log(`FAILED ${suite}: the test process ended by ${signal ?? `status ${status}`}`);
  }
  return tally;
}

/** A test process that died has written no tally. */
function readTally(file: string): Tally {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Tally;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { passed: 0, failed: 0, skipped: [] };
  }
}

const scratch = mkdtempSync(join(tmpdir(), 'hypertick-test-'));
const total: Tally = { passed: 0, failed: 0, skipped: [] };
for (const [suite, files] of choose(process.argv.slice(2))) {
  if (files.length === 0) continue;
  const start = performance.now();
  console.log(`# ${suite}: ${files.length} files`);
  const { passed, failed, skipped } = runSuite(suite, files, scratch);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`# ${suite}: ${passed} passed, ${failed} failed, ${skipped.length} skipped in ${seconds} s\n`);
  total.passed += passed;
  total.failed += failed;
  total.skipped.push(...skipped);
}
rmSync(scratch, { recursive: true });

const reasons = Map.groupBy(total.skipped, ({ reason }) => reason);
for (const [reason, tests] of reasons) console.log(`skipped ${tests.length}: ${reason}`);
if (total.passed + total.failed === 0)
  console.log('no test file matches; name a suite or a path below tests/');
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped.length} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
