/** The modes of the 8254 against its data sheet (Intel 231164-005), "Mode Definitions"; times in clocks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BCD, edges, levels, pitBench, range, tickOf } from './pit-bench.ts';

test('mode 0: OUT is low with the control word and rises N + 1 clocks after the count is written', () => {
  const b = pitBench();
  b.at(100);
  b.program(0, 0, 4);
  assert.equal(levels(b, 0, range(100, 8)), 'LLLLLHHH');
  assert.equal(b.read(0), 0xfffe, 'it counts on, round the corner');
});

test('mode 0: the interrupt comes at the very tick; then nothing is scheduled', () => {
  const { root, at, program, irq0 } = pitBench();
  program(0, 0, 1000);
  assert.equal(irq0.level, false);
  let when: bigint | undefined;
  irq0.onChange = () => {
    when ??= root.curTick;
  };
  assert.equal(at(5000), 1);
  assert.equal(when, tickOf(1001));
  assert.equal(root.eventQueue.isEmpty, true);
});

test('mode 0: the first byte of a new count stops the counter and lowers OUT at once', () => {
  const b = pitBench();
  b.program(0, 0, 10);
  b.at(50);
  assert.equal(b.out(0), true);
  b.io.out(0x40, 3);
  assert.equal(b.out(0), false);
  b.at(1000);
  assert.equal(b.out(0), false);
  b.io.out(0x40, 0);
  assert.equal(levels(b, 0, range(1000, 6)), 'LLLLHH');
});

test('mode 0: a low gate holds the count; a count written meanwhile is loaded', () => {
  const b = pitBench();
  b.program(2, 0, 5);
  b.at(100);
  assert.equal(b.read(2), 5);
  b.gate2(true);
  b.at(102);
  assert.equal(b.read(2), 3);
  b.gate2(false);
  b.at(200);
  assert.equal(b.read(2), 3);
  b.gate2(true);
  assert.equal(levels(b, 2, range(200, 5)), 'LLLHH');
});

test('mode 1: a rising gate starts a pulse of N clocks, and again within it', () => {
  const b = pitBench();
  b.program(2, 1, 3);
  assert.equal(levels(b, 2, [0, 5, 10]), 'HHH');
  b.gate2(true);
  assert.equal(levels(b, 2, range(10, 6)), 'HLLLHH');
  b.gate2(false);
  b.gate2(true);
  b.at(17);
  b.gate2(false);
  b.gate2(true);
  assert.equal(levels(b, 2, range(17, 6)), 'LLLLHH');
});

test('mode 1: a new count counts from the next trigger on; the null count says that it waits', () => {
  const b = pitBench();
  b.program(2, 1, 3);
  assert.equal(b.status(2) & 0x40, 0x40);
  b.gate2(true);
  b.at(2);
  assert.equal(b.status(2) & 0x40, 0);
  b.count(2, 7);
  assert.equal(b.status(2) & 0x40, 0x40);
  assert.equal(levels(b, 2, range(2, 4)), 'LLHH');
  b.gate2(false);
  b.gate2(true);
  assert.equal(levels(b, 2, range(5, 10)), 'HLLLLLLLHH');
});

test('mode 2: OUT is low for the one clock of each N at which the count is 1', () => {
  const b = pitBench();
  b.program(0, 2, 3);
  assert.equal(levels(b, 0, range(0, 11)), 'HHHLHHLHHLH');
});

test('mode 2 counts N, …, 1', () => {
  const { at, program, read } = pitBench();
  program(0, 2, 3);
  const seen = range(1, 7).map((clock) => {
    at(clock);
    return read(0);
  });
  assert.deepEqual(seen, [3, 2, 1, 3, 2, 1, 3]);
});

test('mode 2: a new count takes effect at the end of the period', () => {
  const b = pitBench();
  b.program(0, 2, 4);
  b.at(2);
  b.count(0, 3);
  assert.equal(b.status(0) & 0x40, 0x40);
  assert.equal(levels(b, 0, range(2, 11)), 'HHLHHLHHLHH');
  assert.equal(b.status(0) & 0x40, 0);
});

test('the interrupt follows a count that is changed on the way: in mode 2 after the period, in mode 3 after the half', () => {
  const b = pitBench({ minEventPeriod: '0ns' });
  b.program(0, 2, 4);
  b.at(2);
  b.count(0, 3);
  assert.deepEqual(edges(b, 12), [5, 8, 11]);
  const high = pitBench({ minEventPeriod: '0ns' });
  high.program(0, 3, 6);
  high.at(2);
  high.count(0, 4);
  assert.deepEqual(edges(high, 12), [6, 10], 'changed while OUT is high');
  const low = pitBench({ minEventPeriod: '0ns' });
  low.program(0, 3, 6);
  low.at(5);
  low.count(0, 4);
  assert.deepEqual(edges(low, 12), [7, 11], 'changed while OUT is low');
});

test('mode 4: the interrupt comes with the end of the strobe', () => {
  const b = pitBench();
  b.program(0, 4, 3);
  assert.deepEqual(edges(b, 1000), [5]);
  assert.equal(b.root.eventQueue.isEmpty, true);
});

test('mode 2: a low gate keeps a new count from being loaded until the trigger', () => {
  const b = pitBench();
  b.gate2(true);
  b.program(2, 2, 10);
  b.at(3);
  b.count(2, 6);
  b.gate2(false);
  b.at(100);
  assert.equal(b.status(2) & 0x40, 0x40);
  assert.equal(b.read(2), 8);
  b.gate2(true);
  b.at(101);
  assert.equal(b.read(2), 6);
});

test('mode 2: a low gate raises OUT and stops; the rising gate starts a whole period', () => {
  const b = pitBench();
  b.gate2(true);
  b.program(2, 2, 4);
  b.at(4);
  assert.equal(b.out(2), false);
  b.gate2(false);
  assert.equal(b.out(2), true);
  b.at(50);
  b.gate2(true);
  assert.equal(levels(b, 2, range(50, 6)), 'HHHHLH');
});

test('mode 3: an even count is high and low for half of it, and counts by two', () => {
  const b = pitBench();
  b.program(0, 3, 4);
  assert.equal(levels(b, 0, range(0, 10)), 'HHHLLHHLLH');
  const other = pitBench();
  other.program(0, 3, 4);
  const seen = range(1, 6).map((clock) => {
    other.at(clock);
    return other.read(0);
  });
  assert.deepEqual(seen, [4, 2, 4, 2, 4, 2]);
});

test('mode 3: an odd count is high for one clock more; the count goes from N − 1 to 0, then to 2', () => {
  const b = pitBench();
  b.program(0, 3, 5);
  assert.equal(levels(b, 0, range(1, 11)), 'HHHLLHHHLLH');
  const other = pitBench();
  other.program(0, 3, 5);
  const seen = range(1, 7).map((clock) => {
    other.at(clock);
    return other.read(0);
  });
  assert.deepEqual(seen, [4, 2, 0, 4, 2, 4, 2]);
});

test('mode 3: a new count takes effect at the end of the half', () => {
  const b = pitBench();
  b.program(0, 3, 6);
  b.at(2);
  b.count(0, 4);
  assert.equal(levels(b, 0, range(2, 9)), 'HHLLHHLLH');
});

test('mode 4: the strobe is low for one clock, N + 1 clocks after the count, once', () => {
  const b = pitBench();
  b.program(0, 4, 3);
  assert.equal(levels(b, 0, range(0, 7)), 'HHHHLHH');
  b.at(65_536 + 4);
  assert.equal(b.out(0), true);
  b.count(0, 2);
  assert.equal(levels(b, 0, range(65_540, 6)), 'HHHLHH');
});

test('mode 5: the gate triggers the strobe, and again', () => {
  const b = pitBench();
  b.program(2, 5, 3);
  b.at(20);
  b.gate2(true);
  b.at(22);
  b.gate2(false);
  b.gate2(true);
  assert.equal(levels(b, 2, range(22, 7)), 'HHHHLHH');
});

test('modes 6 and 7 are 2 and 3, and the status shows what was written', () => {
  const b = pitBench();
  b.program(0, 7, 4);
  assert.equal(levels(b, 0, range(1, 5)), 'HHLLH');
  assert.equal(b.status(0) & 0x3f, 0x3e);
});

test('a count of 0 is 65536, in BCD 10000', () => {
  const b = pitBench();
  b.program(0, 0, 0);
  assert.equal(levels(b, 0, [65_536, 65_537]), 'LH');
  const bcd = pitBench();
  bcd.program(0, 0, 0, BCD);
  assert.equal(levels(bcd, 0, [10_000, 10_001]), 'LH');
});

test('BCD counts in decimal digits', () => {
  const { at, program, read } = pitBench();
  program(0, 2, 0x1000, BCD);
  at(2);
  assert.equal(read(0), 0x0999);
  at(901);
  assert.equal(read(0), 0x0100);
});

test('count 1, which is illegal in modes 2 and 3, is taken as 2', () => {
  const b = pitBench();
  b.program(0, 2, 1);
  assert.equal(levels(b, 0, range(1, 4)), 'HLHL');
});
