// bin/hypertick: which Node.js it picks and what it starts. A made-up installation, with a shell script that plays
// Node.js: it says its version, or prints what it was called with.

import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { HYPERTICK, run, scratchDirectory } from '../support/hypertick.ts';

const PINNED = `node_modules/node-linux-${process.arch}/bin/node`;
const SYSTEM_PATH = '/usr/bin:/bin';

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function fakeNode(path: string, version: string): void {
  write(path, `#!/bin/sh\n[ "$1" = --version ] && { echo ${version}; exit; }\necho ${version} "$@"\n`);
  chmodSync(path, 0o755);
}

/** An installation at `home` with these files. */
function install(home: string, ...files: readonly string[]): string {
  const launcher = join(home, 'bin/hypertick');
  mkdirSync(dirname(launcher), { recursive: true });
  cpSync(HYPERTICK, launcher);
  for (const file of files) write(join(home, file), '');
  return launcher;
}

/** What the launcher starts, or its complaint. */
function start(launcher: string, cwd: string, path = SYSTEM_PATH): string {
  const { stdout, stderr } = run(launcher, ['run', 'a b'], { cwd, env: { PATH: path } });
  return stderr === '' ? stdout.toString().trim() : stderr;
}

test('a checkout runs its sources by the pinned Node', (t) => {
  const home = scratchDirectory(t);
  const launcher = install(home, 'src/cli/main.ts', 'dist/cli/main.js');
  fakeNode(join(home, PINNED), 'v26.10.0');
  const options = '--disable-warning=ExperimentalWarning --disable-sigusr1';
  const expected = `v26.10.0 ${options} ${home}/src/cli/main.ts run a b`;
  assert.equal(start(launcher, '/'), expected);
});

test('an installed package runs its JavaScript, by the Node pinned beside it, through the link in .bin', (t) => {
  const base = scratchDirectory(t);
  install(join(base, 'node_modules/hypertick'), 'dist/cli/main.js');
  fakeNode(join(base, PINNED), 'v26.10.0');
  mkdirSync(join(base, 'node_modules/.bin'));
  symlinkSync('../hypertick/bin/hypertick', join(base, 'node_modules/.bin/hypertick'));
  symlinkSync(join(base, 'node_modules/.bin/hypertick'), join(base, 'shortcut'));
  assert.match(start(join(base, 'shortcut'), '/'), /node_modules\/hypertick\/dist\/cli\/main\.js run a b$/);
});

test('CDPATH does not lead astray', (t) => {
  const home = scratchDirectory(t);
  const launcher = install(home, 'src/cli/main.ts');
  fakeNode(join(home, PINNED), 'v26.10.0');
  mkdirSync(join(home, 'elsewhere/bin'), { recursive: true });
  const env = { PATH: SYSTEM_PATH, CDPATH: `${home}/elsewhere:${home}:` };
  const { stdout, stderr } = run('bin/hypertick', ['run'], { cwd: home, env });
  assert.equal(stderr, '');
  assert.match(
    stdout.toString(),
    new RegExp(`^v26.10.0 .*${launcher.replace('bin/hypertick', 'src/cli/main.ts')} run$`, 'm'),
  );
});

test('a directory whose name has spaces is no obstacle', (t) => {
  const home = join(scratchDirectory(t), 'my  tools');
  const launcher = install(home, 'src/cli/main.ts');
  fakeNode(join(home, PINNED), 'v26.10.0');
  assert.match(start(launcher, '/'), /my {2}tools\/src\/cli\/main\.ts run a b$/);
  assert.match(start('../bin/hypertick', join(home, 'src')), /main\.ts run a b$/);
});

for (const [version, isTaken] of [
  ['v20.20.2', false],
  ['v26.9.1', false],
  ['v26.10.0', true],
  ['v26.31.0', true],
  ['v27.0.0', false],
] as const)
  test(`without a pinned Node, ${version} on PATH is ${isTaken ? 'taken' : 'refused'}`, (t) => {
    const home = scratchDirectory(t);
    const launcher = install(home, 'src/cli/main.ts');
    fakeNode(join(home, 'tools/node'), version);
    const outcome = start(launcher, '/', `${home}/tools:${SYSTEM_PATH}`);
    if (isTaken) assert.match(outcome, new RegExp(`^${version} .*main\\.ts run a b$`));
    else assert.match(outcome, /^hypertick: needs Node\.js 26 \(26\.10 or later\); run "npm ci"[^\n]*\n$/);
  });

test('an incomplete installation is reported as such', (t) => {
  const home = scratchDirectory(t);
  const launcher = install(home);
  fakeNode(join(home, PINNED), 'v26.10.0');
  assert.match(start(launcher, '/'), /^hypertick: the installation in .* is incomplete/);
});

test('a home directory that takes no cache is no obstacle', () => {
  for (const home of ['/proc', '/dev/null', '/no/such/home']) {
    const { stdout, stderr, status } = run(HYPERTICK, ['--version'], {
      env: { HOME: home, XDG_CACHE_HOME: 'relative' },
    });
    assert.match(stdout.toString(), /^hypertick \d/);
    assert.deepEqual([stderr, status], ['', 0]);
  }
});
