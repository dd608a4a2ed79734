// What is left, and said, when outputs cannot be written: full devices, readers that go away, programs that cannot
// be started.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Code, elf, writeProgram } from '../support/elf.ts';
import { HYPERTICK, kvmIsMissing, missing, run, scratchDirectory } from '../support/hypertick.ts';

/** Runs a shell script in which "$0" is hypertick. */
const shell = (script: string, cwd: string) => run('/bin/sh', ['-c', script, HYPERTICK], { cwd });
const FILES = ['config.json', 'crash.txt', 'stats.json', 'stats.txt'];
const FULL = 'no space left on device';

describe('standard output on a full device', () => {
  for (const command of ['--help', '--version', 'help run', 'doctor'])
    test(`${command} says so in one line`, (t) => {
      const { stderr, status } = shell(`"$0" ${command} >/dev/full`, scratchDirectory(t));
      assert.equal(stderr, `hypertick: cannot write standard output: ${FULL}\n`);
      assert.equal(status, 125);
    });
});

describe('outputs that fail', { skip: missing('/bin/true', '/bin/busybox') }, () => {
  test('a full standard error does not change the status of the program', (t) => {
    assert.equal(shell('"$0" run --summary /bin/true 2>/dev/full', scratchDirectory(t)).status, 0);
  });

  test('a full debug file ends the run, in one line', (t) => {
    const script = '"$0" run --debug-flags SyscallBase --debug-file /dev/full /bin/true';
    const { stderr, status } = shell(script, scratchDirectory(t));
    assert.equal(stderr, `hypertick: cannot write the debug file /dev/full: ${FULL}\n`);
    assert.equal(status, 125);
  });

  test('a reader of the traces that goes away ends the tracing, not the run', (t) => {
    const cwd = scratchDirectory(t);
    // 3000 traced calls are more than a pipe holds: the writer meets its closed end.
    writeFileSync(join(cwd, 'loop'), 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); kill -0 $$; done; exit 7\n');
    const options = '--debug-flags SyscallBase --debug-file /dev/stdout';
    const script = `{ "$0" run ${options} /bin/busybox sh loop; echo $? >status; } | head -n 1`;
    const { stdout, stderr } = shell(script, cwd);
    assert.match(stdout.toString(), /^ *\d+: system\.process[^\n]*\n$/);
    assert.equal(stderr, '');
    assert.equal(readFileSync(join(cwd, 'status'), 'utf8'), '7\n');
  });

  test('a reader that takes its time gets everything: the pipe is left as it was', (t) => {
    const script = '"$0" run /bin/busybox head -c 1000000 /dev/zero | { sleep 1; wc -c; }';
    const { stdout, stderr } = shell(script, scratchDirectory(t));
    assert.deepEqual([stdout.toString().trim(), stderr], ['1000000', '']);
  });

  test('a file that gets too large is not left half-written, and the others are written', (t) => {
    const cwd = scratchDirectory(t);
    mkdirSync(join(cwd, 'out'));
    writeFileSync(join(cwd, 'out/stats.txt'), 'old\n');
    // 512-byte blocks (dash) or KiB (others): more than config.json and less than stats.txt needs.
    const script = 'ulimit -f 4; "$0" run --outdir out --dump-state state.json /bin/true';
    const { stderr, status } = shell(script, cwd);
    assert.equal(
      stderr,
      'hypertick: cannot write state.json: the file would be too large (ulimit -f)\n',
      'the first failure',
    );
    assert.equal(status, 125);
    assert.deepEqual(readdirSync(cwd), ['out']);
    assert.deepEqual(readdirSync(join(cwd, 'out')).sort(), ['config.json', 'stats.txt']);
    assert.equal(readFileSync(join(cwd, 'out/stats.txt'), 'utf8'), 'old\n');
    assert.equal(JSON.parse(readFileSync(join(cwd, 'out/config.json'), 'utf8')).path, 'root');
  });
});

describe('outputs of a program that a signal ends', { skip: kvmIsMissing() }, () => {
  test('a dump that cannot be written does not hide what ended the program', (t) => {
    const cwd = scratchDirectory(t);
    writeProgram(join(cwd, 'wild'), elf(Code.divideByZero));
    mkdirSync(join(cwd, 'out/crash.txt'), { recursive: true });
    const { stderr, status } = shell('"$0" run --outdir out ./wild', cwd);
    assert.match(
      stderr,
      /^hypertick: [^\n]*: ended by SIGFPE [^\n]*\nhypertick: cannot write out\/crash.txt: is a dir/,
    );
    assert.equal(status, 125);
    assert.deepEqual(readdirSync(join(cwd, 'out')).sort(), FILES);
  });

  test('traces are there under their name while the program runs', (t) => {
    const cwd = scratchDirectory(t);
    const options = '--debug-flags SyscallBase --debug-file trace';
    const loop = `/bin/busybox sh -c 'echo; while :; do :; done'`;
    const wait = 'until [ -s ready ] && [ -s trace ]; do sleep 0.1; done';
    const script = `"$0" run ${options} ${loop} >ready & ${wait}; kill -9 $!; wait`;
    shell(script, cwd);
    assert.deepEqual(readdirSync(cwd).sort(), ['ready', 'trace']);
    assert.match(readFileSync(join(cwd, 'trace'), 'utf8'), /: write\(/);
  });
});

describe('a program that cannot be started', { skip: kvmIsMissing() }, () => {
  test('leaves no directory, and the old traces', (t) => {
    const cwd = scratchDirectory(t);
    writeProgram(join(cwd, 'program'), 'no ELF');
    writeFileSync(join(cwd, 'trace'), 'old\n');
    const script = '"$0" run --outdir a/b --debug-flags All --debug-file trace ./program';
    const { stderr, status } = shell(script, cwd);
    assert.match(stderr, /^hypertick: [^\n]*not an ELF[^\n]*\n$/);
    assert.equal(status, 126);
    assert.deepEqual(readdirSync(cwd).sort(), ['program', 'trace']);
    assert.equal(readFileSync(join(cwd, 'trace'), 'utf8'), 'old\n');
  });
});
