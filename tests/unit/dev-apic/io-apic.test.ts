import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InterruptMessage } from '../../../src/arch/x86/interrupts.ts';
import { ApicBus } from '../../../src/dev/x86/apic/apic-bus.ts';
import { IoApic } from '../../../src/dev/x86/apic/io-apic.ts';
import { Root } from '../../../src/sim/root.ts';
import { copyState, makeApics, Prober } from './apic-bench.ts';

const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const REMOTE_IRR = 0x4000;

/** An I/O APIC by its two registers. */
class IoApicProbe {
  readonly device: IoApic;
  readonly #prober: Prober;

  constructor(root: Root, bus: ApicBus, name = 'ioApic') {
    this.device = new IoApic(root, name, bus, { id: 5 });
    this.#prober = new Prober(this.device.pio);
  }

  read(index: number): number {
    this.#prober.write(0xfec0_0000, index);
    return this.#prober.read(0xfec0_0010);
  }

  write(index: number, value: number): void {
    this.#prober.write(0xfec0_0000, index);
    this.#prober.write(0xfec0_0010, value);
  }

  /** Writes the entry of an input; returns the input. */
  entry(n: number, low: number, high = 0) {
    this.write(0x11 + 2 * n, high);
    this.write(0x10 + 2 * n, low);
    return this.device.input(n);
  }

  hasRemoteIrr(n: number): boolean {
    return (this.read(0x10 + 2 * n) & REMOTE_IRR) !== 0;
  }
}

/** A bus whose one target takes every message and notes it. */
function makeNoted() {
  const root = new Root();
  const bus = new ApicBus();
  const messages: InterruptMessage[] = [];
  bus.attach({
    arbitrationPriority: 0,
    matches: () => true,
    accept: (message) => {
      messages.push(message);
      return true;
    },
  });
  return { bus, messages, ioApic: new IoApicProbe(root, bus) };
}

/** With a local APIC, software-enabled. */
function makeWithCpu() {
  const { root, bus, probes } = makeApics({});
  return { root, bus, cpu: probes[0]!.enable(), ioApic: new IoApicProbe(root, bus) };
}

test('registers read as after reset: 24 inputs, version 0x11, all entries masked', () => {
  const { ioApic } = makeNoted();
  assert.deepEqual([ioApic.read(0), ioApic.read(1), ioApic.read(2)], [0x0500_0000, 0x0017_0011, 0x0500_0000]);
  for (let n = 0; n < 24; n++)
    assert.deepEqual([ioApic.read(0x10 + 2 * n), ioApic.read(0x11 + 2 * n)], [MASKED, 0]);
  assert.equal(ioApic.read(0x40), 0);
});

test('registers keep the bits that software may write', () => {
  const { ioApic } = makeNoted();
  for (const index of [0, 1, 2, 0x10, 0x3f, 0x40, 0xff]) ioApic.write(index, 0xffff_ffff);
  const read = [0, 1, 2, 0x10, 0x3f, 0x40].map((index) => ioApic.read(index));
  // Delivery status (12) and remote IRR (14) are read-only.
  assert.deepEqual(read, [0x0f00_0000, 0x0017_0011, 0x0f00_0000, 0x1_afff, 0xff00_0000, 0]);
});

test('a rising edge becomes the message that the entry says', () => {
  const { messages, ioApic } = makeNoted();
  const pin = ioApic.entry(4, 0x0934, 0x0300_0000);
  pin.setLevel(true);
  pin.setLevel(true);
  pin.setLevel(false);
  assert.deepEqual(messages, [
    { destination: 3, isLogical: true, deliveryMode: 1, vector: 0x34, isLevel: false, assert: true },
  ]);
  ioApic.entry(4, 0x0434, 0xff00_0000).setLevel(true);
  const nmi = {
    destination: 0xffff_ffff,
    isLogical: false,
    deliveryMode: 4,
    vector: 0x34,
    isLevel: false,
    assert: true,
  };
  assert.deepEqual(messages[1], nmi);
});

test('an edge at a masked input is lost', () => {
  const { messages, ioApic } = makeNoted();
  const pin = ioApic.entry(4, 0x34 | MASKED);
  pin.setLevel(true);
  ioApic.entry(4, 0x34);
  assert.equal(messages.length, 0);
  pin.setLevel(false);
  pin.setLevel(true);
  assert.equal(messages.length, 1);
});

test('a level requests once, and again after each EOI as long as it lasts', () => {
  const { bus, cpu, ioApic } = makeWithCpu();
  const pin = ioApic.entry(9, 0x70 | LEVEL);
  pin.setLevel(true);
  for (let i = 0; i < 3; i++) {
    assert.ok(ioApic.hasRemoteIrr(9));
    assert.equal(cpu.apic.takeExternal(), 0x70);
    assert.equal(cpu.apic.hasExternal, false);
    cpu.write('eoi', 0);
  }
  assert.equal(cpu.apic.takeExternal(), 0x70);
  pin.setLevel(false);
  bus.broadcastEoi(0x71);
  assert.ok(ioApic.hasRemoteIrr(9));
  cpu.write('eoi', 0);
  assert.deepEqual([cpu.apic.isPending, ioApic.hasRemoteIrr(9)], [false, false]);
});

test('an EOI of an edge-triggered interrupt does not travel', () => {
  const { cpu, ioApic } = makeWithCpu();
  ioApic.entry(9, 0x70 | LEVEL).setLevel(true);
  cpu.apic.takeExternal();
  cpu.write('eoi', 0);
  cpu.apic.takeExternal();
  // The same vector, now by an edge: its EOI is nobody's business.
  cpu.fixed(0x70);
  cpu.write('eoi', 0);
  assert.ok(ioApic.hasRemoteIrr(9));
});

test('a level at a masked input waits for the unmasking', () => {
  const { messages, ioApic } = makeNoted();
  ioApic.entry(9, 0x70 | LEVEL | MASKED).setLevel(true);
  assert.equal(messages.length, 0);
  ioApic.write(0x10 + 18, 0x70 | LEVEL);
  ioApic.write(0x10 + 18, 0x70 | LEVEL | MASKED);
  ioApic.write(0x10 + 18, 0x70 | LEVEL);
  assert.equal(messages.length, 1);
});

test('an entry that becomes edge-triggered loses its remote IRR', () => {
  const { messages, ioApic } = makeNoted();
  ioApic.entry(9, 0x70 | LEVEL).setLevel(true);
  ioApic.write(0x10 + 18, 0x70 | MASKED);
  assert.equal(ioApic.hasRemoteIrr(9), false);
  ioApic.write(0x10 + 18, 0x70 | LEVEL);
  assert.equal(messages.length, 2);
});

test('a level that nobody accepts is no interrupt in service', () => {
  const { cpu, ioApic } = makeWithCpu();
  cpu.write('svr', 0xff);
  ioApic.entry(9, 0x70 | LEVEL).setLevel(true);
  assert.equal(ioApic.hasRemoteIrr(9), false);
});

test('an NMI by a level has no EOI and is not held by one', () => {
  const { messages, ioApic } = makeNoted();
  const pin = ioApic.entry(9, 0x470 | LEVEL);
  for (const level of [true, false, true]) pin.setLevel(level);
  assert.deepEqual([messages.length, messages[0]!.isLevel, ioApic.hasRemoteIrr(9)], [2, false, false]);
});

test('several inputs with one vector all hear of its EOI', () => {
  const { cpu, ioApic } = makeWithCpu();
  for (const n of [9, 10]) ioApic.entry(n, 0x70 | LEVEL).setLevel(true);
  ioApic.device.input(10).setLevel(false);
  cpu.apic.takeExternal();
  cpu.write('eoi', 0);
  assert.deepEqual([ioApic.hasRemoteIrr(9), ioApic.hasRemoteIrr(10)], [true, false]);
});

test('a checkpoint keeps levels, so that no edge is seen twice', () => {
  const { bus, messages, ioApic } = makeNoted();
  ioApic.entry(4, 0x34).setLevel(true);
  ioApic.entry(9, 0x70 | LEVEL).setLevel(true);
  ioApic.read(0x23);
  const other = new IoApicProbe(new Root(), bus, 'other');
  copyState(ioApic.device, other.device);
  assert.deepEqual(other.device.saveState(), ioApic.device.saveState());
  for (const n of [4, 9]) other.device.input(n).setLevel(true);
  assert.equal(messages.length, 2);
  other.device.endOfInterrupt(0x70);
  assert.equal(messages.length, 3);
});

test("the record is that of KVM's I/O APIC: levels that last, entries by low and high word", () => {
  const { bus, messages, ioApic } = makeNoted();
  ioApic.entry(4, 0x34, 0x0100_0000).setLevel(true);
  ioApic.entry(9, 0x70 | LEVEL).setLevel(true);
  ioApic.entry(10, 0x71 | LEVEL | MASKED).setLevel(true);
  ioApic.read(0x12);
  const state = ioApic.device.saveState();
  assert.deepEqual([state.id, state.ioregsel, state.irr], [5, 0x12, (1 << 9) | (1 << 10)]);
  assert.deepEqual([...state.redirection.subarray(8, 10)], [0x34, 0x0100_0000]);
  const other = new IoApicProbe(new Root(), bus, 'other');
  messages.length = 0;
  other.device.restoreState(state);
  assert.equal(messages.length, 0);
  assert.deepEqual(other.device.saveState(), state);
  other.device.endOfInterrupt(0x70);
  other.write(0x10 + 20, 0x71 | LEVEL);
  assert.deepEqual(
    messages.map(({ vector }) => vector),
    [0x70, 0x71],
  );
});

test('an edge that the record says is not delivered yet is delivered', () => {
  const { messages, ioApic } = makeNoted();
  ioApic.entry(4, 0x34);
  const state = ioApic.device.saveState();
  ioApic.device.restoreState({ ...state, irr: 1 << 4 });
  assert.deepEqual(
    messages.map(({ vector }) => vector),
    [0x34],
  );
});

test('there are inputs 0 to 23', () => {
  const { ioApic } = makeNoted();
  for (const n of [-1, 24, 1.5]) assert.throws(() => ioApic.device.input(n), RangeError);
});
