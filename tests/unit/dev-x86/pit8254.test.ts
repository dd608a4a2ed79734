/** Ports, latches, events and port 0x61 of the 8254: data sheet (Intel 231164-005), "Read Operations"; 82371SB §2.5.7. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Root } from '../../../src/sim/root.ts';
import { restoreAll, saveAll } from './pc-bench.ts';
import { clockOf, pitBench, tickOf } from './pit-bench.ts';

test('low-only and high-only counts leave the other byte zero and are one byte to read', () => {
  const { io, at } = pitBench();
  io.out(0x43, 0x10);
  io.out(0x40, 0x34);
  at(1);
  assert.deepEqual([io.in(0x40), io.in(0x40)], [0x34, 0x34]);
  io.out(0x43, 0x20);
  io.out(0x40, 0x12);
  at(2);
  assert.deepEqual([io.in(0x40), io.in(0x40)], [0x12, 0x12]);
  at(3);
  assert.equal(io.in(0x40), 0x11, '0x11ff');
});

test('a latched count stands until it is read; a second latch before that is ignored', () => {
  const { io, at, program } = pitBench();
  program(0, 2, 1000);
  at(1);
  io.out(0x43, 0x00);
  at(100);
  io.out(0x43, 0x00);
  assert.deepEqual([io.in(0x40), io.in(0x40)], [1000 & 0xff, 1000 >> 8]);
  assert.equal(io.in(0x40), 901 & 0xff);
});

test('reading and writing of two bytes do not disturb each other (data sheet, "interleaved")', () => {
  const { io, at, program } = pitBench();
  program(0, 2, 0x1234);
  at(1);
  const low = io.in(0x40);
  io.out(0x40, 0x78);
  const high = io.in(0x40);
  io.out(0x40, 0x56);
  assert.equal(low | (high << 8), 0x1234);
});

test('read-back latches status and count of several counters; status is read first', () => {
  const { io, at, program } = pitBench();
  program(0, 2, 0x0500);
  program(1, 3, 0x0600);
  at(1);
  io.out(0x43, 0xc0 | 0x06);
  at(50);
  assert.deepEqual([io.in(0x40), io.in(0x40), io.in(0x40)], [0xb4, 0x00, 0x05]);
  assert.deepEqual([io.in(0x41), io.in(0x41), io.in(0x41)], [0xb6, 0x00, 0x06]);
});

test('null count: set by the control word and by the count, cleared when it is loaded', () => {
  const { io, at, status, count } = pitBench();
  io.out(0x43, 0x34);
  assert.equal(status(0) & 0x40, 0x40);
  count(0, 10);
  assert.equal(status(0) & 0x40, 0x40);
  at(1);
  assert.equal(status(0) & 0x40, 0);
});

test('the control port cannot be read', () => {
  assert.equal(pitBench().io.in(0x43), 0xff);
});

test('port 0x61: gate and speaker bits, output of counter 2, refresh toggle every 18 clocks', () => {
  const { io, at, program } = pitBench();
  io.out(0x61, 0xff);
  assert.equal(io.in(0x61) & 0xcf, 0x0f);
  program(2, 0, 20);
  assert.equal(io.in(0x61) & 0x20, 0);
  at(21);
  assert.equal(io.in(0x61) & 0x20, 0x20);
  const refresh = [17, 18, 35, 36, 54].map((clock) => {
    at(18_000 + clock);
    return (io.in(0x61) >> 4) & 1;
  });
  assert.deepEqual(refresh, [0, 1, 1, 0, 1]);
});

test('the loop that calibrates delays with counter 2: 50 ms end at the right clock', () => {
  const { io, at, count } = pitBench();
  io.out(0x61, (io.in(0x61) & ~0x02) | 0x01);
  io.out(0x43, 0xb0);
  count(2, 59_659);
  at(59_659);
  assert.equal(io.in(0x61) & 0x20, 0);
  at(59_660);
  assert.equal(io.in(0x61) & 0x20, 0x20);
});

test('a hundred thousand periods of mode 2 are one event each, and none is off by a tick', () => {
  const { root, at, program, irq0 } = pitBench();
  const period = 11_932;
  program(0, 2, period);
  let periods = 0;
  irq0.onChange = () => {
    if (!irq0.level) return;
    periods++;
    assert.equal(root.curTick, tickOf(1 + periods * period));
  };
  assert.equal(at(1 + 100_000 * period), 100_000);
  assert.equal(periods, 100_000);
});

test('what is not programmed, or cannot interrupt, schedules nothing', () => {
  const { root, program, gate2 } = pitBench();
  assert.equal(root.eventQueue.isEmpty, true);
  gate2(true);
  program(1, 2, 18);
  program(2, 3, 18);
  program(0, 1, 18);
  program(0, 5, 18);
  assert.equal(root.eventQueue.isEmpty, true);
});

test('edges faster than minEventPeriod are merged, those that remain are at their exact times', () => {
  const warnings: string[] = [];
  const root = new Root({ warnSink: (line) => warnings.push(line), traceSink: () => {} });
  const { at, program, irq0 } = pitBench({ minEventPeriod: '100us' }, root);
  program(0, 2, 7);
  irq0.onChange = () => {
    if (irq0.level) assert.equal(root.curTick, tickOf(1 + 7 * Math.round((clockOf(root) - 1) / 7)));
  };
  const events = at(1_193_182 / 2);
  // 100 µs are 119.3 clocks: every 18th of the periods of 7 clocks is the first that is far enough.
  assert.equal(events, 1 + Math.floor((1_193_182 / 2 - 8) / 126));
  assert.equal(warnings.length, 1);
});

test('an edge that is due at the tick of a new control word is not lost', () => {
  const { root, io, program, irq0 } = pitBench();
  program(0, 0, 99);
  root.eventQueue.advanceTo(tickOf(100) as typeof root.curTick);
  io.out(0x43, 0x30);
  assert.deepEqual([irq0.rises, irq0.level], [2, false], 'high at reset, and the edge');
});

test('a checkpoint in the middle of a period goes on with the same edges, levels and latches', () => {
  const one = pitBench();
  one.program(0, 2, 5000);
  one.gate2(true);
  one.program(2, 3, 77);
  one.at(12_345);
  one.io.out(0x43, 0x00);
  one.io.in(0x40);
  const other = pitBench();
  restoreAll(other.root, saveAll(one.root));
  assert.deepEqual(saveAll(other.root), saveAll(one.root));
  for (const b of [one, other]) b.at(14_000);
  assert.equal(other.io.in(0x40), one.io.in(0x40));
  assert.equal(other.status(2), one.status(2));
  assert.equal(other.root.eventQueue.nextTick(), tickOf(15_001));
});
