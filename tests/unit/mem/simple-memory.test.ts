import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { Command } from '../../../src/mem/packet.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { SimpleMemory } from '../../../src/mem/simple-memory.ts';
import { Root } from '../../../src/sim/root.ts';
import { packet, readReq, runAll, ScriptedRequestor, writeReq } from './fixtures.ts';

function setUp() {
  const root = new Root();
  const ranges = [
    { start: 0, sizeBytes: 0x2000 },
    { start: 0x1_0000, sizeBytes: 0x1000, inAddrMap: false },
  ];
  const ram = new PhysicalMemory(root, 'ram', { ranges });
  const memory = new SimpleMemory(root, 'memory', ram, { latency: '10ns' });
  const cpu = new ScriptedRequestor('cpu.port', root.eventQueue);
  cpu.port.bind(memory.port);
  return { root, ram, memory, cpu };
}

test('an atomic access reads and writes RAM and takes the latency', () => {
  const { ram, memory, cpu } = setUp();
  assert.equal(cpu.port.sendAtomic(writeReq(0x100, 0x1234_5678)), 10_000);
  assert.equal(ram.readU32(asPhysAddr(0x100)), 0x1234_5678);
  const read = readReq(0x102, 2);
  cpu.port.sendAtomic(read);
  assert.equal(read.cmd, Command.ReadResp);
  assert.equal(read.getUint(), 0x1234);
  assert.deepEqual([memory.stats.numReads.value, memory.stats.bytesRead.value], [1, 2]);
  assert.deepEqual([memory.stats.numWrites.value, memory.stats.bytesWritten.value], [1, 4]);
});

test('a swap stores its data and answers with the old ones', () => {
  const { ram, cpu } = setUp();
  ram.writeU32(asPhysAddr(0), 0x1111_1111);
  const swap = packet(Command.SwapReq, 0, 4, 0x2222_2222);
  cpu.port.sendAtomic(swap);
  assert.equal(swap.getUint(), 0x1111_1111);
  assert.equal(ram.readU32(asPhysAddr(0)), 0x2222_2222);
});

test('writes through the port mark the page versions', () => {
  const { ram, cpu } = setUp();
  const since = ram.versions.snapshot();
  cpu.port.sendAtomic(writeReq(0x1000, 1));
  assert.ok(ram.versions.changedSince(since, ram.linear(asPhysAddr(0x1000)), 1));
});

test('timing responses come after the latency, in order, and drain waits for them', () => {
  const { root, memory, cpu } = setUp();
  cpu.send(writeReq(0x10, 7));
  cpu.send(readReq(0x10));
  assert.equal(memory.drain(), 'draining');
  runAll(root.eventQueue);
  assert.deepEqual(cpu.log, ['10000 WriteResp [10:13]', '10000 ReadResp [10:13]']);
  assert.equal(memory.drain(), 'drained');
});

test('a requestor that refuses a response gets it at its retry', () => {
  const { root, cpu } = setUp();
  cpu.refusals = 1;
  cpu.send(readReq(0x10));
  runAll(root.eventQueue);
  cpu.port.sendRetryResp();
  assert.deepEqual(cpu.log, ['10000 refuse ReadResp [10:13]', '10000 ReadResp [10:13]']);
});

test('time noted on the packet on its way is added to the latency', () => {
  const { root, cpu } = setUp();
  const request = readReq(0);
  Object.assign(request, { headerDelay: 3000, payloadDelay: 500 });
  cpu.send(request);
  runAll(root.eventQueue);
  assert.deepEqual(cpu.log, ['13500 ReadResp [0:3]']);
  assert.equal(request.headerDelay, 0);
});

test('a functional access takes no time, counts nothing and sees responses under way', () => {
  const { root, ram, memory, cpu } = setUp();
  const pending = readReq(0x20);
  cpu.send(pending);
  cpu.port.sendFunctional(writeReq(0x20, 0xabcd));
  assert.equal(ram.readU32(asPhysAddr(0x20)), 0xabcd);
  assert.equal(memory.stats.numWrites.value, 0);
  runAll(root.eventQueue);
  assert.equal(pending.getUint(), 0xabcd);
});

test('an access outside of RAM, or over the end, is answered with an error and changes nothing', () => {
  const { ram, cpu } = setUp();
  for (const addr of [0x2000, 0x1ffe]) {
    const write = writeReq(addr, 0xffff_ffff);
    cpu.port.sendAtomic(write);
    assert.equal(write.cmd, Command.BadAddressError);
  }
  assert.equal(ram.readU16(asPhysAddr(0x1ffe)), 0);
});

test('the port answers the ranges that are in the address map, and no others', () => {
  assert.deepEqual(setUp().cpu.port.addrRanges().map(String), ['[0x0:0x2000)']);
});
