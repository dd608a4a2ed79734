/** The way of timing requests through the IOMMU: refusals, retries, answers of its own, drain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemappedPort } from '../../../src/dev/x86/vtd/remapped-port.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { Command, type Packet } from '../../../src/mem/packet.ts';
import type { Ticks } from '../../../src/sim/tick.ts';
import { readReq, runAll, ScriptedRequestor, ScriptedResponder } from '../mem/fixtures.ts';
import { quietRoot } from './pc-bench.ts';

const DEVICE = 0x10;
/** From here on everything is blocked. */
const BLOCKED = 0x8000;

/** Each request goes 0x1000 further, which takes 50 ticks. */
function bench() {
  const { eventQueue } = quietRoot();
  let shift = 0x1000;
  const asked: number[] = [];
  const remapper = {
    remap: (packet: Packet, sourceId: number): Ticks => {
      asked.push(sourceId);
      if (packet.addr >= BLOCKED) packet.makeError(Command.BadAddressError);
      else packet.addr = (packet.addr + shift) as PhysAddr;
      return 50 as Ticks;
    },
  };
  let empties = 0;
  const way = new RemappedPort('way', eventQueue, remapper, DEVICE, () => {
    empties++;
  });
  const device = new ScriptedRequestor('device', eventQueue);
  const memory = new ScriptedResponder('memory', eventQueue, 0, 0x1_0000);
  device.port.bind(way.device);
  way.memory.bind(memory.port);
  return {
    ...{ eventQueue, asked, way, device, memory },
    run: () => runAll(eventQueue),
    /** What the tables say from now on. */
    shiftBy: (bytes: number) => {
      shift = bytes;
    },
    /** Memory answers, and has waited for what is noted on the packet. */
    answer: () => {
      memory.taken!.headerDelay = 0 as Ticks;
      memory.taken!.makeResponse();
      memory.port.sendTimingResp(memory.taken!);
    },
    empties: () => empties,
  };
}

test('a request arrives at its address in memory, later by what its translation took; its response has the old one', () => {
  const { device, memory, answer, run, way, asked, empties } = bench();
  device.send(readReq(0x2004));
  assert.deepEqual(memory.log, ['0 ReadReq [3004:3007] +50']);
  assert.equal(way.isIdle, false);
  answer();
  run();
  assert.deepEqual([device.log, asked], [['0 ReadResp [2004:2007]'], [DEVICE]]);
  assert.equal(way.isIdle, true);
  assert.equal(empties(), 1);
});

test('what memory refuses is translated anew when it comes again', () => {
  const { device, memory, answer, run, shiftBy } = bench();
  memory.refusals = 1;
  device.send(readReq(0x2000));
  shiftBy(0x4000);
  memory.port.sendRetryReq();
  answer();
  run();
  assert.deepEqual(memory.log, ['0 refuse ReadReq [3000:3003]', '0 ReadReq [6000:6003] +50']);
  assert.deepEqual(device.log, ['0 retry', '0 ReadResp [2000:2003]']);
});

test('what is blocked is answered here, in time, and memory hears nothing of it', () => {
  const { device, memory, run, way } = bench();
  device.send(readReq(BLOCKED));
  assert.equal(way.isIdle, false);
  run();
  assert.deepEqual([device.log, memory.log], [['50 BadAddressError [8000:8003]'], []]);
  assert.equal(way.isIdle, true);
});

test('a response that the device refuses waits for its retry', () => {
  const { device, answer, run, way } = bench();
  device.refusals = 1;
  device.send(readReq(0x2000));
  answer();
  run();
  assert.equal(way.isIdle, false);
  device.port.sendRetryResp();
  run();
  assert.deepEqual(device.log, ['0 refuse ReadResp [2000:2003]', '0 ReadResp [2000:2003]']);
  assert.equal(way.isIdle, true);
});

test('functional and atomic requests come back with the address that they had', () => {
  const { device, memory } = bench();
  const [atomic, functional] = [readReq(0x2000), readReq(0x2000)];
  assert.equal(device.port.sendAtomic(atomic), 1050);
  device.port.sendFunctional(functional);
  assert.deepEqual([atomic.addr, functional.addr], [0x2000, 0x2000]);
  assert.deepEqual(memory.log, ['0 atomic ReadReq [3000:3003]', '0 functional ReadReq [3000:3003]']);
});
