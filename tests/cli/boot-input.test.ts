// Bad input of `hypertick boot`: one line that says what is wrong, a status, and nothing left behind.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SPIN } from '../support/flat-images.ts';
import { hypertick, kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';

const CASES: Record<string, [args: readonly string[], line: RegExp, status?: number]> = {
  'no image': [[], /^hypertick: no image given; usage: hypertick boot \[options\] IMAGE$/],
  'two images': [['spin', 'other'], /^hypertick: boot takes one IMAGE, found also 'other'/],
  'an image that is not there': [['nowhere'], /^hypertick: image nowhere: no such file or directory$/, 127],
  'a directory': [['folder'], /^hypertick: image folder: is a directory$/, 126],
  'an empty image': [['empty'], /^hypertick: empty: /, 126],
  'an initrd that is not there': [['spin', '--initrd', 'x'], /^hypertick: initrd x: no such file/, 127],
  'a module that is not there': [['spin', '--module', 'x y'], /^hypertick: module x: no such file/, 127],
  'a kind that the image is not': [['spin', '--kind', 'linux'], /^hypertick: spin: /, 126],
  'an unknown kind': [
    ['spin', '--kind', 'coff'],
    /^hypertick: option --kind: 'coff' is not one of auto, linux/,
  ],
  'too little memory': [['spin', '--memory', '1MiB'], /^hypertick: option --memory: '1MiB' is not a size/],
  'too much memory': [['spin', '--memory', '5GiB'], /^hypertick: option --memory: '5GiB' is not a size/],
  'memory that the image does not fit into': [
    ['big', '--memory', '2MiB'],
    /^hypertick: big: the image at 0x100000/,
    126,
  ],
  'a time without a directory': [
    ['spin', '--checkpoint-at', '1ms'],
    /needs two values: --checkpoint-at TIME DIR$/,
  ],
  'a checkpoint in place of something else': [
    ['spin', '--checkpoint-at', '1ms', 'folder'],
    /^hypertick: option --checkpoint-at: .*folder exists and is not a checkpoint/,
  ],
  'a checkpoint that is none': [
    ['--restore', 'folder'],
    /^hypertick: checkpoint folder: no manifest.json there/,
  ],
  'an image with a checkpoint': [['spin', '--restore', 'folder'], /^hypertick: --restore takes no IMAGE/],
  'a command line with a checkpoint': [
    ['--restore', 'x', '--append', 'y'],
    /^hypertick: --restore takes no --append/,
  ],
  'three serial ports': [
    ['spin', '--serial', 'none', '--serial', 'none', '--serial', 'none'],
    /^hypertick: --serial is given 3 times, the machine has 2 ports$/,
  ],
  'the console twice': [
    ['spin', '--serial', 'stdio', '--serial', 'stdio'],
    /^hypertick: --serial stdio can be one port only/,
  ],
  'a port beyond all ports': [['spin', '--serial', 'tcp:99999'], /^hypertick: --serial tcp:99999: /],
  'a file that cannot be written': [
    ['spin', '--serial', 'nowhere/file'],
    /^hypertick: --serial nowhere\/file: cannot write nowhere\/file: its directory does not exist$/,
  ],
  'a memory mode that KVM does not have': [
    ['spin', '--memory-mode', 'timing'],
    /^hypertick: board.cpu: memory mode timing: a KVM CPU passes caches by; use timingNoncaching$/,
  ],
};

describe('bad input', { skip: kvmIsMissing() }, () => {
  for (const [name, [args, line, status = 125]] of Object.entries(CASES))
    test(name, (t) => {
      const cwd = scratchDirectory(t);
      mkdirSync(join(cwd, 'folder'));
      writeFileSync(join(cwd, 'folder', 'file'), '');
      writeFileSync(join(cwd, 'spin'), Uint8Array.from(SPIN));
      writeFileSync(join(cwd, 'empty'), '');
      writeFileSync(join(cwd, 'big'), new Uint8Array(3 << 20));
      const before = readdirSync(cwd);
      const outcome = hypertick(['boot', ...args], { cwd });
      const lines = outcome.stderr.trimEnd().split('\n');
      assert.equal(lines.length, 1, outcome.stderr);
      assert.match(lines[0] ?? '', line);
      assert.equal(outcome.status, status);
      assert.deepEqual(readdirSync(cwd), before);
    });

  test('a TCP port that is taken', async (t) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const cwd = scratchDirectory(t);
    writeFileSync(join(cwd, 'spin'), Uint8Array.from(SPIN));
    const { stderr, status } = hypertick(['boot', 'spin', '--serial', `tcp:${port}`], { cwd });
    assert.match(stderr, /^hypertick: --serial tcp:\d+: .*the port is taken; choose another\n$/);
    assert.equal(status, 125);
  });
});
