// Where the CPU time of a program under `hypertick run --cpu functional` goes, by category: the samples of V8's profiler, which
// sees the main thread, and what the process's other threads take besides.
//
// usage: npm exec -- node bench/profile.ts [--] PROGRAM [ARGUMENT]…      (runs in a directory of its own: give absolute paths)

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hypertick, type Peer, Stopwatch } from './functional/peers.ts';
import { ROOT, tableLine } from './measure.ts';

/** The first pattern that is part of a function's URL or name says what it is. */
const CATEGORIES: readonly (readonly [category: string, where: RegExp])[] = [
  ['translated regions', /wasm:\/\/wasm\/regions/],
  ['interpreter: handlers', /wasm:\/\/wasm\/handlers/],
  ['core: dispatch, slow paths of memory', /wasm:\/\/wasm\/core/],
  ['look-ups that miss the TLB', /cpu\/functional\/mmu\.ts/],
  [
    'exact floating point and other routines',
    /cpu\/functional\/(assists|x87|segment)|arch\/x86\/(float|softfloat|isa\/(float|simd|x87))/,
  ],
  ['system calls', /workload\/linux|src\/host/],
  [
    'translation',
    /functional\/(translator|region-|control-flow|liveness|code-table|wasm)|functional\/(flag|float|memory|state|vector)-/,
  ],
  ['decoding and records', /arch\/x86\/isa|functional\/(interpreter|record|blocks|shapes|handler|template)/],
  ['stops and the jump cache', /cpu\/functional/],
  ['garbage collection', /^\(garbage collector\)/],
  ['V8 on the main thread: compiling, loading of modules', /^\((program|root)\)|node:|^$/],
];
const OTHER = 'the rest of the simulator';
const OTHER_THREADS = 'other threads: V8 compiling and collecting';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** Microseconds in front of each sample. */
  readonly timeDeltas: readonly number[];
}

/** Seconds by category. */
function secondsOf({ nodes, samples, timeDeltas }: Profile): Map<string, number> {
  const categories = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => [id, categoryOf(`${url} ${functionName}`)]),
  );
  const seconds = new Map<string, number>();
  for (const [i, sample] of samples.entries()) {
    const category = categories.get(sample)!;
    if (category !== undefined) seconds.set(category, (seconds.get(category) ?? 0) + timeDeltas[i]! / 1e6);
  }
  return seconds;
}

/** Undefined: the thread waited. */
function categoryOf(where: string): string | undefined {
  const text = where.trim();
  if (text === '(idle)') return undefined;
  return CATEGORIES.find(([, pattern]) => pattern.test(text))?.[0] ?? OTHER;
}

function main(command: readonly string[]): void {
  const [program, ...rest] = command;
  if (program === undefined)
    throw new Error('usage: npm exec -- node bench/profile.ts [--] PROGRAM [ARGUMENT]…');
  const directory = mkdtempSync(join(tmpdir(), 'hypertick-profile-'));
  try {
    const { environment, prefix } = hypertick('hypertick', 'functional');
    const file = join(directory, 'profile.json');
    const recorder = join(ROOT, 'bench', 'functional', 'record-profile.ts');
    const flags = ['--disable-warning=ExperimentalWarning', '--import', recorder];
    const simulator = [process.execPath, ...flags, join(ROOT, 'src', 'cli', 'main.ts'), ...prefix.slice(1)];
    const peer: Peer = {
      name: 'hypertick',
      prefix: simulator,
      environment: { ...environment, HYPERTICK_PROFILE: file },
    };
    const run = new Stopwatch(directory).run(peer, [program, ...rest]);
    if (typeof run === 'string') throw new Error(run);
    const seconds = secondsOf(JSON.parse(readFileSync(file, 'utf8')) as Profile);
    print(seconds, run.cpuSeconds);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function print(seconds: ReadonlyMap<string, number>, cpuSeconds: number): void {
  const ofMainThread = seconds.values().reduce((sum, part) => sum + part, 0);
  const rows = [...seconds, [OTHER_THREADS, Math.max(0, cpuSeconds - ofMainThread)] as const];
  console.log(tableLine(['what', 's', '%']));
  console.log(tableLine(['---', '--:', '--:']));
  for (const [category, part] of rows.sort(([, a], [, b]) => b - a))
    console.log(tableLine([category, part.toFixed(2), ((100 * part) / cpuSeconds).toFixed(1)]));
  console.log(tableLine(['all', cpuSeconds.toFixed(2), '']));
}

const { positionals } = parseArgs({ allowPositionals: true });
main(positionals);
