// Every program of the conformance tests on the functional CPU, and with it and a KVM CPU taking turns: whether each run gives
// the bytes and the exit status of a native one. Prints a table. `--help` says more.

import { AssertionError } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeOptions, flag, integer, parseOptions, text, value } from '../src/cli/options.ts';
import { assertSameAsNative } from '../tests/support/compare.ts';
import { notInstalled } from '../tests/support/hypertick.ts';
import {
  busyboxPrograms,
  debianPrograms,
  demoProgram,
  GUESTS_BUILD,
  GUESTS_NEED,
  guest,
  guestPrograms,
  HELD_TO_V2,
  type Program,
  wildPrograms,
} from '../tests/support/programs.ts';

const WANTED_SWITCHES = 1000;
/** Aimed at, since turns are random. */
const AIM = 1300;
/** One per cycle of 3 GHz. */
const INSTRUCTIONS_PER_US = 3000;
/** Fewer are not worth a run. */
const FEW_SWITCHES = 20;
/** A larger share of one CPU proves little of the other. */
const MOST_OF_ALL = 0.75;
/** Attempts to come to WANTED_SWITCHES with shorter turns, or to that share with longer ones of the KVM CPU. */
const ATTEMPTS = 4;

const us = integer(1n, 1_000_000n);
const OPTIONS = {
  bytes: value(
    'N',
    'size of what is sorted, hashed and compressed; default 1000000',
    integer(1000n, 10n ** 9n),
    1_000_000n,
  ),
  shortest: value('US', "of the functional CPU's turns on average, in simulated us; default 2", us, 2n),
  entry: value(
    'US',
    'of host time to enter the guest: turns of the KVM CPU are longer by it; default 26',
    us,
    26n,
  ),
  turns: value(
    'TURNS',
    'one run of each program, with these turns (of --switch-every), and none of one CPU alone: where starting takes long',
    text,
    undefined,
  ),
  'as-is': flag('do not hold programs to x86-64-v2: for a KVM that obeys the CPUID that it is given'),
  help: flag('print this text'),
};
type Options = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

const USAGE = `usage: node tools/cpu-matrix.ts [options] [WORD…]

Runs the programs of the conformance tests whose names contain one of the words, or all, on both CPUs in turns and natively.
Means of the turns are such that there are ${WANTED_SWITCHES} switches, or the shortest; where these are fewer, the CPUs take
turns at each system call as well.

${describeOptions(OPTIONS)}`;

interface Outcome {
  readonly verdict: string;
  readonly stats: string;
}

/** Runs a program on these CPUs and natively, and reads the statistics of the run. */
function compare({ argv, how }: Program, cpu: readonly string[], isHeld: boolean): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'cpu-matrix-'));
  const cleanUps: (() => unknown)[] = [];
  const t = { after: (cleanUp?: unknown) => void cleanUps.push(cleanUp as () => unknown) };
  const env = { ...how.env, ...(isHeld ? HELD_TO_V2 : {}) };
  let verdict = 'identical';
  try {
    assertSameAsNative(t, argv, { ...how, env, cpu, options: ['--outdir', directory] });
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    verdict = `DIFFERS: ${error.message}`;
  } finally {
    for (const cleanUp of cleanUps) cleanUp();
  }
  const stats = readFileSync(join(directory, 'stats.txt'), 'latin1');
  rmSync(directory, { recursive: true });
  return { verdict, stats };
}

function statistic(stats: string, name: string): number {
  const line = stats.split('\n').find((row) => row.startsWith(`${name} `));
  return Number(line?.split(/\s+/)[1] ?? Number.NaN);
}

const instructions = ({ stats }: Outcome): number => statistic(stats, 'system.cpu.commitStats0.numInsts');

const switches = ({ stats }: Outcome): number => statistic(stats, 'system.switcher.numSwitches');

/** The outcome of a run in turns, and how often they were taken. */
interface InTurns extends Outcome {
  readonly every: string;
}

/**
 * Turns of such means that there are enough switches and both CPUs execute their share, as far as the shortest turns allow;
 * undefined if the program is too short for any.
 */
function atTimes(program: Program, total: number, options: Options): InTurns | undefined {
  const shortestUs = Number(options.shortest);
  let entryUs = Number(options.entry);
  let us = total / INSTRUCTIONS_PER_US / AIM;
  if (total / INSTRUCTIONS_PER_US / entryUs < FEW_SWITCHES) return undefined;
  let best: InTurns | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    us = Math.max(us, shortestUs);
    const ns = Math.round(1000 * us);
    const every = `${ns}ns,${ns + Math.round(1000 * entryUs)}ns`;
    const outcome = { ...compare(program, ['--switch-every', every], !options['as-is']), every };
    if (outcome.verdict !== 'identical') return outcome;
    const count = switches(outcome);
    if (best === undefined || count >= WANTED_SWITCHES) best = outcome;
    if (count < WANTED_SWITCHES && us > shortestUs) us *= (0.8 * count) / WANTED_SWITCHES;
    else if (count > WANTED_SWITCHES && instructions(outcome) > MOST_OF_ALL * total) entryUs *= 2;
    else break;
  }
  return best;
}

/** True if no run differs. */
function tryOut(program: Program, options: Options): boolean {
  const isHeld = !options['as-is'];
  const { turns } = options;
  if (turns !== undefined) {
    const run = { ...compare(program, ['--switch-every', turns], isHeld), every: turns };
    report(program, Number.NaN, '', run);
    return run.verdict === 'identical';
  }
  const alone = compare(program, ['--cpu', 'functional'], isHeld);
  const total = instructions(alone);
  const runs: InTurns[] = [];
  const timed = atTimes(program, total, options);
  if (timed !== undefined) runs.push(timed);
  if (timed === undefined || switches(timed) < WANTED_SWITCHES)
    runs.push({ ...compare(program, ['--switch-every', 'syscall'], isHeld), every: 'syscall' });
  for (const run of runs) report(program, total, alone.verdict, run);
  return [alone, ...runs].every(({ verdict }) => verdict === 'identical');
}

/** A row of the table. @param total instructions of the program, NaN if they are not known */
function report(program: Program, total: number, alone: string, inTurns: InTurns): void {
  const { every, verdict, stats } = inTurns;
  const isKnown = !Number.isNaN(total);
  const own = instructions(inTurns);
  const share = isKnown ? `${total === 0 ? 0 : ((100 * own) / total).toFixed(0)} %` : own;
  const count = switches(inTurns);
  const ms = (name: string, of: number): string =>
    count === 0 ? '' : ((1000 * statistic(stats, `system.switcher.${name}`)) / of).toFixed(2);
  const costs = [ms('hostSeconds', count), ms('longestSeconds', 1)];
  console.log(
    `| ${[program.name, isKnown ? total : '', alone, every, count, verdict, share, ...costs].join(' | ')} |`,
  );
}

function main(): number {
  const { values: options, operands: words } = parseOptions(OPTIONS, process.argv.slice(2));
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  // The rig has no compiler, and brings what has been built.
  const guests = notInstalled(guest('args')) === false || notInstalled(...GUESTS_NEED) === false;
  if (notInstalled(...GUESTS_NEED) === false) execFileSync(GUESTS_BUILD, { stdio: 'inherit' });
  const programs = [
    ...busyboxPrograms(),
    ...debianPrograms(Number(options.bytes)),
    ...(guests ? [...guestPrograms(), ...wildPrograms()] : []),
    demoProgram(),
  ]
    .filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
    .filter(({ argv }) => notInstalled(argv[0]) === false);
  console.log(
    '| program | instructions | functional | turns | switches | in turns | by the functional CPU | ms per switch | longest |',
  );
  console.log('| --- | ---: | --- | ---: | ---: | --- | ---: | ---: | ---: |');
  const failed = programs.filter((program) => !tryOut(program, options));
  for (const { name } of failed) console.log(`failed: ${name}`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = main();
