// The way out of the process: its status, the listeners, and the compile cache.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const LEAVE = join(import.meta.dirname, '../../../src/host/leave.ts');

test('leaving runs the exit listeners, writes the compile cache and gives the status', (t) => {
  const cache = mkdtempSync(join(tmpdir(), 'hypertick-test-'));
  t.after(() => rmSync(cache, { recursive: true, force: true }));
  const program = `
    process.on('exit', (status) => process.stdout.write('left with ' + status));
    setInterval(() => {}, 1000);
    const { leave } = await import(${JSON.stringify(LEAVE)});
    leave(37);`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    { encoding: 'utf8', env: { ...process.env, NODE_COMPILE_CACHE: cache } },
  );
  assert.deepEqual([status, stdout, stderr], [37, 'left with 37', '']);
  const [version] = readdirSync(cache);
  assert.ok(readdirSync(join(cache, version!)).length > 0, 'modules have been cached');
});
