import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine } from './machine.ts';

const WAIT = 0x80;
const WAKE = 0x81;
const REQUEUE = 0x83;
const CMP_REQUEUE = 0x84;
const WAKE_OP = 0x85;
const WAIT_BITSET = 0x89;
const WAKE_BITSET = 0x8a;
const WORD = DATA + 0x100;
const OTHER = DATA + 0x200;

/** A machine with `count` extra threads that sleep on WORD; the main thread is current. */
function sleepers(count: number, bitset = 0xffff_ffff): { m: Machine; tids: number[] } {
  const m = new Machine();
  const tids = Array.from({ length: count }, () => m.thread());
  const main = m.tid;
  // The main thread gives way: each of the others runs once, and sleeps.
  m.call('sched_yield');
  for (const tid of tids) {
    assert.equal(m.tid, tid);
    m.call('futex', WORD, WAIT_BITSET, 0, 0, 0, bitset);
  }
  assert.equal(m.tid, main);
  assert.equal(m.process.futexes.waiters(WORD), count);
  return { m, tids };
}

test('a wait on a word that has changed returns EAGAIN at once', () => {
  const m = new Machine();
  m.memory.writeU32(WORD, 7);
  assert.equal(m.call('futex', WORD, WAIT, 6, 0), -Errno.EAGAIN);
  assert.equal(m.cpu.active, true);
});

test('a wait on a misaligned or unmapped word fails with EINVAL or EFAULT', () => {
  const m = new Machine();
  assert.equal(m.call('futex', WORD + 1, WAIT, 0, 0), -Errno.EINVAL);
  assert.equal(m.call('futex', 0x5000_0000, WAIT, 0, 0), -Errno.EFAULT);
  assert.equal(m.call('futex', 2n ** 63n, WAIT, 0, 0), -Errno.EFAULT);
});

test('a wake wakes the longest sleeper first and says how many it woke', () => {
  const { m, tids } = sleepers(3);
  assert.equal(m.call('futex', WORD, WAKE, 2), 2);
  assert.equal(m.process.futexes.waiters(WORD), 1);
  m.call('sched_yield');
  assert.equal(m.tid, tids[0]);
  assert.equal(m.rax, 0);
  assert.equal(m.call('futex', WORD, WAKE, 99), 1);
  assert.equal(m.call('futex', WORD, WAKE, 99), 0);
});

test('a bitset wake passes over sleepers with other bits', () => {
  const { m } = sleepers(1, 0b10);
  assert.equal(m.call('futex', WORD, WAKE_BITSET, 9, 0, 0, 0b01), 0);
  assert.equal(m.call('futex', WORD, WAKE_BITSET, 9, 0, 0, 0b11), 1);
});

test('requeue wakes some and moves others, which then sleep at the other word', () => {
  const { m } = sleepers(3);
  assert.equal(m.call('futex', WORD, REQUEUE, 1, 1, OTHER), 2);
  assert.deepEqual(
    [WORD, OTHER].map((word) => m.process.futexes.waiters(word)),
    [1, 1],
  );
  assert.equal(m.call('futex', OTHER, WAKE, 9), 1);
  assert.equal(m.call('futex', WORD, CMP_REQUEUE, 1, 1, OTHER, 5), -Errno.EAGAIN);
});

test('wake-op changes the second word and wakes there if the old value compares', () => {
  const { m } = sleepers(1);
  m.memory.writeU32(OTHER, 4);
  // FUTEX_OP_ADD 1, compare greater than 3; then greater than 100.
  const operation = (against: number) => (1 << 28) | (4 << 24) | (1 << 12) | against;
  assert.equal(m.call('futex', OTHER + 8, WAKE_OP, 1, 9, OTHER, operation(100)), 0);
  assert.equal(m.memory.readU32(OTHER), 5);
  assert.equal(m.call('futex', WORD, WAKE_OP, 1, 9, OTHER, operation(3)), 1);
  assert.equal(m.memory.readU32(OTHER), 6);
});

test('a relative timeout ends the wait in simulated time, and the sleeper is gone from the queue', () => {
  const m = new Machine();
  m.memory.writeNumber64(DATA, 1);
  m.memory.writeNumber64(DATA + 8, 500);
  m.call('futex', WORD, WAIT, 0, DATA);
  assert.equal(m.cpu.active, false);
  m.run(1_000_000_499);
  assert.equal(m.cpu.active, false);
  m.run(1);
  assert.equal(m.cpu.active, true);
  assert.equal(m.rax, -Errno.ETIMEDOUT);
  assert.equal(m.process.futexes.waiters(WORD), 0);
});

test('an absolute timeout in the past ends the wait at once', () => {
  const m = new Machine();
  m.memory.writeNumber64(DATA, 1);
  m.memory.writeNumber64(DATA + 8, 0);
  m.call('futex', WORD, WAIT_BITSET, 0, DATA, 0, 1);
  m.run(0);
  assert.equal(m.rax, -Errno.ETIMEDOUT);
});

test('an exiting thread clears its tid word, wakes there, and gives its robust locks up', () => {
  const m = new Machine();
  const tid = m.thread();
  m.process.threads.get(tid)!.clearChildTid = WORD;
  m.memory.writeU32(WORD, tid);
  m.call('futex', WORD, WAIT, tid, 0);
  assert.equal(m.tid, tid);
  // One lock in the list, its word 16 bytes before the entry, held by this thread, with waiters.
  const [head, entry] = [DATA + 0x300, DATA + 0x400];
  m.memory.writeNumber64(head, entry);
  m.memory.writeNumber64(head + 8, -16);
  m.memory.writeNumber64(head + 16, 0);
  m.memory.writeNumber64(entry, head);
  m.memory.writeU32(entry - 16, 0x8000_0000 + tid);
  assert.equal(m.call('set_robust_list', head, 24), 0);
  m.call('exit', 0);
  assert.equal(m.memory.readU32(entry - 16), 0xc000_0000);
  assert.equal(m.memory.readU32(WORD), 0);
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.rax, 0);
  assert.equal(m.process.threads.size, 1);
});

test('FUTEX_CLOCK_REALTIME is for operations that let the clock be chosen', () => {
  const m = new Machine();
  assert.equal(m.call('futex', WORD, WAKE | 0x100, 1), -Errno.ENOSYS);
  assert.equal(m.call('futex', WORD, WAIT | 0x100, 1), -Errno.ENOSYS);
  assert.equal(m.call('futex', WORD, WAIT_BITSET | 0x100, 1, 0, 0, 1), -Errno.EAGAIN);
});

test('a futex that may be shared has to be mapped even to be woken; a private one has not', () => {
  const m = new Machine();
  assert.equal(m.call('futex', 0x5000_0000, WAKE & ~0x80, 1), -Errno.EFAULT);
  assert.equal(m.call('futex', 0x5000_0000, WAKE, 1), 0);
});

test('a wake wakes at least one; requeue takes its numbers as they are, but not negative ones', () => {
  const { m } = sleepers(2);
  assert.equal(m.call('futex', WORD, REQUEUE, 0, 0, OTHER), 0);
  assert.equal(m.call('futex', WORD, REQUEUE, -1, 0, OTHER), -Errno.EINVAL);
  assert.equal(m.call('futex', WORD, WAKE, 0), 1);
  assert.equal(m.process.futexes.waiters(WORD), 1);
});
