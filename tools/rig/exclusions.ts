// Tests that a flavour of KVM cannot pass, and why. Everything else has to pass everywhere. The table is printed
// at the end of each run of the rig.

import type { KvmFlavour } from '../../src/host/probe.ts';

export interface Exclusion {
  /** A test file, relative to the root of the tree, or the name of a test as a regular expression. */
  readonly what: string | RegExp;
  readonly flavour: KvmFlavour;
  readonly reason: string;
}

export const EXCLUSIONS: readonly Exclusion[] = [
  {
    what: 'tests/kvm/host-abi.test.ts',
    flavour: 'svm',
    reason: 'compares tables with C headers, on every flavour alike; the rig has no compiler',
  },
  ...[
    /a stack pointer that is not canonical is #SS/,
    /misaligned plain accesses are #AC if AC is set/,
    /an unmasked SIMD floating-point exception is #XM at once/,
  ].map((what) => ({
    what,
    flavour: 'svm' as const,
    reason: 'the processor that QEMU 7.2 emulates raises no such exception',
  })),
  {
    what: /random cases come out the same in another order/,
    flavour: 'svm',
    reason: 'PUSHF of the processor that QEMU 7.2 emulates shows VIF now and then',
  },
];

/** The table's rows for this flavour. */
export const exclusionsFor = (flavour: KvmFlavour, table = EXCLUSIONS): Exclusion[] =>
  table.filter((row) => row.flavour === flavour);
