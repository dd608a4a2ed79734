import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { Signal } from '../../../src/workload/linux/signals.ts';
import { CODE, DATA, Machine } from './machine.ts';

const AT = DATA + 0x400;
const SECOND = 1_000_000_000;
/** 2026-01-01T00:00:00Z */
const START = Date.UTC(2026, 0, 1) / 1000;

function readTime(m: Machine, at = AT): [seconds: number, fraction: number] {
  return [Number(m.memory.readI64(at)), Number(m.memory.readI64(at + 8))];
}

function writeTime(m: Machine, at: number, seconds: number, fraction: number): void {
  m.memory.writeNumber64(at, seconds);
  m.memory.writeNumber64(at + 8, fraction);
}

test('CLOCK_REALTIME starts in 2026 and follows simulated time to the nanosecond', () => {
  const m = new Machine();
  m.run(3 * SECOND + 7);
  assert.equal(m.call('clock_gettime', 0, AT), 0);
  assert.deepEqual(readTime(m), [START + 3, 7]);
  assert.equal(m.call('time', 0), START + 3);
  assert.equal(m.call('gettimeofday', AT, 0), 0);
  assert.deepEqual(readTime(m), [START + 3, 0]);
});

test('the start time is a parameter, with its fraction', () => {
  const m = new Machine({ startTime: 1_000.75 });
  m.run(SECOND / 2);
  m.call('clock_gettime', 0, AT);
  assert.deepEqual(readTime(m), [1001, SECOND / 4]);
});

test('monotonic clocks agree, coarse ones move in steps of 4 ms', () => {
  const m = new Machine();
  m.run(SECOND + 5_000_001);
  const read = (clock: number) => {
    assert.equal(m.call('clock_gettime', clock, AT), 0);
    return readTime(m);
  };
  assert.deepEqual(read(1), [101, 5_000_001]);
  assert.deepEqual(read(4), read(1));
  assert.deepEqual(read(7), read(1));
  assert.deepEqual(read(6), [101, 4_000_000]);
  assert.equal(m.call('clock_gettime', 99, AT), -Errno.EINVAL);
  assert.equal(m.call('clock_getres', 1, AT), 0);
  assert.deepEqual(readTime(m), [0, 1]);
});

test('CPU clocks count the time that the CPU ran, not the time that passed', () => {
  const m = new Machine();
  m.cpu.busyTicks = 2_500_000_000_000;
  m.run(10 * SECOND);
  for (const clock of [2, 3]) {
    m.call('clock_gettime', clock, AT);
    assert.deepEqual(readTime(m), [2, SECOND / 2]);
  }
  m.call('getrusage', 0, AT);
  assert.deepEqual(readTime(m), [2, 500_000]);
  assert.equal(m.call('times', AT), 100 * 100 + 1000);
  assert.equal(m.memory.readU64(AT), 250n);
});

test('clock_nanosleep sleeps to an absolute time, and not at all if it has passed', () => {
  const m = new Machine();
  writeTime(m, AT, START + 2, 0);
  m.call('clock_nanosleep', 0, 1, AT, 0);
  m.run(2 * SECOND - 1);
  assert.equal(m.cpu.active, false);
  m.run(1);
  assert.equal(m.cpu.active, true);
  assert.equal(m.call('clock_nanosleep', 0, 1, AT, 0), 0);
  assert.equal(m.cpu.active, true);
  writeTime(m, AT, 0, SECOND);
  assert.equal(m.call('clock_nanosleep', 1, 0, AT, 0), -Errno.EINVAL);
});

test('an interrupted sleep tells how much is left', () => {
  const m = new Machine();
  m.handle(Signal.SIGALRM);
  m.call('alarm', 1);
  writeTime(m, AT, 3, 250);
  m.call('nanosleep', AT, AT + 0x20);
  m.run(SECOND);
  assert.equal(m.cpu.context.ripNumber, CODE + 0x1000);
  assert.deepEqual(readTime(m, AT + 0x20), [2, 250]);
});

test('the longest sleep does not end', () => {
  const m = new Machine();
  writeTime(m, AT, Number.MAX_SAFE_INTEGER, SECOND - 1);
  m.call('nanosleep', AT, 0);
  m.run(1_000_000 * SECOND);
  assert.equal(m.cpu.active, false);
});

test('ITIMER_REAL goes off regularly and reports what is left', () => {
  const m = new Machine();
  m.handle(Signal.SIGALRM);
  writeTime(m, AT, 0, 10_000);
  writeTime(m, AT + 16, 0, 30_000);
  assert.equal(m.call('setitimer', 0, AT, 0), 0);
  m.run(10_000_000);
  m.call('getitimer', 0, AT);
  assert.deepEqual(
    [readTime(m), readTime(m, AT + 16)],
    [
      [0, 10_000],
      [0, 20_000],
    ],
  );
  for (const delayMs of [20, 10, 10]) {
    m.run(delayMs * 1_000_000 - 1);
    assert.equal(m.cpu.context.ripNumber, CODE);
    m.run(1);
    assert.equal(m.cpu.context.ripNumber, CODE + 0x1000);
    m.cpu.context.setGprNumber(4, m.cpu.context.gprNumber(4) + 8);
    m.call('rt_sigreturn');
  }
});

test('alarm returns the seconds that were left of the one before', () => {
  const m = new Machine();
  assert.equal(m.call('alarm', 10), 0);
  m.run(3 * SECOND);
  assert.equal(m.call('alarm', 0), 7);
  assert.equal(m.call('alarm', 0), 0);
  m.run(20 * SECOND);
  assert.equal(m.process.end, undefined);
});

test('ITIMER_PROF counts CPU time: an idle process is never told', () => {
  const m = new Machine();
  writeTime(m, AT, 0, 0);
  writeTime(m, AT + 16, 1, 0);
  m.call('setitimer', 2, AT, 0);
  writeTime(m, AT, 5, 0);
  m.call('nanosleep', AT, 0);
  assert.equal(m.root.eventQueue.size, 1, 'only the sleep is scheduled');
  m.run(5 * SECOND);
  assert.equal(m.cpu.active, true);
  m.cpu.busyTicks = 1_000_000_000_000;
  m.run(SECOND);
  assert.partialDeepStrictEqual(m.process.end, { name: 'SIGPROF' });
});

test('a POSIX timer sends its signal with its value, and counts what a blocked one has missed', () => {
  const m = new Machine();
  const [event, id] = [AT, AT + 0x40];
  m.memory.writeU64(event, 0x1234n);
  m.memory.writeI32(event + 8, 40);
  m.memory.writeI32(event + 12, 0);
  assert.equal(m.call('timer_create', 1, event, id), 0);
  const timer = m.memory.readI32(id);
  m.memory.writeU64(DATA, 1n << 39n);
  m.call('rt_sigprocmask', 2, DATA, 0, 8);
  writeTime(m, AT, 0, 1000);
  writeTime(m, AT + 16, 0, 1000);
  assert.equal(m.call('timer_settime', timer, 0, AT, 0), 0);
  m.run(5500);
  m.memory.writeU64(DATA, 1n << 39n);
  assert.equal(m.call('rt_sigtimedwait', DATA, AT + 0x80, 0, 8), 40);
  assert.equal(m.memory.readU64(AT + 0x98), 0x1234n);
  assert.equal(m.call('timer_getoverrun', timer), 4);
  assert.equal(m.call('timer_delete', timer), 0);
  assert.equal(m.call('timer_delete', timer), -Errno.EINVAL);
  m.run(SECOND);
  m.call('rt_sigpending', DATA, 8);
  assert.equal(m.memory.readU64(DATA), 0n);
});

test('an absolute POSIX timer follows its clock', () => {
  const m = new Machine();
  assert.equal(m.call('timer_create', 0, 0, AT), 0);
  m.run(SECOND);
  writeTime(m, AT, 0, 0);
  writeTime(m, AT + 16, START + 2, 0);
  assert.equal(m.call('timer_settime', 0, 1, AT, 0), 0);
  m.run(SECOND - 1);
  assert.equal(m.process.end, undefined);
  m.run(1);
  assert.partialDeepStrictEqual(m.process.end, { name: 'SIGALRM' });
});

test('clocks that can only be read cannot be waited for; ids of descriptors are no clocks', () => {
  const m = new Machine();
  writeTime(m, AT, 0, 1000);
  for (const clock of [4, 5, 6]) {
    assert.equal(m.call('clock_nanosleep', clock, 0, AT, 0), -Errno.EOPNOTSUPP);
    assert.equal(m.call('timer_create', clock, 0, AT + 0x40), -Errno.EOPNOTSUPP);
  }
  assert.equal(m.call('clock_gettime', -1, AT), -Errno.EINVAL);
  assert.equal(m.call('clock_gettime', -6, AT), 0, 'CPU time of the process');
});

test('a sleep that a signal without a handler interrupts ends when it would have ended', () => {
  const m = new Machine();
  writeTime(m, AT, 0, 1000);
  m.call('nanosleep', AT, AT + 32);
  m.run(400);
  m.process.signals.sendToProcess({ signal: Signal.SIGCONT, code: 0 });
  m.call('nanosleep', AT, AT + 32);
  assert.equal(m.cpu.active, false);
  m.run(599);
  assert.equal(m.cpu.active, false);
  m.run(1);
  assert.equal(m.cpu.active, true);
  assert.equal(m.rax, 0);
});

test('a timer rests while its signal is blocked, however short its interval', () => {
  const m = new Machine();
  m.memory.writeU64(DATA, 1n << BigInt(Signal.SIGALRM - 1));
  m.call('rt_sigprocmask', 2, DATA, 0, 8);
  writeTime(m, AT, 0, 1);
  writeTime(m, AT + 16, 0, 1);
  assert.equal(m.call('setitimer', 0, AT, 0), 0);
  m.run(1000);
  assert.equal(m.root.eventQueue.isEmpty, true);
  assert.equal(m.call('rt_sigtimedwait', DATA, 0, 0, 8), Signal.SIGALRM);
  assert.equal(m.root.eventQueue.isEmpty, false, 'it ticks on once the signal is taken');
});

test('a timer that tells nobody is only read', () => {
  const m = new Machine();
  m.memory.write(AT, new Uint8Array(64));
  m.memory.writeI32(AT + 12, 1);
  assert.equal(m.call('timer_create', 1, AT, AT + 0x40), 0);
  const timer = m.memory.readI32(AT + 0x40);
  writeTime(m, AT, 0, 1000);
  writeTime(m, AT + 16, 0, 1000);
  m.call('timer_settime', timer, 0, AT, 0);
  assert.equal(m.root.eventQueue.isEmpty, true);
  m.run(2300);
  m.call('timer_gettime', timer, AT);
  assert.equal(m.memory.readU64(AT + 24), 700n);
});

test('a timer is set even if the old value cannot be written', () => {
  const m = new Machine();
  writeTime(m, AT, 0, 0);
  writeTime(m, AT + 16, 100, 0);
  assert.equal(m.call('setitimer', 0, AT, 0x10), -Errno.EFAULT);
  assert.equal(m.call('alarm', 0), 100);
});

test('the clock can be asked how it is steered, but not steered', () => {
  const m = new Machine();
  const TIME_ERROR = 5;
  m.memory.write(AT, new Uint8Array(208));
  assert.equal(m.call('adjtimex', AT), TIME_ERROR);
  assert.equal(m.memory.readU64(AT + 72), 1_767_225_600n);
  m.memory.writeU32(AT, 1);
  assert.equal(m.call('adjtimex', AT), -Errno.EPERM);
  writeTime(m, AT, 5, 0);
  assert.equal(m.call('clock_settime', 0, AT), -Errno.EPERM);
  assert.equal(m.call('clock_settime', 1, AT), -Errno.EINVAL);
});
