import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MapFlag } from '../../../src/workload/linux/memory-flags.ts';
import {
  mapsText,
  type ProcessFacts,
  statmText,
  statText,
  statusText,
} from '../../../src/workload/linux/proc-self.ts';
import { FakeFile, Machine, PAGE, PRIVATE_ANON, pattern, RX } from './machine.ts';

const FACTS: ProcessFacts = {
  pid: 1000,
  ppid: 1,
  command: 'a (b) c',
  state: 'R',
  threadCount: 3,
  userTicks: 250,
  systemTicks: 7,
  startTicks: 0,
  credentials: { uid: 5, euid: 6, gid: 7, egid: 8 },
  program: {
    entry: 1,
    stackPointer: 28,
    codeStart: 26,
    codeEnd: 27,
    dataStart: 45,
    dataEnd: 46,
    argsStart: 48,
    argsEnd: 49,
    environmentStart: 50,
    environmentEnd: 51,
    auxv: new Uint8Array(16),
  },
  residentLimitBytes: Number.POSITIVE_INFINITY,
};

function sample(): Machine {
  const m = new Machine();
  const file = new FakeFile(m, pattern(4 * PAGE), { path: '/lib/new\nline.so', inode: 424_242 });
  m.mapFile(file, {
    address: 0x40_0000,
    length: 2 * PAGE,
    offset: PAGE,
    prot: RX,
    flags: MapFlag.private | MapFlag.fixed,
  });
  m.space.startHeap(0x80_0000);
  m.space.brk(0x80_0000 + 3 * PAGE);
  const top = m.space.layout.stackTop;
  m.map({
    address: top - PAGE,
    length: PAGE,
    flags: PRIVATE_ANON | MapFlag.fixed | MapFlag.growsDown,
    name: '[stack]',
  });
  m.map({ address: 0x7000_0000_0000, length: PAGE, prot: 0 });
  m.map({ address: 0x7000_0001_0000, length: PAGE, flags: MapFlag.shared | MapFlag.anonymous });
  return m;
}

test('maps has the format of the kernel, names in column 74', () => {
  const pad = (line: string) => line.padEnd(73);
  assert.equal(
    mapsText(sample().space),
    [
      `${pad('00400000-00402000 r-xp 00001000 08:01 424242 ')}/lib/new\\012line.so`,
      `${pad('00800000-00803000 rw-p 00000000 00:00 0 ')}[heap]`,
      '700000000000-700000001000 ---p 00000000 00:00 0 ',
      `${pad('700000010000-700000011000 rw-s 00000000 00:00 0 ')}/dev/zero (deleted)`,
      `${pad('7ffffefff000-7fffff000000 rw-p 00000000 00:00 0 ')}[stack]`,
      '',
    ].join('\n'),
  );
});

test('stat has 52 fields, each in its place (proc_pid_stat(5))', () => {
  const text = statText(sample().space, FACTS);
  assert.ok(text.startsWith('1000 (a (b) c) R 1 1000 1000 0 -1 '));
  const fields = text.trimEnd().replace('(a (b) c)', 'command').split(' ');
  assert.equal(fields.length, 52);
  const field = (n: number) => fields[n - 1];
  assert.deepEqual([14, 15, 20, 22].map(field), ['250', '7', '3', '0']);
  assert.equal(field(23), String(8 * PAGE));
  assert.equal(field(25), '18446744073709551615');
  assert.equal(field(47), String(0x80_0000));
  for (const n of [26, 27, 28, 45, 46, 48, 49, 50, 51]) assert.equal(field(n), String(n));
});

test('statm and status give the same sizes', () => {
  const { space } = sample();
  const { residentPages } = space.usage();
  assert.equal(statmText(space), `8 ${residentPages} 0 2 0 4 0\n`);
  const status = statusText(space, FACTS);
  assert.match(status, /^Name:\ta \(b\) c\nState:\tR \(running\)\nTgid:\t1000\n/);
  assert.match(status, /^VmSize:\t {6}32 kB$/m);
  assert.match(status, new RegExp(`^VmRSS:\\t *${residentPages * 4} kB$`, 'm'));
  assert.match(status, /^Uid:\t5\t6\t6\t6$/m);
  assert.match(status, /^Threads:\t3$/m);
});
