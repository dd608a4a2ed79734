/** HPET against the IA-PC HPET Specification 1.0a, §2.3; times in periods of its counter, 10 ns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hpet, type HpetParams } from '../../../src/dev/x86/hpet.ts';
import { HpetCounter } from '../../../src/dev/x86/hpet-counter.ts';
import { LegacySwitch } from '../../../src/dev/x86/hpet-legacy-switch.ts';
import { EventQueue } from '../../../src/sim/event-queue.ts';
import { fanOut } from '../../../src/sim/pin.ts';
import { asTick } from '../../../src/sim/tick.ts';
import { Random } from '../../support/random.ts';
import { Accessor, Probe, quietRoot, restoreAll, runTo, saveAll } from './pc-bench.ts';

const BASE = 0xfed0_0000;
const CONFIG = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const ENABLE = 1;
const LEGACY = 2;
const LEVEL = 0x02;
const INTERRUPT = 0x04;
const PERIODIC = 0x08;
const VAL_SET = 0x40;
const MODE32 = 0x100;
const route = (n: number) => n << 9;
const timerAt = (n: number) => 0x100 + 0x20 * n;
const comparatorAt = (n: number) => 0x108 + 0x20 * n;

function bench(params: HpetParams = {}) {
  const root = quietRoot();
  const inputs = new Map<number, Probe>();
  const ioApicInput = (n: number) => {
    const probe = new Probe();
    inputs.set(n, probe);
    return probe;
  };
  const hpet = new Hpet(root, 'hpet', { ioApicInput }, { minEventPeriod: '0ns', ...params });
  const accessor = new Accessor(hpet);
  const read = (offset: number) => accessor.load(BASE + offset, 4);
  const write = (offset: number, value: number) => accessor.store(BASE + offset, 4, value >>> 0);
  const read64 = (offset: number) => accessor.load64(BASE + offset);
  const write64 = (offset: number, value: bigint) => accessor.store64(BASE + offset, value);
  /** Runs to this many periods since tick 0. */
  const at = (cycle: number) => runTo(root, BigInt(cycle) * 10_000n);
  const input = (n: number) => inputs.get(n)!;
  return { root, hpet, inputs, input, read, write, read64, write64, at };
}

test('capabilities: three 64-bit timers with legacy routes, of Intel, 10 ns', () => {
  const { read, read64 } = bench();
  assert.equal(read(0), 0x8086_a201);
  assert.equal(read(4), 10_000_000);
  assert.equal(read64(0), 0x0098_9680_8086_a201n);
});

test('the counter stands still until it is enabled, counts every 10 ns, and holds when it is disabled', () => {
  const { at, read64, write } = bench();
  at(1000);
  assert.equal(read64(COUNTER), 0n);
  write(CONFIG, ENABLE);
  at(1500);
  assert.equal(read64(COUNTER), 500n);
  write(CONFIG, 0);
  at(9000);
  assert.equal(read64(COUNTER), 500n);
  write(CONFIG, ENABLE);
  at(9001);
  assert.equal(read64(COUNTER), 501n);
});

test('the low half is that of the counter at any time, however far from where it was set', () => {
  const queue = new EventQueue('queue');
  queue.advanceTo(asTick(7_777n));
  const counter = new HpetCounter(queue);
  counter.value = 0xffff_fff0n;
  const random = new Random(5);
  for (let exponent = 0; exponent < 60; exponent++) {
    const runs = exponent % 20 !== 19;
    if (counter.isRunning !== runs) counter.isRunning = runs;
    for (let i = 0; i < 2000; i++) {
      const step =
        i % 500 === 0 ? Math.floor(random.below(1000) * 2 ** (exponent - 10)) : random.below(30_000);
      queue.advanceTo(asTick(queue.curTick + BigInt(step)));
      assert.equal(counter.low, Number(counter.value & 0xffff_ffffn), `at ${queue.curTick}`);
    }
  }
  assert.ok(queue.curTick > 2n ** 57n);
});

test('the counter can be written in halves or at once, and carries from the low half into the high one', () => {
  const { at, read, read64, write, write64 } = bench();
  write(COUNTER, 0xffff_fffe);
  write(COUNTER + 4, 0x12);
  write(CONFIG, ENABLE);
  at(3);
  assert.equal(read64(COUNTER), 0x13_0000_0001n);
  assert.deepEqual([read(COUNTER), read(COUNTER + 4)], [1, 0x13]);
  write64(COUNTER, 0xffff_ffff_ffff_ffffn);
  at(4);
  assert.equal(read64(COUNTER), 0n);
});

test('timer configuration: what can be written, and a route that it does not have is not taken', () => {
  const { read, write } = bench({ routes: 0x0090_0000 });
  assert.deepEqual([read(timerAt(0)), read(timerAt(0) + 4)], [0x30, 0x0090_0000]);
  write(timerAt(0), 0xffff_ffff);
  assert.equal(read(timerAt(0)), 0x017e & ~0x3e00, 'route 31 does not exist, no FSB');
  write(timerAt(0), route(23));
  assert.equal(read(timerAt(0)), 0x30 | route(23));
  write(timerAt(0), route(22));
  assert.equal(read(timerAt(0)), 0x30 | route(23));
  assert.equal(read(comparatorAt(1)), 0xffff_ffff);
  assert.equal(read(0x160), 0, 'no fourth timer');
});

test('one-shot, edge: one interrupt at the exact time, no status bit, nothing scheduled after', () => {
  const { root, at, write, write64, read, input } = bench();
  write(timerAt(0), INTERRUPT | route(20));
  write64(comparatorAt(0), 5000n);
  assert.equal(root.eventQueue.isEmpty, true, 'the counter stands still');
  write(CONFIG, ENABLE);
  at(4999);
  assert.equal(input(20).rises, 0);
  assert.equal(at(5000), 1);
  assert.deepEqual([input(20).rises, input(20).level, read(STATUS)], [1, false, 0]);
  assert.equal(root.eventQueue.isEmpty, true);
});

test('a comparator that the counter has passed waits until it comes round: in 32-bit mode 43 s', () => {
  const { root, at, write, input } = bench();
  write(CONFIG, ENABLE);
  at(1000);
  write(timerAt(0), INTERRUPT | route(20));
  write(comparatorAt(0) + 4, 0);
  write(comparatorAt(0), 999);
  assert.equal(root.eventQueue.isEmpty, true, '2^64 periods are beyond the end of time');
  write(timerAt(0), INTERRUPT | MODE32 | route(20));
  assert.equal(root.eventQueue.nextTick(), BigInt(2 ** 32 + 999) * 10_000n);
  at(2 ** 32 + 999);
  at(2 ** 33 + 999);
  assert.equal(input(20).rises, 2);
});

test('32-bit mode: the upper half of the comparator is zero, and only the lower half of the counter counts', () => {
  const { at, write, write64, read64, input } = bench();
  write64(COUNTER, 0x77_0000_0000n);
  write(timerAt(0), INTERRUPT | MODE32 | route(20));
  write64(comparatorAt(0), 0x1234_0000_0010n);
  assert.equal(read64(comparatorAt(0)), 0x10n);
  write(CONFIG, ENABLE);
  at(0x10);
  assert.equal(input(20).rises, 1);
});

test('level: the line and the status bit stay until software clears it; meanwhile nothing is scheduled', () => {
  const { root, at, write, read, write64, input } = bench();
  write(timerAt(1), INTERRUPT | LEVEL | route(21));
  write64(comparatorAt(1), 100n);
  write(CONFIG, ENABLE);
  at(100);
  assert.deepEqual([input(21).level, read(STATUS)], [true, 2]);
  assert.equal(root.eventQueue.isEmpty, true);
  write(STATUS, 1);
  assert.equal(input(21).level, true);
  write(STATUS, 2);
  assert.deepEqual([input(21).level, read(STATUS)], [false, 0]);
});

test('level, periodic: further matches of a timer whose status bit is set are no events; clearing it waits for the next', () => {
  const { root, at, write, read, input } = bench();
  write(timerAt(0), INTERRUPT | LEVEL | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 100);
  write(CONFIG, ENABLE);
  assert.equal(at(1050), 1);
  write(STATUS, 1);
  assert.equal(input(20).level, false);
  assert.equal(root.eventQueue.nextTick(), 1100n * 10_000n);
  assert.equal(at(5000), 1);
  assert.deepEqual([input(20).rises, read(comparatorAt(0))], [2, 5100]);
});

test('an edge on a line that another timer holds high does not lower it', () => {
  const { at, write, input } = bench();
  write(timerAt(0), INTERRUPT | LEVEL | MODE32 | route(20));
  write(comparatorAt(0), 100);
  write(timerAt(1), INTERRUPT | MODE32 | route(20));
  write(comparatorAt(1), 200);
  write(CONFIG, ENABLE);
  at(300);
  assert.deepEqual([input(20).level, input(20).falls], [true, 0]);
});

test('without INT_ENB a level timer sets its status bit and schedules nothing; enabling it interrupts', () => {
  const { at, write, read, write64, input } = bench();
  write(timerAt(0), LEVEL | route(20));
  write64(comparatorAt(0), 100n);
  write(CONFIG, ENABLE);
  assert.equal(at(200), 0);
  assert.deepEqual([read(STATUS), input(20).level], [1, false]);
  write(timerAt(0), LEVEL | INTERRUPT | route(20));
  assert.equal(input(20).level, true);
});

test('periodic: VAL_SET lets the comparator be set, the write after it sets the period (Linux: hpet_set_periodic)', () => {
  const { root, at, write, read, input } = bench();
  write(CONFIG, ENABLE);
  at(1000);
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 1500);
  assert.equal(read(timerAt(0)) & VAL_SET, 0);
  write(comparatorAt(0), 300);
  const when: bigint[] = [];
  input(20).onChange = () => {
    if (input(20).level) when.push(root.curTick / 10_000n);
  };
  at(2400);
  assert.deepEqual(when, [1500n, 1800n, 2100n, 2400n]);
  assert.equal(read(comparatorAt(0)), 2700);
});

test('periodic: one write with VAL_SET sets comparator and period', () => {
  const { at, write, read64, write64, input } = bench();
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | route(20));
  write64(comparatorAt(0), 0x1_0000_0000n);
  write(CONFIG, ENABLE);
  at(2 ** 32);
  assert.equal(input(20).rises, 1);
  assert.equal(read64(comparatorAt(0)), 0x2_0000_0000n);
});

test('periodic: a write without VAL_SET changes the period and not the next match', () => {
  const { at, write, input, read } = bench();
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | route(20));
  write(comparatorAt(0), 1000);
  write(comparatorAt(0) + 4, 0);
  write(CONFIG, ENABLE);
  at(500);
  write(comparatorAt(0), 50);
  at(999);
  assert.equal(input(20).rises, 0);
  at(1000);
  assert.equal(input(20).rises, 1);
  assert.equal(read(comparatorAt(0)), 1050);
});

test('periodic without interrupts: the comparator moves on, with no event', () => {
  const { at, write, read } = bench();
  write(timerAt(2), PERIODIC | VAL_SET | MODE32);
  write(comparatorAt(2), 100);
  write(CONFIG, ENABLE);
  assert.equal(at(1_000_050), 0);
  assert.equal(read(comparatorAt(2)), 1_000_100);
});

test('a period of 10 ns does not flood the queue: matches are merged, and those that remain are real ones', () => {
  const { at, write, input } = bench({ minEventPeriod: '1us' });
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 1);
  write(CONFIG, ENABLE);
  assert.equal(at(100_000), 1000);
  assert.equal(input(20).rises, 1000);
});

test('a comparator that software sets is met exactly, however short before the last match was', () => {
  const { root, at, write, input } = bench({ minEventPeriod: '1ms' });
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 1000);
  write(CONFIG, ENABLE);
  at(1000);
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 1234);
  assert.equal(root.eventQueue.nextTick(), 1234n * 10_000n);
  at(1234);
  assert.equal(input(20).rises, 2);
});

test('32-bit mode cuts comparator and period of a 64-bit timer off', () => {
  const { at, write, write64, read } = bench();
  write(timerAt(0), PERIODIC | VAL_SET);
  write64(comparatorAt(0), 0x1_0000_0064n);
  write(timerAt(0), PERIODIC | MODE32);
  write(CONFIG, ENABLE);
  at(250);
  assert.deepEqual([read(comparatorAt(0)), read(comparatorAt(0) + 4)], [300, 0]);
});

test('a period of 0 does not move the comparator', () => {
  const { at, write, input, read } = bench();
  write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | MODE32 | route(20));
  write(comparatorAt(0), 500);
  write(comparatorAt(0), 0);
  write(CONFIG, ENABLE);
  assert.equal(at(100_000), 1);
  assert.deepEqual([input(20).rises, read(comparatorAt(0))], [1, 500]);
});

test('one-shots that software sets one right after the other all interrupt', () => {
  const { at, write, input } = bench({ minEventPeriod: '1ms' });
  write(timerAt(0), INTERRUPT | MODE32 | route(20));
  write(CONFIG, ENABLE);
  for (const cycle of [100, 200, 300]) {
    write(comparatorAt(0), cycle);
    at(cycle);
  }
  assert.equal(input(20).rises, 3);
});

function legacyBench() {
  const b = bench();
  const irq0 = new Probe();
  const irq8 = new Probe();
  const switch0 = new LegacySwitch(b.root, 'irq0', irq0);
  const switch8 = new LegacySwitch(b.root, 'irq8', irq8);
  b.hpet.legacyIrq0.connect(switch0.hpet);
  b.hpet.legacyIrq8.connect(switch8.hpet);
  b.hpet.legacyReplacement.connect(fanOut(switch0.select, switch8.select));
  return { ...b, irq0, irq8, switch0, switch8 };
}

test('legacy replacement: timers 0 and 1 are IRQ0 and IRQ8 whatever their routes, timer 2 keeps its own', () => {
  const { at, write, input, irq0, irq8 } = legacyBench();
  for (const [n, flags] of [
    [0, INTERRUPT],
    [1, INTERRUPT | LEVEL],
    [2, INTERRUPT],
  ] as const) {
    write(timerAt(n), flags | MODE32 | route(20 + n));
    write(comparatorAt(n), 100);
  }
  write(CONFIG, ENABLE | LEGACY);
  at(100);
  assert.deepEqual([irq0.rises, irq8.level], [1, true]);
  assert.deepEqual([input(20).rises, input(21).rises, input(22).rises], [0, 0, 1]);
});

test('legacy replacement cuts the PIT and the RTC off, and lets them back in', () => {
  const { write, irq0, switch0 } = legacyBench();
  switch0.device.setLevel(true);
  assert.equal(irq0.level, true);
  write(CONFIG, LEGACY);
  assert.equal(irq0.level, false);
  switch0.device.setLevel(false);
  switch0.device.setLevel(true);
  assert.equal(irq0.rises, 1);
  write(CONFIG, 0);
  assert.equal(irq0.level, true);
});

test('two timers on one input: the line is high as long as one of them is', () => {
  const { at, write, input } = bench();
  for (const n of [0, 1]) {
    write(timerAt(n), INTERRUPT | LEVEL | MODE32 | route(23));
    write(comparatorAt(n), 100);
  }
  write(CONFIG, ENABLE);
  at(100);
  write(STATUS, 1);
  assert.equal(input(23).level, true);
  write(STATUS, 2);
  assert.equal(input(23).level, false);
});

test('a checkpoint goes on with the same matches, lines and counts', () => {
  const one = bench();
  one.write(timerAt(0), INTERRUPT | PERIODIC | VAL_SET | route(20));
  one.write64(comparatorAt(0), 700n);
  one.write(timerAt(1), INTERRUPT | LEVEL | route(21));
  one.write64(comparatorAt(1), 50n);
  one.write(CONFIG, ENABLE);
  one.at(1000);
  const other = bench();
  restoreAll(other.root, saveAll(one.root));
  assert.deepEqual(saveAll(other.root), saveAll(one.root));
  assert.equal(other.input(21).level, true);
  other.at(1400);
  assert.equal(other.input(20).rises, 1);
  assert.equal(other.read64(COUNTER), 1400n);
  assert.equal(other.read64(comparatorAt(0)), 2100n);
});
