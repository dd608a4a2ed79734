import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { ThreadQueue } from '../../../src/workload/linux/scheduling-policy.ts';
import { DATA, Machine } from './machine.ts';

const AT = DATA + 0x400;
const OTHER = 0;
const FIFO = 1;
const RR = 2;
const BATCH = 3;
const RESET_ON_FORK = 0x4000_0000;
const WORD = DATA + 0x100;
const WAIT = 0x80;
const WAKE = 0x81;
const QUANTUM_NS = 10_000_000;

/** sched_setscheduler of a thread, 0 being the current one. */
function schedule(m: Machine, tid: number, policy: number, priority: number): number {
  m.memory.writeI32(AT, priority);
  return m.call('sched_setscheduler', tid, policy, AT);
}

test('a queue holds the highest priority first, and the first comer of equals', () => {
  const queue = new ThreadQueue<[name: string, priority: number]>(([, priority]) => priority);
  for (const item of [
    ['a', 0],
    ['b', 5],
    ['c', 0],
    ['d', 9],
    ['e', 5],
  ] as const)
    queue.push([...item]);
  queue.unshift(['f', 5]);
  assert.deepEqual(
    [...queue].map(([name]) => name),
    ['d', 'f', 'b', 'e', 'a', 'c'],
  );
  assert.equal(queue.topPriority, 9);
});

test('a policy is read back as it was set; bad ones are EINVAL and leave it alone', () => {
  const m = new Machine({ uid: 0 });
  assert.equal(schedule(m, 0, BATCH, 0), 0);
  assert.equal(m.call('sched_getscheduler', 0), BATCH);
  assert.equal(schedule(m, 0, RR | RESET_ON_FORK, 20), 0);
  assert.equal(m.call('sched_getscheduler', 0), RR | RESET_ON_FORK);
  assert.equal(m.call('sched_getparam', 0, AT), 0);
  assert.equal(m.memory.readI32(AT), 20);
  const wrong: [number, number][] = [
    [OTHER, 1],
    [FIFO, 0],
    [FIFO, 100],
    [9, 0],
    [-1, 0],
  ];
  for (const [policy, priority] of wrong) assert.equal(schedule(m, 0, policy, priority), -Errno.EINVAL);
  assert.equal(schedule(m, -1, OTHER, 0), -Errno.EINVAL);
  assert.equal(schedule(m, 4242, OTHER, 0), -Errno.ESRCH);
  assert.equal(m.call('sched_setscheduler', 0, OTHER, 0), -Errno.EINVAL);
  assert.equal(m.call('sched_getscheduler', 0), RR | RESET_ON_FORK);
});

test('a real-time policy needs privilege or RLIMIT_RTPRIO', () => {
  const m = new Machine();
  assert.equal(schedule(m, 0, FIFO, 1), -Errno.EPERM);
  assert.equal(m.call('sched_getscheduler', 0), OTHER);
});

test('sched_setattr sets what sched_getattr shows, nice values too', () => {
  const m = new Machine({ uid: 0 });
  m.memory.write(AT, new Uint8Array(56));
  m.memory.writeU32(AT, 48);
  m.memory.writeI32(AT + 16, 7);
  assert.equal(m.call('sched_setattr', 0, AT, 0), 0);
  assert.equal(m.call('getpriority', 0, 0), 13);
  assert.equal(m.call('sched_getattr', 0, AT, 56, 0), 0);
  assert.deepEqual([m.memory.readU32(AT), m.memory.readI32(AT + 16)], [56, 7]);
  assert.equal(m.call('sched_getattr', 0, AT, 47, 0), -Errno.EINVAL);
  m.memory.writeU32(AT, 4);
  assert.equal(m.call('sched_setattr', 0, AT, 0), -Errno.E2BIG);
  assert.equal(m.memory.readU32(AT), 56, 'the size that would do');
});

test('a thread that becomes real-time takes the CPU at once, and keeps it while it runs', () => {
  const m = new Machine({ uid: 0 });
  const tid = m.thread();
  assert.equal(schedule(m, tid, FIFO, 5), 0);
  assert.equal(m.tid, tid);
  m.run(3 * QUANTUM_NS);
  assert.equal(m.tid, tid, 'no quantum ends a FIFO thread');
  m.call('sched_yield');
  assert.equal(m.tid, tid, 'it gives way to its equals alone');
  assert.equal(schedule(m, 0, OTHER, 0), 0);
  m.call('sched_yield');
  assert.equal(m.tid, m.process.pid);
});

test('round-robin threads of one priority take turns', () => {
  const m = new Machine({ uid: 0 });
  const tid = m.thread();
  schedule(m, 0, RR, 5);
  schedule(m, tid, RR, 5);
  assert.equal(m.tid, m.process.pid);
  m.run(QUANTUM_NS);
  assert.equal(m.tid, tid);
});

test('a woken thread of higher priority preempts; a futex wakes the highest priority first', () => {
  const m = new Machine({ uid: 0 });
  const [low, high] = [m.thread(), m.thread()];
  for (const tid of [low, high]) {
    m.switchTo(tid);
    m.call('futex', WORD, WAIT, 0, 0);
  }
  assert.equal(m.tid, m.process.pid);
  schedule(m, 0, FIFO, 1);
  schedule(m, low, FIFO, 2);
  assert.equal(m.call('futex', WORD, WAKE, 1), 0, 'the result of the wait of the thread that got the CPU');
  assert.equal(m.tid, low);
});

test('a new thread inherits the policy, unless it is to be reset', () => {
  const m = new Machine({ uid: 0 });
  schedule(m, 0, RR, 3);
  const heir = m.thread();
  assert.equal(m.call('sched_getscheduler', heir), RR);
  schedule(m, 0, RR | RESET_ON_FORK, 3);
  const fresh = m.thread();
  assert.equal(m.call('sched_getscheduler', fresh), OTHER);
});

test('nice values belong to threads; groups and users are those of the process', () => {
  const m = new Machine();
  const tid = m.thread();
  assert.equal(m.call('setpriority', 0, tid, 5), 0);
  assert.equal(m.call('getpriority', 0, tid), 15);
  assert.equal(m.call('getpriority', 1, 0), 20, 'the best of the group');
  assert.equal(m.call('setpriority', 0, tid, 4), -Errno.EACCES);
  assert.equal(m.call('getpriority', 2, 4242), -Errno.ESRCH);
  assert.equal(m.call('getpriority', 3, 0), -Errno.EINVAL);
});

test('an I/O priority is kept if its class and level exist', () => {
  const m = new Machine();
  const bestEffort3 = (2 << 13) | 3;
  assert.equal(m.call('ioprio_set', 1, 0, bestEffort3), 0);
  assert.equal(m.call('ioprio_get', 1, 0), bestEffort3);
  assert.equal(m.call('ioprio_set', 1, 0, 7 << 13), -Errno.EINVAL);
  assert.equal(m.call('ioprio_set', 1, 0, 1 << 13), -Errno.EPERM);
  assert.equal(m.call('ioprio_get', 9, 0), -Errno.EINVAL);
});
