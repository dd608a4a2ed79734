// The fuzzer as a program: what it says of bad arguments. tests/kvm/fuzz.test.ts runs it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('bad arguments give one line on standard error and status 2, before anything is run', () => {
  const fuzz = fileURLToPath(new URL('../../tools/fuzz/fuzz.ts', import.meta.url));
  for (const args of [
    ['--jobs', '0'],
    ['--count', 'many'],
    ['--engine', 'quick'],
    ['--only', 'ADD,NOPE'],
    ['--bogus'],
  ]) {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', fuzz, ...args],
      { encoding: 'utf8' },
    );
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, /^fuzz: [^\n]+\(--help says more\)\n$/);
  }
});
