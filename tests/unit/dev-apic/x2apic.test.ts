import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  LOCAL_APIC_REGISTERS,
  type LocalApicRegisterName,
} from '../../../src/dev/x86/apic/local-apic-registers.ts';
import { makeApics } from './apic-bench.ts';

const BASE_MSR = 0x1b;
const DISABLED = 0xfee0_0000n;
const XAPIC = 0xfee0_0800n;
const X2APIC = 0xfee0_0c00n;
const INVALID = 0xfee0_0400n;

function msr(name: LocalApicRegisterName): number {
  return 0x800 + (LOCAL_APIC_REGISTERS[name].at >>> 4);
}

/** APICs with ids 0, 1 and 0x25 in x2APIC mode, software-enabled. */
function makeX2Apics() {
  const made = makeApics({}, {}, { id: 0x25 });
  for (const { apic } of made.probes) {
    apic.msrsReachable = true;
    assert.ok(apic.writeMsr(BASE_MSR, X2APIC));
    assert.ok(apic.writeMsr(msr('svr'), 0x1ffn));
  }
  return made;
}

/** SDM vol. 3A figure 10-27: modes from, to, and whether WRMSR may. */
const TRANSITIONS: readonly (readonly [path: readonly bigint[], legal: boolean])[] = [
  [[XAPIC], true],
  [[DISABLED], true],
  [[X2APIC], true],
  [[INVALID], false],
  [[DISABLED, XAPIC], true],
  [[DISABLED, X2APIC], false],
  [[DISABLED, INVALID], false],
  [[X2APIC, X2APIC], true],
  [[X2APIC, DISABLED], true],
  [[X2APIC, XAPIC], false],
  [[X2APIC, INVALID], false],
  [[X2APIC, DISABLED, XAPIC], true],
];
for (const [path, legal] of TRANSITIONS) {
  const steps = path.map((value) => (value & 0xfffn).toString(16)).join(' to ');
  test(`IA32_APIC_BASE from 800 to ${steps} is ${legal ? 'legal' : '#GP'}`, () => {
    const { probes } = makeApics({});
    const { apic } = probes[0]!;
    apic.msrsReachable = true;
    for (const value of path.slice(0, -1)) assert.ok(apic.writeMsr(BASE_MSR, value));
    const before = apic.readMsr(BASE_MSR);
    assert.equal(apic.writeMsr(BASE_MSR, path.at(-1)!), legal);
    assert.equal(apic.readMsr(BASE_MSR), legal ? path.at(-1)! : before);
  });
}

test('reserved bits of IA32_APIC_BASE are #GP, and so is x2APIC mode where its MSRs cannot be reached', () => {
  const { apic } = makeApics({}).probes[0]!;
  for (const bit of [0n, 7n, 9n, 52n, 63n]) assert.equal(apic.writeMsr(BASE_MSR, XAPIC | (1n << bit)), false);
  assert.equal(apic.writeMsr(BASE_MSR, X2APIC), false);
  assert.ok(apic.writeMsr(BASE_MSR, 0xf_ffff_f000n | 0x800n));
});

test('in x2APIC mode ids have 32 bits and the logical one follows from the id', () => {
  const { probes } = makeX2Apics();
  const { apic } = probes[2]!;
  assert.equal(apic.readMsr(msr('id')), 0x25n);
  assert.equal(apic.readMsr(msr('ldr')), 0x2_0020n);
  assert.equal(probes[2]!.read('id'), 0xffff_ffff);
});

test('entering x2APIC mode undoes a changed id', () => {
  const { apic } = makeApics({}).probes[0]!;
  const { probes } = makeApics({});
  probes[0]!.write('id', 0x5500_0000);
  probes[0]!.apic.msrsReachable = true;
  probes[0]!.apic.writeMsr(BASE_MSR, X2APIC);
  assert.equal(probes[0]!.apic.readMsr(msr('id')), 0n);
  assert.equal(apic.apicBase & 0x400, 0);
});

/** SDM vol. 3A table 10-6: how each register answers RDMSR and WRMSR (of a legal value). */
const ACCESS: readonly (readonly [name: LocalApicRegisterName, read: boolean, write: boolean])[] = [
  ['id', true, false],
  ['version', true, false],
  ['tpr', true, true],
  ['apr', false, false],
  ['ppr', true, false],
  ['eoi', false, true],
  ['ldr', true, false],
  ['dfr', false, false],
  ['svr', true, true],
  ['isr0', true, false],
  ['tmr7', true, false],
  ['irr3', true, false],
  ['esr', true, true],
  ['icr', true, true],
  ['icrHigh', false, false],
  ['lvtTimer', true, true],
  ['lvtThermal', true, true],
  ['lvtPerformance', true, true],
  ['lvtLint0', true, true],
  ['lvtLint1', true, true],
  ['lvtError', true, true],
  ['initialCount', true, true],
  ['currentCount', true, false],
  ['divide', true, true],
  ['selfIpi', false, true],
];
test('MSRs can be read and written as the table says', () => {
  const { apic } = makeX2Apics().probes[0]!;
  for (const [name, read, write] of ACCESS) {
    assert.equal(apic.readMsr(msr(name)) !== undefined, read, `RDMSR ${name}`);
    assert.equal(apic.writeMsr(msr(name), 0n), write, `WRMSR ${name}`);
  }
  for (const index of [0x800, 0x801, 0x80c, 0x82f, 0x83d, 0x840, 0x8ff]) {
    assert.equal(apic.readMsr(index), undefined);
    assert.equal(apic.writeMsr(index, 0n), false);
  }
});

test('reserved bits and upper halves of MSRs are #GP, and read-only bits are not', () => {
  const { apic } = makeX2Apics().probes[0]!;
  const bad: readonly (readonly [LocalApicRegisterName, bigint])[] = [
    ['tpr', 0x100n],
    ['eoi', 1n],
    ['esr', 1n],
    ['svr', 0x400n],
    ['lvtTimer', 0x100n],
    ['lvtError', 0x8000n],
    ['divide', 4n],
    ['selfIpi', 0x140n],
    ['icr', 0x10_0000n],
    ['initialCount', 1n << 32n],
  ];
  for (const [name, value] of bad) assert.equal(apic.writeMsr(msr(name), value), false, name);
  assert.ok(apic.writeMsr(msr('lvtLint0'), 0x1_5000n));
  assert.equal(apic.readMsr(msr('lvtLint0')), 0x1_0000n);
});

test('outside x2APIC mode its MSRs are #GP', () => {
  const { apic } = makeApics({}).probes[0]!;
  apic.msrsReachable = true;
  assert.deepEqual([apic.readMsr(0x802), apic.writeMsr(0x808, 0n)], [undefined, false]);
});

test('the ICR has 64 bits, and one write sends', () => {
  const { probes } = makeX2Apics();
  assert.ok(probes[0]!.apic.writeMsr(msr('icr'), 0x25_0000_4050n));
  assert.equal(probes[0]!.apic.readMsr(msr('icr')), 0x25_0000_4050n);
  assert.deepEqual(
    probes.map(({ apic }) => apic.takeExternal()),
    [undefined, undefined, 0x50],
  );
});

test('0xff is a processor like another, all ones are all', () => {
  const { probes } = makeX2Apics();
  probes[0]!.apic.writeMsr(msr('icr'), 0xff_0000_4050n);
  assert.ok(probes.every(({ apic }) => !apic.isPending));
  probes[0]!.apic.writeMsr(msr('icr'), 0xffff_ffff_0000_4050n);
  assert.ok(probes.every(({ apic }) => apic.takeExternal() === 0x50));
});

/** Cluster in bits 31:16, members in 15:0. */
const LOGICAL: readonly (readonly [destination: bigint, taken: readonly boolean[]])[] = [
  [0x0000_0003n, [true, true, false]],
  [0x0000_0002n, [false, true, false]],
  [0x0002_0020n, [false, false, true]],
  [0x0002_0010n, [false, false, false]],
];
for (const [destination, taken] of LOGICAL) {
  test(`a logical IPI to 0x${destination.toString(16)} finds cluster and members`, () => {
    const { probes } = makeX2Apics();
    probes[0]!.apic.writeMsr(msr('icr'), (destination << 32n) | 0x4850n);
    assert.deepEqual(
      probes.map(({ apic }) => apic.takeExternal() === 0x50),
      taken,
    );
  });
}

test('the self IPI register interrupts its own processor; an illegal vector is an error', () => {
  const { apic } = makeX2Apics().probes[1]!;
  assert.ok(apic.writeMsr(msr('selfIpi'), 0x44n));
  assert.equal(apic.takeExternal(), 0x44);
  assert.ok(apic.writeMsr(msr('eoi'), 0n));
  apic.writeMsr(msr('selfIpi'), 0x4n);
  apic.writeMsr(msr('esr'), 0n);
  assert.equal(apic.readMsr(msr('esr')), 0x20n);
});

test('INIT in x2APIC mode keeps mode and ids', () => {
  const { apic } = makeX2Apics().probes[2]!;
  apic.takeInit();
  assert.deepEqual(
    [apic.readMsr(msr('id')), apic.readMsr(msr('ldr')), apic.readMsr(msr('svr'))],
    [0x25n, 0x2_0020n, 0xffn],
  );
});
