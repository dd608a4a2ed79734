// The state machine: the table of legal transitions, and each one that a CPU in syscall emulation can reach, driven by a
// scripted vCPU. Timing-mode MMIO, and with it RunningMmioPending, cannot be reached yet.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import { type KvmCpuState, KvmCpuStateMachine } from '../../../src/cpu/kvm/state.ts';
import { KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { PanicError } from '../../../src/sim/trouble.ts';
import { CODE, exitWith, fakeMachine, syscall } from '../../support/fake-machine.ts';
import { FakeVcpu } from '../../support/fake-vcpu.ts';

/** Every legal transition, from → to: gem5's, and what drains and stops add. */
const LEGAL: Readonly<Record<KvmCpuState, readonly KvmCpuState[]>> = {
  Idle: ['Idle', 'Running'],
  Running: ['Running', 'RunningService', 'RunningMmioPending', 'Idle'],
  RunningService: ['Running', 'RunningServiceCompletion', 'RunningMmioPending', 'Idle'],
  RunningMmioPending: ['RunningServiceCompletion', 'Running', 'Idle'],
  RunningServiceCompletion: ['Running', 'RunningService', 'RunningMmioPending', 'Idle'],
};
const STATES = Object.keys(LEGAL) as KvmCpuState[];

/** Shortest legal way from Idle to each state. */
const WAY: Record<KvmCpuState, readonly KvmCpuState[]> = {
  Idle: [],
  Running: ['Running'],
  RunningService: ['Running', 'RunningService'],
  RunningMmioPending: ['Running', 'RunningMmioPending'],
  RunningServiceCompletion: ['Running', 'RunningService', 'RunningServiceCompletion'],
};

test('every transition outside the table stops with the object and both states named', () => {
  let illegal = 0;
  for (const from of STATES) {
    for (const to of STATES) {
      const machine = new KvmCpuStateMachine('system.cpu');
      for (const state of WAY[from]) machine.to(state);
      if (LEGAL[from].includes(to)) {
        machine.to(to);
        assert.equal(machine.state, to);
        continue;
      }
      illegal++;
      assert.throws(
        () => machine.to(to),
        (error) =>
          error instanceof PanicError &&
          error.message.includes(`system.cpu: illegal`) &&
          error.message.includes(`${from} -> ${to}`),
      );
      assert.equal(machine.state, from);
    }
  }
  assert.equal(illegal, 8, '25 pairs, 17 of them legal');
});

test('activation, an exit, its service and the completion by the next entry', async () => {
  const m = fakeMachine([syscall(39), FakeVcpu.spin]);
  m.os.onSyscall = (tc) => tc.setGprNumber(Gpr.RAX, 1234);
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  assert.deepEqual(m.transitions(), [
    'Idle -> Running',
    'Running -> RunningService',
    'RunningService -> RunningServiceCompletion',
    'RunningServiceCompletion -> Running',
  ]);
  assert.equal(m.vcpu.entries[1]!.rax, 1234, 'the result is there at the next entry');
  assert.equal(m.vcpu.entries[1]!.rip, CODE + 7, 'and user code goes on behind SYSCALL');
});

test('two calls in a row: completion and next exit are one entry', async () => {
  const m = fakeMachine([syscall(1), syscall(2), FakeVcpu.spin]);
  m.os.onSyscall = () => {};
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  assert.ok(m.transitions().includes('RunningServiceCompletion -> RunningService'));
  assert.equal(m.cpu.stats.numVMExits.value, 3);
  assert.equal(m.cpu.stats.numUserSyscalls.value, 2);
});

test('runs that a signal ends stay Running, and simulated time reaches the awaited event', async () => {
  const m = fakeMachine([FakeVcpu.spin, FakeVcpu.spin]);
  const seen: bigint[] = [];
  m.at(0, () => m.cpu.activateContext());
  m.at(3_000_000, () => seen.push(m.root.curTick));
  await m.run(6_000_000);
  assert.deepEqual(seen, [3_000_000n]);
  assert.deepEqual(m.transitions(), ['Idle -> Running', 'Running -> Running', 'Running -> Running']);
  assert.equal(m.cpu.stats.numExitSignal.value, 2);
});

test('an interrupt window leads back to Running, a halt to Idle', async () => {
  const m = fakeMachine([exitWith(KvmExitReason.IRQ_WINDOW_OPEN), exitWith(KvmExitReason.HLT)]);
  m.at(0, () => m.cpu.activateContext());
  await m.run(5_000_000);
  assert.deepEqual(m.transitions(), [
    'Idle -> Running',
    'Running -> RunningService',
    'RunningService -> Running',
    'Running -> RunningService',
    'RunningService -> Idle',
  ]);
  assert.equal(m.cpu.stats.numHalt.value, 1);
});

test('a service that suspends the thread idles the CPU; waking it goes on behind the call', async () => {
  const m = fakeMachine([syscall(7), FakeVcpu.spin]);
  m.os.onSyscall = (_tc, cpu) => cpu.suspendContext();
  m.at(0, () => m.cpu.activateContext());
  m.at(4_000_000, () => {
    m.cpu.modifyState(RegClass.general).setGprNumber(Gpr.RAX, 5);
    m.cpu.activateContext();
  });
  await m.run(6_000_000);
  assert.deepEqual(m.transitions().slice(2), [
    'RunningService -> Idle',
    'Idle -> Running',
    'Running -> Running',
  ]);
  assert.equal(m.vcpu.entries[1]!.rax, 5);
});

test('a service that suspends and wakes the thread at once goes on', async () => {
  const m = fakeMachine([syscall(7), FakeVcpu.spin]);
  m.os.onSyscall = (_tc, cpu) => {
    cpu.suspendContext();
    cpu.activateContext();
  };
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  assert.deepEqual(m.transitions().slice(2), [
    'RunningService -> Idle',
    'Idle -> Running',
    'Running -> Running',
  ]);
});

test('suspending a running CPU between ticks idles it; suspending an idle one changes nothing', async () => {
  const m = fakeMachine([FakeVcpu.spin, FakeVcpu.spin]);
  m.at(0, () => m.cpu.activateContext());
  m.at(1_000_000, () => {
    m.cpu.suspendContext();
    m.cpu.suspendContext();
  });
  await m.run(5_000_000);
  assert.deepEqual(m.transitions(), [
    'Idle -> Running',
    'Running -> Running',
    'Running -> Idle',
    'Idle -> Idle',
  ]);
});

test('draining a running CPU idles it with its registers read, and resuming goes on', async () => {
  const m = fakeMachine([
    (vcpu) => {
      vcpu.setReg('rbx', 77);
      return FakeVcpu.spin(vcpu);
    },
    FakeVcpu.spin,
  ]);
  m.at(0, () => m.cpu.activateContext());
  await m.run(1_000_000);
  await m.simulator.drain();
  assert.equal(m.cpu.kvmState, 'Idle');
  const ioctlsBefore = m.cpu.stats.numSyncIoctls.value;
  assert.equal(m.cpu.readState(RegClass.all).gprNumber(Gpr.RBX), 77);
  assert.equal(m.cpu.stats.numSyncIoctls.value, ioctlsBefore, 'nothing was left to read');
  await m.run(2_000_000);
  assert.deepEqual(m.transitions(), [
    'Idle -> Running',
    'Running -> Running',
    'Running -> Idle',
    'Idle -> Running',
    'Running -> Running',
  ]);
});

test('a drain in the middle of an exit serves it, and completes it by a half entry', async () => {
  // The timer of the first run is still armed and ends the first run after the drain early.
  const m = fakeMachine([syscall(39), FakeVcpu.spin, FakeVcpu.spin]);
  m.os.onSyscall = (tc) => tc.setGprNumber(Gpr.RAX, 3);
  m.at(0, () => m.cpu.activateContext());
  await m.run(100_000); // the exit is there, its service is not
  assert.equal(m.cpu.kvmState, 'RunningService');
  await m.simulator.drain();
  assert.deepEqual(m.transitions().slice(1), [
    'Running -> RunningService',
    'RunningService -> RunningServiceCompletion',
    'RunningServiceCompletion -> Running',
    'Running -> Idle',
  ]);
  assert.equal(m.vcpu.entries.at(-1)!.immediateExit, true);
  assert.equal(m.cpu.stats.numVMHalfEntries.value, 1);
  assert.equal(m.vcpu.script.length, 2, 'no user code has run during the drain');
  await m.run(2_000_000);
  assert.equal(m.transitions().at(-1), 'Running -> Running');
});

test('draining an idle CPU, twice, leaves it idle', async () => {
  const m = fakeMachine([]);
  await m.simulator.drain();
  await m.simulator.drain();
  assert.equal(m.cpu.kvmState, 'Idle');
});
