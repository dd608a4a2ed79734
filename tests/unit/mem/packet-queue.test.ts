import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, type Packet } from '../../../src/mem/packet.ts';
import { PacketQueue } from '../../../src/mem/packet-queue.ts';
import { EventQueue, SimEvent } from '../../../src/sim/event-queue.ts';
import { asTick, asTicks } from '../../../src/sim/tick.ts';
import { packet, readReq, runAll, writeReq } from './fixtures.ts';

function setUp() {
  const events = new EventQueue('queue');
  const log: string[] = [];
  const peer = { refusals: 0 };
  let emptied = 0;
  const send = (sent: Packet) => {
    const refused = peer.refusals-- > 0;
    log.push(`${events.curTick} ${refused ? 'refuse ' : ''}${sent.addr}`);
    return !refused;
  };
  const queue = new PacketQueue('test', events, send, () => emptied++);
  return { events, log, peer, queue, emptied: () => emptied };
}

test('packets leave when they are due, whatever the order in which they came', () => {
  const { events, log, queue, emptied } = setUp();
  queue.push(readReq(1), asTicks(300));
  queue.push(readReq(2), asTicks(100));
  queue.push(readReq(3), asTicks(200));
  runAll(events);
  assert.deepEqual(log, ['100 2', '200 3', '300 1']);
  assert.ok(queue.isEmpty);
  assert.equal(emptied(), 1);
});

test('packets that are due together leave in order of arrival', () => {
  const { events, log, queue } = setUp();
  for (const addr of [1, 2, 3]) queue.push(readReq(addr), asTicks(50));
  runAll(events);
  assert.deepEqual(log, ['50 1', '50 2', '50 3']);
});

test('delays count from the time of pushing, not from when the queue began', () => {
  const { events, log, queue } = setUp();
  queue.push(readReq(1), asTicks(1000));
  events.schedule(new SimEvent('later', () => queue.push(readReq(2), asTicks(500))), asTicks(400));
  runAll(events);
  assert.deepEqual(log, ['900 2', '1000 1']);
});

test('a refused packet waits for the retry and is not overtaken', () => {
  const { events, log, peer, queue } = setUp();
  peer.refusals = 1;
  queue.push(readReq(1), asTicks(100));
  runAll(events);
  queue.push(readReq(2), asTicks(0));
  runAll(events);
  assert.deepEqual(log, ['100 refuse 1']);
  events.advanceTo(asTick(700n));
  queue.retry();
  runAll(events);
  assert.deepEqual(log, ['100 refuse 1', '700 1', '700 2']);
});

test('what is pushed while a packet is being sent is not lost', () => {
  const events = new EventQueue('queue');
  const log: string[] = [];
  const queue: PacketQueue = new PacketQueue(
    'test',
    events,
    (sent) => {
      log.push(`${events.curTick} ${sent.addr}`);
      if (sent.addr === 1) queue.push(readReq(2), asTicks(0));
      return true;
    },
    () => log.push('empty'),
  );
  queue.push(readReq(1), asTicks(10));
  runAll(events);
  assert.deepEqual(log, ['10 1', '10 2', 'empty']);
});

test('a retry without a refusal is a bug that is named', () => {
  const { queue } = setUp();
  assert.throws(() => queue.retry(), /without having been refused/);
});

test('a functional read sees queued writes, byte for byte', () => {
  const { queue } = setUp();
  queue.push(writeReq(0x102, 0xbbaa, 2), asTicks(100));
  const access = packet(Command.ReadResp, 0x100, 4, 0x4433_2211);
  queue.overlayFunctional(access);
  assert.equal(access.getUint(), 0xbbaa_2211);
});

test('a functional write changes queued data that overlap, and nothing beside them', () => {
  const { queue } = setUp();
  const queued = packet(Command.ReadResp, 0x100, 4, 0x4433_2211);
  const other = packet(Command.ReadResp, 0x104, 4, 0x8877_6655);
  queue.push(queued, asTicks(100));
  queue.push(other, asTicks(100));
  queue.overlayFunctional(packet(Command.WriteResp, 0xfe, 4, 0xddcc_bbaa));
  assert.equal(queued.getUint(), 0x4433_ddcc);
  assert.equal(other.getUint(), 0x8877_6655);
});
