// Applets of Debian's busybox over files, directories and standard input: as natively.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { hypertick, missing } from '../support/hypertick.ts';
import { BUSYBOX, busyboxPrograms } from '../support/programs.ts';

describe('busybox', { skip: missing(BUSYBOX) }, () => {
  for (const { name, argv, how } of busyboxPrograms()) test(name, (t) => assertSameAsNative(t, argv, how));

  test('nproc sees the one simulated processor', () => {
    assert.equal(hypertick(['run', BUSYBOX, 'nproc']).stdout.toString(), '1\n');
  });
});
