// `hypertick run` as a user meets it: silence, bytes, statuses, files and signals.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Code, elf, writeProgram } from '../support/elf.ts';
import { HYPERTICK, hypertick, missing, run, scratchDirectory } from '../support/hypertick.ts';

const BUSYBOX = '/bin/busybox';
const skip = missing(BUSYBOX);

describe('a run that succeeds', { skip }, () => {
  test('says nothing and writes nothing', (t) => {
    const cwd = scratchDirectory(t);
    const { stdout, stderr, status } = hypertick(['run', '/bin/true'], { cwd });
    assert.deepEqual([stdout.toString(), stderr, status], ['', '', 0]);
    assert.deepEqual(readdirSync(cwd), []);
  });

  test('passes standard input and output through, byte for byte', () => {
    const input = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 31) & 0xff));
    assert.ok(hypertick(['run', BUSYBOX, 'cat'], { input }).stdout.equals(input));
  });

  test('passes standard error through', () => {
    const { stderr, status } = hypertick(['run', BUSYBOX, 'cat', '/no/such/file']);
    assert.equal(stderr, "cat: can't open '/no/such/file': No such file or directory\n");
    assert.equal(status, 1);
  });

  test('passes arguments and environment that are not UTF-8', () => {
    const script = `V="$(printf '\\377\\200')" exec "$0" run ${BUSYBOX} sh -c 'echo "$V" "$1"' sh "$(printf '\\303')"`;
    const { stdout } = run('/bin/sh', ['-c', script, HYPERTICK]);
    assert.deepEqual([...stdout], [0xff, 0x80, 0x20, 0xc3, 0x0a]);
  });

  test('looks the program up in PATH and gives it its own name', () => {
    const script = 'echo "$0"';
    assert.equal(hypertick(['run', 'busybox', 'sh', '-c', script]).stdout.toString(), 'sh\n');
  });

  test('ends with the status of the program', () => {
    for (const status of [0, 1, 42, 255])
      assert.equal(hypertick(['run', BUSYBOX, 'sh', '-c', `exit ${status}`]).status, status);
  });
});

describe('options', { skip }, () => {
  const shell = (options: readonly string[], script: string, cwd?: string) =>
    hypertick(['run', ...options, BUSYBOX, 'sh', '-c', script], cwd === undefined ? {} : { cwd });

  test('--env adds and replaces, --clear-env starts from nothing', () => {
    const script = 'echo "$A:$HOME:$PATH"';
    const { stdout } = shell(['--env', 'A=1', '--env', 'HOME=/nowhere'], script);
    assert.match(stdout.toString(), /^1:\/nowhere:\/.+\n$/);
    assert.equal(
      hypertick(['run', '--clear-env', '--env', 'B=2', BUSYBOX, 'env']).stdout.toString(),
      'B=2\n',
    );
  });

  test('--cwd is where the program starts', (t) => {
    const cwd = scratchDirectory(t);
    mkdirSync(join(cwd, 'below'));
    assert.equal(shell(['--cwd', 'below'], 'pwd', cwd).stdout.toString(), `${join(cwd, 'below')}\n`);
  });

  test('--read-only lets nothing be written', (t) => {
    const cwd = scratchDirectory(t);
    const { stderr, status } = shell(['--read-only'], 'echo x > file', cwd);
    assert.match(stderr, /Read-only file system/);
    assert.equal(status, 1);
    assert.deepEqual(readdirSync(cwd), []);
  });

  test('--root is the program’s whole world', (t) => {
    const root = scratchDirectory(t);
    mkdirSync(join(root, 'bin'));
    writeProgram(join(root, 'bin', 'busybox'), readFileSync(BUSYBOX));
    writeFileSync(join(root, 'inside'), 'inside\n');
    const inside = (script: string) =>
      hypertick(['run', '--root', root, '/bin/busybox', 'sh', '-c', script]).stdout.toString();
    assert.equal(inside('pwd; read x < ../../../inside; echo $x'), '/\ninside\n');
    assert.equal(inside('test -e /etc/passwd || echo confined'), 'confined\n');
  });

  test('--start-time sets the clock, which otherwise starts at 2026-01-01', () => {
    assert.match(
      hypertick(['run', BUSYBOX, 'date', '-u']).stdout.toString(),
      /Thu Jan {2}1 00:00:0. UTC 2026/,
    );
    const { stdout } = hypertick(['run', '--start-time', '2001-09-09T01:46:40Z', BUSYBOX, 'date', '+%s']);
    assert.equal(stdout.toString(), '1000000000\n');
  });

  test('--seed decides what is random', (t) => {
    const program = writeProgram(join(scratchDirectory(t), 'random'), elf(Code.random));
    const random = (seed: string) => hypertick(['run', '--seed', seed, program]).stdout.toString('hex');
    assert.match(random('1'), /^[0-9a-f]{16}$/);
    assert.equal(random('1'), random('1'));
    assert.notEqual(random('1'), random('2'));
  });

  test('--max-ticks stops a program: status 124, one line, outputs written', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'spin'), elf(Code.spin));
    const options = ['--max-ticks', '20ms', '--outdir', 'out', '--dump-state', 'state.json'];
    const { stderr, status } = hypertick(['run', ...options, program], { cwd });
    assert.match(stderr, /^hypertick: stopped at tick 20000000000 by --max-ticks\n$/);
    assert.equal(status, 124);
    assert.match(readFileSync(join(cwd, 'out/stats.txt'), 'utf8'), /^finalTick +20000000000 /m);
    assert.equal(JSON.parse(readFileSync(join(cwd, 'state.json'), 'utf8')).rip, '0x0000000000401000');
  });

  test('--outdir gets statistics and configuration', (t) => {
    const cwd = scratchDirectory(t);
    assert.equal(hypertick(['run', '--outdir', 'a/b', '/bin/true'], { cwd }).stderr, '');
    assert.deepEqual(readdirSync(join(cwd, 'a/b')).sort(), ['config.json', 'stats.json', 'stats.txt']);
    const config = JSON.parse(readFileSync(join(cwd, 'a/b/config.json'), 'utf8'));
    assert.equal(config.children.system.params.memorySize, 2 ** 30);
    const { executable, cmd } = config.children.system.children.process.params;
    assert.deepEqual([executable, cmd], ['/bin/true', ['/bin/true']]);
    assert.equal(JSON.parse(readFileSync(join(cwd, 'a/b/stats.json'), 'utf8')).length, 1);
  });

  test('--summary tells on standard error what the simulator saw', () => {
    const { stdout, stderr } = hypertick(['run', '--summary', BUSYBOX, 'echo', 'hello']);
    assert.equal(stdout.toString(), 'hello\n');
    assert.match(stderr, /^ {2}exits from the guest +\d+$/m);
  });

  test('--debug-file gets the traces of --debug-flags, and standard error none', (t) => {
    const cwd = scratchDirectory(t);
    const options = ['--debug-flags', 'SyscallBase', '--debug-file', 'trace'];
    assert.equal(hypertick(['run', ...options, '/bin/true'], { cwd }).stderr, '');
    assert.match(readFileSync(join(cwd, 'trace'), 'utf8'), /^ *\d+: system\.process[^:]*: .*exit_group/m);
  });
});

describe('a program that a fatal signal ends', { skip }, () => {
  test('is reported in one line, with a dump in hypertick-out', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'wild'), elf(Code.divideByZero));
    const { stderr, status } = hypertick(['run', program], { cwd });
    assert.match(
      stderr,
      /^hypertick: [^\n]*: ended by SIGFPE \(FPE_INTDIV at address 0x401004\); see [^\n]+\n$/,
    );
    assert.equal(status, 136);
    const dump = readFileSync(join(cwd, 'hypertick-out/crash.txt'), 'utf8');
    assert.match(dump, /^code at rip: f7 f2\b/m);
    assert.match(dump, /^rip 0x0000000000401004 /m);
    assert.match(dump, /^00400000-00402000 r-xp /m);
  });

  test('leaves its registers in --dump-state', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'wild'), elf(Code.divideByZero));
    hypertick(['run', '--outdir', 'out', '--dump-state', 'state.json', program], { cwd });
    const state = JSON.parse(readFileSync(join(cwd, 'state.json'), 'utf8'));
    assert.equal(state.gpr.rdx, '0x0000000000000000');
    assert.equal(state.rip, '0x0000000000401004');
    assert.deepEqual(
      [state.ymm.length, state.ymm[0].length, state.st.length, state.st[0].length],
      [16, 66, 8, 22],
    );
    assert.deepEqual(state.exit, { cause: 'SIGFPE', signal: 8 });
    assert.ok(!existsSync(join(cwd, 'hypertick-out')), 'the dump went to --outdir');
    assert.ok(existsSync(join(cwd, 'out/crash.txt')));
  });

  test('that dumps no core leaves no dump', (t) => {
    const cwd = scratchDirectory(t);
    const { status } = hypertick(['run', BUSYBOX, 'sh', '-c', 'kill -TERM $$'], { cwd });
    assert.equal(status, 143);
    assert.deepEqual(readdirSync(cwd), []);
  });
});

describe('a signal from outside', { skip }, () => {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    test(`${signal} ends a guest that spins without an exit, statistics written`, async (t) => {
      const cwd = scratchDirectory(t);
      const script = 'echo ready; while :; do :; done';
      const args = ['run', '--outdir', 'out', '--dump-state', 'state.json', BUSYBOX, 'sh', '-c', script];
      const child = spawn(HYPERTICK, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
      t.after(() => child.kill('SIGKILL'));
      await once(child.stdout, 'data');
      child.kill(signal);
      const [code] = await once(child, 'exit');
      assert.equal(code, status);
      assert.match(readFileSync(join(cwd, 'out/stats.txt'), 'utf8'), /^simSeconds +0\.\d+/m);
      const { exit } = JSON.parse(readFileSync(join(cwd, 'state.json'), 'utf8'));
      assert.deepEqual(exit, { cause: 'user interrupt received' });
    });
});
