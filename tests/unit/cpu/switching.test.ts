// Handing a thread from one KVM CPU to another, and saving it, at awkward moments, with scripted vCPUs: in the middle of
// string I/O, with timing accesses under way, with an injected interrupt that is not delivered, while halted.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT, OFFSET, RegClass } from '../../../src/arch/x86/thread-context.ts';
import { X86KvmCpu, type X86KvmCpuParams } from '../../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { switchCpus } from '../../../src/cpu/switch-cpus.ts';
import { KvmExitReason, KvmIo } from '../../../src/host/kvm/abi.ts';
import { KvmVcpuEventParts, KvmVcpuEvents } from '../../../src/host/kvm/abi-x86.ts';
import type { MemoryMode } from '../../../src/mem/memory-mode.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { exitReady, fakeFullSystem, halt } from '../../support/fake-full-system.ts';
import { FAKE_KVM, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { StubbornPeer } from '../../support/stubborn-peer.ts';

const PORT = 0x3f8;
const ADDRESS = 0xfec0_0000;
const VECTOR = 0x31;

/**
 * A whole machine with two CPUs, of which the first executes, and a slow device that answers all accesses.
 * @param script of the first CPU's vCPU
 * @param second of the other's; both spin behind their scripts
 */
function machine(
  script: readonly Step[],
  second: readonly Step[] = [],
  { memoryMode = 'atomicNoncaching', params }: { memoryMode?: MemoryMode; params?: X86KvmCpuParams } = {},
) {
  const wiring = { memoryMode: () => memoryMode };
  const m = fakeFullSystem(script, { wiring });
  const vcpu1 = new FakeVcpu(1, m.vcpu);
  vcpu1.tscOffset = 0n;
  vcpu1.script.push(...second);
  m.vcpu.atEnd = FakeVcpu.spin;
  vcpu1.atEnd = FakeVcpu.spin;
  const cpu1 = new X86KvmCpu(
    m.root,
    'cpu1',
    {
      kvm: FAKE_KVM,
      createVcpu: () => vcpu1,
      attach: () => ({
        timer: vcpu1.time,
        signal: vcpu1.signal,
        frequencyHz: 1e9,
        counters: undefined,
        whyNoCounters: 'no counters in this test',
        close: () => {},
      }),
      memory: m.memory,
      interrupts: m.apic,
      ...wiring,
    },
    { ...params, switchedOut: true },
  );
  const peer = new StubbornPeer(m.root.eventQueue);
  m.cpu.dataPort.bind(peer.port);
  const toSecond = () => switchCpus(m.simulator, [[m.cpu, cpu1]]);
  const toFirst = () => switchCpus(m.simulator, [[cpu1, m.cpu]]);
  return { ...m, cpu1, vcpu1, peer, toSecond, toFirst };
}

/** The data of all writes that the device has seen. */
const written = ({ peer }: { peer: StubbornPeer }) => peer.seen.flatMap(({ data }) => data);

/** REP OUTSB has these bytes ready, and `left` more to come. */
const outs =
  (bytes: readonly number[], left: number): Step =>
  (vcpu) => {
    vcpu.time.advance(100);
    vcpu.setReg('rcx', left);
    vcpu.run.u8.set(bytes, 4096);
    return vcpu.portAccess(PORT, KvmIo.OUT, bytes.length);
  };
/** REP INSB takes `count` bytes. */
const ins =
  (count: number, left: number): Step =>
  (vcpu) => {
    vcpu.time.advance(100);
    vcpu.setReg('rcx', left);
    return vcpu.portAccess(PORT, KvmIo.IN, count);
  };
const load: Step = (vcpu) => {
  vcpu.time.advance(100);
  return vcpu.mmio(ADDRESS, 4);
};
/** The instruction is retired: RIP moves on. */
const retired =
  (rip: number): Step =>
  (vcpu) => {
    vcpu.setReg('rip', rip);
    return 4;
  };
const eventsWithInterrupt = (injected: boolean): Uint8Array => {
  const events = new Uint8Array(KvmVcpuEvents.size);
  const { at } = KvmVcpuEventParts.interrupt;
  events[KvmVcpuEvents.at.interrupt + at.injected] = injected ? 1 : 0;
  events[KvmVcpuEvents.at.interrupt + at.nr] = VECTOR;
  return events;
};
/** The first access to the device ends the run. */
const stopsAtAccess = (m: ReturnType<typeof machine>) => {
  m.peer.onAccess = () => {
    m.peer.onAccess = () => {};
    m.simulator.requestExit('now');
  };
};

test('the other CPU goes on with registers, place on the bus and status; the first does nothing any more', async () => {
  const m = machine([]);
  await m.run(50_000);
  m.cpu.modifyState(RegClass.general).setGprNumber(0, 77);
  await m.toSecond();
  assert.equal(m.cpu.isSwitchedOut, true);
  assert.equal(m.cpu1.isSwitchedOut, false);
  assert.equal(m.cpu1.thread.status, 'active');
  assert.equal(m.cpu1.dataPort.peer, m.peer.port);
  assert.equal(m.cpu.dataPort.isBound, false);
  const entries = m.vcpu.entries.length;
  await m.run(1_000_000);
  assert.equal(m.vcpu.entries.length, entries);
  const [first] = m.vcpu1.entries;
  assert.equal(first!.rax, 77);
  assert.equal(first!.rip, 0xfff0);
});

test('what the second has computed comes back to the first', async () => {
  const m = machine([]);
  await m.run(50_000);
  await m.toSecond();
  m.vcpu1.setReg('rbx', 0);
  m.vcpu1.atEnd = (vcpu) => {
    vcpu.setReg('rbx', vcpu.reg('rbx') + 1);
    return FakeVcpu.spin(vcpu);
  };
  await m.run(60_000);
  const computed = m.cpu1.readState(RegClass.general).gprNumber(3);
  assert.ok(computed > 0);
  const seen: number[] = [];
  m.vcpu.atEnd = (vcpu) => {
    seen.push(vcpu.reg('rbx'));
    return FakeVcpu.spin(vcpu);
  };
  await m.toFirst();
  const after = m.cpu1.readState(RegClass.general).gprNumber(3);
  await m.run(70_000);
  assert.equal(seen[0], after);
});

test('in the middle of string output: all elements of the exit are written once, the rest is left to the other', async () => {
  const m = machine([outs([1, 2, 3], 4)], [outs([6, 7], 0)]);
  m.vcpu.halfScript.push(outs([4, 5], 2), retired(0xfff0));
  stopsAtAccess(m);
  await m.run(10_000_000);
  await m.toSecond();
  assert.deepEqual(written(m), [1, 2, 3, 4, 5]);
  const tc = m.cpu1.readState(RegClass.general);
  assert.equal(tc.gprNumber(1), 2, 'RCX');
  await m.run(20_000_000);
  assert.deepEqual(written(m), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(m.vcpu1.entries[0]!.rip, 0xfff0, 'the instruction goes on where it was');
});

test('in the middle of string input: what was read is in KVM when the instruction is completed', async () => {
  const m = machine([ins(3, 0)], [], { memoryMode: 'timingNoncaching' });
  const found: number[] = [];
  m.vcpu.halfScript.push((vcpu) => {
    found.push(...vcpu.run.u8.subarray(4096, 4096 + 3));
    return retired(0xfff2)(vcpu);
  });
  stopsAtAccess(m);
  await m.run(10_000_000);
  assert.equal(m.cpu.kvmState, 'RunningMmioPending');
  await m.toSecond();
  assert.deepEqual(found, [0xa5, 0xa5, 0xa5]);
  assert.equal(m.cpu1.readState(RegClass.general).rip, 0xfff2n);
});

test('with timing accesses refused and under way, the switch waits for the answers', async () => {
  const m = machine([load], [], { memoryMode: 'timingNoncaching' });
  m.peer.refuse = 2;
  m.vcpu.halfScript.push(retired(0xfff3));
  m.at(200_000, () => m.simulator.requestExit('now'));
  await m.run(10_000_000);
  assert.equal(m.cpu.kvmState, 'RunningMmioPending');
  assert.equal(m.peer.seen.length, 0, 'the peer has not even taken it');
  await m.toSecond();
  assert.equal(m.peer.seen.length, 1);
  assert.ok(m.root.curTick >= 2_000_000n, 'two retries and the latency have passed');
  assert.equal(m.cpu1.readState(RegClass.general).rip, 0xfff3n);
  await m.run(10_000_000);
  assert.equal(m.peer.seen.length, 1, 'nobody asks again');
});

test('with an interrupt injected and not delivered, the first CPU delivers it, and the second knows of none', async () => {
  const undelivered: Step = (vcpu) => {
    vcpu.stored.set('events', eventsWithInterrupt(true));
    return exitReady(KvmExitReason.INTR, true)(vcpu);
  };
  const windows: boolean[] = [];
  const delivered: Step = (vcpu) => {
    windows.push(vcpu.run.requestInterruptWindow);
    vcpu.stored.set('events', eventsWithInterrupt(false));
    vcpu.setReg('rip', 0x2000);
    return exitReady(KvmExitReason.IRQ_WINDOW_OPEN, true)(vcpu);
  };
  const m = machine([undelivered, delivered]);
  m.at(150_000, () => m.simulator.requestExit('now'));
  await m.run(50_000);
  await m.toSecond();
  assert.deepEqual(windows, [true]);
  const tc = m.cpu1.readState(RegClass.all);
  assert.equal(tc.u8[OFFSET.events + EVENT.interruptInjected], 0);
  assert.equal(tc.rip, 0x2000n, 'in the handler');
  assert.deepEqual(
    m.vcpu1.calls.filter((call) => call.startsWith('interrupt')),
    [],
  );
});

test('an interrupt that comes during the switch is delivered by the second CPU, once', async () => {
  const m = machine([exitReady(KvmExitReason.INTR, true)]);
  await m.run(50_000);
  await m.simulator.drain();
  m.apic.vectors.push(VECTOR);
  m.cpu.wakeup();
  m.cpu.modifyState(RegClass.general).rflags = 0x202;
  await m.toSecond();
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), []);
  assert.deepEqual(
    m.vcpu1.calls.filter((call) => call.startsWith('interrupt')),
    [`interrupt ${VECTOR}`],
  );
});

test('while halted: the second CPU sleeps on, and an interrupt wakes it', async () => {
  const m = machine([halt(true)]);
  await m.run(500_000);
  assert.equal(m.cpu.thread.status, 'suspended');
  await m.toSecond();
  await m.run(1_000_000);
  assert.equal(m.cpu1.kvmState, 'Idle');
  assert.equal(m.vcpu1.entries.length, 0);
  m.apic.vectors.push(VECTOR);
  m.cpu1.wakeup();
  await m.run(2_000_000);
  assert.deepEqual(
    m.vcpu1.calls.filter((call) => call.startsWith('interrupt')),
    [`interrupt ${VECTOR}`],
  );
  const idleCycles = 1_500_000 / 1000;
  assert.ok(m.cpu1.stats.numCycles.value < 2 * idleCycles, 'time before it took over is not its own');
});

test('a checkpoint after a switch is restored as the second CPU’s', async (t) => {
  const directory = `${scratchDirectory(t)}/cpt`;
  const source = machine([]);
  await source.run(50_000);
  await source.toSecond();
  source.cpu1.modifyState(RegClass.general).setGprNumber(2, 4711);
  await source.simulator.checkpoint(directory);

  const target = machine([]);
  target.simulator.restore(directory);
  target.cpu1.dataPort.takeOverFrom(target.cpu.dataPort);
  await target.run(1_000_000);
  assert.equal(target.vcpu.entries.length, 0);
  assert.ok(target.vcpu1.entries.length > 0);
  assert.equal(target.cpu1.readState(RegClass.general).gprNumber(2), 4711);
});

test('a system restored at a late tick counts no cycles for the time before', async (t) => {
  const directory = `${scratchDirectory(t)}/cpt`;
  const source = machine([halt(true)]);
  await source.run(900_000_000);
  await source.simulator.checkpoint(directory);
  const target = machine([]);
  target.simulator.restore(directory);
  await target.run(900_500_000);
  target.apic.vectors.push(VECTOR);
  target.cpu.wakeup();
  await target.run(901_000_000);
  assert.ok(target.cpu.stats.numCycles.value <= 3000, `${target.cpu.stats.numCycles.value} cycles`);
});

test('CPUs that cannot be switched are refused, and nothing has changed', async () => {
  const m = machine([]);
  await m.run(50_000);
  await assert.rejects(m.toFirst(), (error) => {
    assert.ok(error instanceof FatalError);
    assert.match(error.message, /^cpu1: has no thread to give away/);
    return true;
  });
  await m.toSecond();
  await assert.rejects(
    switchCpus(m.simulator, [[m.cpu1, m.cpu1]]),
    /^FatalError: cpu1: cannot take over a thread/,
  );
  assert.equal(m.cpu1.isSwitchedOut, false);
  await m.run(60_000);
});
