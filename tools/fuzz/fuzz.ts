// `npm run fuzz`: random cases on the functional CPU, and on the host's processor under KVM or on the oracle. docs/fuzzing.md.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { INSTRUCTIONS } from '../../src/arch/x86/isa/instructions.ts';
import { describeDifference } from './difference.ts';
import type { Executor } from './executor.ts';
import { runJobs } from './jobs.ts';
import { ENGINES, type EngineName, type Plan, subjectsOf } from './plan.ts';
import { defaultReference, openReference, REFERENCES, type ReferenceName } from './reference.ts';
import type { Outcome } from './sequence.ts';
import { formatCase, parseCases, SequenceTextError } from './sequence-text.ts';

const HELP = `usage: npm run fuzz -- [options]

  --seed N            of all that is random (1)
  --count N           cases (20000)
  --jobs N            processes that share them: the cases are the same (one per processor)
  --reference NAME    what they are compared with: kvm, the host's processor; or oracle, which computes what the definitions of
                      instructions say without generating code (kvm on an AMD Zen 4, else oracle)
  --engine NAME       interpreter, translator, both, or kvm: KVM against itself, the last case first (both)
  --only NAME,...     these instructions only, by their mnemonics, also those that are left out otherwise
  --random-bytes      bytes without meaning instead of instructions
  --instructions N    in a case, at most (4)
  --failures N        stop after so many disagreements (10)
  --coverage          say how often the variants of the encodings have been compared
  --coverage-file FILE  the same as a table, one line for each variant, separated by tabs
  --replay FILE       run the cases of a file instead
  --help

Exit status: 0, 1 if something disagrees, 2 for bad arguments.
`;

const MAX_JOBS = 256;

/** Arguments that mean nothing. */
class UsageError extends Error {}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '20000' },
      jobs: { type: 'string', default: `${availableParallelism()}` },
      engine: { type: 'string', default: 'both' },
      reference: { type: 'string' },
      only: { type: 'string' },
      'random-bytes': { type: 'boolean', default: false },
      instructions: { type: 'string', default: '4' },
      failures: { type: 'string', default: '10' },
      coverage: { type: 'boolean', default: false },
      'coverage-file': { type: 'string' },
      replay: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const engine = ENGINES.find((name) => name === values.engine);
  if (engine === undefined) throw new UsageError(`--engine ${values.engine}: one of ${ENGINES.join(', ')}`);
  const plan: Plan = {
    seed: wholeNumber('seed', values.seed, 0),
    count: wholeNumber('count', values.count, 1),
    engine,
    reference: chosenReference(values.reference, engine),
    only: mnemonics(values.only),
    randomBytes: values['random-bytes'],
    instructions: wholeNumber('instructions', values.instructions, 1),
    failures: wholeNumber('failures', values.failures, 1),
  };
  return {
    plan,
    jobs: wholeNumber('jobs', values.jobs, 1, MAX_JOBS),
    coverage: values.coverage,
    coverageFile: values['coverage-file'],
    replay: values.replay,
    help: values.help,
  };
}

type Options = ReturnType<typeof parseOptions>;

function chosenReference(given: string | undefined, engine: EngineName): ReferenceName {
  const name = given ?? (engine === 'kvm' ? 'kvm' : defaultReference());
  const known = REFERENCES.find((reference) => reference === name);
  if (known === undefined) throw new UsageError(`--reference ${name}: one of ${REFERENCES.join(', ')}`);
  if (known === 'kvm' && !existsSync('/dev/kvm'))
    throw new UsageError('no /dev/kvm on this host: --reference oracle needs none');
  if (known === 'oracle' && engine === 'kvm')
    throw new UsageError('--engine kvm: KVM is compared with itself, not with --reference oracle');
  return known;
}

function wholeNumber(name: string, text: string, least: number, most = 2 ** 32 - 1): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new UsageError(`--${name} ${text}: not a whole number from ${least} to ${most}`);
}

function mnemonics(only: string | undefined): string[] | undefined {
  const wanted = only?.toUpperCase().split(',');
  const unknown = wanted?.find((name) => INSTRUCTIONS.every(({ mnemonic }) => mnemonic !== name));
  if (unknown !== undefined) throw new UsageError(`--only: no instruction is called ${unknown}`);
  return wanted;
}

/** Tells on standard error how a campaign goes: on a terminal all the time, else now and then. */
class ProgressLine {
  readonly #count: number;
  readonly #isTerminal = process.stderr.isTTY;
  readonly #start = performance.now();
  #last = Number.NEGATIVE_INFINITY;
  #done = 0;
  found = 0;

  constructor(count: number) {
    this.#count = count;
  }

  add(cases: number): void {
    this.#done += cases;
    const now = performance.now();
    if (now - this.#last < (this.#isTerminal ? 200 : 60_000) && this.#done < this.#count) return;
    this.#last = now;
    const seconds = (now - this.#start) / 1000;
    const rate = this.#done / seconds;
    const left = (this.#count - this.#done) / rate;
    const line =
      `${this.#done} of ${this.#count} cases, ${Math.round(rate)}/s, ` +
      `${this.found} disagreements, ${Math.round(left)} s left`;
    process.stderr.write(this.#isTerminal ? `\r${line} ` : `${line}\n`);
  }

  /** The next line of standard output is not to stand behind it. */
  clear(): void {
    if (this.#isTerminal) process.stderr.write('\r\x1b[K');
  }
}

/** Random cases. @returns how many disagreements */
async function fuzz({ plan, jobs, coverage: shows, coverageFile }: Options): Promise<number> {
  // That it cannot be written is to be known before the cases have been run.
  if (coverageFile !== undefined) writeFileSync(coverageFile, '');
  const line = new ProgressLine(plan.count);
  const start = performance.now();
  const result = await runJobs(plan, jobs, {
    progress: (cases) => line.add(cases),
    found: (failure) => {
      line.found++;
      line.clear();
      console.log(failure);
    },
  });
  line.clear();
  const seconds = (performance.now() - start) / 1000;
  const { count, failures, expected, unconfirmed, coverage, spentMs } = result;
  if (coverageFile !== undefined) writeFileSync(coverageFile, coverage.table());
  if (shows) console.log(coverage.summary());
  console.log(
    `${count} cases of seed ${plan.seed} in ${seconds.toFixed(0)} s: ${failures.length} disagreements with ` +
      `${plan.reference}, ${expected} at what cannot be compared, ${unconfirmed} seen once only`,
  );
  const costs = Object.entries(spentMs).map(([name, ms]) => `${name} ${((1000 * ms) / count).toFixed(1)} µs`);
  console.log(`for each case: ${costs.join(', ')}`);
  return failures.length;
}

/**
 * Runs the cases of a file, each alone; prints what comes of them.
 * @returns how many do not come out as recorded, or not on all alike
 */
function replay(plan: Plan, file: string): number {
  const recorded = parseCases(readFileSync(file, 'utf8'));
  const sequences = recorded.map(({ sequence }) => sequence);
  const reference = openReference(plan.reference);
  const { executor } = reference;
  const outcomesOf = (runner: Executor): Outcome[] => sequences.flatMap((sequence) => runner.run([sequence]));
  const real = outcomesOf(executor);
  const subjects = subjectsOf(plan, reference);
  const actual = subjects.map(outcomesOf);
  executor.close();
  let differing = 0;
  for (const [i, { sequence, outcome }] of recorded.entries()) {
    console.log(formatCase(sequence, real[i]));
    const lines = actual.flatMap((outcomes, n) =>
      executor.excuses?.(sequence, real[i]!, outcomes[i]!) === true
        ? []
        : describeDifference(real[i]!, outcomes[i]!, [executor.name, subjects[n]!.name], executor.tolerance),
    );
    if (outcome !== undefined)
      lines.push(...describeDifference(outcome, real[i]!, ['recorded', executor.name], executor.tolerance));
    for (const line of lines) console.log(`# ${line}`);
    if (lines.length > 0) differing++;
  }
  return differing;
}

async function main(): Promise<number> {
  const options = parseOptions();
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { replay: file, plan } = options;
  const found = file === undefined ? await fuzz(options) : replay(plan, file);
  return found === 0 ? 0 : 1;
}

const FILE_TROUBLES: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EROFS']);

/** Whether somebody can do something about it who gives other arguments. */
function isUsers(error: unknown): error is Error {
  const { code = '' } = error as NodeJS.ErrnoException;
  return (
    error instanceof UsageError ||
    error instanceof SequenceTextError ||
    code.startsWith('ERR_PARSE_ARGS') ||
    FILE_TROUBLES.has(code)
  );
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!isUsers(error)) throw error;
  console.error(`fuzz: ${error.message.split('\n')[0]} (--help says more)`);
  process.exitCode = 2;
}
