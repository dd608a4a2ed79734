// The guest programs of tests/guests, natively and under KVM: memory, files, signals, threads, time, and programs that
// run wild. They are built here; each says in its head what it goes through.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { hypertick, missing, ROOT, run, scratchDirectory } from '../support/hypertick.ts';

const skip = missing('/usr/bin/gcc', '/usr/lib/x86_64-linux-gnu/libc.a');
const GUESTS = join(ROOT, 'tests', 'guests');
const guest = (name: string): string => join(GUESTS, 'build', name);

describe('guest programs', { skip }, () => {
  before(() => {
    execFileSync(join(GUESTS, 'build.sh'), { stdio: 'inherit' });
  });

  test('args: what a program finds at its start', (t) =>
    assertSameAsNative(t, [guest('args'), 'one', '', 'three words', 'ünïcode'], {
      env: { GUEST_A: '1', GUEST_EMPTY: '', GUEST_B: 'x=y' },
    }));
  for (const name of ['files', 'interrupted', 'memory', 'signals', 'threads', 'times'])
    test(name, (t) => assertSameAsNative(t, [guest(name)]));
});

describe('programs that run wild end with their signal and a dump of their registers', { skip }, () => {
  for (const name of wildPrograms())
    test(name, (t) => {
      const cwd = scratchDirectory(t);
      const native = run(guest(name), [], { cwd });
      const { stdout, stderr, status } = hypertick(['run', '--cpu', 'kvm', '--outdir', 'out', guest(name)], {
        cwd,
      });
      assert.equal(status, native.status);
      assert.deepEqual(stdout, native.stdout);
      assert.match(stderr, /^hypertick: [^\n]*: ended by SIG[A-Z]+ [^\n]*; see out\/crash\.txt\n$/);
      assert.match(readFileSync(join(cwd, 'out/crash.txt'), 'utf8'), /^rip 0x[0-9a-f]{16} /m);
      assert.ok(!existsSync(join(cwd, 'hypertick-out')));
    });
});

/** wild.S is many programs: `#if defined(NO_STACK)` is the program no-stack. Those that spin end by no signal. */
function wildPrograms(): string[] {
  const source = readFileSync(join(GUESTS, 'wild.S'), 'utf8');
  return [...source.matchAll(/^#.*if defined\((\w+)\)/gm)]
    .map(([, name = '']) => name.toLowerCase().replaceAll('_', '-'))
    .filter((name) => !name.includes('spin'));
}
