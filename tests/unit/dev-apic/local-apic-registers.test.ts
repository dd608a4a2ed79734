import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  LOCAL_APIC_REGISTERS,
  type LocalApicRegisterName,
} from '../../../src/dev/x86/apic/local-apic-registers.ts';
import { makeApic, makeApics } from './apic-bench.ts';

/** SDM vol. 3A §10.4.7.1: what is not here is 0. */
const AFTER_RESET: Partial<Record<LocalApicRegisterName, number>> = {
  id: 0x0300_0000,
  version: 0x0005_0014,
  dfr: 0xffff_ffff,
  svr: 0xff,
  lvtTimer: 0x1_0000,
  lvtThermal: 0x1_0000,
  lvtPerformance: 0x1_0000,
  lvtLint0: 0x1_0000,
  lvtLint1: 0x1_0000,
  lvtError: 0x1_0000,
};
const NAMES = Object.keys(LOCAL_APIC_REGISTERS) as LocalApicRegisterName[];

test('registers have their values of RESET', () => {
  const { probes } = makeApics({}, {}, {}, {});
  const probe = probes[3]!;
  for (const name of NAMES) {
    if (LOCAL_APIC_REGISTERS[name].isMapped) assert.equal(probe.read(name), AFTER_RESET[name] ?? 0, name);
  }
});

/** What a register reads after all ones were written: SDM vol. 3A figures 10-6 to 10-23. */
const AFTER_ONES: Partial<Record<LocalApicRegisterName, number>> = {
  id: 0xff00_0000,
  tpr: 0xff,
  ldr: 0xff00_0000,
  dfr: 0xffff_ffff,
  svr: 0x3ff,
  // Without a TSC-deadline MSR mode bit 18 is reserved.
  lvtTimer: 0x3_00ff,
  lvtThermal: 0x1_07ff,
  lvtPerformance: 0x1_07ff,
  lvtLint0: 0x1_a7ff,
  lvtLint1: 0x1_a7ff,
  lvtError: 0x1_00ff,
  icrHigh: 0xff00_0000,
  initialCount: 0xffff_ffff,
  divide: 0xb,
};

for (const [name, expected] of Object.entries(AFTER_ONES) as [LocalApicRegisterName, number][]) {
  test(`${name} keeps the bits that software may write`, () => {
    const { probe } = makeApic();
    probe.write(name, 0xffff_ffff);
    assert.equal(probe.read(name), expected);
  });
}

test('read-only registers ignore writes', () => {
  const { probe } = makeApic();
  const before = probe.apic.saveState().registers.slice();
  for (const name of NAMES) if (LOCAL_APIC_REGISTERS[name].access === 'ro') probe.write(name, 0xffff_ffff);
  assert.deepEqual(probe.apic.saveState().registers, before);
});

test('the destination format register has ones where it has no bits', () => {
  const { probe } = makeApic();
  probe.write('dfr', 0);
  assert.equal(probe.read('dfr'), 0x0fff_ffff);
});

test('only aligned stores of 32 bits count, parts of a register can be read', () => {
  const { probe } = makeApic();
  probe.write('initialCount', 0x1234_5678);
  probe.write('initialCount', 0, 1);
  probe.write('initialCount', 0, 2);
  probe.write(LOCAL_APIC_REGISTERS.initialCount.at + 4, 0);
  assert.equal(probe.read('initialCount'), 0x1234_5678);
  assert.equal(probe.read(LOCAL_APIC_REGISTERS.initialCount.at + 1, 2), 0x3456);
  assert.equal(probe.read(LOCAL_APIC_REGISTERS.initialCount.at + 4), 0);
});

test('the error status shows at a write what has happened since the last one', () => {
  const { probe } = makeApic();
  probe.read(0x3f0);
  probe.write(0x070, 1);
  assert.equal(probe.read('esr'), 0);
  probe.write('esr', 0);
  assert.equal(probe.read('esr'), 0x80);
  probe.fixed(15);
  probe.write('icr', 0x0_000f);
  assert.equal(probe.read('esr'), 0x80);
  probe.write('esr', 0xffff_ffff);
  assert.equal(probe.read('esr'), 0x60);
  probe.write('esr', 0);
  assert.equal(probe.read('esr'), 0);
});

test('an error interrupts by its LVT entry, and again after the status was written', () => {
  const { probe } = makeApic();
  probe.write('lvtError', 0xfe);
  probe.fixed(3);
  assert.deepEqual(probe.drainVectors(), [0xfe]);
  probe.fixed(4);
  assert.deepEqual(probe.drainVectors(), []);
  probe.write('esr', 0);
  probe.fixed(4);
  assert.deepEqual(probe.drainVectors(), [0xfe]);
});

test('an illegal vector of the error entry is one more error, and the end of it', () => {
  const { probe } = makeApic();
  probe.write('lvtError', 5);
  probe.read(0x3f0);
  probe.write('esr', 0);
  assert.equal(probe.read('esr'), 0xc0);
});

test('software-disabled, the APIC masks its LVT and refuses fixed messages but keeps what it has', () => {
  const { probe } = makeApic();
  probe.write('lvtTimer', 0x40);
  probe.fixed(0x51);
  probe.write('svr', 0xff);
  assert.equal(probe.read('lvtTimer'), 0x1_0040);
  probe.write('lvtTimer', 0x40);
  assert.equal(probe.read('lvtTimer'), 0x1_0040);
  assert.equal(probe.fixed(0x61), false);
  assert.equal(
    probe.apic.accept({
      destination: 0,
      isLogical: false,
      deliveryMode: 4,
      vector: 0,
      isLevel: false,
      assert: true,
    }),
    true,
  );
  assert.ok(probe.apic.hasNmi);
  assert.equal(probe.apic.takeExternal(), 0x51);
  probe.enable();
  assert.equal(probe.read('lvtTimer'), 0x1_0040);
});

test('globally disabled, the page is not there and LINT0 and LINT1 are INTR and NMI', () => {
  const { probe } = makeApic();
  probe.fixed(0x41);
  assert.equal(probe.apic.writeMsr(0x1b, 0xfee0_0100n), true);
  assert.equal(probe.apic.hasExternal, false);
  assert.equal(probe.fixed(0x42), false);
  assert.equal(probe.read('version'), 0xffff_ffff);
  probe.apic.lint1.setLevel(true);
  assert.ok(probe.apic.hasNmi);
  probe.picVectors.push(0x33);
  probe.apic.lint0.setLevel(true);
  assert.equal(probe.apic.takeExternal(), 0x33);
});

test('virtual wire mode leaves the bootstrap APIC alone as firmware would', () => {
  const { probes } = makeApics({ virtualWire: true }, { virtualWire: true });
  const values = probes.map((probe) => [probe.read('svr'), probe.read('lvtLint0'), probe.read('lvtLint1')]);
  assert.deepEqual(values, [
    [0x1ff, 0x8700, 0x8400],
    [0xff, 0x1_0000, 0x1_0000],
  ]);
});

test('INIT keeps the id and the base, RESET makes them the first ones', () => {
  const { probe } = makeApic();
  probe.write('id', 0x0700_0000);
  probe.write('tpr', 0x20);
  probe.apic.writeMsr(0x1b, 0x1234_5900n);
  probe.apic.reset(true);
  assert.deepEqual([probe.read('id'), probe.read('tpr'), probe.apic.apicBase], [0x0700_0000, 0, 0x1234_5900]);
  probe.apic.reset(false);
  assert.deepEqual([probe.read('id'), probe.apic.apicBase], [0, 0xfee0_0900]);
});
