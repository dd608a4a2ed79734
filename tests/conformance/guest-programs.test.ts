// The guest programs of tests/guests, natively and under KVM: memory, files, signals, threads, time, and programs that
// run wild. They are built here; each says in its head what it goes through.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { hypertick, missing, run, scratchDirectory } from '../support/hypertick.ts';
import { GUESTS_BUILD, GUESTS_NEED, guest, guestPrograms, wildPrograms } from '../support/programs.ts';

const skip = missing(...GUESTS_NEED);

describe('guest programs', { skip }, () => {
  before(() => {
    execFileSync(GUESTS_BUILD, { stdio: 'inherit' });
  });

  for (const { name, argv, how } of guestPrograms()) test(name, (t) => assertSameAsNative(t, argv, how));
});

describe('programs that run wild end with their signal and a dump of their registers', { skip }, () => {
  for (const { name } of wildPrograms())
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
