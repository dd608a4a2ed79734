/** 8254 against its data sheet (Intel 231164-005), "Mode Definitions" and "Read Operations"; times in clocks of 1.193182 MHz. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pit8254, type Pit8254Params } from '../../../src/dev/x86/pit8254.ts';
import { Root } from '../../../src/sim/root.ts';
import { Accessor, Probe, quietRoot, restoreAll, runTo, saveAll } from './pc-bench.ts';

/** The first tick of a clock of the timer. */
const tickOf = (clock: number) => (BigInt(clock) * 10n ** 12n + 1_193_181n) / 1_193_182n;

const LOW_HIGH = 0x30;
const BCD = 0x01;

function bench(params: Pit8254Params = {}, root: Root = quietRoot()) {
  const pit = new Pit8254(root, 'pit', params);
  const irq0 = new Probe();
  pit.out0.connect(irq0);
  const io = new Accessor(pit);
  const at = (clock: number) => runTo(root, tickOf(clock));
  /** Writes a whole count of two bytes, least significant first. */
  const count = (counter: number, value: number) => {
    io.out(0x40 + counter, value & 0xff);
    io.out(0x40 + counter, value >> 8);
  };
  const program = (counter: number, mode: number, value: number, extra = 0) => {
    io.out(0x43, (counter << 6) | LOW_HIGH | (mode << 1) | extra);
    count(counter, value);
  };
  const read = (counter: number) => {
    io.out(0x43, counter << 6);
    const low = io.in(0x40 + counter);
    return low | (io.in(0x40 + counter) << 8);
  };
  const status = (counter: number) => {
    io.out(0x43, 0xe0 | (2 << counter));
    return io.in(0x40 + counter);
  };
  const out = (counter: number) => (status(counter) & 0x80) !== 0;
  const gate2 = (level: boolean) => io.out(0x61, level ? 1 : 0);
  return { root, pit, irq0, io, at, count, program, read, status, out, gate2 };
}

/** OUT of a counter at each of the given clocks: H or L. */
function levels(b: ReturnType<typeof bench>, counter: number, clocks: readonly number[]): string {
  return clocks
    .map((clock) => {
      b.at(clock);
      return b.out(counter) ? 'H' : 'L';
    })
    .join('');
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

test('mode 0: OUT is low with the control word and rises N + 1 clocks after the count is written', () => {
  const b = bench();
  b.at(100);
  b.program(0, 0, 4);
  assert.equal(levels(b, 0, range(100, 8)), 'LLLLLHHH');
  assert.equal(b.read(0), 0xfffe, 'it counts on, round the corner');
});

test('mode 0: the interrupt comes at the very tick; then nothing is scheduled', () => {
  const { root, at, program, irq0 } = bench();
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
  const b = bench();
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
  const b = bench();
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
  const b = bench();
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
  const b = bench();
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
  const b = bench();
  b.program(0, 2, 3);
  assert.equal(levels(b, 0, range(0, 11)), 'HHHLHHLHHLH');
});

test('mode 2 counts N, …, 1', () => {
  const { at, program, read } = bench();
  program(0, 2, 3);
  const seen = range(1, 7).map((clock) => {
    at(clock);
    return read(0);
  });
  assert.deepEqual(seen, [3, 2, 1, 3, 2, 1, 3]);
});

test('mode 2: a new count takes effect at the end of the period', () => {
  const b = bench();
  b.program(0, 2, 4);
  b.at(2);
  b.count(0, 3);
  assert.equal(b.status(0) & 0x40, 0x40);
  assert.equal(levels(b, 0, range(2, 11)), 'HHLHHLHHLHH');
  assert.equal(b.status(0) & 0x40, 0);
});

test('mode 2: a low gate raises OUT and stops; the rising gate starts a whole period', () => {
  const b = bench();
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
  const b = bench();
  b.program(0, 3, 4);
  assert.equal(levels(b, 0, range(0, 10)), 'HHHLLHHLLH');
  const other = bench();
  other.program(0, 3, 4);
  const seen = range(1, 6).map((clock) => {
    other.at(clock);
    return other.read(0);
  });
  assert.deepEqual(seen, [4, 2, 4, 2, 4, 2]);
});

test('mode 3: an odd count is high for one clock more; the count goes from N − 1 to 0, then to 2', () => {
  const b = bench();
  b.program(0, 3, 5);
  assert.equal(levels(b, 0, range(1, 11)), 'HHHLLHHHLLH');
  const other = bench();
  other.program(0, 3, 5);
  const seen = range(1, 7).map((clock) => {
    other.at(clock);
    return other.read(0);
  });
  assert.deepEqual(seen, [4, 2, 0, 4, 2, 4, 2]);
});

test('mode 3: a new count takes effect at the end of the half', () => {
  const b = bench();
  b.program(0, 3, 6);
  b.at(2);
  b.count(0, 4);
  assert.equal(levels(b, 0, range(2, 9)), 'HHLLHHLLH');
});

test('mode 4: the strobe is low for one clock, N + 1 clocks after the count, once', () => {
  const b = bench();
  b.program(0, 4, 3);
  assert.equal(levels(b, 0, range(0, 7)), 'HHHHLHH');
  b.at(65_536 + 4);
  assert.equal(b.out(0), true);
  b.count(0, 2);
  assert.equal(levels(b, 0, range(65_540, 6)), 'HHHLHH');
});

test('mode 5: the gate triggers the strobe, and again', () => {
  const b = bench();
  b.program(2, 5, 3);
  b.at(20);
  b.gate2(true);
  b.at(22);
  b.gate2(false);
  b.gate2(true);
  assert.equal(levels(b, 2, range(22, 7)), 'HHHHLHH');
});

test('modes 6 and 7 are 2 and 3, and the status shows what was written', () => {
  const b = bench();
  b.program(0, 7, 4);
  assert.equal(levels(b, 0, range(1, 5)), 'HHLLH');
  assert.equal(b.status(0) & 0x3f, 0x3e);
});

test('a count of 0 is 65536, in BCD 10000', () => {
  const b = bench();
  b.program(0, 0, 0);
  assert.equal(levels(b, 0, [65_536, 65_537]), 'LH');
  const bcd = bench();
  bcd.program(0, 0, 0, BCD);
  assert.equal(levels(bcd, 0, [10_000, 10_001]), 'LH');
});

test('BCD counts in decimal digits', () => {
  const { at, program, read } = bench();
  program(0, 2, 0x1000, BCD);
  at(2);
  assert.equal(read(0), 0x0999);
  at(901);
  assert.equal(read(0), 0x0100);
});

test('count 1, which is illegal in modes 2 and 3, is taken as 2', () => {
  const b = bench();
  b.program(0, 2, 1);
  assert.equal(levels(b, 0, range(1, 4)), 'HLHL');
});

test('low-only and high-only counts leave the other byte zero and are one byte to read', () => {
  const { io, at } = bench();
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
  const { io, at, program } = bench();
  program(0, 2, 1000);
  at(1);
  io.out(0x43, 0x00);
  at(100);
  io.out(0x43, 0x00);
  assert.deepEqual([io.in(0x40), io.in(0x40)], [1000 & 0xff, 1000 >> 8]);
  assert.equal(io.in(0x40), 901 & 0xff);
});

test('reading and writing of two bytes do not disturb each other (data sheet, "interleaved")', () => {
  const { io, at, program } = bench();
  program(0, 2, 0x1234);
  at(1);
  const low = io.in(0x40);
  io.out(0x40, 0x78);
  const high = io.in(0x40);
  io.out(0x40, 0x56);
  assert.equal(low | (high << 8), 0x1234);
});

test('read-back latches status and count of several counters; status is read first', () => {
  const { io, at, program } = bench();
  program(0, 2, 0x0500);
  program(1, 3, 0x0600);
  at(1);
  io.out(0x43, 0xc0 | 0x06);
  at(50);
  assert.deepEqual([io.in(0x40), io.in(0x40), io.in(0x40)], [0xb4, 0x00, 0x05]);
  assert.deepEqual([io.in(0x41), io.in(0x41), io.in(0x41)], [0xb6, 0x00, 0x06]);
});

test('null count: set by the control word and by the count, cleared when it is loaded', () => {
  const { io, at, status, count } = bench();
  io.out(0x43, 0x34);
  assert.equal(status(0) & 0x40, 0x40);
  count(0, 10);
  assert.equal(status(0) & 0x40, 0x40);
  at(1);
  assert.equal(status(0) & 0x40, 0);
});

test('the control port cannot be read', () => {
  assert.equal(bench().io.in(0x43), 0xff);
});

test('port 0x61: gate and speaker bits, output of counter 2, refresh toggle every 18 clocks', () => {
  const { io, at, program } = bench();
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
  const { io, at, count } = bench();
  io.out(0x61, (io.in(0x61) & ~0x02) | 0x01);
  io.out(0x43, 0xb0);
  count(2, 59_659);
  at(59_659);
  assert.equal(io.in(0x61) & 0x20, 0);
  at(59_660);
  assert.equal(io.in(0x61) & 0x20, 0x20);
});

test('a hundred thousand periods of mode 2 are one event each, and none is off by a tick', () => {
  const { root, at, program, irq0 } = bench();
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
  const { root, program, gate2 } = bench();
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
  const { at, program, irq0 } = bench({ minEventPeriod: '100us' }, root);
  program(0, 2, 7);
  irq0.onChange = () => {
    if (irq0.level) assert.equal(root.curTick, tickOf(1 + 7 * Math.round((clockOf(root) - 1) / 7)));
  };
  const events = at(1_193_182 / 2);
  // 100 µs are 119.3 clocks: every 18th of the periods of 7 clocks is the first that is far enough.
  assert.equal(events, 1 + Math.floor((1_193_182 / 2 - 8) / 126));
  assert.equal(warnings.length, 1);
});

function clockOf(root: Root): number {
  return Number((root.curTick * 1_193_182n) / 10n ** 12n);
}

test('an edge that is due at the tick of a new control word is not lost', () => {
  const { root, io, program, irq0 } = bench();
  program(0, 0, 99);
  root.eventQueue.advanceTo(tickOf(100) as typeof root.curTick);
  io.out(0x43, 0x30);
  assert.deepEqual([irq0.rises, irq0.level], [2, false], 'high at reset, and the edge');
});

test('a checkpoint in the middle of a period goes on with the same edges, levels and latches', () => {
  const one = bench();
  one.program(0, 2, 5000);
  one.gate2(true);
  one.program(2, 3, 77);
  one.at(12_345);
  one.io.out(0x43, 0x00);
  one.io.in(0x40);
  const other = bench();
  restoreAll(other.root, saveAll(one.root));
  assert.deepEqual(saveAll(other.root), saveAll(one.root));
  for (const b of [one, other]) b.at(14_000);
  assert.equal(other.io.in(0x40), one.io.in(0x40));
  assert.equal(other.status(2), one.status(2));
  assert.equal(other.root.eventQueue.nextTick(), tickOf(15_001));
});
