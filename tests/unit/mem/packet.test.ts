import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { Command, INLINE_DATA_SIZE, Packet, PacketFlag, PacketPool } from '../../../src/mem/packet.ts';

test('every request has a response of its own kind, and no response has one', () => {
  for (const cmd of Object.values(Command)) {
    const isRequest = cmd.name.endsWith('Req');
    assert.equal(cmd.response !== undefined, isRequest, cmd.name);
    if (cmd.response === undefined) continue;
    assert.equal(cmd.response.name, cmd.name.replace(/Req$/, 'Resp'));
    assert.equal(cmd.response.isRead, cmd.isRead);
    assert.equal(cmd.response.isWrite, cmd.isWrite);
    assert.equal(cmd.response.hasData, cmd.isRead, 'a response carries what was read');
    assert.equal(cmd.hasData, cmd.isWrite, 'a request carries what is written');
  }
});

test('a packet becomes its response and keeps address, data and sender state', () => {
  const packet = new Packet().set(Command.WriteReq, asPhysAddr(0x1000), 4, PacketFlag.Uncacheable);
  packet.setUint(0x1234_5678);
  packet.pushSenderState('outer');
  packet.pushSenderState('inner');
  packet.makeResponse();
  assert.equal(packet.cmd, Command.WriteResp);
  assert.ok(packet.isUncacheable);
  assert.deepEqual([...packet.data], [0x78, 0x56, 0x34, 0x12]);
  assert.equal(packet.popSenderState(), 'inner');
  assert.equal(packet.popSenderState(), 'outer');
  assert.throws(() => packet.popSenderState(), /no sender state/);
  assert.throws(() => packet.makeResponse(), /no request/);
});

test('a refused packet is an error and a response', () => {
  const packet = new Packet().set(Command.ReadReq, asPhysAddr(0), 8);
  packet.makeError(Command.BadAddressError);
  assert.ok(packet.isError);
  assert.ok(packet.isResponse);
  assert.throws(() => packet.makeError(Command.BadAddressError), /no request/);
});

test('numbers go in and out little-endian, cut to the size of the packet', () => {
  const packet = new Packet().set(Command.WriteReq, asPhysAddr(0), 2);
  packet.setUint(0xab_cdef);
  assert.deepEqual([...packet.data], [0xef, 0xcd]);
  assert.equal(packet.getUint(), 0xcdef);
  packet.set(Command.WriteReq, asPhysAddr(0), 6).setUint(2 ** 47 + 1);
  assert.equal(packet.getUint(), 2 ** 47 + 1);
  assert.throws(() => packet.set(Command.WriteReq, asPhysAddr(0), 8).getUint(), RangeError);
});

test('the data have exactly the size of the packet, also beyond a cache line', () => {
  for (const size of [0, 1, 8, INLINE_DATA_SIZE, INLINE_DATA_SIZE + 1, 4096]) {
    assert.equal(new Packet().set(Command.ReadReq, asPhysAddr(0), size).data.length, size);
  }
});

test('a pooled packet is used again with nothing left of its former life', () => {
  const pool = new PacketPool();
  const first = pool.acquire(Command.WriteReq, asPhysAddr(0x40), 8, PacketFlag.StrictOrder, 3);
  first.pushSenderState(1);
  assert.equal(pool.inUse, 1);
  pool.release(first);
  assert.equal(pool.inUse, 0);
  const second = pool.acquire(Command.ReadReq, asPhysAddr(0x80), 4);
  assert.equal(second, first);
  assert.deepEqual([second.cmd, second.addr, second.sizeBytes], [Command.ReadReq, 0x80, 4]);
  assert.deepEqual([second.flags, second.requestorId, second.headerDelay], [0, 0, 0]);
  assert.throws(() => second.popSenderState());
});

test('two packets in use are never the same one', () => {
  const pool = new PacketPool();
  const first = pool.acquire(Command.ReadReq, asPhysAddr(0), 1);
  const second = pool.acquire(Command.ReadReq, asPhysAddr(0), 1);
  assert.notEqual(first, second);
  pool.release(first);
  pool.release(second);
  assert.throws(() => pool.release(second), /released twice/);
});

test('a packet is printed as gem5 prints it', () => {
  assert.equal(String(new Packet().set(Command.ReadReq, asPhysAddr(0x1000), 8)), 'ReadReq [1000:1007]');
});
