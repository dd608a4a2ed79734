import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restoreLocalApic, saveLocalApic } from '../../../src/arch/x86/interrupt-state.ts';
import { DeliveryMode } from '../../../src/arch/x86/interrupts.ts';
import { advanceTo, copyState, FIXED, makeApic, makeApics } from './apic-bench.ts';

const PERIODIC = 0x2_0040;

/** An APIC with something of everything, at tick 3.4 µs. */
function makeBusy() {
  const made = makeApics({ bootstrap: false });
  const probe = made.probes[0]!.enable();
  const { apic } = probe;
  probe.write('divide', 0xb);
  probe.write('lvtTimer', PERIODIC);
  probe.write('initialCount', 1000);
  probe.write('lvtLint0', 0x700);
  probe.write('lvtLint1', 0x8062);
  probe.write('tpr', 0x10);
  probe.fixed(0x55, true);
  apic.takeExternal();
  probe.fixed(0x33);
  apic.lint1.setLevel(true);
  apic.lint0.setLevel(true);
  probe.fixed(7);
  const send = (deliveryMode: number, vector = 0) => apic.accept({ ...FIXED, deliveryMode, vector });
  send(DeliveryMode.Nmi);
  send(DeliveryMode.Init);
  send(DeliveryMode.Startup, 0x9a);
  send(DeliveryMode.ExtInt);
  advanceTo(made.root, 3_400_000);
  return { ...made, probe };
}

test('a checkpoint with everything pending goes on where it was', () => {
  const { probe } = makeBusy();
  const { root, probe: other } = makeApic({ bootstrap: false });
  advanceTo(root, 3_400_000);
  copyState(probe.apic, other.apic);
  for (const apic of [probe.apic, other.apic]) {
    assert.deepEqual(
      [apic.hasInit, apic.hasStartup, apic.hasNmi, apic.hasExternal],
      [true, true, true, true],
    );
  }
  assert.deepEqual(other.apic.saveState(), probe.apic.saveState());
  for (const [name, cell] of probe.apic.stateCells) {
    assert.deepEqual(other.apic.stateCells.get(name)!.save(), cell.save(), name);
  }
  // What the pins are driven to again is no edge.
  other.apic.takeNmi();
  other.apic.lint1.setLevel(true);
  assert.equal(other.apic.hasNmi, false);
  other.write('esr', 0);
  assert.equal(other.read('esr'), 0x40);
  other.apic.takeInit();
  assert.equal(other.apic.takeStartup(), 0x9a);
});

test('a restored timer ends its period at the tick at which it would have ended', () => {
  const { root, probe } = makeApic();
  probe.write('divide', 0xb);
  probe.write('lvtTimer', PERIODIC);
  probe.write('initialCount', 1000);
  advanceTo(root, 1_200_000);
  probe.drainVectors();
  advanceTo(root, 1_700_123);
  const { root: otherRoot, probe: other } = makeApic();
  advanceTo(otherRoot, 1_700_123);
  copyState(probe.apic, other.apic);
  advanceTo(otherRoot, 1_999_999);
  assert.equal(other.apic.isPending, false);
  advanceTo(otherRoot, 2_000_000);
  assert.deepEqual(other.drainVectors(), [0x40]);
  advanceTo(otherRoot, 3_000_000);
  assert.deepEqual(other.drainVectors(), [0x40]);
});

test('a TSC deadline survives a checkpoint', () => {
  const make = () => {
    const made = makeApic();
    made.probe.apic.msrsReachable = true;
    return made;
  };
  const { probe } = make();
  probe.write('lvtTimer', 0x4_0040);
  probe.apic.writeMsr(0x6e0, 4_000n);
  const { root, probe: other } = make();
  copyState(probe.apic, other.apic);
  assert.equal(other.apic.readMsr(0x6e0), 4_000n);
  advanceTo(root, 2_000_000);
  assert.deepEqual(other.drainVectors(), [0x40]);
});

test("the record has KVM's layout, the current count included", () => {
  const { probe } = makeBusy();
  const { registers } = probe.apic.saveState();
  assert.equal(registers.length, 64);
  // Offsets of kvm_lapic_state divided by 16: TPR, ISR of 64–95, IRR of 32–63, IRR of 96–127, TMICT, TMCCT.
  const words = [0x08, 0x12, 0x21, 0x23, 0x38, 0x39].map((word) => registers[word]);
  assert.deepEqual(words, [0x10, 1 << 21, 1 << 19, 1 << 2, 1000, 600]);
});

test('a record restores registers, priorities and the timer, at another time and through JSON', () => {
  const { probe } = makeBusy();
  const saved = probe.apic.saveState();
  const { root, probe: other } = makeApic();
  advanceTo(root, 50_000_000);
  other.apic.restoreState(restoreLocalApic(JSON.parse(JSON.stringify(saveLocalApic(saved)))));
  assert.deepEqual(other.apic.saveState(), saved);
  assert.equal(other.read('ppr'), 0x50);
  assert.ok(other.cpu.wakeups > 0);
  assert.equal(other.apic.takeExternal(), 0x62);
  other.write('eoi', 0);
  other.write('eoi', 0);
  // The timer's interrupt was in the IRR; the period goes on with 600 counts.
  assert.equal(other.apic.takeExternal(), 0x40);
  other.write('eoi', 0);
  advanceTo(root, 50_600_000);
  assert.equal(other.apic.takeExternal(), 0x40);
});

test('a one-shot timer at zero in a record has expired, a periodic one begins its period', () => {
  const { root, probe } = makeApic();
  const { registers } = probe.apic.saveState();
  registers[0x38] = 1000;
  registers[0x3e] = 0xb;
  registers[0x32] = 0x40;
  probe.apic.restoreState({ registers });
  assert.ok(root.eventQueue.isEmpty);
  registers[0x32] = PERIODIC;
  probe.apic.restoreState({ registers });
  advanceTo(root, 1_000_000);
  assert.deepEqual(probe.drainVectors(), [0x40]);
});

test('a count above the initial one in a record is taken for the initial one', () => {
  const { root, probe } = makeApic();
  const { registers } = probe.apic.saveState();
  registers.set([1000, 0xffff_ffff], 0x38);
  registers[0x3e] = 0xb;
  registers[0x32] = 0x40;
  probe.apic.restoreState({ registers });
  advanceTo(root, 1_000_000);
  assert.deepEqual(probe.drainVectors(), [0x40]);
});

test('in x2APIC mode the record has the id in bits 31:24 and the destination at 0x310', () => {
  const { probes } = makeApics({ id: 7 });
  const { apic } = probes[0]!;
  apic.msrsReachable = true;
  apic.writeMsr(0x1b, 0xfee0_0c00n);
  apic.writeMsr(0x830, 0x1234_5678_0000_4050n);
  const { registers } = apic.saveState();
  assert.deepEqual([registers[0x02], registers[0x0d], registers[0x31]], [0x0700_0000, 0x80, 0x1234_5678]);
  apic.restoreState({ registers });
  assert.equal(apic.readMsr(0x802), 7n);
});

test('a state that is no page of words is refused', () => {
  assert.throws(() => restoreLocalApic({ registers: [1, 2, 3] }), /expected 64 words/);
});
