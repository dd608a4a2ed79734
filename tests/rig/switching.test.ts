// Programs that a functional CPU and a KVM CPU execute in turns, where KVM obeys the CPUID that it is given: nothing but that
// holds the programs to x86-64-v2. Starting a simulation takes a quarter of a minute here, and entering the guest a tenth of a
// millisecond, so these are few, and their turns are long. docs/rig.md says how to run the others.

import { describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { notInstalled } from '../support/hypertick.ts';
import { busyboxPrograms, guest, type Program } from '../support/programs.ts';

/** Of the functional CPU, and of the KVM CPU: so that both execute a good part. */
const TURNS = '50us,2ms';

const guestProgram = (name: string, ...args: string[]): Program => ({
  name: [name, ...args].join(' '),
  argv: [guest(name), ...args],
  how: {},
});

describe('with two CPUs taking turns, not held to anything', () => {
  const testInTurns = ({ name, argv, how }: Program, every: string): void => {
    test(`${name}, every ${every}`, { skip: notInstalled(argv[0]) }, (t) =>
      assertSameAsNative(t, argv, { ...how, cpu: ['--switch-every', every] }),
    );
  };

  // Not 'turns selectors': in about one run of ten a null selector in DS comes back as that of user data (docs/status.md).
  testInTurns(guestProgram('turns'), TURNS);
  testInTurns(guestProgram('threads'), TURNS);
  testInTurns(guestProgram('signals'), 'syscall');
  testInTurns(guestProgram('args'), 'syscall');
  for (const program of busyboxPrograms())
    if (['busybox awk', 'busybox ls'].includes(program.name)) testInTurns(program, 'syscall');
});
