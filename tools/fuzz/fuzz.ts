// `npm run fuzz`: random cases on the functional CPU, and on the host's processor under KVM or on the oracle. docs/fuzzing.md.

import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { INSTRUCTIONS } from '../../src/arch/x86/isa/instructions.ts';
import { type CampaignOptions, runCampaign } from './campaign.ts';
import { Coverage } from './coverage.ts';
import { describeDifference } from './difference.ts';
import type { Executor } from './executor.ts';
import { FunctionalExecutor } from './functional-executor.ts';
import { randomBytesSource } from './random-bytes.ts';
import { defaultReference, openReference, REFERENCES, type Reference } from './reference.ts';
import { allVariants, rowSource, type Variant, variantsOf } from './row-source.ts';
import { formatCase, parseCases, SequenceTextError } from './sequence-text.ts';

const HELP = `usage: npm run fuzz -- [options]

  --seed N            of all that is random (1)
  --count N           cases (20000)
  --reference NAME    what they are compared with: kvm, the host's processor; or oracle, which computes what the definitions of
                      instructions say without generating code (kvm on an AMD Zen 4, else oracle)
  --engine NAME       interpreter, translator, both, or kvm: KVM against itself, the last case first (both)
  --only NAME,...     these instructions only, by their mnemonics, also those that are left out otherwise
  --random-bytes      bytes without meaning instead of instructions
  --instructions N    in a case, at most (4)
  --failures N        stop after so many disagreements (10)
  --coverage          print how often each variant of each encoding was generated
  --replay FILE       run the cases of a file instead
  --help

Exit status: 0, 1 if something disagrees, 2 for bad arguments.
`;

const ENGINES = ['interpreter', 'translator', 'both', 'kvm'];

/** Arguments that mean nothing. */
class UsageError extends Error {}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '20000' },
      engine: { type: 'string', default: 'both' },
      reference: { type: 'string' },
      only: { type: 'string' },
      'random-bytes': { type: 'boolean', default: false },
      instructions: { type: 'string', default: '4' },
      failures: { type: 'string', default: '10' },
      coverage: { type: 'boolean', default: false },
      replay: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (!ENGINES.includes(values.engine))
    throw new UsageError(`--engine ${values.engine}: one of ${ENGINES.join(', ')}`);
  return {
    ...values,
    reference: chosenReference(values.reference, values.engine),
    randomBytes: values['random-bytes'],
    seed: wholeNumber('seed', values.seed, 0),
    count: wholeNumber('count', values.count, 1),
    instructions: wholeNumber('instructions', values.instructions, 1),
    failures: wholeNumber('failures', values.failures, 1),
  };
}

type Options = ReturnType<typeof parseOptions>;

function chosenReference(given: string | undefined, engine: string) {
  const name = given ?? (engine === 'kvm' ? 'kvm' : defaultReference());
  const known = REFERENCES.find((reference) => reference === name);
  if (known === undefined) throw new UsageError(`--reference ${name}: one of ${REFERENCES.join(', ')}`);
  if (known === 'kvm' && !existsSync('/dev/kvm'))
    throw new UsageError('no /dev/kvm on this host: --reference oracle needs none');
  if (known === 'oracle' && engine === 'kvm')
    throw new UsageError('--engine kvm: KVM is compared with itself, not with --reference oracle');
  return known;
}

function wholeNumber(name: string, text: string, least: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number < 2 ** 32) return number;
  throw new UsageError(`--${name} ${text}: not a whole number from ${least} to 2^32 − 1`);
}

/** The variants to draw from: all, or those of named instructions. */
function chosenVariants(only: string | undefined): Variant[] {
  if (only === undefined) return allVariants();
  const wanted = only.toUpperCase().split(',');
  const unknown = wanted.find((name) => INSTRUCTIONS.every(({ mnemonic }) => mnemonic !== name));
  if (unknown !== undefined) throw new UsageError(`--only: no instruction is called ${unknown}`);
  return INSTRUCTIONS.filter(({ mnemonic }) => wanted.includes(mnemonic))
    .flatMap(({ forms }) => forms)
    .filter(({ in64 }) => in64)
    .flatMap((form) => variantsOf(form));
}

/** The same executor, last case first. */
const reversed = (executor: Executor): Executor => ({
  name: `${executor.name} again`,
  tolerance: executor.tolerance,
  run: (cases) => executor.run(cases.toReversed()).reverse(),
  close: () => {},
});

function subjectsOf({ engine }: Options, { executor, subjects }: Reference): Executor[] {
  if (engine === 'kvm') return [reversed(executor)];
  const names = engine === 'both' ? ['interpreter', 'translator'] : [engine];
  return names.map(
    (name) => new FunctionalExecutor({ ...subjects, translate: name === 'translator' ? 'always' : 'never' }),
  );
}

/** Random cases. @returns how many disagreements */
function fuzz(options: Options, reference: Reference): number {
  const variants = chosenVariants(options.only);
  const coverage = new Coverage(variants);
  const campaign: CampaignOptions = {
    seed: options.seed,
    count: options.count,
    maxFailures: options.failures,
    maxInstructions: options.instructions,
    source: options.randomBytes ? randomBytesSource : rowSource(variants, coverage),
    isExpected: reference.isExpected,
    progress: (done, found) => {
      process.stderr.write(`\r${done} of ${options.count} cases, ${found} disagreements `);
    },
  };
  const { count, failures, unconfirmed, expected, costUs } = runCampaign(
    reference.executor,
    subjectsOf(options, reference),
    campaign,
  );
  process.stderr.write('\n');
  for (const failure of failures) console.log(failure);
  if (options.coverage) console.log(coverage.report());
  console.log(
    `${count} cases of seed ${options.seed}: ${failures.length} disagreements with ${reference.executor.name}, ` +
      `${expected} at what is not simulated, ${unconfirmed} seen once only`,
  );
  console.log([...costUs].map(([name, us]) => `${name} ${us.toFixed(1)} µs`).join(', '));
  return failures.length;
}

/** Runs the cases of a file; prints what comes of them. @returns how many do not come out as recorded, or not on all alike */
function replay(options: Options, reference: Reference, file: string): number {
  const { executor } = reference;
  const recorded = parseCases(readFileSync(file, 'utf8'));
  const sequences = recorded.map(({ sequence }) => sequence);
  const real = executor.run(sequences);
  const subjects = subjectsOf(options, reference);
  const actual = subjects.map((subject) => subject.run(sequences));
  let differing = 0;
  for (const [i, { sequence, outcome }] of recorded.entries()) {
    console.log(formatCase(sequence, real[i]));
    const lines = actual.flatMap((outcomes, n) =>
      describeDifference(real[i]!, outcomes[i]!, [executor.name, subjects[n]!.name], executor.tolerance),
    );
    if (outcome !== undefined)
      lines.push(...describeDifference(outcome, real[i]!, ['recorded', executor.name], executor.tolerance));
    for (const line of lines) console.log(`# ${line}`);
    if (lines.length > 0) differing++;
  }
  return differing;
}

function main(): number {
  const options = parseOptions();
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const reference = openReference(options.reference);
  try {
    const found =
      options.replay === undefined ? fuzz(options, reference) : replay(options, reference, options.replay);
    return found === 0 ? 0 : 1;
  } finally {
    reference.executor.close();
  }
}

/** Whether somebody can do something about it who gives other arguments. */
function isUsers(error: unknown): error is Error {
  const { code = '' } = error as NodeJS.ErrnoException;
  return (
    error instanceof UsageError ||
    error instanceof SequenceTextError ||
    code.startsWith('ERR_PARSE_ARGS') ||
    code === 'ENOENT'
  );
}

try {
  process.exitCode = main();
} catch (error) {
  if (!isUsers(error)) throw error;
  console.error(`fuzz: ${error.message.split('\n')[0]} (--help says more)`);
  process.exitCode = 2;
}
