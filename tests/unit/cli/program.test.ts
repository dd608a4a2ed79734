// Finding a program as execvp(3) does, and the environment that it starts with.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  bytes,
  findProgram,
  inheritedEnvironment,
  variable,
  withSettings,
} from '../../../src/cli/program.ts';
import { scratchDirectory } from '../../support/hypertick.ts';

function install(directory: string, mode: number): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'tool'), '');
  chmodSync(join(directory, 'tool'), mode);
}

test('the first executable of that name in PATH is found', (t) => {
  const base = scratchDirectory(t);
  install(join(base, 'a'), 0o644);
  install(join(base, 'b'), 0o755);
  install(join(base, 'c'), 0o755);
  const lookup = { cwd: base, searchPath: `${base}/none:${base}/a:${base}/b:${base}/c`, root: undefined };
  assert.equal(findProgram('tool', lookup), join(base, 'b', 'tool'));
});

test('a name with a slash and an empty part of PATH mean the working directory', (t) => {
  const base = scratchDirectory(t);
  install(base, 0o755);
  assert.equal(findProgram('./tool', { cwd: base, searchPath: '', root: undefined }), join(base, 'tool'));
  assert.equal(findProgram('tool', { cwd: base, searchPath: '/none:', root: undefined }), join(base, 'tool'));
});

test('below --root absolute links stay inside', (t) => {
  const base = scratchDirectory(t);
  install(join(base, 'usr/bin'), 0o755);
  symlinkSync('/usr/bin', join(base, 'bin'));
  symlinkSync('/bin/sh', join(base, 'usr/bin/outside-only'));
  const lookup = { cwd: '/', searchPath: '/bin', root: base };
  assert.equal(findProgram('tool', lookup), '/bin/tool');
  assert.throws(() => findProgram('/../../../../../bin/true', lookup), /no such file/);
  assert.throws(() => findProgram('outside-only', lookup), /not found in PATH/);
});

test('a file that may not be executed is 126, a missing one 127', (t) => {
  const base = scratchDirectory(t);
  install(base, 0o644);
  const lookup = { cwd: base, searchPath: base, root: undefined };
  assert.throws(() => findProgram('tool', lookup), { exitStatus: 126 });
  assert.throws(() => findProgram('./tool', lookup), { exitStatus: 126 });
  assert.throws(() => findProgram('./none', lookup), { exitStatus: 127 });
});

test('settings replace older ones of the same name and keep what is not UTF-8', () => {
  const environment = withSettings(['A=1', 'B=\xff\xfe', 'C=3'], ['A=x=y', 'D=', bytes('É=é')]);
  assert.deepEqual(environment, ['A=x=y', 'B=\xff\xfe', 'C=3', 'D=', '\xc3\x89=\xc3\xa9']);
  assert.equal(variable(environment, 'A'), 'x=y');
  assert.equal(variable(environment, 'NONE'), undefined);
});

test('the inherited environment is that of the process', () => {
  assert.equal(variable(inheritedEnvironment(), 'PATH'), process.env.PATH);
});
