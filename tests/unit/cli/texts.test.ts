// What the command line says: the progress line, doctor's findings, dates.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose, formatFindings } from '../../../src/cli/doctor.ts';
import { progressLine } from '../../../src/cli/progress.ts';
import { parseStartTime } from '../../../src/cli/start-time.ts';
import { oneLine } from '../../../src/cli/terminal.ts';
import type { HostProbe } from '../../../src/host/probe.ts';

test('the progress line shows totals, and rates of the last period', () => {
  const before = { simSeconds: 1, instructions: undefined, exits: 1000, secondsInGuest: 0.9 };
  const now = { simSeconds: 1.52, instructions: undefined, exits: 2500, secondsInGuest: 1.3 };
  assert.equal(progressLine(now, before, 0.5), '1.5 s simulated, 3,000 exits/s, 80 % in the guest');
  const counted = { ...now, instructions: 12_345_678 };
  assert.match(progressLine(counted, before, 0.5), /^1\.5 s simulated, 12 M instructions, /);
});

test('a message is one line, whatever a file is called', () => {
  assert.equal(oneLine('a\n\tb\x1b[1m\x9b\x7f é'), String.raw`a\n\tb\x1b[1m\x9b\x7f é`);
});

describe('--start-time', () => {
  const SECONDS: Record<string, number> = {
    '1970-01-01': 0,
    '2026-01-01': 1_767_225_600,
    '2026-01-01T00:00:00Z': 1_767_225_600,
    '2026-01-01T00:00': 1_767_225_600,
    '2026-01-01T01:00:00.5+01:00': 1_767_225_600.5,
  };
  for (const [argument, seconds] of Object.entries(SECONDS))
    test(argument, () => assert.equal(parseStartTime(argument), seconds));
  for (const argument of [
    '',
    'tomorrow',
    '2026',
    '2026-13-01',
    '2026-02-31',
    '2026-02-31T00:00Z',
    '2026-01-01 00:00',
    '1969-12-31',
  ])
    test(`refuses '${argument}'`, () =>
      assert.throws(() => parseStartTime(argument), /is not 'now', a date such as/));
});

describe('doctor', () => {
  const good: HostProbe = {
    node: {
      version: 'v26.10.0',
      tested: { min: '26.10.0', below: '27.0.0' },
      isTested: true,
      nativeCalls: true,
    },
    system: { kernel: '6.12.0', arch: 'x64', isLinux: true },
    processor: { model: 'Example', count: 8, flags: ['vmx'] },
    kvm: { available: true, path: '/dev/kvm', flavour: 'vmx', capabilities: {} },
    perf: { paranoid: 1, hardware: { available: true }, software: { available: true } },
    memory: { totalBytes: 2 ** 34, availableBytes: 2 ** 33, hugePages: 'madvise' },
  };
  const missing = {
    available: false,
    reason: 'open(/dev/kvm): EACCES',
    remedy: 'join the group kvm',
  } as const;

  test('finds nothing wrong with a good host', () => {
    const findings = diagnose(good);
    assert.ok(findings.every(({ verdict }) => verdict === 'ok'));
    assert.equal(formatFindings(findings).split('\n').length, findings.length + 1);
  });

  test('says what to do about a /dev/kvm that may not be opened', () => {
    const report = formatFindings(diagnose({ ...good, kvm: missing }));
    assert.match(report, /^kvm +limited +open\(\/dev\/kvm\): EACCES.*\n +→ join the group kvm$/m);
  });

  test('takes missing counters and huge pages for limits, not for obstacles', () => {
    const perf = { ...good.perf, hardware: { ...missing, reason: 'perf_event_open: ENOENT' } };
    const memory = { ...good.memory, hugePages: 'never' as const };
    const verdicts = diagnose({ ...good, perf, memory }).map(({ verdict }) => verdict);
    assert.deepEqual(verdicts, ['ok', 'ok', 'ok', 'ok', 'limited', 'limited']);
  });
});
