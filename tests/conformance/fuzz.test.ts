// A hostile program hurts only itself: random system calls and random machine code, from fixed seeds, end in some way or
// other, and leave the simulator, what lies outside --root, and under --read-only all files as they were.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { contentsBelow, makeFuzzRoot } from '../support/fuzz-root.ts';
import { missing, ROOT, run, scratchDirectory } from '../support/hypertick.ts';

const GUESTS = join(ROOT, 'tests', 'guests');
const FUZZER = join(ROOT, 'tests', 'support', 'fuzz-process.ts');
const skip = missing('/usr/bin/gcc', '/usr/lib/x86_64-linux-gnu/libc.a');

/** Runs "$@" with files limited to 64 MiB, so that none fills the disk. */
const LIMITED = 'trap \'\' XFSZ; ulimit -f 131072; exec "$@"';
/** Simulated time after which enough has been seen. */
const MAX_TIME = '3s';

interface Case {
  readonly args: readonly string[];
  readonly options?: readonly string[];
}

const CASES: Readonly<Record<string, Case>> = {
  'system calls': { args: ['11', '1500'] },
  'system calls, other seed': { args: ['17', '1500'] },
  'system calls of four threads': { args: ['21', '1000', '4'] },
  'system calls under --read-only': { args: ['32', '1500'], options: ['--read-only'] },
  'system calls with little memory': { args: ['41', '1500'], options: ['--memory', '16MiB'] },
  'machine code': { args: ['code', '3', '100'] },
  'machine code, other seed': { args: ['code', '4', '100'] },
};

describe('under KVM', { skip }, () => {
  before(() => {
    execFileSync(join(GUESTS, 'build.sh'), { stdio: 'inherit' });
  });

  for (const [name, { args, options = [] }] of Object.entries(CASES))
    test(name, (t) => {
      const directory = scratchDirectory(t);
      const root = makeFuzzRoot(join(directory, 'jail'));
      copyFileSync(join(GUESTS, 'build', 'fuzz'), join(root.path, 'fuzz'));
      const outside = root.outside();
      const files = contentsBelow(root.path);
      const out = join(directory, 'out');
      const command = ['run', '--cpu', 'kvm', '--root', root.path, '--outdir', out, '--max-ticks', MAX_TIME];
      const hypertick = join(ROOT, 'bin', 'hypertick');
      const { stderr } = run('sh', [
        '-c',
        LIMITED,
        'sh',
        hypertick,
        ...command,
        ...options,
        '/fuzz',
        ...args,
      ]);
      assert.doesNotMatch(
        stderr,
        /internal error|panic: |KVM exit that cannot be served|this KVM cannot execute the instruction/,
      );
      assert.ok(existsSync(join(out, 'stats.txt')), `no orderly end: ${stderr.slice(-1000)}`);
      assert.equal(root.outside(), outside);
      if (options.includes('--read-only')) assert.deepEqual(contentsBelow(root.path), files);
    });
});

describe('system calls without a CPU', () => {
  for (const [mode, seed] of Object.entries({ 'read-write': 1, 'read-only': 2 }))
    test(`60,000, ${mode}`, (t) => {
      const directory = join(scratchDirectory(t), 'jail');
      const root = makeFuzzRoot(directory);
      const outside = root.outside();
      const files = contentsBelow(root.path);
      const node = [process.execPath, '--disable-warning=ExperimentalWarning', FUZZER];
      const command = ['-c', LIMITED, 'sh', ...node, String(seed), '60000', root.path, mode];
      const { status, output } = spawnSync('sh', command, {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
        timeout: 120_000,
      });
      assert.equal(String(output[3]), '60000 calls\n');
      assert.equal(status, 0);
      assert.equal(root.outside(), outside);
      if (mode === 'read-only') assert.deepEqual(contentsBelow(root.path), files);
    });
});
