import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddrRange, asPhysAddr } from '../../../src/mem/addr.ts';
import { NoncoherentXBar } from '../../../src/mem/crossbar.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { SimpleMemory } from '../../../src/mem/simple-memory.ts';
import { Root } from '../../../src/sim/root.ts';
import { asTicks } from '../../../src/sim/tick.ts';
import { readReq, runAll, ScriptedRequestor, ScriptedResponder, writeReq } from './fixtures.ts';

/** Two requestors, devices A at 0x1000 and B at 0x2000, a clock of 1 ns; a request takes 3 cycles, a response 2. */
function setUp() {
  const root = new Root();
  const queue = root.eventQueue;
  const xbar = new NoncoherentXBar(root, 'xbar', { width: 4 });
  const cpus = [new ScriptedRequestor('cpu0', queue), new ScriptedRequestor('cpu1', queue)] as const;
  for (const cpu of cpus) cpu.port.bind(xbar.addCpuSidePort());
  const a = new ScriptedResponder('a', queue, 0x1000, 0x2000);
  const b = new ScriptedResponder('b', queue, 0x2000, 0x3000);
  for (const device of [a, b]) xbar.addMemSidePort().bind(device.port);
  xbar.init();
  return { root, queue, xbar, cpus, a, b };
}

test('requests are routed by address, up to the last byte of a range', () => {
  const { cpus, a, b } = setUp();
  cpus[0].port.sendAtomic(readReq(0x1000));
  cpus[1].port.sendAtomic(readReq(0x1ffc));
  cpus[0].port.sendAtomic(readReq(0x2000));
  assert.deepEqual(a.log, ['0 atomic ReadReq [1000:1003]', '0 atomic ReadReq [1ffc:1fff]']);
  assert.deepEqual(b.log, ['0 atomic ReadReq [2000:2003]']);
});

test('an atomic access takes the crossbar’s way there and back besides the device’s time', () => {
  assert.equal(setUp().cpus[0].port.sendAtomic(readReq(0x1000)), 1000 + (2 + 1 + 2) * 1000);
});

test('an address that nobody answers is the user’s mistake, and goes to the default port if there is one', () => {
  const { queue, xbar, cpus } = setUp();
  assert.throws(() => cpus[0].port.sendAtomic(readReq(0x5000)), /xbar: nobody answers ReadReq \[5000:5003\]/);
  const rest = new ScriptedResponder('rest', queue, 0, 1);
  xbar.addDefaultPort().bind(rest.port);
  cpus[0].port.sendAtomic(readReq(0x5000));
  assert.deepEqual(rest.log, ['0 atomic ReadReq [5000:5003]']);
});

test('an access that crosses from one device into another belongs to neither', () => {
  assert.throws(() => setUp().cpus[0].port.sendAtomic(readReq(0x1ffe)), /nobody answers/);
});

test('an atomic route leads where accesses go, takes as long, and is counted by each crossbar on the way', () => {
  const root = new Root();
  const queue = root.eventQueue;
  const [outer, inner] = [new NoncoherentXBar(root, 'outer'), new NoncoherentXBar(root, 'inner')];
  const cpu = new ScriptedRequestor('cpu', queue);
  cpu.port.bind(outer.addCpuSidePort());
  outer.addDefaultPort().bind(inner.addCpuSidePort());
  const ram = new ScriptedResponder('ram', queue, 0, 0x1000);
  outer.addMemSidePort().bind(ram.port);
  const device = new ScriptedResponder('device', queue, 0x2000, 0x3000);
  inner.addMemSidePort().bind(device.port);
  const nobody = new ScriptedResponder('nobody', queue, 0, 1);
  inner.addDefaultPort().bind(nobody.port);
  for (const xbar of [outer, inner]) xbar.init();

  const route = cpu.port.atomicRoute(readReq(0x2004))!;
  assert.equal(cpu.port.atomicRoute(readReq(0x2008)), route);
  assert.deepEqual(
    [0x2000, 0x2ffc, 0x2ffe, 0x1fff, 0x3000].map((addr) => route.leads(readReq(addr))),
    [true, true, false, false, false],
  );
  assert.equal(route.send(writeReq(0x2010, 1)), cpu.port.sendAtomic(writeReq(0x2010, 1)));
  assert.equal(route.send(readReq(0x2010)), cpu.port.sendAtomic(readReq(0x2010)));
  assert.equal(device.log.length, 4);
  for (const { stats } of [outer, inner]) {
    stats.prepareDump();
    stats.prepareDump();
    assert.equal(stats.transDist.ReadReq.value, 2);
    assert.equal(stats.transDist.WriteResp.value, 2);
    assert.equal(stats.pktSize.value, 16);
  }
  route.send(readReq(0x2010));
  for (const { stats } of [outer, inner]) {
    stats.reset();
    stats.prepareDump();
    assert.equal(stats.pktSize.value, 0);
  }
  assert.ok(cpu.port.atomicRoute(readReq(0x10))!.leads(readReq(0xffc)), 'a route of one crossbar only');
  assert.equal(cpu.port.atomicRoute(readReq(0x5000)), undefined, 'where a default port ends nobody knows');

  // The device moves below the RAM: a part of it is not reached.
  device.ranges = [new AddrRange(0x800, 0x1800)];
  device.port.sendRangeChange();
  assert.equal(cpu.port.atomicRoute(readReq(0x1400)), undefined);
  assert.equal(cpu.port.sendAtomic(readReq(0x1400)), route.send(readReq(0x1400)));
  device.ranges = [new AddrRange(0x4000, 0x5000)];
  device.port.sendRangeChange();
  assert.ok(cpu.port.atomicRoute(readReq(0x4000))!.leads(readReq(0x4ffc)));
});

test('two devices at one address are refused with both names', () => {
  const { queue, xbar } = setUp();
  xbar.addMemSidePort().bind(new ScriptedResponder('c', queue, 0x2800, 0x2900).port);
  xbar.recvRangeChange();
  assert.throws(() => xbar.addrRanges(), /b and c both answer \[0x2800:0x2900\)/);
});

test('a device that moves is found at its new place', () => {
  const { cpus, a } = setUp();
  a.ranges = [new AddrRange(0x7000, 0x8000)];
  a.port.sendRangeChange();
  cpus[0].port.sendAtomic(readReq(0x7000));
  assert.equal(a.log.length, 1);
  assert.throws(() => cpus[0].port.sendAtomic(readReq(0x1000)), /nobody answers/);
});

test('a port that is not bound is named before the simulation begins', () => {
  const { xbar } = setUp();
  xbar.addMemSidePort();
  assert.throws(() => xbar.init(), /xbar.mem_side_ports\[2\]: is not bound/);
});

test('a timing request carries the time of its way, and its response comes back to the sender only', () => {
  const { queue, cpus, a } = setUp();
  const request = readReq(0x1000);
  cpus[1].send(request);
  assert.deepEqual(a.log, ['0 ReadReq [1000:1003] +3000']);
  runAll(queue);
  request.headerDelay = asTicks(0);
  request.makeResponse();
  assert.ok(a.port.sendTimingResp(request));
  runAll(queue);
  assert.deepEqual(cpus[1].log, ['3000 ReadResp [1000:1003]'], 'released at 1 ns, 2 cycles back');
  assert.deepEqual(cpus[0].log, []);
});

test('packets to one destination pass one by one, in order of arrival; another destination is free', () => {
  const { queue, cpus, a, b } = setUp();
  cpus[0].send(writeReq(0x1000, 0, 4));
  cpus[1].send(readReq(0x1004));
  cpus[0].send(readReq(0x2000));
  assert.deepEqual(a.log, ['0 WriteReq [1000:1003] +3000']);
  assert.deepEqual(b.log, ['0 ReadReq [2000:2003] +3000']);
  runAll(queue);
  assert.deepEqual(cpus[1].log, ['2000 retry'], 'one cycle of header and one of payload');
  assert.deepEqual(a.log.slice(1), ['2000 ReadReq [1004:1007] +3000']);
});

test('the payload occupies a layer for its size over the width', () => {
  const { queue, cpus } = setUp();
  cpus[0].send(writeReq(0x1000, 0, 6));
  cpus[1].send(readReq(0x1004));
  runAll(queue);
  assert.deepEqual(cpus[1].log, ['3000 retry'], 'one cycle of header, two of 6 bytes over 4');
});

test('a request that the destination refuses goes first when the destination is ready', () => {
  const { queue, cpus, a } = setUp();
  a.refusals = 1;
  cpus[0].send(readReq(0x1000));
  cpus[1].send(readReq(0x1004));
  runAll(queue);
  assert.deepEqual(a.log, ['0 refuse ReadReq [1000:1003]']);
  a.port.sendRetryReq();
  runAll(queue);
  assert.deepEqual(a.log.slice(1), ['1000 ReadReq [1000:1003] +3000', '2000 ReadReq [1004:1007] +3000']);
});

test('a request refused and sent again carries the time of its way once', () => {
  const { queue, cpus, a } = setUp();
  a.refusals = 3;
  cpus[0].send(readReq(0x1000));
  for (let i = 0; i < 3; i++) {
    runAll(queue);
    a.port.sendRetryReq();
  }
  assert.match(a.log.at(-1)!, /ReadReq \[1000:1003\] \+3000$/);
});

test('a sender that waits while the crossbar refuses may not poll', () => {
  const { cpus } = setUp();
  cpus[0].send(readReq(0x1000));
  assert.ok(!cpus[1].port.sendTimingReq(readReq(0x1004)));
  assert.throws(() => cpus[1].port.sendTimingReq(readReq(0x1004)), /has to wait for a retry/);
});

test('a response that the requestor refuses is kept, and later ones stay behind it', () => {
  const { queue, cpus, a, b } = setUp();
  const first = readReq(0x1000);
  const second = readReq(0x2000);
  cpus[0].send(first);
  cpus[0].send(second);
  runAll(queue);
  for (const [device, request] of [
    [a, first],
    [b, second],
  ] as const) {
    request.headerDelay = asTicks(0);
    request.makeResponse();
    if (!device.port.sendTimingResp(request)) {
      runAll(queue);
      assert.equal(device.log.at(-1), '3000 retry', 'the response layer was busy with the other response');
      assert.ok(device.port.sendTimingResp(request));
    }
    cpus[0].refusals = request === first ? 1 : 0;
  }
  runAll(queue);
  cpus[0].port.sendRetryResp();
  runAll(queue);
  const received = cpus[0].log.filter((line) => !line.includes('refuse')).map((line) => line.split(' ')[2]);
  assert.deepEqual(received, ['[1000:1003]', '[2000:2003]']);
});

test('a response to a request that was never made is a bug that is named', () => {
  const { a } = setUp();
  const answer = readReq(0x1000);
  answer.makeResponse();
  assert.throws(() => a.port.sendTimingResp(answer), /answers no request/);
});

test('the crossbar is drained when no request, response or layer is under way', () => {
  const { queue, xbar, cpus, a } = setUp();
  assert.equal(xbar.drain(), 'drained');
  const request = readReq(0x1000);
  cpus[0].send(request);
  assert.equal(xbar.drain(), 'draining');
  runAll(queue);
  assert.equal(xbar.drain(), 'draining', 'the response is missing');
  request.makeResponse();
  a.port.sendTimingResp(request);
  assert.equal(xbar.drain(), 'draining');
  runAll(queue);
  assert.equal(xbar.drain(), 'drained');
});

test('with a memory behind it, timing reads bring the data of functional writes made meanwhile', () => {
  const root = new Root();
  const ram = new PhysicalMemory(root, 'ram', { ranges: [{ start: 0, sizeBytes: 0x1000 }] });
  const memory = new SimpleMemory(root, 'memory', ram, { latency: '10ns' });
  const xbar = new NoncoherentXBar(root, 'xbar');
  const cpu = new ScriptedRequestor('cpu', root.eventQueue);
  cpu.port.bind(xbar.addCpuSidePort());
  xbar.addMemSidePort().bind(memory.port);
  const read = readReq(0x10);
  cpu.send(read);
  cpu.port.sendFunctional(writeReq(0x10, 0x1234));
  runAll(root.eventQueue);
  assert.deepEqual(cpu.log, ['15000 ReadResp [10:13]'], '3 cycles, 10 ns, 2 cycles');
  assert.equal(read.getUint(), 0x1234);
  assert.equal(ram.readU16(asPhysAddr(0x10)), 0x1234);
  assert.equal(xbar.stats.transDist.ReadReq.value, 1);
  assert.equal(xbar.stats.transDist.ReadResp.value, 1);
  assert.equal(xbar.stats.pktSize.value, 4);
});
