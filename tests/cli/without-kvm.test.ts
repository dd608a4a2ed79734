// Hosts without a usable KVM: what is said, and that it names the remedy. The missing device is played in a mount
// namespace of its own.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HYPERTICK, kvmIsMissing, type Outcome, run, scratchDirectory } from '../support/hypertick.ts';

const skip =
  kvmIsMissing() ||
  (run('unshare', ['--mount', 'true']).status !== 0 &&
    'a mount namespace takes a privilege that this user does not have');

/** Runs hypertick after a command that changes what is mounted. */
const hypertickAfter = (mount: string, ...args: readonly string[]): Outcome =>
  run('unshare', ['--mount', '/bin/sh', '-c', `${mount} && exec "$0" "$@"`, HYPERTICK, ...args]);

describe('without a usable /dev/kvm', { skip }, () => {
  test('run says in one line that there is none, and what to do', (t) => {
    const empty = join(scratchDirectory(t), 'dev');
    mkdirSync(empty);
    const { stdout, stderr, status } = hypertickAfter(`mount --bind ${empty} /dev`, 'run', '/bin/true');
    assert.match(
      stderr,
      /^hypertick: KVM cannot be used: open\(\/dev\/kvm\): ENOENT: [^\n]*modprobe[^\n]*\n$/,
    );
    assert.equal(stdout.toString(), '');
    assert.equal(status, 125);
  });

  test('run leaves no output directory and no debug file', (t) => {
    const cwd = scratchDirectory(t);
    const file = join(cwd, 'kvm');
    writeFileSync(file, '');
    const outputs = ['--outdir', join(cwd, 'out'), '--debug-file', join(cwd, 'trace')];
    const mount = `mount --bind ${file} /dev/kvm`;
    assert.equal(hypertickAfter(mount, 'run', ...outputs, '/bin/true').status, 125);
    assert.deepEqual(readdirSync(cwd), ['kvm']);
  });

  test('a device that is something else is noticed', (t) => {
    const file = join(scratchDirectory(t), 'kvm');
    writeFileSync(file, '');
    const { stderr, status } = hypertickAfter(`mount --bind ${file} /dev/kvm`, 'run', '/bin/true');
    assert.match(stderr, /^hypertick: KVM cannot be used: ioctl\(KVM_GET_API_VERSION\): ENOTTY: [^\n]*\n$/);
    assert.equal(status, 125);
  });

  test('demo says plainly that the simulated CPU is still to come, and writes nothing', (t) => {
    const cwd = scratchDirectory(t);
    const empty = join(cwd, 'dev');
    mkdirSync(empty);
    const { stderr, status } = hypertickAfter(
      `mount --bind ${empty} /dev`,
      'demo',
      '--outdir',
      join(cwd, 'out'),
    );
    assert.match(stderr, /no usable KVM .*the simulated CPU is still to come\nhypertick: .*modprobe/);
    assert.equal(status, 125);
  });

  test('doctor reports it and ends with status 1', (t) => {
    const empty = join(scratchDirectory(t), 'dev');
    mkdirSync(empty);
    const { stdout, status } = hypertickAfter(`mount --bind ${empty} /dev`, 'doctor');
    assert.match(stdout.toString(), /^kvm +missing +open\(\/dev\/kvm\): ENOENT.*\n +→ .*modprobe/m);
    assert.equal(status, 1);
  });
});

describe('with a usable /dev/kvm', { skip: kvmIsMissing() }, () => {
  test('doctor finds it and ends with status 0', () => {
    const { stdout, status } = run(HYPERTICK, ['doctor']);
    assert.match(stdout.toString(), /^kvm +(ok|limited) +\/dev\/kvm works/m);
    assert.equal(status, 0);
  });
});
