// Benchmarks: what running a program inside the simulator costs. Every number is a ratio or a difference against a peer
// in the same run, medians of alternating runs. `npm run bench` prints a Markdown table; bench/README.md keeps results.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile, median, printTable, ROOT, type Row } from './measure.ts';

const HYPERTICK = join(ROOT, 'bin', 'hypertick');
const RUNS = Number(process.argv[2] ?? 5);

/** Pure compute: static programs that make few system calls, by name. */
const COMPUTE: Readonly<Record<string, readonly [string, ...string[]]>> = {
  'bundled demo': [join(ROOT, 'share/demo/mixed')],
  'busybox awk': ['/bin/busybox', 'awk', 'BEGIN { for (i = 0; i < 2e7; i++) s += i % 7 * i; print s }'],
};

/** The same with system calls: the input is read and written in small pieces. */
const INPUT_OUTPUT: typeof COMPUTE = {
  'busybox sha256sum of 32 MB': ['/bin/busybox', 'sha256sum', 'input'],
  'busybox gzip of 32 MB': ['/bin/busybox', 'gzip', '-c', 'input'],
};

function speedRows(directory: string, programs: typeof COMPUTE, aim: string): Row[] {
  writeFileSync(join(directory, 'input'), Buffer.alloc(32 << 20, 'hypertick'));
  return Object.entries(programs).map(([name, [program, ...args]]) => {
    const native: number[] = [];
    const whole: number[] = [];
    const inGuest: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      native.push(timeOf(program, args, directory));
      const { seconds, stats } = simulate([program, ...args], directory);
      whole.push(seconds);
      inGuest.push(stats['system.cpu.hostSecondsInGuest'] ?? Number.NaN);
    }
    const [n, w, g] = [median(native), median(whole), median(inGuest)];
    const result = `${(n / g).toFixed(3)} in the guest, ${(n / w).toFixed(3)} with start-up (native ${n.toFixed(2)} s)`;
    return { what: `speed, native = 1: ${name}`, result, aim };
  });
}

/** Exits that do nothing, in a C program and here: the difference is what the simulator adds. */
function exitRow(directory: string): Row {
  const peer = join(directory, 'kvm-exit');
  const guest = join(directory, 'getppid');
  compile('bench/peers/kvm-exit.c', peer);
  compile('bench/programs/getppid.c', guest);
  const c: number[] = [];
  const ours: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    c.push(
      Number(execFileSync(peer, [String(EXITS), '0'], { encoding: 'utf8' }).match(/[\d.]+/)?.[0]) / 1000,
    );
    const few = simulate([guest, '1'], directory).stats;
    const many = simulate([guest, String(EXITS)], directory).stats;
    ours.push((1e6 * ((many.hostSeconds ?? 0) - (few.hostSeconds ?? 0))) / EXITS);
  }
  const [a, b] = [median(c), median(ours)];
  const result = `${b.toFixed(2)} µs, in C ${a.toFixed(2)} µs: ${(b - a).toFixed(2)} µs more`;
  return { what: 'a system call of the guest', result, aim: '≤ 1 µs more' };
}
const EXITS = 100_000;

function startUpRows(directory: string): Row[] {
  const seconds: number[] = [];
  const memory: number[] = [];
  for (let i = 0; i < 2 * RUNS; i++) {
    seconds.push(timeOf(HYPERTICK, ['run', '/bin/true'], directory));
    memory.push((simulate(['/bin/true'], directory).stats.hostMemory ?? Number.NaN) / 2 ** 20);
  }
  return [
    { what: 'hypertick run /bin/true', result: `${median(seconds).toFixed(3)} s`, aim: '< 0.4 s' },
    {
      what: 'resident memory when /bin/true ends',
      result: `${median(memory).toFixed(0)} MiB`,
      aim: '< 150 MiB',
    },
  ];
}

/** From Ctrl-C to the end of the process, while the guest spins without an exit. */
async function interruptRow(directory: string): Promise<Row> {
  const script = 'echo; while :; do :; done';
  const milliseconds: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const args = ['run', '--outdir', join(directory, 'out'), '/bin/busybox', 'sh', '-c', script];
    const child = spawn(HYPERTICK, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    const start = performance.now();
    child.kill('SIGINT');
    await once(child, 'exit');
    milliseconds.push(performance.now() - start);
  }
  return { what: 'end after SIGINT', result: `${median(milliseconds).toFixed(0)} ms`, aim: '< 100 ms' };
}

/** Runs under hypertick; statistics by their path. */
function simulate(
  command: readonly string[],
  cwd: string,
): { seconds: number; stats: Record<string, number> } {
  const outdir = join(cwd, 'out');
  const seconds = timeOf(HYPERTICK, ['run', '--cpu', 'kvm', '--outdir', outdir, ...command], cwd);
  const stats: Record<string, number> = {};
  for (const line of readFileSync(join(outdir, 'stats.txt'), 'utf8').split('\n')) {
    const [name, value] = line.split(/\s+/);
    if (name !== undefined && value !== undefined) stats[name] = Number(value);
  }
  return { seconds, stats };
}

function timeOf(program: string, args: readonly string[], cwd: string): number {
  const start = performance.now();
  const { status, stderr, error } = spawnSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(' ')}: status ${status}: ${stderr}`);
  return (performance.now() - start) / 1000;
}

const directory = mkdtempSync(join(tmpdir(), 'hypertick-bench-'));
try {
  const rows = [
    ...startUpRows(directory),
    await interruptRow(directory),
    exitRow(directory),
    ...speedRows(directory, COMPUTE, '≥ 0.97'),
    ...speedRows(directory, INPUT_OUTPUT, ''),
  ];
  printTable(rows);
} finally {
  rmSync(directory, { recursive: true });
}
