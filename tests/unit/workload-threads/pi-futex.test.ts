import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine } from './machine.ts';

const LOCK_PI = 0x86;
const UNLOCK_PI = 0x87;
const TRYLOCK_PI = 0x88;
const LOCK_PI2 = 0x8d;
const WORD = DATA + 0x100;
const OTHER_WORD = DATA + 0x110;
const AT = DATA + 0x400;
const WAITERS = 0x8000_0000;
const OWNER_DIED = 0x4000_0000;
const FIFO = 1;

function setFifo(m: Machine, tid: number, priority: number): void {
  m.memory.writeI32(AT, priority);
  assert.equal(m.call('sched_setscheduler', tid, FIFO, AT), 0);
}

const word = (m: Machine, at = WORD) => m.memory.readU32(at);

test('a free lock is taken and given back in its word', () => {
  const m = new Machine();
  assert.equal(m.call('futex', WORD, LOCK_PI, 0, 0), 0);
  assert.equal(word(m), m.tid);
  assert.equal(m.call('futex', WORD, LOCK_PI, 0, 0), -Errno.EDEADLK);
  assert.equal(m.call('futex', WORD, UNLOCK_PI), 0);
  assert.equal(word(m), 0);
  assert.equal(m.call('futex', WORD, UNLOCK_PI), -Errno.EPERM);
});

test('a lock whose owner does not exist is ESRCH, a bad address EFAULT', () => {
  const m = new Machine();
  m.memory.writeU32(WORD, 4242);
  assert.equal(m.call('futex', WORD, LOCK_PI, 0, 0), -Errno.ESRCH);
  assert.equal(m.call('futex', 0x5000_0000, LOCK_PI, 0, 0), -Errno.EFAULT);
});

test('the longest waiting of the highest priority gets the lock, marked as waited for', () => {
  const m = new Machine({ uid: 0 });
  const main = m.tid;
  const [first, second] = [m.thread(), m.thread()];
  m.call('futex', WORD, LOCK_PI, 0, 0);
  for (const tid of [first, second]) {
    m.switchTo(tid);
    assert.equal(m.call('futex', WORD, TRYLOCK_PI), -Errno.EAGAIN);
    m.call('futex', WORD, LOCK_PI, 0, 0);
  }
  assert.equal(m.tid, main);
  assert.equal(word(m), (main | WAITERS) >>> 0);
  m.call('futex', WORD, UNLOCK_PI);
  assert.equal(word(m), (first | WAITERS) >>> 0);
  m.switchTo(first);
  assert.equal(m.rax, 0, 'the lock is its own');
});

test('the owner runs at the priority of who waits for it, through a chain of locks, until it unlocks', () => {
  const m = new Machine({ uid: 0 });
  const main = m.process.currentThread;
  const [middle, urgent] = [m.thread(), m.thread()];
  m.call('futex', WORD, LOCK_PI, 0, 0);
  m.switchTo(middle);
  m.call('futex', OTHER_WORD, LOCK_PI, 0, 0);
  m.call('futex', WORD, LOCK_PI, 0, 0);
  m.switchTo(urgent);
  setFifo(m, 0, 7);
  m.call('futex', OTHER_WORD, LOCK_PI, 0, 0);
  assert.equal(main.effectivePriority, 7);
  assert.equal(m.tid, main.tid);
  m.call('futex', WORD, UNLOCK_PI);
  assert.equal(main.effectivePriority, 0);
  assert.equal(m.tid, middle, 'it still holds what the urgent thread wants');
  m.call('futex', OTHER_WORD, UNLOCK_PI);
  assert.equal(m.tid, urgent);
});

test('a cycle of locks is EDEADLK', () => {
  const m = new Machine();
  const main = m.tid;
  const tid = m.thread();
  m.call('futex', WORD, LOCK_PI, 0, 0);
  m.switchTo(tid);
  m.call('futex', OTHER_WORD, LOCK_PI, 0, 0);
  m.call('futex', WORD, LOCK_PI, 0, 0);
  assert.equal(m.tid, main);
  assert.equal(m.call('futex', OTHER_WORD, LOCK_PI, 0, 0), -Errno.EDEADLK);
});

test('a deadline ends the wait without the lock: CLOCK_MONOTONIC for LOCK_PI2', () => {
  const m = new Machine();
  const main = m.tid;
  const tid = m.thread();
  m.call('futex', WORD, LOCK_PI, 0, 0);
  m.call('clock_gettime', 1, AT);
  m.memory.writeNumber64(AT + 8, m.memory.readU32(AT + 8) + 1000);
  m.switchTo(tid);
  m.call('futex', WORD, LOCK_PI2, 0, AT);
  assert.equal(m.tid, main);
  m.run(1000);
  m.switchTo(tid);
  assert.equal(m.rax, -Errno.ETIMEDOUT);
  assert.equal(m.process.threads.get(main)?.inheritedPriority, 0);
});

test('the lock of a thread that exits goes on to who waits, marked as left by the dead', () => {
  const m = new Machine();
  const tid = m.thread();
  m.switchTo(tid);
  m.call('futex', WORD, LOCK_PI, 0, 0);
  m.switchTo(m.process.pid);
  m.call('futex', WORD, LOCK_PI, 0, 0);
  assert.equal(m.tid, tid);
  m.call('exit', 0);
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.rax, 0);
  assert.equal(word(m), (m.process.pid | WAITERS | OWNER_DIED) >>> 0);
});
