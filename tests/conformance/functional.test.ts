// Real programs on the functional CPU, and with it and a KVM CPU taking turns: the same bytes and the same exit status as
// natively. The guest programs are built here.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { hypertick, missing, notInstalled, ROOT, run } from '../support/hypertick.ts';
import { generatedFile, generatedText } from '../support/inputs.ts';

const GUESTS = join(ROOT, 'tests', 'guests');
const COMPILER = ['/usr/bin/gcc', '/usr/lib/x86_64-linux-gnu/libc.a'];
const BUSYBOX = '/bin/busybox';
const guest = (name: string): string => join(GUESTS, 'build', name);
const build = (): void => {
  execFileSync(join(GUESTS, 'build.sh'), { stdio: 'inherit' });
};

describe('on the functional CPU', () => {
  const cpu = ['--cpu', 'functional'];

  describe('guest programs', { skip: notInstalled(...COMPILER) }, () => {
    before(build);
    for (const name of ['args', 'files', 'memory', 'signals', 'threads', 'times'])
      test(name, (t) => assertSameAsNative(t, [guest(name)], { cpu }));
    for (const name of ['divide', 'jump-non-canonical', 'misaligned', 'recurse', 'undefined', 'write-code'])
      test(`${name} ends with the signal that it ends with natively`, () => {
        const { status } = hypertick(['run', ...cpu, guest(name)]);
        assert.equal(status, run(guest(name), []).status);
      });
  });

  describe('busybox', { skip: notInstalled(BUSYBOX) }, () => {
    const files = { 'a.txt': generatedText(20_000) };
    for (const args of [
      ['sha256sum', 'a.txt'],
      ['awk', '{s += length($2); t += sqrt(NR)} END {printf "%d %.6f\\n", s, t}', 'a.txt'],
      ['sort', '-r', 'a.txt'],
      ['gzip', '-c', 'a.txt'],
    ])
      test(args[0]!, (t) => assertSameAsNative(t, [BUSYBOX, ...args], { cpu, files }));
  });

  test('bash, with floating point', { skip: notInstalled('/bin/bash') }, (t) =>
    assertSameAsNative(
      t,
      [
        '/bin/bash',
        '-c',
        'for ((i = 0; i < 500; i++)); do ((s += i * i)); done; printf "%d %.3f\\n" $s 2.71828',
      ],
      { cpu },
    ),
  );

  test('python3', { skip: notInstalled('/usr/bin/python3') }, (t) =>
    assertSameAsNative(
      t,
      [
        '/usr/bin/python3',
        '-c',
        'import math, re; print(math.gamma(7.3), 2**200 // 3**50, re.findall("a.c", "abc axc ab"), 1e22 / 7)',
      ],
      { cpu },
    ),
  );

  test('xz', { skip: notInstalled('/usr/bin/xz') }, (t) =>
    assertSameAsNative(t, ['/usr/bin/xz', '-k', 'in'], {
      ...{ cpu, files: { in: generatedFile(200_000) }, outputs: ['in.xz'] },
    }),
  );

  test('a run can be repeated to the instruction', { skip: notInstalled(BUSYBOX) }, () => {
    const counts = () =>
      hypertick(['run', ...cpu, '--summary', BUSYBOX, 'date']).stderr.match(
        /(simulated time|instructions) .*/g,
      );
    const first = counts();
    assert.equal(first?.length, 2);
    assert.deepEqual(counts(), first);
  });
});

describe('with two CPUs taking turns', { skip: missing(...COMPILER, BUSYBOX) }, () => {
  before(build);
  for (const [program, interval] of [
    ['signals', '100us'],
    ['threads', '1ms'],
    ['memory', '50us'],
    ['times', '300us'],
  ] as const)
    test(`${program}, every ${interval} on average`, (t) =>
      assertSameAsNative(t, [guest(program)], { cpu: ['--switch-every', interval] }));
  test('busybox sha256sum', (t) =>
    assertSameAsNative(t, [BUSYBOX, 'sha256sum', 'in'], {
      ...{ cpu: ['--switch-every', '200us'], files: { in: generatedFile(2_000_000) } },
    }));
});
