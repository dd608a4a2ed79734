import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PioDevice } from '../../../src/dev/pio-device.ts';
import type { RegisterBank } from '../../../src/dev/register-file.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { Command, Packet } from '../../../src/mem/packet.ts';
import { type Requestor, RequestPort } from '../../../src/mem/port.ts';
import { Root } from '../../../src/sim/root.ts';
import type { SimObject } from '../../../src/sim/sim-object.ts';
import { asTicks } from '../../../src/sim/tick.ts';
import { pass } from '../../support/device-access.ts';

const BASE = 0x1000;

/** 16 bytes that note how they are accessed. */
class Notebook implements RegisterBank {
  readonly sizeBytes = 16;
  readonly notes: string[] = [];

  read(offset: number, sizeBytes: number): number {
    this.notes.push(`r${sizeBytes}@${offset}`);
    return [0, 0x11, 0x2211, 0, 0x4433_2211][sizeBytes]!;
  }

  write(offset: number, sizeBytes: number, value: number): void {
    this.notes.push(`w${sizeBytes}@${offset}=${value.toString(16)}`);
  }
}

class Device extends PioDevice {
  readonly bank = this.addBank(BASE as PhysAddr, new Notebook());

  constructor(parent: SimObject, name: string) {
    super(parent, name);
    this.pioLatency = asTicks(500);
  }
}

function machine() {
  const root = new Root({ warnSink: () => {}, traceSink: () => {} });
  return { root, device: new Device(root, 'device') };
}

const read = (addr: number, sizeBytes: number) =>
  new Packet().set(Command.ReadReq, addr as PhysAddr, sizeBytes);

test('an access reaches the bank in pieces of 1, 2 or 4 bytes', () => {
  for (const [sizeBytes, notes] of [
    [1, ['r1@0']],
    [2, ['r2@0']],
    [4, ['r4@0']],
    [8, ['r4@0', 'r4@4']],
    [3, ['r1@0', 'r1@1', 'r1@2']],
  ] as const) {
    const { device } = machine();
    assert.equal(device.recvAtomic(read(BASE, sizeBytes)), 500);
    assert.deepEqual(device.bank.notes, notes);
  }
});

test('data are little-endian, and what is outside the device reads as ones', () => {
  const { device } = machine();
  const whole = read(BASE + 4, 4);
  device.recvAtomic(whole);
  assert.deepEqual([...whole.data], [0x11, 0x22, 0x33, 0x44]);
  for (const addr of [BASE - 2, BASE + 14]) {
    const packet = read(addr, 4);
    device.recvFunctional(packet);
    const [inside, outside] = [
      [0x11, 0x11],
      [0xff, 0xff],
    ];
    assert.deepEqual([...packet.data], addr < BASE ? [...outside, ...inside] : [...inside, ...outside]);
    assert.equal(packet.cmd, Command.ReadResp);
  }
});

test('an exchange reads before it writes', () => {
  const { device } = machine();
  const packet = new Packet().set(Command.SwapReq, BASE as PhysAddr, 2);
  packet.setUint(0xbeef);
  device.recvAtomic(packet);
  assert.deepEqual(device.bank.notes, ['r2@0', 'w2@0=beef']);
  assert.equal(packet.getUint(), 0x2211);
});

test('a timing request is served at once and answered after the latency; a drain waits for the answer', () => {
  const { root, device } = machine();
  const answers: bigint[] = [];
  let refusals = 1;
  const cpu: Requestor = {
    recvTimingResp: () => {
      if (refusals-- > 0) return false;
      answers.push(root.curTick);
      return true;
    },
    recvReqRetry: () => {},
  };
  const port = new RequestPort('cpu.port', cpu);
  port.bind(device.pio);
  const packet = read(BASE, 4);
  packet.headerDelay = asTicks(100);
  assert.equal(port.sendTimingReq(packet), true);
  assert.deepEqual(device.bank.notes, ['r4@0']);
  assert.equal(device.drain(), 'draining');
  pass(root, 600);
  assert.deepEqual(answers, [], 'the requestor was not ready');
  pass(root, 50);
  port.sendRetryResp();
  assert.deepEqual(answers, [650n]);
  assert.equal(device.drain(), 'drained');
});
