/** The DMA port: order, packets, errors, both memory modes, drain and checkpoint. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DmaPort } from '../../../src/dev/dma-port.ts';
import { NoDevice } from '../../../src/dev/no-device.ts';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { NoncoherentXBar } from '../../../src/mem/crossbar.ts';
import type { MemoryMode } from '../../../src/mem/memory-mode.ts';
import { Command } from '../../../src/mem/packet.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import type { ResponsePort } from '../../../src/mem/port.ts';
import { SimpleMemory } from '../../../src/mem/simple-memory.ts';
import type { Root } from '../../../src/sim/root.ts';
import { quietRoot, restoreAll, runTo, saveAll } from '../dev-x86/pc-bench.ts';
import { ScriptedResponder } from '../mem/fixtures.ts';

const RAM_BYTES = 0x1_0000;
const SECOND = 1_000_000_000_000n;

/** A port, whose owner notes what is done and when. */
function dmaOn(root: Root, peer: ResponsePort, mode: MemoryMode) {
  const wiring = { mode, isEnabled: true };
  const done: string[] = [];
  const dma = new DmaPort(root, 'dma', {
    memoryMode: () => wiring.mode,
    isEnabled: () => wiring.isEnabled,
    done: (tag, data) => {
      done.push(`${tag} ${data.toHex()}`);
    },
  });
  dma.port.bind(peer);
  return { dma, wiring, done };
}

/** RAM behind a crossbar; ones where there is none. */
function system(mode: MemoryMode) {
  const root = quietRoot();
  const memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: RAM_BYTES }] });
  const membus = new NoncoherentXBar(root, 'membus');
  membus.addMemSidePort().bind(new SimpleMemory(root, 'ram', memory).port);
  membus.addDefaultPort().bind(new NoDevice(root, 'nobody').pio);
  const bench = dmaOn(root, membus.addCpuSidePort(), mode);
  for (const object of root.descendants()) object.init();
  const fill = (address: number, hex: string) => memory.write(asPhysAddr(address), Uint8Array.fromHex(hex));
  const bytes = (address: number, sizeBytes: number) => {
    const read = new Uint8Array(sizeBytes);
    memory.read(asPhysAddr(address), read);
    return read.toHex();
  };
  return { ...bench, root, fill, bytes, run: () => runTo(root, root.curTick + SECOND) };
}

/** A peer that the test answers for. */
function scripted(mode: MemoryMode) {
  const root = quietRoot();
  const peer = new ScriptedResponder('peer', root.eventQueue, 0, RAM_BYTES);
  return { ...dmaOn(root, peer.port, mode), root, peer, run: () => runTo(root, root.curTick + SECOND) };
}

const MODES = ['atomic', 'timingNoncaching'] as const;

for (const mode of MODES)
  describe(mode, () => {
    test('reads and writes what it is asked to, in that order', () => {
      const { dma, done, fill, bytes, run } = system(mode);
      fill(0x1000, '0102030405060708');
      dma.read('first', 0x1002, 3);
      dma.write('second', 0x1003, Uint8Array.of(0xaa, 0xbb));
      dma.read('third', 0x1000, 8);
      assert.deepEqual(done, [], 'nothing happens within the call');
      run();
      assert.deepEqual(done, ['first 030405', 'second aabb', 'third 010203aabb060708']);
      assert.equal(bytes(0x1003, 2), 'aabb');
    });

    test('a transfer of nothing is through, too', () => {
      const { dma, done, run } = system(mode);
      dma.read('nothing', 0x1000, 0);
      run();
      assert.deepEqual(done, ['nothing ']);
    });

    test('where nobody is, it reads ones', () => {
      const { dma, done, run } = system(mode);
      dma.read('beyond', RAM_BYTES - 2, 4);
      dma.read('no address', 2 ** 60, 2);
      run();
      assert.deepEqual(done, ['beyond 0000ffff', 'no address ffff']);
    });

    test('a device that may not access memory reads ones and writes nothing', () => {
      const { dma, done, fill, bytes, wiring, run } = system(mode);
      fill(0x100, '11');
      wiring.isEnabled = false;
      dma.write('write', 0x100, Uint8Array.of(0x22));
      dma.read('read', 0x100, 1);
      run();
      assert.deepEqual(done, ['write 22', 'read ff']);
      assert.equal(bytes(0x100, 1), '11');
    });

    test('a checkpoint holds what has not been done yet', () => {
      const first = system(mode);
      first.dma.write('write', 0x200, Uint8Array.of(1, 2, 3));
      first.dma.read('read', 0x201, 2);
      const second = system(mode);
      restoreAll(second.root, saveAll(first.root));
      second.run();
      assert.deepEqual(second.done, ['write 010203', 'read 0203']);
    });
  });

test('what is beyond the space of memory, such as I/O ports, no device reaches', () => {
  const m = scripted('atomic');
  m.dma.read('ports', 2 ** 52, 4);
  m.dma.write('across', 2 ** 52 - 2, Uint8Array.of(1, 2, 3, 4));
  m.run();
  assert.deepEqual(m.done, ['ports ffffffff', 'across 01020304']);
  assert.equal(m.dma.stats.numErrors.value, 2);
});

test('packets stay within a cache line of 64 bytes', () => {
  const { dma, peer, run } = scripted('atomic');
  dma.read('read', 0x103c, 76);
  run();
  assert.deepEqual(
    peer.log.map((line) => line.replace(/^\d+ /, '')),
    ['atomic ReadReq [103c:103f]', 'atomic ReadReq [1040:107f]', 'atomic ReadReq [1080:1087]'],
  );
});

test('an atomic transfer takes the time of its packets, and never none', () => {
  const { dma, root, done } = scripted('atomic');
  dma.read('read', 0, 128);
  runTo(root, 1999n);
  assert.deepEqual(done, []);
  runTo(root, 2000n);
  assert.equal(done.length, 1);
});

test('timing: one packet is under way; one that is refused is sent again, and a response of an error reads ones', () => {
  const { dma, done, peer, root, run } = scripted('timing');
  const answered = () => {
    const packet = peer.taken!;
    packet.makeError(Command.BadAddressError);
    peer.port.sendTimingResp(packet);
    run();
  };
  peer.refusals = 1;
  dma.read('read', 0x3e, 4);
  run();
  assert.equal(peer.log.length, 1);
  assert.equal(dma.drain(), 'draining');
  peer.port.sendRetryReq();
  assert.equal(peer.log.length, 2);
  answered();
  assert.equal(peer.log.length, 3);
  answered();
  assert.deepEqual(done, ['read ffffffff']);
  assert.equal(dma.drain(), 'drained');
  assert.equal(root.eventQueue.isEmpty, true);
});

test('timing: in a drain the packet under way comes back, and no other leaves until the resume', () => {
  const { dma, done, root, run } = system('timing');
  dma.read('read', 0, 256);
  runTo(root, 1n);
  assert.equal(root.drainManager.tryDrain(), false);
  run();
  assert.deepEqual(done, []);
  assert.equal(root.drainManager.tryDrain(), true);
  root.drainManager.resume();
  run();
  assert.equal(done.length, 1);
});
