// Memory-mapped I/O of a KVM CPU, atomic and timing, with a peer that refuses requests and answers late; coalesced writes;
// drain and suspension in the middle of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmExitReason } from '../../../src/host/kvm/abi.ts';
import type { MemoryMode } from '../../../src/mem/memory-mode.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { exitWith, type FakeMachineOptions, fakeMachine } from '../../support/fake-machine.ts';
import { EINTR, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';
import { StubbornPeer } from '../../support/stubborn-peer.ts';

const ADDRESS = 0xfec0_0000;

function machine(script: readonly Step[], memoryMode: MemoryMode, options: FakeMachineOptions = {}) {
  const m = fakeMachine(script, { ...options, memoryMode });
  const peer = new StubbornPeer(m.root.eventQueue);
  m.cpu.dataPort.bind(peer.port);
  m.vcpu.atEnd = FakeVcpu.spin;
  m.at(0, () => m.cpu.activateContext());
  return { ...m, peer };
}

const read =
  (len: number, at = ADDRESS): Step =>
  (vcpu) => {
    vcpu.time.advance(100);
    return vcpu.mmio(at, len);
  };
const write =
  (bytes: readonly number[], at = ADDRESS): Step =>
  (vcpu) => {
    vcpu.time.advance(100);
    return vcpu.mmio(at, bytes.length, bytes);
  };

test('atomic: the access is made at once, its latency passes, and the read data are there at the next entry', async () => {
  const m = machine([read(4), write([1, 2])], 'atomicNoncaching');
  const found: number[] = [];
  m.vcpu.script[1] = (vcpu) => {
    found.push(...vcpu.run.mmio.data.subarray(0, 4));
    return write([1, 2])(vcpu);
  };
  await m.run(10_000_000);
  assert.deepEqual(found, [0xa5, 0xa5, 0xa5, 0xa5]);
  assert.deepEqual(
    m.peer.seen.map(({ what, data }) => [what, data]),
    [
      ['ReadReq [fec00000:fec00003]', []],
      ['WriteReq [fec00000:fec00001]', [1, 2]],
    ],
  );
  const [first, second] = m.peer.seen;
  assert.ok(second!.tick - first!.tick >= 1_000_000n, 'the latency of the read is waited for');
  assert.equal(m.cpu.stats.numMMIO.value, 2);
  assert.ok(!m.transitions().some((line) => line.includes('Pending')));
});

test('timing: no tick until the answer has come, then KVM completes the instruction', async () => {
  const m = machine([read(1)], 'timingNoncaching');
  const states: string[] = [];
  m.at(900_000, () => states.push(m.cpu.kvmState));
  m.at(1_500_000, () => states.push(m.cpu.kvmState));
  await m.run(3_000_000);
  assert.deepEqual(m.transitions().slice(0, 5), [
    'Idle -> Running',
    'Running -> RunningService',
    'RunningService -> RunningMmioPending',
    'RunningMmioPending -> RunningServiceCompletion',
    'RunningServiceCompletion -> Running',
  ]);
  assert.deepEqual(states, ['RunningMmioPending', 'Running']);
  assert.equal(m.vcpu.run.mmio.data[0], 0xa5);
});

test('timing: a refused request waits for the retry, however often it is refused', async () => {
  const m = machine([read(8)], 'timingNoncaching');
  m.peer.refuse = 3;
  await m.run(5_000_000);
  assert.equal(m.peer.refusals, 3);
  assert.equal(m.peer.seen.length, 1);
  assert.ok(m.peer.seen[0]!.tick >= 1_500_000n, 'three times half a microsecond later');
  assert.equal(m.cpu.kvmState, 'Running');
});

test('timing: a peer that answers before the call returns does not make the CPU wait', async () => {
  const m = machine([read(1)], 'timingNoncaching');
  m.peer.latencyTicks = 0;
  await m.run(2_000_000);
  assert.ok(m.transitions().includes('RunningService -> RunningServiceCompletion'));
  assert.equal(m.vcpu.run.mmio.data[0], 0xa5);
});

test('an address where nobody is reads as ones', async () => {
  const m = machine([read(2)], 'atomicNoncaching');
  m.peer.answersError = true;
  await m.run(2_000_000);
  assert.deepEqual([...m.vcpu.run.mmio.data.subarray(0, 2)], [0xff, 0xff]);
});

test('drain in the middle of a timing access waits for the answer and completes the instruction', async () => {
  const m = machine([read(1)], 'timingNoncaching');
  const drained: [string, bigint][] = [];
  m.at(500_000, () => m.root.exitSimLoop('now'));
  await m.run(10_000_000);
  assert.equal(m.cpu.kvmState, 'RunningMmioPending');
  await m.simulator.drain();
  drained.push([m.cpu.kvmState, m.root.curTick]);
  assert.equal(drained[0]![0], 'Idle');
  assert.ok(drained[0]![1] >= 1_000_000n);
  assert.ok(m.vcpu.entries.at(-1)!.immediateExit, 'the last entry only completed the access');
});

test('a half entry may come back with a further part of the same instruction: draining repeats it', async () => {
  const m = machine([write([1])], 'atomicNoncaching');
  m.vcpu.halfScript.push(write([2], ADDRESS + 1), write([3], ADDRESS + 2));
  m.at(50_000, () => m.root.exitSimLoop('now'));
  await m.run(10_000_000);
  await m.simulator.drain();
  assert.deepEqual(
    m.peer.seen.map(({ data }) => data),
    [[1], [2], [3]],
  );
  assert.equal(m.cpu.kvmState, 'Idle');
  assert.equal(m.cpu.stats.numVMHalfEntries.value, 3);
});

test('an access that suspends the thread is completed before the CPU idles, and waking it goes on', async () => {
  for (const mode of ['atomicNoncaching', 'timingNoncaching'] as const) {
    const m = machine([write([1])], mode);
    m.peer.onAccess = () => m.cpu.suspendContext();
    await m.run(4_000_000);
    assert.equal(m.cpu.kvmState, 'Idle', mode);
    assert.ok(m.vcpu.entries.at(-1)!.immediateExit, `${mode}: the instruction is retired`);
    assert.equal(m.vcpu.entries.length, 2);
    m.cpu.wakeup();
    await m.run(8_000_000);
    assert.equal(m.cpu.kvmState, 'Running', mode);
  }
});

test('work that comes while the CPU waits for answers is not lost', async () => {
  const m = machine([exitWith(KvmExitReason.HLT)], 'timingNoncaching', {
    params: { useCoalescedMMIO: true },
  });
  m.vcpu.script[0] = (vcpu) => {
    vcpu.coalesce(ADDRESS, [7]);
    return vcpu.exit(KvmExitReason.HLT);
  };
  m.at(500_000, () => m.cpu.wakeup());
  await m.run(5_000_000);
  assert.deepEqual(m.transitions().slice(0, 4), [
    'Idle -> Running',
    'Running -> RunningService',
    'RunningService -> RunningMmioPending',
    'RunningMmioPending -> Running',
  ]);
});

test('a halt with flushed writes outstanding idles when they are answered', async () => {
  const m = machine([], 'timingNoncaching', { params: { useCoalescedMMIO: true } });
  m.vcpu.script.push((vcpu) => {
    vcpu.coalesce(ADDRESS, [7]);
    return vcpu.exit(KvmExitReason.HLT);
  });
  await m.run(5_000_000);
  assert.equal(m.transitions().at(-1), 'RunningMmioPending -> Idle');
});

test('coalesced writes are delivered in order, before the access of the exit itself', async () => {
  for (const mode of ['atomicNoncaching', 'timingNoncaching'] as const) {
    const m = machine([], mode, { params: { useCoalescedMMIO: true } });
    m.vcpu.script.push((vcpu) => {
      vcpu.coalesce(ADDRESS, [1, 2]);
      vcpu.coalesce(ADDRESS + 4, [3]);
      return write([4], ADDRESS + 8)(vcpu);
    });
    m.peer.refuse = mode === 'timingNoncaching' ? 2 : 0;
    await m.run(6_000_000);
    assert.deepEqual(
      m.peer.seen.map(({ data }) => data),
      [[1, 2], [3], [4]],
      mode,
    );
    assert.equal(m.cpu.stats.numCoalescedMMIO.value, 2);
    assert.equal(m.cpu.stats.numMMIO.value, 1);
  }
});

test('timing: a flush after a run that a signal ended waits in RunningMmioPending, and goes on Running', async () => {
  const m = machine([], 'timingNoncaching', { params: { useCoalescedMMIO: true } });
  m.vcpu.script.push((vcpu) => {
    vcpu.coalesce(ADDRESS, [1]);
    vcpu.time.advance(5000);
    return EINTR;
  });
  await m.run(9_000_000);
  assert.deepEqual(m.transitions().slice(0, 3), [
    'Idle -> Running',
    'Running -> RunningMmioPending',
    'RunningMmioPending -> Running',
  ]);
  const [, next] = m.vcpu.entries;
  assert.ok(next !== undefined);
  assert.ok(m.cpu.busyTicks >= 5_000_000, 'the time in the guest passes although answers came earlier');
});

test('a half entry that flushes ends in RunningMmioPending and then runs', async () => {
  const m = machine([write([1])], 'timingNoncaching', { params: { useCoalescedMMIO: true } });
  m.vcpu.halfScript.push((vcpu) => {
    vcpu.coalesce(ADDRESS, [9]);
    return EINTR;
  });
  m.at(50_000, () => m.root.exitSimLoop('now'));
  await m.run(10_000_000);
  await m.simulator.drain();
  assert.ok(m.transitions().includes('RunningServiceCompletion -> RunningMmioPending'));
  assert.equal(m.cpu.kvmState, 'Idle');
  assert.deepEqual(m.peer.seen.at(-1)!.data, [9]);
});

test('a memory mode with caches is refused with the remedy', async () => {
  for (const mode of ['atomic', 'timing'] as const) {
    const m = fakeMachine([], { memoryMode: mode });
    await assert.rejects(
      () => m.run(1000),
      (error) => error instanceof FatalError && error.message.includes(`use ${mode}Noncaching`),
    );
  }
});
