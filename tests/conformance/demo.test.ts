// The demo program is a binary in the repository: this shows that it is what its sources say, and what it claims.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { kvmIsMissing, missing, ROOT, run, scratchDirectory } from '../support/hypertick.ts';

const DEMO = join(ROOT, 'share', 'demo');
const MIXED = join(DEMO, 'mixed');
const noCompiler = missing('/usr/bin/gcc') === '/usr/bin/gcc is not installed' && 'gcc is not installed';

test('the demo is built bit for bit from its sources', { skip: noCompiler }, (t) => {
  const rebuilt = join(scratchDirectory(t), 'mixed');
  const { status, stderr } = run(join(DEMO, 'build.sh'), [rebuilt]);
  assert.equal(status, 0, stderr);
  const isSame = readFileSync(rebuilt).equals(readFileSync(MIXED));
  // build.sh says so when it is not the compiler that the checked-in program was built with.
  if (!isSame && stderr.startsWith('note: ')) t.skip(stderr.trim());
  else assert.ok(isSame, 'share/demo/mixed is not what share/demo/build.sh makes of its sources');
});

test('the demo is small', () => {
  assert.ok(statSync(MIXED).size < 64 << 10);
});

test('all results of the demo are right, on the host itself', {
  skip: process.arch !== 'x64' && 'not an x86-64 host',
}, () => {
  const { stdout, status } = run(MIXED, []);
  assert.equal(status, 0);
  const lines = stdout.toString().trimEnd().split('\n');
  assert.equal(lines.length, 8);
  for (const line of lines.slice(0, 7)) assert.match(line, / {2}ok$/);
  assert.equal(lines[7], 'all seven results are right');
});

test('the demo like natively', { skip: kvmIsMissing() }, (t) => assertSameAsNative(t, [MIXED]));
