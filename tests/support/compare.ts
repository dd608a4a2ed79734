// The central claim of syscall emulation: a program under hypertick gives the very bytes and exit status that it
// gives natively. Natively is the oracle; both run in directories with equal contents.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { hypertick, type RunOptions, run, scratchDirectory } from './hypertick.ts';

export interface Comparison extends Pick<RunOptions, 'input' | 'env'> {
  /** Files of the working directory, by name. */
  files?: Readonly<Record<string, string | Buffer>>;
  /** Who executes the program. Default: `--cpu kvm`. */
  cpu?: readonly string[];
  /** Further options of `hypertick run`. */
  options?: readonly string[];
  /** Files that the program writes, which must be equal as well. */
  outputs?: readonly string[];
  /** A signal ends it: what hypertick says of that on standard error is not compared. */
  crashes?: boolean;
}

/** Runs the program natively and under `hypertick run`; fails unless stdout and status are equal. */
export function assertSameAsNative(
  t: Pick<TestContext, 'after'>,
  argv: readonly [string, ...string[]],
  how: Comparison = {},
): void {
  const base = scratchDirectory(t);
  const [program, ...args] = argv;
  const runIn = (name: string, start: (cwd: string) => ReturnType<typeof run>) => {
    const cwd = join(base, name);
    mkdirSync(cwd);
    for (const [file, contents] of Object.entries(how.files ?? {})) writeFileSync(join(cwd, file), contents);
    const outcome = start(cwd);
    const outputs = (how.outputs ?? []).map((file) => readFileSync(join(cwd, file)));
    return { ...outcome, outputs };
  };
  const native = runIn('native', (cwd) => run(program, args, { ...how, cwd }));
  const options = ['run', ...(how.cpu ?? ['--cpu', 'kvm']), ...(how.options ?? []), program, ...args];
  const guest = runIn('guest', (cwd) => hypertick(options, { ...how, cwd }));

  assert.equal(guest.status, native.status, `exit status; stderr: ${guest.stderr}`);
  assertSameBytes(guest.stdout, native.stdout, 'stdout');
  for (const [i, output] of guest.outputs.entries())
    assertSameBytes(output, native.outputs[i] as Buffer, `file ${how.outputs?.[i]}`);
  if (how.crashes !== true) assert.equal(guest.stderr, native.stderr, 'stderr');
}

/** Equality of buffers whose failure message stays readable when they are megabytes long. */
function assertSameBytes(actual: Buffer, expected: Buffer, what: string): void {
  if (actual.equals(expected)) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  const where = at < 0 ? Math.min(actual.length, expected.length) : at;
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.subarray(Math.max(0, where - 40), where + 80).toString());
  const sizes = `${actual.length} and natively ${expected.length} bytes`;
  assert.fail(`${what} differs at byte ${where} (${sizes}):\n  ${around(actual)}\n  ${around(expected)}`);
}
