// What can go wrong around `hypertick boot`: inputs that are no files, outputs that would destroy something, places where
// nothing can be written, damaged checkpoints, readers that go away. One line, the right status, nothing left behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { m5, movEdi, out8, print, SPIN, testExit } from '../support/flat-images.ts';
import {
  HYPERTICK,
  hypertick,
  kvmIsMissing,
  type RunOptions,
  run,
  scratchDirectory,
} from '../support/hypertick.ts';
import { Random } from '../support/random.ts';

const skip = kvmIsMissing();

/** What was said, but for what the host's KVM cannot do. */
const said = (stderr: string): string[] =>
  stderr.split('\n').filter((line) => line !== '' && !line.includes(': warn: '));

function scratch(t: TestContext): string {
  const cwd = scratchDirectory(t);
  writeFileSync(join(cwd, 'spin'), Uint8Array.from(SPIN));
  mkdirSync(join(cwd, 'folder'));
  return cwd;
}

const boot = (args: readonly string[], options: RunOptions) =>
  hypertick(['boot', '--memory', '4MiB', '--max-ticks', '3ms', ...args], options);

describe('refused before anything happens', { skip }, () => {
  const CASES: Record<string, [args: readonly string[], line: RegExp, status?: number]> = {
    'a device without end': [['/dev/zero'], /image \/dev\/zero: is a device, not a file$/, 126],
    'a file that no machine can load': [['huge'], /image huge: is larger than 2 GiB$/, 126],
    'an initrd that is a device': [
      ['spin', '--initrd', '/dev/urandom'],
      /initrd \/dev\/urandom: is a device, not a file$/,
      126,
    ],
    'serial output onto the image': [
      ['spin', '--serial', './spin'],
      /option --serial: \.\/spin is what IMAGE reads; name another file$/,
    ],
    'a trace onto the image': [
      ['spin', '--debug-file', 'spin'],
      /option --debug-file: spin is what IMAGE reads/,
    ],
    'serial output onto a module': [
      ['spin', '--module', 'mod arguments', '--serial', 'none', '--serial', 'file:mod'],
      /option the second --serial: mod is what --module reads/,
    ],
    'two ports onto one file': [
      ['spin', '--serial', 'x', '--serial', 'folder/../x'],
      /options --serial and the second --serial: both would write folder\/\.\.\/x; name another file$/,
    ],
    'serial output onto the statistics': [
      ['spin', '--serial', 'out/stats.txt'],
      /options --outdir and --serial: both would write out\/stats\.txt/,
    ],
    'a checkpoint where none can be': [
      ['spin', '--checkpoint-at', '1ms', '/proc/cpt'],
      /cannot write the checkpoint \/proc\/cpt: /,
    ],
    'a checkpoint below a file': [
      ['spin', '--checkpoint-at', '1ms', 'spin/cpt'],
      /cannot write the checkpoint spin\/cpt: a file of that name is in the way$/,
    ],
    'two checkpoints in one directory': [
      ['spin', '--checkpoint-at', '1ms', 'cpt', '--checkpoint-at', '2ms', './cpt'],
      /--checkpoint-at: \.\/cpt is given twice; name another directory$/,
    ],
    'a checkpoint in place of the output directory': [
      ['spin', '--outdir', 'new/sub', '--checkpoint-at', '1ms', 'new'],
      /checkpoint new: it would replace the output directory new\/sub; name another directory$/,
    ],
  };
  for (const [name, [args, line, status = 125]] of Object.entries(CASES))
    test(name, (t) => {
      const cwd = scratch(t);
      writeFileSync(join(cwd, 'mod'), 'module');
      writeFileSync(join(cwd, 'huge'), '');
      truncateSync(join(cwd, 'huge'), 3 * 2 ** 30);
      const before = readdirSync(cwd);
      const outcome = boot(args, { cwd });
      assert.deepEqual(outcome.stderr.split('\n').length, 2, outcome.stderr);
      assert.match(outcome.stderr.trimEnd(), line);
      assert.equal(outcome.status, status);
      assert.deepEqual(readdirSync(cwd), before);
      assert.deepEqual([...readFileSync(join(cwd, 'spin'))], SPIN);
    });
});

describe('accepted', { skip }, () => {
  test('an image that comes through a pipe', (t) => {
    const cwd = scratch(t);
    const { status } = run(
      'sh',
      ['-c', `cat spin | '${HYPERTICK}' boot --serial none --max-ticks 1ms /dev/stdin`],
      { cwd },
    );
    assert.equal(status, 124);
  });

  test('one device for several outputs', (t) => {
    const args = ['spin', '--serial', '/dev/null', '--serial', '/dev/null', '--dump-state', '/dev/null'];
    assert.equal(boot(args, { cwd: scratch(t) }).status, 124);
  });

  test('a checkpoint in a directory that is not there; it is not left if there was no time', (t) => {
    const cwd = scratch(t);
    assert.equal(boot(['spin', '--checkpoint-at', '1ms', 'a/b/cpt'], { cwd }).status, 124);
    assert.ok(readdirSync(join(cwd, 'a', 'b', 'cpt')).includes('manifest.json'));
    assert.equal(boot(['spin', '--checkpoint-at', '9ms', 'c/d/cpt'], { cwd }).status, 124);
    assert.ok(!readdirSync(cwd).includes('c'));
  });

  test('a checkpoint that is replaced by a later one of the run that it started', (t) => {
    const cwd = scratch(t);
    boot(['spin', '--checkpoint-at', '1ms', 'cpt'], { cwd });
    const again = hypertick(
      ['boot', '--restore', 'cpt', '--checkpoint-at', '2ms', 'cpt', '--max-ticks', '3ms'],
      { cwd },
    );
    assert.equal(again.status, 124);
    const { tick } = JSON.parse(readFileSync(join(cwd, 'cpt', 'manifest.json'), 'utf8'));
    assert.ok(BigInt(tick) >= 2_000_000_000n);
  });
});

test('a file of --serial keeps what is in it when the image is refused', { skip }, (t) => {
  const cwd = scratch(t);
  writeFileSync(join(cwd, 'log'), 'old');
  assert.equal(boot(['spin', '--kind', 'elf', '--serial', 'log'], { cwd }).status, 126);
  assert.equal(readFileSync(join(cwd, 'log'), 'utf8'), 'old');
});

test('a checkpoint keeps its machine: the start of its clock, and what cannot be changed behind it', {
  skip,
}, (t) => {
  const cwd = scratch(t);
  const start = ['--start-time', '2031-02-03', '--memory', '5000001'];
  assert.equal(boot(['spin', ...start, '--checkpoint-at', '1ms', 'cpt'], { cwd }).status, 124);
  const { machine } = JSON.parse(readFileSync(join(cwd, 'cpt', 'objects', 'board.json'), 'utf8')).state;
  assert.equal(machine.startTime, Date.UTC(2031, 1, 3) / 1000);
  for (const option of [
    ['--module', 'spin'],
    ['--kind', 'elf'],
    ['--start-time', '2031-02-03'],
  ]) {
    const { stderr, status } = hypertick(['boot', '--restore', 'cpt', ...option], { cwd });
    assert.match(stderr, new RegExp(`^hypertick: --restore takes no ${option[0]}: `));
    assert.equal(status, 125);
  }
  const { stderr, status } = hypertick(['boot', '--restore', 'cpt', '--test-device'], { cwd });
  assert.match(stderr, /^hypertick: --test-device: the checkpoint cpt is of a machine without it;/);
  assert.equal(status, 125);
});

test('what the processor cannot go on with: one line, and its state in crash.txt', { skip }, (t) => {
  const cwd = scratch(t);
  // mov eax, 0xfed00000; jmp eax: no processor of KVM's fetches instructions from a device.
  writeFileSync(join(cwd, 'fetch'), Uint8Array.of(0xb8, 0x00, 0x00, 0xd0, 0xfe, 0xff, 0xe0));
  const { stderr, status } = hypertick(['boot', 'fetch', '--serial', 'none'], { cwd });
  assert.equal(status, 125);
  assert.match(
    said(stderr).join('\n'),
    /state of the processor is in out\/crash.txt\nhypertick: board.cpu: .*0xfed00000/,
  );
  assert.match(readFileSync(join(cwd, 'out', 'crash.txt'), 'utf8'), /\nrip 0x00000000fed00000/);
});

test('pseudo-instructions of every number write nothing but statistics and checkpoints of the output directory', {
  skip,
}, (t) => {
  const cwd = scratch(t);
  const ends = [33, 34, 84];
  const numbers = Array.from({ length: 256 }, (_, fn) => fn).filter((fn) => !ends.includes(fn));
  const code = numbers.flatMap((fn) => [...movEdi(0), 0xbe, 0, 0, 0, 0, ...m5(fn)]);
  writeFileSync(join(cwd, 'calls'), Uint8Array.from([...code, ...testExit(1)]));
  const before = readdirSync(cwd);
  const { status, stderr } = hypertick(['boot', 'calls', '--memory', '4MiB'], { cwd });
  assert.equal(status, 3, stderr);
  assert.deepEqual(readdirSync(cwd).sort(), [...before, 'out'].sort());
  const kept = readdirSync(join(cwd, 'out')).map((name) => name.replace(/\d+$/, 'TICK'));
  assert.deepEqual(kept.sort(), ['config.json', 'cpt.TICK', 'stats.json', 'stats.txt']);
});

describe('a damaged checkpoint', { skip }, () => {
  test('is refused in one line, whichever file is damaged', (t) => {
    const cwd = scratch(t);
    boot(['spin', '--checkpoint-at', '1ms', 'cpt'], { cwd });
    const random = new Random(0xbad);
    const files = readdirSync(join(cwd, 'cpt'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.json'),
    );
    for (const name of [
      ...files.slice(0, 3),
      'manifest.json',
      'objects/board.cpu.json',
      'objects/root.json',
    ]) {
      const path = join(cwd, 'cpt', name);
      const whole = readFileSync(path);
      for (const damaged of [flipped(whole, random), whole.subarray(0, whole.length - 3), Buffer.alloc(0)]) {
        writeFileSync(path, damaged);
        const { stderr, status } = hypertick(['boot', '--restore', 'cpt', '--outdir', 'new'], { cwd });
        assert.deepEqual([said(stderr).length, status], [1, 125], `${name}: ${stderr}`);
        assert.match(stderr, /^hypertick: checkpoint cpt: /);
        assert.ok(!readdirSync(cwd).includes('new'));
      }
      writeFileSync(path, whole);
    }
    assert.equal(hypertick(['boot', '--restore', 'cpt', '--max-ticks', '2ms'], { cwd }).status, 124);
  });
});

function flipped(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  copy[at] = copy[at]! ^ (1 << random.below(8));
  return copy;
}

describe('readers and writers that are no more', { skip }, () => {
  /** mov dx, 0x3f8; mov al, 'A'; out dx, al; jmp back to the out */
  const FLOOD = [...out8(0x3f8, 0x41), 0xeb, 0xfd];

  test('a full device: the output is lost, which is said, and the guest goes on', (t) => {
    const cwd = scratch(t);
    writeFileSync(join(cwd, 'flood'), Uint8Array.from(FLOOD));
    const { stderr, status } = hypertick(['boot', 'flood', '--serial', '/dev/full', '--max-ticks', '300ms'], {
      cwd,
    });
    assert.match(stderr, /cannot write \/dev\/full: no space left on device; the rest of the output is lost/);
    assert.equal(status, 124);
  });

  test('no standard descriptors at all', (t) => {
    const cwd = scratch(t);
    writeFileSync(join(cwd, 'hello'), Uint8Array.from([...print('hello'), ...testExit(1)]));
    assert.equal(run('sh', ['-c', `'${HYPERTICK}' boot hello <&- >&- 2>&-`], { cwd }).status, 3);
  });

  test('a reader that closes the pipe: the guest goes on to its end', async (t) => {
    const cwd = scratch(t);
    writeFileSync(join(cwd, 'flood'), Uint8Array.from(FLOOD));
    const child = spawn(HYPERTICK, ['boot', 'flood', '--max-ticks', '2s'], {
      cwd,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [status] = await once(child, 'exit');
    assert.equal(status, 124);
  });
});

describe('a guest that asks for one thing after the other', { skip }, () => {
  /** mov ebx, window + number; mov eax, [ebx]; jmp back to the load */
  const without = (end: number) => [
    ...movEdi(0),
    0xbe,
    0,
    0,
    0,
    0,
    0xbb,
    0,
    end,
    0xff,
    0xff,
    0x8b,
    0x03,
    0xeb,
    0xfc,
  ];
  for (const [name, fn] of [
    ['work items', 0x5a],
    ['checkpoints', 0x43],
    ['statistics', 0x41],
  ] as const)
    test(`${name}: SIGTERM ends it`, async (t) => {
      const cwd = scratch(t);
      writeFileSync(join(cwd, 'calls'), Uint8Array.from([...print('up'), ...without(fn)]));
      const child = spawn(HYPERTICK, ['boot', 'calls', '--memory', '4MiB'], {
        cwd,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      t.after(() => child.kill('SIGKILL'));
      const exited = once(child, 'exit');
      await once(child.stdout, 'data');
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [143, null]);
    });
});
