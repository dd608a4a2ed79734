import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portAddress } from '../../../src/arch/x86/address-spaces.ts';
import { NoDevice } from '../../../src/dev/no-device.ts';
import { M5_WINDOW_BASE, M5Window } from '../../../src/dev/x86/m5-window.ts';
import { PostPort } from '../../../src/dev/x86/post-port.ts';
import { TestExit } from '../../../src/dev/x86/test-exit.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { Command, Packet } from '../../../src/mem/packet.ts';
import { Root } from '../../../src/sim/root.ts';
import { copyState, inb, load, outb, pass, store } from '../../support/device-access.ts';

function machine(debugFlags = '') {
  const [warnings, lines]: [string[], string[]] = [[], []];
  const root = new Root({
    debugFlags,
    warnSink: (line) => warnings.push(line),
    traceSink: (line) => lines.push(line),
  });
  return { root, warnings, lines };
}

test('the test-exit port ends the simulation with (value << 1) | 1', () => {
  for (const [sizeBytes, value, code] of [
    [1, 0x10, 0x21],
    [2, 0x1234, 0x2469],
    [4, 0xffff_ffff, 0x1_ffff_ffff],
    [4, 0, 1],
  ] as const) {
    const { root } = machine();
    const port = new TestExit(root, 'exit', { base: portAddress(0xf4) });
    assert.equal(load(port, portAddress(0xf4), sizeBytes), 0);
    store(port, portAddress(0xf4), sizeBytes, value);
    assert.equal(root.hasExit, false, 'after the other events of the tick');
    pass(root, 0);
    assert.deepEqual(root.takeExit(), { cause: 'isa-debug-exit', code, tick: 0n });
  }
});

test('base and size of the test-exit port can be chosen', () => {
  const { root } = machine();
  const port = new TestExit(root, 'exit', { base: portAddress(0x501), ioSize: 2 });
  assert.deepEqual(
    port.addrRanges().map(({ start, sizeBytes }) => [start, sizeBytes]),
    [[portAddress(0x501), 2]],
  );
  assert.throws(() => new TestExit(root, 'bad', { base: portAddress(0xf4), ioSize: 8 }), /ioSize/);
});

test('ports 0x80 and 0xed keep their last bytes apart', () => {
  const [{ root }, other] = [machine(), machine()];
  const post = new PostPort(root, 'post');
  outb(post, 0x80, 0x42);
  outb(post, 0xed, 0x99);
  const copy = new PostPort(other.root, 'post');
  copyState(post, copy);
  for (const port of [post, copy]) {
    assert.deepEqual([port.lastCode, inb(port, 0x80), inb(port, 0xed)], [0x42, 0x42, 0x99]);
  }
});

function window(call: (fn: number) => bigint | undefined) {
  const made = machine();
  const calls: number[] = [];
  const pseudoInstructions = {
    call: (fn: number) => {
      calls.push(fn);
      return call(fn);
    },
  };
  return { ...made, calls, device: new M5Window(made.root, 'm5', { pseudoInstructions }) };
}

test('a load from the window calls the function of bits 15:8, once, and yields its 64-bit result', () => {
  const { device, calls } = window(() => 0x1122_3344_5566_7788n);
  const packet = new Packet().set(Command.ReadReq, (M5_WINDOW_BASE + 0x5400) as PhysAddr, 8);
  device.recvAtomic(packet);
  assert.deepEqual(calls, [0x54]);
  assert.equal(Buffer.from(packet.data).readBigUInt64LE(), 0x1122_3344_5566_7788n);
  assert.equal(load(device, M5_WINDOW_BASE + 0x2100, 4), 0x5566_7788);
  store(device, M5_WINDOW_BASE + 0xff04, 8, 0);
  assert.deepEqual(calls, [0x54, 0x21, 0xff]);
});

test('a negative result is its two’s complement', () => {
  const { device } = window(() => -1n);
  assert.equal(load(device, M5_WINDOW_BASE, 4), 0xffff_ffff);
});

test('a function that there is not yields 0, with a warning for each', () => {
  const { device, warnings } = window(() => undefined);
  for (const fn of [0x99, 0x99, 0x9a]) assert.equal(load(device, M5_WINDOW_BASE + (fn << 8), 4), 0);
  assert.deepEqual(warnings, [
    'warn: m5: pseudo-instruction 153 is unknown: it does nothing',
    'warn: m5: pseudo-instruction 154 is unknown: it does nothing',
  ]);
});

test('where nothing is, reads are ones and writes vanish; both are counted, and traced on request', () => {
  const { root, lines } = machine('MemoryAccess');
  const nothing = new NoDevice(root, 'nothing');
  assert.deepEqual(nothing.addrRanges(), []);
  for (const sizeBytes of [1, 2, 4]) {
    store(nothing, portAddress(0x1234), sizeBytes, 0);
    assert.equal(load(nothing, portAddress(0x1234), sizeBytes), 2 ** (8 * sizeBytes) - 1);
  }
  assert.deepEqual([nothing.stats.numReads.value, nothing.stats.numWrites.value], [3, 3]);
  assert.equal(lines.length, 6);
  assert.match(lines[0]!, /nothing: nothing at 0x10000000001234: WriteReq/);
});
