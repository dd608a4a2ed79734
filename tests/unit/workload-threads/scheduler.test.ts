import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine, STACK_TOP } from './machine.ts';

const QUANTUM_NS = 10_000_000;
const FUTEX_WAIT = 0x80;
const FUTEX_WAKE = 0x81;

test('clone returns the new tid to the parent and 0 to the child, on its own stack with its own FS base', () => {
  const m = new Machine();
  const tid = m.thread();
  assert.equal(tid, m.process.pid + 1);
  assert.equal(m.memory.readU32(DATA), tid);
  m.call('sched_yield');
  assert.equal(m.tid, tid);
  assert.equal(m.rax, 0);
  assert.equal(m.cpu.context.gprNumber(Gpr.RSP), STACK_TOP - 0x4000);
  assert.equal(m.cpu.context.segmentBase(Seg.FS), 0x7000n);
  assert.equal(m.call('gettid'), tid);
  assert.equal(m.call('getpid'), m.process.pid);
});

test('a clone that is not a thread is refused with ENOSYS and one warning', () => {
  const m = new Machine();
  assert.equal(m.call('clone', 0x4111, 0), -Errno.ENOSYS);
  assert.equal(m.call('clone', 0x4111, 0), -Errno.ENOSYS);
  assert.equal(m.warnings.length, 1);
});

test('general, FS and vector registers belong to the thread: they survive switches', () => {
  const m = new Machine();
  m.thread();
  const { context } = m.cpu;
  context.setGpr(Gpr.RBX, 0x1111n);
  context.setSegmentBase(Seg.FS, 0xa000n);
  context.u8[OFFSET.zmm] = 0x5a;
  m.call('sched_yield');
  context.setGpr(Gpr.RBX, 0x2222n);
  context.u8[OFFSET.zmm] = 0xa5;
  m.call('sched_yield');
  assert.equal(context.gpr(Gpr.RBX), 0x1111n);
  assert.equal(context.segmentBase(Seg.FS), 0xa000n);
  assert.equal(context.u8[OFFSET.zmm], 0x5a);
  m.call('sched_yield');
  assert.equal(context.gpr(Gpr.RBX), 0x2222n);
});

test('threads take turns at the quantum; a single thread has no quantum event', () => {
  const m = new Machine();
  assert.equal(m.root.eventQueue.isEmpty, true);
  const tid = m.thread();
  m.run(QUANTUM_NS - 1);
  assert.equal(m.tid, m.process.pid);
  m.run(1);
  assert.equal(m.tid, tid);
  m.run(QUANTUM_NS);
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.process.stats.numContextSwitches.value, 2);
});

test('a thread that the CPU cannot give up yet is switched when the service ends', () => {
  const m = new Machine();
  const tid = m.thread();
  m.cpu.canSwitchThread = false;
  m.run(QUANTUM_NS);
  assert.equal(m.tid, m.process.pid);
  m.process.afterService();
  assert.equal(m.tid, tid);
});

test('when every thread waits the CPU is suspended; a deadline activates it again', () => {
  const m = new Machine();
  m.memory.writeNumber64(DATA + 0x10, 0);
  m.memory.writeNumber64(DATA + 0x18, 1000);
  m.call('nanosleep', DATA + 0x10, 0);
  assert.equal(m.cpu.active, false);
  m.run(1000);
  assert.equal(m.cpu.active, true);
  assert.equal(m.rax, 0);
});

test('a woken thread does not take the CPU from the one that runs', () => {
  const m = new Machine();
  const tid = m.thread();
  m.call('futex', DATA + 0x100, FUTEX_WAIT, 0, 0);
  assert.equal(m.tid, tid);
  assert.equal(m.call('futex', DATA + 0x100, FUTEX_WAKE, 1), 1);
  assert.equal(m.tid, tid);
  m.call('sched_yield');
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.rax, 0);
});

test('CPU time is charged to the thread that has the CPU', () => {
  const m = new Machine();
  const tid = m.thread();
  m.cpu.busyTicks = 5_000_000;
  m.call('sched_yield');
  m.cpu.busyTicks = 7_000_000;
  const { scheduler, threads } = m.process;
  assert.equal(scheduler.cpuTicks(threads.get(m.process.pid)!), 5_000_000);
  assert.equal(scheduler.cpuTicks(threads.get(tid)!), 2_000_000);
  m.call('exit', 0);
  assert.equal(m.process.cpuNs(), 7000);
});

test('a wait for a host descriptor leaves time alone, and ends when the descriptor is ready', async () => {
  const m = new Machine();
  assert.equal(m.call('pipe2', DATA, 0), 0);
  const [readEnd, writeEnd] = [m.memory.readU32(DATA), m.memory.readU32(DATA + 4)];
  const tid = m.thread();
  m.call('read', readEnd, DATA + 0x10, 8);
  // The other thread writes to the pipe: the reader is asked again, without a host wait.
  assert.equal(m.tid, tid);
  assert.equal(m.root.idleSources[0]!.canWake(), false);
  m.memory.write(DATA + 0x20, Buffer.from('hello'));
  assert.equal(m.call('write', writeEnd, DATA + 0x20, 5), 5);
  m.call('sched_yield');
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.rax, 5);
  assert.equal(Buffer.from(m.memory.read(DATA + 0x10, 5)).toString(), 'hello');
});

test('while all threads wait for the host the idle source can wake them, and only then', async () => {
  const m = new Machine();
  m.call('pipe2', DATA, 0);
  const source = m.root.idleSources[0]!;
  m.call('read', m.memory.readU32(DATA), DATA + 0x10, 8);
  assert.equal(m.cpu.active, false);
  assert.equal(source.canWake(), true);
  assert.equal(m.root.eventQueue.isEmpty, true);
  const before = m.tick;
  await source.wait(2);
  assert.equal(m.cpu.active, false);
  const { host, table } = m.process.files;
  const fd = table.get(m.memory.readU32(DATA + 4))!.hostFd;
  const bytes = m.memory.spans(DATA + 0x100, 3, 'read')[0]!;
  assert.equal(host.writev(fd, [bytes]), 3);
  await source.wait(50);
  assert.equal(m.cpu.active, true);
  assert.equal(m.rax, 3);
  assert.equal(m.tick, before);
});

test('exit_group ends everything: the CPU is halted and the loop is left with the status', () => {
  const m = new Machine();
  m.thread();
  m.call('exit_group', 0x1_07);
  assert.deepEqual(m.process.end, { kind: 'exited', status: 7 });
  assert.equal(m.cpu.halted, true);
  m.run(0);
  assert.deepEqual(m.root.takeExit(), {
    cause: 'exiting with last active thread context',
    code: 7,
    tick: m.tick,
  });
  assert.equal(m.root.eventQueue.isEmpty, true);
});

test('the exit of the last thread is the exit of the process', () => {
  const m = new Machine();
  const tid = m.thread();
  m.call('exit', 3);
  assert.equal(m.process.end, undefined);
  assert.equal(m.tid, tid);
  m.call('exit', 9);
  assert.deepEqual(m.process.end, { kind: 'exited', status: 9 });
});

test('clone flags that contradict each other are EINVAL', () => {
  const m = new Machine();
  const [sighand, thread, fs, newUser] = [0x800, 0x1_0000, 0x200, 0x1000_0000];
  for (const flags of [sighand, thread, thread | sighand, fs | newUser]) {
    assert.equal(m.call('clone', flags, 0, 0, 0, 0), -Errno.EINVAL);
  }
});

test('clone3 checks the size of its structure, the exit signal, and that a stack has a size', () => {
  const m = new Machine();
  const args = (fields: Record<number, number>) => {
    m.memory.write(DATA + 0x100, new Uint8Array(104));
    for (const [index, value] of Object.entries(fields)) {
      m.memory.writeNumber64(DATA + 0x100 + 8 * Number(index), value);
    }
    return DATA + 0x100;
  };
  assert.equal(m.call('clone3', args({}), 63), -Errno.EINVAL);
  assert.equal(m.call('clone3', args({}), 8192), -Errno.E2BIG);
  assert.equal(m.call('clone3', args({ 11: 1 }), 96), -Errno.E2BIG);
  assert.equal(m.call('clone3', args({ 0: 0xff }), 88), -Errno.EINVAL);
  assert.equal(m.call('clone3', args({ 4: 65 }), 88), -Errno.EINVAL);
  assert.equal(m.call('clone3', args({ 5: DATA }), 88), -Errno.EINVAL);
  assert.equal(m.call('clone3', args({ 0: 0x3d0f00, 2: DATA, 3: DATA, 5: DATA, 6: 0x4000 }), 88), m.tid + 1);
});
