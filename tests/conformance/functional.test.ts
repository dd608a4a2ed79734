// The programs of the conformance tests on the functional CPU, and with it and a KVM CPU taking turns: the same bytes and the
// same exit status as natively. This is the part that takes little time; `node tools/cpu-matrix.ts` runs all of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { hypertick, missing, notInstalled } from '../support/hypertick.ts';
import { generatedFile } from '../support/inputs.ts';
import {
  BUSYBOX,
  busyboxPrograms,
  debianPrograms,
  GUESTS_BUILD,
  GUESTS_NEED,
  guest,
  guestPrograms,
  HELD_TO_V2,
  type Program,
  wildPrograms,
} from '../support/programs.ts';

const INPUT_BYTES = 100_000;
/** Millions of exceptions and signals, and the same system calls as `signals`. */
const LONG = ['interrupted'];

// In front of all tests: those of programs that are not there are skipped.
if (notInstalled(...GUESTS_NEED) === false) execFileSync(GUESTS_BUILD, { stdio: 'inherit' });

function named(programs: readonly Program[], names: readonly string[]): Program[] {
  return programs.filter(({ name }) => names.includes(name));
}

describe('on the functional CPU', () => {
  const cpu = ['--cpu', 'functional'];
  const testAll = (programs: readonly Program[]): void => {
    for (const { name, argv, how } of programs)
      test(name, { skip: notInstalled(argv[0]) }, (t) => assertSameAsNative(t, argv, { ...how, cpu }));
  };

  describe('guest programs', { skip: notInstalled(...GUESTS_NEED) }, () => {
    for (const { name, argv, how } of [...guestPrograms(), ...wildPrograms()])
      if (!LONG.includes(name)) test(name, (t) => assertSameAsNative(t, argv, { ...how, cpu }));
    test('turns, selectors', (t) => assertSameAsNative(t, [guest('turns'), 'selectors'], { cpu }));
  });
  describe('busybox', { skip: notInstalled(BUSYBOX) }, () => testAll(busyboxPrograms()));
  describe('programs of a Debian system', () => testAll(debianPrograms(INPUT_BYTES)));

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

describe('with two CPUs taking turns', { skip: missing(...GUESTS_NEED, BUSYBOX) }, () => {
  const testInTurns = ({ name, argv, how }: Program, every: string): void => {
    test(`${name}, every ${every}`, { skip: notInstalled(argv[0]) }, (t) =>
      assertSameAsNative(t, argv, {
        ...how,
        env: { ...how.env, ...HELD_TO_V2 },
        cpu: ['--switch-every', every],
      }),
    );
  };

  for (const [program, every] of [
    ['signals', '50us'],
    ['threads', '1ms'],
    ['memory', '50us'],
    ['times', '300us'],
    ['turns', '10us,30us'],
  ] as const)
    testInTurns({ name: program, argv: [guest(program)], how: {} }, every);
  testInTurns(
    {
      name: 'busybox sha256sum',
      argv: [BUSYBOX, 'sha256sum', 'in'],
      how: { files: { in: generatedFile(2_000_000) } },
    },
    '200us',
  );

  const atCalls = ['busybox awk', 'busybox gzip', 'busybox ls', 'busybox sort', 'busybox tee'];
  for (const program of [
    ...named(guestPrograms(), ['args', 'files', 'memory', 'signals', 'threads', 'turns']),
    ...named(wildPrograms(), ['divide', 'recurse', 'write-code']),
    ...named(busyboxPrograms(), atCalls),
    ...named(debianPrograms(INPUT_BYTES), ['bash, floating point', 'perl', 'python3, threads', 'sqlite3']),
  ])
    testInTurns(program, 'syscall');
});
