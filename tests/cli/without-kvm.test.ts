// Hosts without a usable KVM: what is said, and that it names the remedy. The missing device is played in a mount
// namespace of its own.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Code, elf, writeProgram } from '../support/elf.ts';
import { HYPERTICK, kvmIsMissing, type Outcome, run, scratchDirectory } from '../support/hypertick.ts';

const skip =
  kvmIsMissing() ||
  (run('unshare', ['--mount', 'true']).status !== 0 &&
    'a mount namespace takes a privilege that this user does not have');

/** Runs hypertick after a command that changes what is mounted. */
const hypertickAfter = (mount: string, ...args: readonly string[]): Outcome =>
  run('unshare', ['--mount', '/bin/sh', '-c', `${mount} && exec "$0" "$@"`, HYPERTICK, ...args]);

describe('without a usable /dev/kvm', { skip }, () => {
  test('run --cpu kvm says in one line that there is none, and what to do', (t) => {
    const empty = join(scratchDirectory(t), 'dev');
    mkdirSync(empty);
    const { stdout, stderr, status } = hypertickAfter(
      `mount --bind ${empty} /dev`,
      ...['run', '--cpu', 'kvm', '/bin/true'],
    );
    assert.match(
      stderr,
      /^hypertick: KVM cannot be used: open\(\/dev\/kvm\): ENOENT: [^\n]*modprobe[^\n]*\n$/,
    );
    assert.equal(stdout.toString(), '');
    assert.equal(status, 125);
  });

  test('so does --switch-every', (t) => {
    const empty = join(scratchDirectory(t), 'dev');
    mkdirSync(empty);
    const { stderr, status } = hypertickAfter(
      `mount --bind ${empty} /dev`,
      ...['run', '--switch-every', '1us', '/bin/true'],
    );
    assert.match(stderr, /^hypertick: KVM cannot be used: [^\n]*\n$/);
    assert.equal(status, 125);
  });

  test('run executes programs by the functional CPU, and says nothing of it', (t) => {
    const cwd = scratchDirectory(t);
    const empty = join(cwd, 'dev');
    mkdirSync(empty);
    const program = writeProgram(join(cwd, 'program'), elf(Code.exit(42)));
    const { stderr, status } = hypertickAfter(`mount --bind ${empty} /dev`, 'run', program);
    assert.equal(stderr, '');
    assert.equal(status, 42);
  });

  test('run leaves no output directory and no debug file', (t) => {
    const cwd = scratchDirectory(t);
    const file = join(cwd, 'kvm');
    writeFileSync(file, '');
    const outputs = ['--outdir', join(cwd, 'out'), '--debug-file', join(cwd, 'trace')];
    const mount = `mount --bind ${file} /dev/kvm`;
    assert.equal(hypertickAfter(mount, 'run', '--cpu', 'kvm', ...outputs, '/bin/true').status, 125);
    assert.deepEqual(readdirSync(cwd), ['kvm']);
  });

  test('a device that is something else is noticed', (t) => {
    const file = join(scratchDirectory(t), 'kvm');
    writeFileSync(file, '');
    const { stderr, status } = hypertickAfter(
      `mount --bind ${file} /dev/kvm`,
      ...['run', '--cpu', 'kvm', '/bin/true'],
    );
    assert.match(stderr, /^hypertick: KVM cannot be used: ioctl\(KVM_GET_API_VERSION\): ENOTTY: [^\n]*\n$/);
    assert.equal(status, 125);
  });

  test('demo runs on the functional CPU, and says so', (t) => {
    const cwd = scratchDirectory(t);
    const empty = join(cwd, 'dev');
    mkdirSync(empty);
    const outdir = join(cwd, 'out');
    const { stdout, stderr, status } = hypertickAfter(
      `mount --bind ${empty} /dev`,
      ...['demo', '--outdir', outdir],
    );
    assert.match(
      stdout.toString(),
      /^Running \S+ on a simulated processor, since this host has no usable KVM/,
    );
    assert.equal(stderr, '');
    assert.equal(status, 0);
    assert.ok(readdirSync(outdir).includes('stats.json'));
  });

  test('doctor reports it, and that programs can be run', (t) => {
    const empty = join(scratchDirectory(t), 'dev');
    mkdirSync(empty);
    const { stdout, status } = hypertickAfter(`mount --bind ${empty} /dev`, 'doctor');
    assert.match(stdout.toString(), /^kvm +limited +open\(\/dev\/kvm\): ENOENT.*\n +→ .*modprobe/m);
    assert.equal(status, 0);
  });
});

describe('with a usable /dev/kvm', { skip: kvmIsMissing() }, () => {
  test('doctor finds it and ends with status 0', () => {
    const { stdout, status } = run(HYPERTICK, ['doctor']);
    assert.match(stdout.toString(), /^kvm +(ok|limited) +\/dev\/kvm works/m);
    assert.equal(status, 0);
  });
});
