// What tests of the whole program share: starting it, starting a program natively beside it, and saying why a
// test cannot run here.

import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export const ROOT = join(import.meta.dirname, '..', '..');
/** The command that is tested: the checkout's, or that of an installed package. */
export const HYPERTICK = process.env.HYPERTICK_COMMAND ?? join(ROOT, 'bin', 'hypertick');

/** How a process ended and what it wrote. */
export interface Outcome {
  stdout: Buffer;
  stderr: string;
  /** Exit status, as a shell gives it: 128 + n after a signal. */
  status: number;
}

export interface RunOptions {
  cwd?: string;
  input?: string | Buffer;
  env?: Readonly<Record<string, string>>;
}

/** Of one command. */
const TIME_LIMIT_MS = 1000 * Number(process.env.HYPERTICK_TIME_LIMIT_S ?? 120);

/** Runs a command to its end. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Outcome {
  const spawn: SpawnSyncOptions = {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, LC_ALL: 'C', TZ: 'UTC', ...options.env },
    input: options.input ?? '',
    maxBuffer: 256 << 20,
    timeout: TIME_LIMIT_MS,
  };
  const { stdout, stderr, status, signal, error } = spawnSync(command, args, spawn);
  // A command need not read all of its input: what it says of it, and its status, tell more than EPIPE.
  if (error !== undefined && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  return {
    stdout: stdout as Buffer,
    stderr: stderr.toString(),
    status: status ?? 128 + (signal === null ? 0 : constants.signals[signal]),
  };
}

/** Runs `hypertick` with these arguments. */
export const hypertick = (args: readonly string[], options: RunOptions = {}): Outcome =>
  run(HYPERTICK, args, options);

/** A directory that is removed at the end of the test. */
export function scratchDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'hypertick-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Why tests with KVM cannot run here; false if they can. For the `skip` option of a test. */
export function kvmIsMissing(): string | false {
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return false;
  } catch (error) {
    return `/dev/kvm cannot be opened: ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Why a test that needs these programs or files, and KVM, cannot run here; false if it can. */
export function missing(...paths: readonly string[]): string | false {
  return notInstalled(...paths) || kvmIsMissing();
}

/** The same without KVM. */
export function notInstalled(...paths: readonly string[]): string | false {
  const absent = paths.find((path) => !existsSync(path));
  return absent !== undefined && `${absent} is not installed`;
}
