// CPU time of the same programs on the host's CPU, under QEMU's user-mode emulator and under `hypertick run`, run by run
// in alternation. Prints a Markdown table of medians; bench/README.md says how to read it and keeps results.
//
// usage: npm exec -- node bench/functional.ts [RUNS] [--cpu MODEL] [--only NAME]… [--no-qemu] [--work PERCENT]

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installInto } from '../tools/pack.ts';
import { hypertick, NATIVE, type Peer, QEMU, Stopwatch } from './functional/peers.ts';
import { type Program, programsIn } from './functional/programs.ts';
import { geometricMean, median, ROOT, tableLine } from './measure.ts';

/** Stays, so that the programs are at hand for a profiler. */
const DIRECTORY = join(ROOT, 'out', 'bench-functional');

/** A start-up is short: more runs of it cost little. */
const START_UP_FACTOR = 3;

/** Of one program, by peer: the median of its CPU seconds, or what went wrong. */
type Result = number | string;

interface Options {
  readonly runs: number;
  readonly peers: readonly Peer[];
  readonly programs: readonly Program[];
}

async function optionsFrom(args: readonly string[]): Promise<Options> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      cpu: { type: 'string', default: 'functional' },
      only: { type: 'string', multiple: true, default: [] },
      'no-qemu': { type: 'boolean', default: false },
      work: { type: 'string', default: '100' },
    },
    allowPositionals: true,
  });
  const all = programsIn(DIRECTORY, positive(values.work, '--work'));
  const unknown = values.only.find((name) => !all.some((program) => program.name === name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: one of ${all.map(({ name }) => name).join(', ')}`);
  if (!values['no-qemu'] && spawnSync(QEMU.prefix[0]!, ['--version']).status !== 0)
    throw new Error(`${QEMU.prefix[0]} does not run: install Debian's qemu-user, or give --no-qemu`);
  const command = await installInto(join(DIRECTORY, 'package'));
  return {
    runs: positive(positionals[0] ?? '3', 'RUNS'),
    peers: [NATIVE, ...(values['no-qemu'] ? [] : [QEMU]), hypertick(command, values.cpu)],
    programs: all.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
  };
}

function positive(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number <= 0)
    throw new Error(`${name}: '${text}' is not a positive integer`);
  return number;
}

/** Runs `program` under each of the peers in turn; one that fails is not run again. The first says what to print. */
function compare(stopwatch: Stopwatch, { command }: Program, peers: readonly Peer[], runs: number): Result[] {
  const cpuSeconds = peers.map((): number[] => []);
  const problems = peers.map((): string | undefined => undefined);
  let expected: string | undefined;
  for (let i = 0; i < runs; i++) {
    for (const [index, peer] of peers.entries()) {
      if (problems[index] !== undefined) continue;
      const run = stopwatch.run(peer, command);
      if (typeof run === 'string') {
        problems[index] = run;
        continue;
      }
      expected ??= run.sha256;
      if (run.sha256 === expected) cpuSeconds[index]!.push(run.cpuSeconds);
      else problems[index] = 'prints something else';
    }
  }
  return problems.map((problem, index) => problem ?? median(cpuSeconds[index]!));
}

/** A program's line: native CPU seconds, and how many times as many the others take. */
function programLine(name: string, [native = 'not run', ...others]: readonly Result[]): string {
  const cells = others.map((result) => {
    if (typeof result === 'string') return result;
    return typeof native === 'string' ? `${result.toFixed(3)} s` : (result / native).toFixed(2);
  });
  return tableLine([name, typeof native === 'string' ? native : native.toFixed(3), ...cells]);
}

/** Prints the geometric means over those programs that all peers have run, if there are several. */
function printMeans(what: string, results: readonly (readonly Result[])[]): void {
  const complete = results.filter((row): row is number[] => row.every((cell) => typeof cell === 'number'));
  const [first, second] = complete;
  if (first === undefined || second === undefined) return;
  const cells = first
    .slice(1)
    .map((_, index) => geometricMean(complete.map((row) => row[index + 1]! / row[0]!)).toFixed(2));
  console.log(tableLine([`geometric mean: ${complete.length} ${what}`, '', ...cells]));
}

/** @returns whether all programs ran and printed what they should */
function main({ runs, peers, programs }: Options): boolean {
  mkdirSync(DIRECTORY, { recursive: true });
  const stopwatch = new Stopwatch(DIRECTORY);
  const results: { program: Program; row: Result[] }[] = [];
  console.log(tableLine(['program', 'native s', ...peers.slice(1).map(({ name }) => `${name} ×`)]));
  console.log(tableLine(['---', ...peers.map(() => '--:')]));
  for (const program of programs) {
    program.prepare();
    const factor = program.kind === 'start-up' ? START_UP_FACTOR : 1;
    const row = compare(stopwatch, program, peers, runs * factor);
    results.push({ program, row });
    console.log(programLine(program.name, row));
  }
  const rowsOf = (...kinds: Program['kind'][]) =>
    results.filter(({ program }) => kinds.includes(program.kind)).map(({ row }) => row);
  printMeans('programs in C', rowsOf('C'));
  printMeans('in C and of the system', rowsOf('C', 'system'));
  return results.every(({ row }) => row.every((cell) => typeof cell === 'number'));
}

if (!main(await optionsFrom(process.argv.slice(2)))) process.exitCode = 1;
