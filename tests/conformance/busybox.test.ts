// Applets of Debian's busybox over files, directories and standard input: as natively.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertSameAsNative, type Comparison } from '../support/compare.ts';
import { hypertick, missing } from '../support/hypertick.ts';
import { generatedText } from '../support/inputs.ts';

const BUSYBOX = '/bin/busybox';
const TEXT = generatedText(20_000);
const NUMBERS = Array.from({ length: 500 }, (_, i) => `${(i * 7919) % 1000} line ${i}\n`).join('');
const files = { 'a.txt': TEXT, 'b.txt': NUMBERS };

/** Per applet its arguments, and what it needs beyond the two text files. */
const APPLETS: Readonly<Record<string, [args: string[], how?: Comparison]>> = {
  awk: [['{s[$1%7]+=$1} END {for (k=0;k<7;k++) print k, s[k]}', 'b.txt']],
  base64: [['a.txt']],
  cat: [['a.txt', '-', 'b.txt'], { input: 'from standard input\n' }],
  cksum: [['a.txt', 'b.txt']],
  cp: [['a.txt', 'copy'], { outputs: ['a.txt', 'copy'] }],
  cut: [['-d', ' ', '-f', '1,3', 'b.txt']],
  dd: [['if=a.txt', 'bs=100', 'skip=3', 'count=7', 'status=none']],
  diff: [['a.txt', 'b.txt']],
  expr: [['6', '*', '7']],
  factor: [['1234567890', '97']],
  false: [[]],
  find: [['.', '-type', 'f', '-size', '+8']],
  grep: [['-c', 'ba', 'a.txt']],
  gzip: [['-c'], { input: TEXT }],
  head: [['-n', '3', 'a.txt', 'b.txt']],
  hexdump: [['-C', 'a.txt']],
  ls: [['-1', '-s', '-A']],
  md5sum: [['a.txt', 'b.txt', 'no-such-file']],
  mkdir: [['-p', 'x/y/z']],
  mv: [['a.txt', 'c.txt'], { outputs: ['c.txt'] }],
  nl: [['b.txt']],
  od: [['-t', 'x2', 'a.txt']],
  printf: [['%05d:%s\\n', '42', 'x']],
  rm: [['-v', 'a.txt']],
  sed: [['-n', 's/ba/BA/gp', 'a.txt']],
  seq: [['1', '3', '100']],
  sha256sum: [['a.txt']],
  sort: [['-n', 'b.txt']],
  stat: [['-c', '%s %F %a %h', 'a.txt']],
  tac: [['b.txt']],
  tail: [['-c', '100', 'a.txt']],
  tee: [['copy'], { input: TEXT, outputs: ['copy'] }],
  tr: [['a-m', 'N-Z'], { input: TEXT }],
  uniq: [['-c'], { input: 'a\na\nb\na\n' }],
  wc: [['a.txt', 'b.txt']],
};

describe('busybox', { skip: missing(BUSYBOX) }, () => {
  for (const [applet, [args, how]] of Object.entries(APPLETS))
    test(applet, (t) => assertSameAsNative(t, [BUSYBOX, applet, ...args], { files, ...how }));

  test('nproc sees the one simulated processor', () => {
    assert.equal(hypertick(['run', BUSYBOX, 'nproc']).stdout.toString(), '1\n');
  });
});
