import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeliveryMode, messageFromMsi } from '../../../src/arch/x86/interrupts.ts';
import { MsiWindow } from '../../../src/dev/x86/apic/apic-bus.ts';
import { type ApicProbe, FIXED, makeApics, Prober } from './apic-bench.ts';

/** Four software-enabled APICs with ids 0 to 3. */
function makeFour() {
  const made = makeApics({}, {}, {}, {});
  for (const probe of made.probes) probe.enable();
  return made;
}

/** Ids of those that have an external interrupt, each of which is taken. */
function takers(probes: readonly ApicProbe[]): number[] {
  return probes.flatMap((probe, id) => (probe.drainVectors().length > 0 ? [id] : []));
}

const LOGICAL = 0x800;
const LOWEST = 0x100;

/** Destination field and the ids that it reaches. */
const PHYSICAL: readonly (readonly [destination: number, ids: readonly number[]])[] = [
  [0, [0]],
  [2, [2]],
  [4, []],
  [0xff, [0, 1, 2, 3]],
];
for (const [destination, ids] of PHYSICAL) {
  test(`a physical IPI to ${destination} reaches [${ids}]`, () => {
    const { probes } = makeFour();
    probes[1]!.write('icrHigh', destination << 24);
    probes[1]!.write('icr', 0x4050);
    assert.deepEqual(takers(probes), ids);
  });
}

const FLAT: readonly (readonly [destination: number, ids: readonly number[]])[] = [
  [0x01, [0]],
  [0x0a, [1, 3]],
  [0x70, []],
  [0xff, [0, 1, 2, 3]],
];
for (const [destination, ids] of FLAT) {
  test(`a logical IPI to 0x${destination.toString(16)} in the flat model reaches [${ids}]`, () => {
    const { probes } = makeFour();
    for (const [id, probe] of probes.entries()) probe.write('ldr', 1 << (24 + id));
    probes[0]!.write('icrHigh', destination << 24);
    probes[0]!.write('icr', 0x4050 | LOGICAL);
    assert.deepEqual(takers(probes), ids);
  });
}

/** Logical ids 0x11 and 0x12 of cluster 1, 0x21 and 0x22 of cluster 2; cluster 15 is all clusters. */
const CLUSTER: readonly (readonly [destination: number, ids: readonly number[]])[] = [
  [0x11, [0]],
  [0x13, [0, 1]],
  [0x22, [3]],
  [0x31, []],
  [0xf1, [0, 2]],
  [0xff, [0, 1, 2, 3]],
];
for (const [destination, ids] of CLUSTER) {
  test(`a logical IPI to 0x${destination.toString(16)} in the cluster model reaches [${ids}]`, () => {
    const { probes } = makeFour();
    for (const [id, probe] of probes.entries()) {
      probe.write('dfr', 0x0fff_ffff);
      probe.write('ldr', [0x11, 0x12, 0x21, 0x22][id]! << 24);
    }
    probes[0]!.write('icrHigh', destination << 24);
    probes[0]!.write('icr', 0x4050 | LOGICAL);
    assert.deepEqual(takers(probes), ids);
  });
}

/** Shorthand bits 19:18 of the ICR. The destination field does not count. */
const SHORTHANDS: readonly (readonly [bits: number, ids: readonly number[]])[] = [
  [1, [2]],
  [2, [0, 1, 2, 3]],
  [3, [0, 1, 3]],
];
for (const [bits, ids] of SHORTHANDS) {
  test(`shorthand ${bits} from APIC 2 reaches [${ids}]`, () => {
    const { probes } = makeFour();
    probes[2]!.write('icrHigh', 0);
    probes[2]!.write('icr', 0x4050 | (bits << 18));
    assert.deepEqual(takers(probes), ids);
  });
}

test('a lowest-priority message goes to one APIC: the one of lowest priority, of equals the first', () => {
  const { probes } = makeFour();
  const send = () => probes[0]!.write('icr', 0x4050 | LOWEST | (2 << 18));
  send();
  assert.deepEqual(takers(probes), [0]);
  for (const [id, tpr] of [0x30, 0x20, 0x10, 0x20].entries()) probes[id]!.write('tpr', tpr);
  send();
  assert.deepEqual(takers(probes), [2]);
  // A request that waits counts, too.
  probes[2]!.fixed(0x35);
  send();
  assert.ok(probes[1]!.apic.hasExternal);
});

test('an IPI with an illegal vector is not sent, and an error', () => {
  const { probes } = makeFour();
  probes[0]!.write('icr', 0x400f | (2 << 18));
  assert.deepEqual(takers(probes), []);
  probes[0]!.write('esr', 0);
  assert.equal(probes[0]!.read('esr'), 0x20);
});

test('IPIs are edge-triggered whatever their trigger mode says', () => {
  const { probes } = makeFour();
  probes[0]!.write('icr', 0xc050 | (1 << 18));
  assert.equal(probes[0]!.read('tmr2'), 0);
});

test('an NMI is pending once, however often it comes', () => {
  const { probes } = makeFour();
  const { apic, cpu } = probes[1]!;
  for (let i = 0; i < 2; i++) probes[0]!.write('icr', 0x4400 | (3 << 18));
  assert.deepEqual(
    [apic.hasNmi, apic.hasExternal, cpu.wakeups, probes[0]!.apic.hasNmi],
    [true, false, 1, false],
  );
  apic.takeNmi();
  assert.equal(apic.isPending, false);
});

const INIT_ALL_OTHERS = 0xc_4500;
const STARTUP_ALL_OTHERS = 0xc_4600;

test('INIT, STARTUP, STARTUP starts an application processor once', () => {
  const { probes } = makeFour();
  const { apic } = probes[1]!;
  probes[1]!.write('tpr', 0x20);
  probes[0]!.write('icr', INIT_ALL_OTHERS);
  assert.deepEqual([apic.hasInit, apic.hasStartup], [true, false]);
  // The de-assertion that old systems send.
  probes[0]!.write('icr', 0xc_8500);
  apic.takeInit();
  assert.deepEqual([apic.isPending, probes[1]!.read('tpr'), probes[1]!.read('svr')], [false, 0, 0xff]);
  probes[0]!.write('icr', STARTUP_ALL_OTHERS | 0x9a);
  assert.ok(apic.hasStartup);
  assert.equal(apic.takeStartup(), 0x9a);
  probes[0]!.write('icr', STARTUP_ALL_OTHERS | 0x9a);
  assert.equal(apic.isPending, false);
});

test('a STARTUP that overtakes the handling of INIT is kept, one before an INIT is not', () => {
  const { probes } = makeFour();
  const { apic } = probes[1]!;
  probes[0]!.write('icr', STARTUP_ALL_OTHERS | 0x11);
  assert.ok(apic.hasStartup);
  probes[0]!.write('icr', INIT_ALL_OTHERS);
  assert.equal(apic.hasStartup, false);
  probes[0]!.write('icr', STARTUP_ALL_OTHERS | 0x22);
  apic.takeInit();
  assert.equal(apic.takeStartup(), 0x22);
});

test('the bootstrap processor waits for STARTUP after INIT only, which may come before the INIT is taken', () => {
  const { probes } = makeFour();
  const { apic } = probes[0]!;
  probes[1]!.write('icr', STARTUP_ALL_OTHERS | 0x11);
  assert.equal(apic.isPending, false);
  probes[1]!.write('icr', INIT_ALL_OTHERS);
  probes[1]!.write('icr', STARTUP_ALL_OTHERS | 0x11);
  apic.takeInit();
  assert.equal(apic.takeStartup(), 0x11);
});

test('reserved delivery modes and SMI reach nobody; of SMI there is a warning', () => {
  const { probes, warnings } = makeFour();
  for (const mode of [3, 7]) probes[0]!.write('icr', 0x4050 | (mode << 8) | (2 << 18));
  assert.deepEqual(warnings, []);
  for (let i = 0; i < 2; i++) probes[0]!.write('icr', 0x4250);
  assert.ok(probes.every(({ apic }) => !apic.isPending));
  assert.equal(warnings.length, 1);
});

test('an ExtINT message makes the processor ask the 8259 once', () => {
  const { bus, probes } = makeFour();
  probes[1]!.picVectors.push(0x33);
  assert.ok(bus.send({ ...FIXED, destination: 1, deliveryMode: DeliveryMode.ExtInt }));
  assert.equal(probes[1]!.apic.takeExternal(), 0x33);
  assert.equal(probes[1]!.apic.takeExternal(), undefined);
});

test('a message that nobody accepts is reported', () => {
  const { bus, probes } = makeFour();
  assert.equal(bus.send({ ...FIXED, destination: 9, vector: 0x40 }), false);
  probes[3]!.write('svr', 0xff);
  assert.equal(bus.send({ ...FIXED, destination: 3, vector: 0x40 }), false);
  assert.equal(
    bus.send({ ...FIXED, destination: 3, deliveryMode: DeliveryMode.LowestPriority, vector: 0x40 }),
    false,
  );
  assert.equal(bus.send({ ...FIXED, destination: 2, vector: 0x40 }), true);
});

test('LINT0 and LINT1 deliver NMI and fixed interrupts on their edges unless masked', () => {
  const { probes } = makeFour();
  const probe = probes[0]!;
  probe.write('lvtLint1', 0x400);
  probe.write('lvtLint0', 0x60);
  for (const pin of [probe.apic.lint0, probe.apic.lint1])
    for (const level of [true, false, true]) pin.setLevel(level);
  assert.ok(probe.apic.hasNmi);
  probe.apic.takeNmi();
  assert.deepEqual(probe.drainVectors(), [0x60]);
  probe.write('lvtLint0', 0x1_0060);
  probe.apic.lint0.setLevel(false);
  probe.apic.lint0.setLevel(true);
  probe.write('lvtLint0', 0x60);
  assert.equal(probe.apic.isPending, false);
});

test('a level-triggered LINT0 requests again after its EOI as long as it is asserted', () => {
  const { probes } = makeFour();
  const probe = probes[0]!;
  probe.apic.lint0.setLevel(true);
  probe.write('lvtLint0', 0x8060);
  assert.equal(probe.read('lvtLint0'), 0xc060);
  for (let i = 0; i < 3; i++) {
    assert.equal(probe.apic.takeExternal(), 0x60);
    assert.equal(probe.apic.hasExternal, false);
    probe.write('eoi', 0);
  }
  assert.equal(probe.apic.takeExternal(), 0x60);
  probe.apic.lint0.setLevel(false);
  probe.write('eoi', 0);
  assert.deepEqual([probe.apic.isPending, probe.read('lvtLint0')], [false, 0x8060]);
});

test('an MSI write says destination, mode, vector and trigger', () => {
  const expected = {
    destination: 2,
    isLogical: false,
    deliveryMode: 0,
    vector: 0x45,
    isLevel: false,
    assert: true,
  };
  assert.deepEqual(messageFromMsi(0xfee0_2000, 0x45), expected);
  assert.deepEqual(messageFromMsi(0xfee0_2004, 0x45), { ...expected, isLogical: true });
  assert.deepEqual(messageFromMsi(0xfee0_200c, 0x45), { ...expected, isLogical: true, deliveryMode: 1 });
  assert.deepEqual(messageFromMsi(0xfee0_2000, 0xc445), { ...expected, deliveryMode: 4, isLevel: true });
  assert.deepEqual(messageFromMsi(0xfee0_2000, 0x8045), { ...expected, isLevel: true, assert: false });
  assert.equal(messageFromMsi(0xfeef_f000, 0x45).destination, 0xffff_ffff);
});

test('stores of devices to the MSI window become messages; other accesses do nothing', () => {
  const { root, bus, probes } = makeFour();
  const prober = new Prober(new MsiWindow(root, 'msi', bus).pio);
  prober.write(0xfee0_3000, 0x71);
  assert.deepEqual(takers(probes), [3]);
  prober.write(0xfeef_f000, 0x71);
  assert.deepEqual(takers(probes), [0, 1, 2, 3]);
  prober.write(0xfee0_3000, 0x71, 1);
  prober.write(0xfee0_3000, 0x71, 2);
  prober.write(0xfee0_3002, 0x71);
  assert.deepEqual(takers(probes), []);
  assert.equal(prober.read(0xfee0_3000), 0xffff_ffff);
});

test('a level-triggered MSI whose level is off is no interrupt', () => {
  const { root, bus, probes } = makeFour();
  const prober = new Prober(new MsiWindow(root, 'msi', bus).pio);
  prober.write(0xfee0_3000, 0x8071);
  assert.deepEqual(takers(probes), []);
});
