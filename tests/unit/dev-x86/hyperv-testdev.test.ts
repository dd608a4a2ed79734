// QEMU's hyperv-testdev as test kernels use it: commands and what they do are those of kvm-unit-tests' x86/hyperv.c, which
// drives it; statuses are those of TLFS, "Inter-Partition Communication".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portAddress } from '../../../src/arch/x86/address-spaces.ts';
import {
  type HyperVPorts,
  HyperVStatus,
  type Synic,
  type SynicMessage,
} from '../../../src/arch/x86/hyper-v.ts';
import { HypervTestdev } from '../../../src/dev/x86/hyperv-testdev.ts';
import { copyState } from '../../support/device-access.ts';
import { Random } from '../../support/random.ts';
import { Accessor, quietRoot } from './pc-bench.ts';

const PORT = 0x3000;
const [CREATE_ROUTE, DESTROY_ROUTE, RAISE, CREATE_MESSAGE, DESTROY_MESSAGE, CREATE_EVENT, DESTROY_EVENT] = [
  1, 2, 3, 4, 5, 6, 7,
];
const { SUCCESS, INVALID_CONNECTION_ID, INVALID_PARAMETER, INSUFFICIENT_BUFFERS } = HyperVStatus;
const PAYLOAD = Uint8Array.of(1, 2, 3);

/** A virtual processor that tells what it is asked to do. */
class ToldSynic implements Synic {
  readonly log: string[] = [];
  isBusy = false;
  postMessage(sint: number, { type, port, payload }: SynicMessage): boolean {
    if (this.isBusy) return false;
    this.log.push(`sint ${sint} message ${type} by ${port}: ${payload.toHex()}`);
    return true;
  }
  setEventFlag(sint: number, flag: number): void {
    this.log.push(`sint ${sint} flag ${flag}`);
  }
  raise(sint: number): void {
    this.log.push(`sint ${sint}`);
  }
}

function bench() {
  const synics = [new ToldSynic(), new ToldSynic()] as const;
  let ports: HyperVPorts | undefined;
  const connect = (given: HyperVPorts): void => {
    ports = given;
  };
  const device = new HypervTestdev(quietRoot(), 'testdev', {
    base: portAddress(PORT),
    partition: { synics, connect },
  });
  const access = new Accessor(device);
  const command = (number: number, { vp = 0, sint = 0, connection = 0 }): void =>
    access.out(PORT, ((connection << 24) | (number << 16) | (vp << 8) | sint) >>> 0, 4);
  return { device, synics, ports: ports!, access, command };
}

test('a SINT is raised while it has a route, at the processor that is named', () => {
  const { command, synics } = bench();
  command(RAISE, { vp: 1, sint: 5 });
  command(CREATE_ROUTE, { vp: 1, sint: 5 });
  command(RAISE, { vp: 1, sint: 5 });
  command(RAISE, { vp: 0, sint: 5 });
  command(DESTROY_ROUTE, { vp: 1, sint: 5 });
  command(RAISE, { vp: 1, sint: 5 });
  assert.deepEqual([synics[0].log, synics[1].log], [[], ['sint 5']]);
});

test('a message arrives at the SINT that its connection was made for', () => {
  const { command, ports, synics } = bench();
  assert.equal(ports.postMessage(0x18, 7, PAYLOAD), INVALID_CONNECTION_ID);
  command(CREATE_MESSAGE, { vp: 1, sint: 8, connection: 0x18 });
  command(CREATE_MESSAGE, { vp: 0, sint: 3, connection: 0x18 });
  assert.equal(ports.postMessage(0x18, 7, PAYLOAD), SUCCESS);
  assert.equal(ports.signalEvent(0x18, 0), INVALID_CONNECTION_ID, 'it is no event connection');
  assert.deepEqual([synics[0].log, synics[1].log], [[], ['sint 8 message 7 by 24: 010203']]);
  command(DESTROY_MESSAGE, { connection: 0x18 });
  assert.equal(ports.postMessage(0x18, 7, PAYLOAD), INVALID_CONNECTION_ID);
});

test('one message waits for its slot, a second one is refused, and the end of a message lets the first one in', () => {
  const { command, ports, synics } = bench();
  const [synic] = synics;
  command(CREATE_MESSAGE, { sint: 8, connection: 1 });
  synic.isBusy = true;
  assert.equal(ports.postMessage(1, 7, PAYLOAD), SUCCESS);
  assert.equal(ports.postMessage(1, 8, PAYLOAD), INSUFFICIENT_BUFFERS);
  ports.endOfMessage();
  assert.deepEqual(synic.log, []);
  synic.isBusy = false;
  ports.endOfMessage();
  ports.endOfMessage();
  assert.deepEqual(synic.log, ['sint 8 message 7 by 1: 010203']);
});

test('an event sets the flag with the number of its connection; it has but one', () => {
  const { command, ports, synics } = bench();
  assert.equal(ports.signalEvent(0x21, 0), INVALID_CONNECTION_ID);
  command(CREATE_EVENT, { sint: 9, connection: 0x21 });
  assert.equal(ports.signalEvent(0x21, 0), SUCCESS);
  assert.equal(ports.signalEvent(0x21, 1), INVALID_PARAMETER);
  assert.equal(ports.postMessage(0x21, 7, PAYLOAD), INVALID_CONNECTION_ID);
  command(DESTROY_EVENT, { connection: 0x21 });
  assert.equal(ports.signalEvent(0x21, 0), INVALID_CONNECTION_ID);
  assert.deepEqual(synics[0].log, ['sint 9 flag 33']);
});

test('processors, SINTs and commands that are not there, and parts of a command, do nothing', () => {
  const { access, command, ports, synics } = bench();
  for (const number of [CREATE_ROUTE, CREATE_MESSAGE, CREATE_EVENT, RAISE, 0, 8, 0xff]) {
    command(number, { vp: 2, sint: 1, connection: 1 });
    command(number, { vp: 0, sint: 16, connection: 1 });
  }
  access.out(PORT, CREATE_MESSAGE << 16, 2);
  access.out(PORT + 2, CREATE_MESSAGE, 1);
  assert.equal(ports.postMessage(1, 7, PAYLOAD), INVALID_CONNECTION_ID);
  assert.equal(ports.postMessage(0, 7, PAYLOAD), INVALID_CONNECTION_ID);
  assert.equal(ports.signalEvent(1, 0), INVALID_CONNECTION_ID);
  assert.deepEqual(synics[0].log, []);
  assert.equal(access.in(PORT, 4), 0);
});

test('routes, connections and what waits go through a checkpoint, whatever the guest has done', () => {
  const random = new Random(0x5eed_4b1d);
  for (let round = 0; round < 50; round++) {
    const [from, to] = [bench(), bench()];
    for (const { synics } of [from, to]) synics[0].isBusy = true;
    for (let i = 0; i < 100; i++) {
      const connection = random.below(8);
      from.command(random.below(9), { vp: random.below(3), sint: random.below(20), connection });
      from.ports.postMessage(
        connection,
        1 + i,
        Uint8Array.from({ length: random.below(241) }, () => i),
      );
      from.ports.signalEvent(connection, 0);
    }
    to.command(CREATE_MESSAGE, { connection: 200 });
    copyState(from.device, to.device);
    for (const { command, ports, synics } of [from, to]) {
      for (const synic of synics) synic.log.length = 0;
      synics[0].isBusy = false;
      ports.endOfMessage();
      for (let n = 0; n < 32; n++) command(RAISE, { vp: n >> 4, sint: n & 15 });
      for (let n = 0; n < 8; n++) ports.signalEvent(n, 0);
      for (let n = 0; n < 8; n++) ports.postMessage(n, 1, PAYLOAD);
      assert.equal(ports.postMessage(200, 1, PAYLOAD), INVALID_CONNECTION_ID);
    }
    assert.deepEqual(
      to.synics.map(({ log }) => log),
      from.synics.map(({ log }) => log),
    );
  }
});

const MESSAGE = { connection: 1, vp: 0, sint: 1, type: 1, payload: '00' };
for (const [what, saved] of [
  ['a SINT', { messages: [{ ...MESSAGE, sint: 16 }], events: [] }],
  ['a processor', { messages: [], events: [{ connection: 1, vp: 2, sint: 1 }] }],
  ['a connection', { messages: [], events: [{ connection: 256, vp: 0, sint: 1 }] }],
  ['a message', { messages: [{ ...MESSAGE, payload: 'xy' }], events: [] }],
  ['a short message', { messages: [{ ...MESSAGE, payload: '00'.repeat(241) }], events: [] }],
  ['lists', { messages: {}, events: {} }],
] as const)
  test(`a checkpoint without ${what} is refused`, () => {
    const cell = bench().device.stateCells.get('connections')!;
    cell.restore({ messages: [MESSAGE], events: [] });
    assert.throws(() => cell.restore(saved), { name: 'StateError' });
  });
