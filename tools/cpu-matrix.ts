// Every program of the conformance tests on the functional CPU, and with it and a KVM CPU taking turns: whether each run gives
// the bytes and the exit status of a native one. Prints a table.
// usage: node tools/cpu-matrix.ts [WORD…]       only programs whose names contain one of the words

import { AssertionError } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertSameAsNative } from '../tests/support/compare.ts';
import { notInstalled } from '../tests/support/hypertick.ts';
import {
  busyboxPrograms,
  debianPrograms,
  demoProgram,
  GUESTS_BUILD,
  GUESTS_NEED,
  guestPrograms,
  HELD_TO_V2,
  type Program,
  wildPrograms,
} from '../tests/support/programs.ts';

const INPUT_BYTES = 1_000_000;
const SWITCHES = 1000;
/** One per cycle of 3 GHz. */
const INSTRUCTIONS_PER_US = 3000;
/** Below this mean the KVM CPU executes little: entering the guest takes tens of microseconds where nothing counts cycles. */
const SHORTEST_US = 100;
/** Fewer are not worth a run. */
const FEW_SWITCHES = 20;

interface Outcome {
  readonly verdict: string;
  readonly stats: string;
}

/** Runs a program on these CPUs and natively, and reads the statistics of the run. */
function compare({ argv, how }: Program, cpu: readonly string[]): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'cpu-matrix-'));
  const cleanUps: (() => unknown)[] = [];
  const t = { after: (cleanUp?: unknown) => void cleanUps.push(cleanUp as () => unknown) };
  const env = { ...how.env, ...HELD_TO_V2 };
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

/**
 * A mean that gives a thousand switches. Where that would be too short, every system call is a place to switch, and the
 * shortest mean is tried as well, if the program lasts long enough for some switches.
 */
function switchTimes(instructions: number): string[] {
  const us = instructions / INSTRUCTIONS_PER_US;
  if (us / SWITCHES >= SHORTEST_US) return [`${Math.floor(us / SWITCHES)}us`];
  return us / FEW_SWITCHES >= SHORTEST_US ? ['syscall', `${SHORTEST_US}us`] : ['syscall'];
}

/** True if no run differs. */
function tryOut(program: Program): boolean {
  const alone = compare(program, ['--cpu', 'functional']);
  const row = [program.name, instructions(alone), alone.verdict];
  const times = switchTimes(instructions(alone)).map((every) => {
    const inTurns = compare(program, ['--switch-every', every]);
    const switches = statistic(inTurns.stats, 'system.switcher.numSwitches');
    const ms = (1000 * statistic(inTurns.stats, 'system.switcher.hostSeconds')) / switches;
    const share = instructions(inTurns) / instructions(alone);
    const shown = [...row, every, switches, inTurns.verdict, `${(100 * share).toFixed(0)} %`];
    console.log(`| ${shown.join(' | ')} | ${ms.toFixed(2)} ms |`);
    return inTurns.verdict;
  });
  return [alone.verdict, ...times].every((verdict) => verdict === 'identical');
}

function main(words: readonly string[]): number {
  const guests = notInstalled(...GUESTS_NEED) === false;
  if (guests) execFileSync(GUESTS_BUILD, { stdio: 'inherit' });
  const programs = [
    ...busyboxPrograms(),
    ...debianPrograms(INPUT_BYTES),
    ...(guests ? [...guestPrograms(), ...wildPrograms()] : []),
    demoProgram(),
  ]
    .filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
    .filter(({ argv }) => notInstalled(argv[0]) === false);
  console.log(
    '| program | instructions | functional | switches every | switches | in turns | by the functional CPU | per switch |',
  );
  console.log('| --- | ---: | --- | ---: | ---: | --- | ---: | ---: |');
  const failed = programs.filter((program) => !tryOut(program));
  for (const { name } of failed) console.log(`failed: ${name}`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
