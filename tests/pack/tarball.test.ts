// The published package: what `npm pack` makes is installed into an empty directory, without the network, and run.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');

describe('the packed and installed package', () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hypertick-pack-'));
    const npm = (...args: string[]): string => execFileSync('npm', args, { encoding: 'utf8', stdio: 'pipe' });
    npm('pack', ROOT, '--pack-destination', directory);
    const tarball = readdirSync(directory).find((name) => name.endsWith('.tgz')) ?? '';
    const offline = ['--offline', '--omit=optional', '--no-audit', '--no-fund'];
    npm('install', '--prefix', directory, ...offline, join(directory, tarball));
    // The pinned Node is an optional dependency of 200 MB: lent by the checkout instead of downloaded again.
    for (const name of readdirSync(join(ROOT, 'node_modules')).filter((name) =>
      name.startsWith('node-linux-'),
    ))
      symlinkSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name));
  });
  after(() => rmSync(directory, { recursive: true }));

  const hypertick = (...args: string[]) =>
    spawnSync(join(directory, 'node_modules/.bin/hypertick'), args, { encoding: 'utf8', cwd: directory });

  test('says its version', () => {
    const { stdout, stderr, status } = hypertick('--version');
    assert.equal(stderr, '');
    assert.match(stdout, /^hypertick \d+\.\d+\.\d+\n$/);
    assert.equal(status, 0);
  });

  test('ships JavaScript and no TypeScript', () => {
    const files = readdirSync(join(directory, 'node_modules/hypertick'), {
      recursive: true,
      encoding: 'utf8',
    });
    assert.ok(files.includes('dist/cli/main.js'));
    assert.deepEqual(
      files.filter((file) => file.endsWith('.ts')),
      [],
    );
  });

  test('loads every module of the run command and reports a missing program', () => {
    const { stderr, status } = hypertick('run', './no-such-program');
    assert.match(stderr, /^hypertick: .*no-such-program.*\n$/);
    assert.equal(status, 127);
  });

  test('finds the bundled program of the demo', () => {
    mkdirSync(join(directory, 'elsewhere'));
    const { stderr } = hypertick('demo', '--outdir', join(directory, 'elsewhere', 'out'));
    assert.doesNotMatch(stderr, /internal error|not found|no such/i);
  });
});
