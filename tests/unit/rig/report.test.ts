// What a run of the rig adds up to: crashes, hangs and files that never ended are failures, and nothing is silent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXCLUSIONS } from '../../../tools/rig/exclusions.ts';
import type { FileResult, Message } from '../../../tools/rig/protocol.ts';
import { MachineReport, TestReport } from '../../../tools/rig/report.ts';

const GOOD: FileResult = {
  passed: 3,
  failed: 0,
  skipped: [],
  status: 0,
  signal: null,
  timedOut: false,
  seconds: 1,
};
const CRASH: FileResult = { ...GOOD, passed: 0, status: 139, signal: 'SIGSEGV' };
const DONE: Message = { type: 'done', status: 0 };

const start = (file: string, attempt = 1): Message => ({ type: 'start', file, attempt });
const end = (file: string, result: FileResult, attempt = 1): Message => ({
  type: 'end',
  file,
  attempt,
  ...result,
});

function follow(messages: readonly Message[], files = ['a', 'b']) {
  const report = new TestReport(files);
  const machine = new MachineReport(report);
  return { report, machine, text: messages.map((message) => machine.take(message)).join('') };
}

const lastLine = (report: TestReport): string | undefined => report.summary([]).trimEnd().split('\n').at(-1);

test('counts add up', () => {
  const skipped = [{ name: 'x', reason: 'no y' }];
  const { report, text } = follow([
    start('a'),
    end('a', GOOD),
    start('b'),
    end('b', { ...GOOD, failed: 2, skipped, status: 1 }),
    DONE,
  ]);
  assert.equal(
    text,
    '# a: 3 passed, 0 failed, 0 skipped in 1.0 s\n# b: 3 passed, 2 failed, 1 skipped in 1.0 s\n',
  );
  assert.equal(report.summary([]), 'skipped 1: no y\n6 passed, 2 failed, 1 skipped\n');
  assert.equal(report.isGood, false);
});

test('a file whose second process passes after a crash passes, and the summary says so', () => {
  const { report, text } = follow([
    start('a'),
    end('a', CRASH),
    start('a', 2),
    end('a', GOOD, 2),
    start('b'),
    end('b', GOOD),
    DONE,
  ]);
  assert.match(text, /^CRASHED a: Node died of SIGSEGV; it is run again\n/);
  assert.equal(
    report.summary([]),
    'run again a: Node died of SIGSEGV the first time\n6 passed, 0 failed, 0 skipped\n',
  );
  assert.equal(report.isGood, true);
});

test('two crashes, or one that nobody tries again, are one failure', () => {
  for (const rest of [[start('a', 2), end('a', CRASH, 2)], []]) {
    const { report, text } = follow([start('a'), end('a', CRASH), ...rest, start('b'), end('b', GOOD), DONE]);
    assert.match(text, /^FAILED a: the test process ended by SIGSEGV$/m);
    assert.equal(lastLine(report), '3 passed, 1 failed, 0 skipped');
  }
});

test('a file that was ended since it takes too long is a failure, and no crash', () => {
  const timedOut = { ...CRASH, signal: 'SIGKILL', status: 137, timedOut: true };
  const { text } = follow([start('a'), end('a', timedOut), DONE]);
  assert.match(text, /^FAILED a: takes too long and was ended\n/);
});

test('when the rig dies, the file that was running is named and all unfinished files fail', () => {
  const { report, machine } = follow([start('a'), end('a', GOOD), start('b')], ['a', 'b', 'c']);
  const died = { why: 'died', detail: 'QEMU ended by SIGABRT' } as const;
  const text = machine.finish(died, 'Kernel panic\nat once') + report.finish();
  assert.equal(
    text,
    [
      "FAILED the rig died (QEMU ended by SIGABRT); b was running. Its kernel's last words:",
      '    Kernel panic',
      '    at once',
      'FAILED b: has not come to its end',
      'FAILED c: has not come to its end',
      '',
    ].join('\n'),
  );
  assert.equal(lastLine(report), '3 passed, 2 failed, 0 skipped');
});

test('a rig that dies after the last file is a failure as well', () => {
  const { report, machine } = follow([start('a'), end('a', GOOD)], ['a']);
  machine.finish({ why: 'silent', detail: '' }, '');
  report.finish();
  assert.equal(report.isGood, false);
});

test('a rig without KVM gets no tests, and fails although those that it had skip themselves', () => {
  const { report, machine } = follow([
    { type: 'ready', hasKvm: false, uptimeSeconds: 1 },
    start('a'),
    end('a', GOOD),
    DONE,
  ]);
  report.finish();
  assert.equal(machine.isUsable, false);
  assert.equal(report.isGood, false);
});

test('two machines share the files: when one dies, the other takes what is left, and only one file is lost', () => {
  const report = new TestReport(['a', 'b', 'c']);
  const [one, two] = [new MachineReport(report), new MachineReport(report)];
  const say = (text: string): Message => ({ type: 'output', stream: 'stdout', latin1: text });
  const written = [
    one.take(start('a')),
    two.take(start('b')),
    one.take(say('FAILED of ')),
    two.take(say('of b\n')),
    one.take(say('a\n')),
    one.take(end('a', GOOD)),
    two.finish({ why: 'died', detail: '' }, 'last'),
    one.take(start('c')),
    one.take(end('c', GOOD)),
    report.finish(),
  ];
  assert.equal(
    written.join(''),
    [
      'FAILED of a',
      '# a: 3 passed, 0 failed, 0 skipped in 1.0 s',
      'of b',
      "FAILED the rig died; b was running. Its kernel's last words:",
      '    last',
      '# c: 3 passed, 0 failed, 0 skipped in 1.0 s',
      'FAILED b: has not come to its end',
      '',
    ].join('\n'),
  );
  assert.equal(lastLine(report), '6 passed, 1 failed, 0 skipped');
});

test('no tests at all are no success', () => {
  assert.equal(follow([DONE], []).report.isGood, false);
});

test('every exclusion is printed with its reason', () => {
  const text = new TestReport([]).summary(EXCLUSIONS);
  for (const { what, reason } of EXCLUSIONS) assert.ok(text.includes(`excluded ${what}: ${reason}\n`));
});
