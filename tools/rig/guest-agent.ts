// Runs inside the rig: does the job that it finds in /rig/job.json and reports on the second serial port. Each
// test file gets a process of its own, so that a crash of Node costs one file, and is told from a failed test.

import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Tally } from '../test-reporter.ts';
import { encodeMessage, type FileResult, type Job, type Message } from './protocol.ts';

const JOB_FILE = '/rig/job.json';
const TALLY_FILE = '/tmp/rig-tally.json';
/** Signals by which Node dies of itself: of an assertion, an illegal instruction, a bad address. */
const CRASHES: readonly string[] = ['SIGABRT', 'SIGBUS', 'SIGILL', 'SIGSEGV', 'SIGTRAP'];
/** Characters of output in one message. */
const PIECE = 4096;

const port = openSync('/dev/ttyS1', 'r+');

function send(message: Message): void {
  let bytes: Buffer = Buffer.from(encodeMessage(message));
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(port, bytes));
}

/** Asks the host for a test file; nothing when there is no more. */
function nextFile(): string | undefined {
  send({ type: 'next' });
  let line = '';
  const piece = Buffer.alloc(PIECE);
  while (!line.endsWith('\n')) line += piece.toString('latin1', 0, readSync(port, piece));
  return line === '\n' ? undefined : line.trimEnd();
}

interface Ending {
  readonly status: number;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
}

/** Runs a command to its end and passes on what it writes. */
function runToEnd(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  limitSeconds: number,
): Promise<Ending> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd: '/w',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const passOn = (stream: 'stdout' | 'stderr') => (data: Buffer) => {
    const text = data.toString('latin1');
    for (let i = 0; i < text.length; i += PIECE)
      send({ type: 'output', stream, latin1: text.slice(i, i + PIECE) });
  };
  child.stdout.on('data', passOn('stdout'));
  child.stderr.on('data', passOn('stderr'));
  let timedOut = false;
  const limit = setTimeout(() => {
    timedOut = true;
    // The whole process group, so that nobody keeps the pipes open.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, limitSeconds * 1000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      const status = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      resolve({ status, signal, timedOut });
    });
  });
}

async function runFile(file: string, attempt: number, job: Job & { type: 'tests' }): Promise<FileResult> {
  send({ type: 'start', file, attempt });
  rmSync(TALLY_FILE, { force: true });
  const start = performance.now();
  const ending = await runToEnd(
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--test',
      '--test-isolation=none',
      '--test-reporter=/w/tools/test-reporter.ts',
      '--test-reporter-destination=stdout',
      ...job.skipPatterns.map((pattern) => `--test-skip-pattern=/${pattern}/`),
      file,
    ],
    { TEST_TALLY: TALLY_FILE },
    job.fileSeconds,
  );
  const seconds = (performance.now() - start) / 1000;
  const result = { ...readTally(), ...ending, seconds };
  send({ type: 'end', file, attempt, ...result });
  return result;
}

/** A process that died has written no tally. */
function readTally(): Tally {
  try {
    return JSON.parse(readFileSync(TALLY_FILE, 'utf8')) as Tally;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { passed: 0, failed: 0, skipped: [] };
  }
}

const job = JSON.parse(readFileSync(JOB_FILE, 'utf8')) as Job;
const uptimeSeconds = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
send({ type: 'ready', hasKvm: existsSync('/dev/kvm'), uptimeSeconds });
if (job.type === 'tests') {
  for (let file = nextFile(); file !== undefined; file = nextFile()) {
    const { signal } = await runFile(file, 1, job);
    if (signal !== null && CRASHES.includes(signal)) await runFile(file, 2, job);
  }
  send({ type: 'done', status: 0 });
} else {
  const { status } = await runToEnd(['/bin/sh', '-c', job.command], {}, 2 ** 21);
  send({ type: 'done', status });
}
