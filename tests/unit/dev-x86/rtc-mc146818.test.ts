// Expected values: Motorola MC146818 data sheet (tables 3 and 5, figures 13 and 15).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextAlarm } from '../../../src/dev/x86/rtc-calendar.ts';
import { RtcMc146818 } from '../../../src/dev/x86/rtc-mc146818.ts';
import { Root } from '../../../src/sim/root.ts';
import {
  copyState,
  inb,
  MICROSECOND,
  MILLISECOND,
  outb,
  pass,
  SECOND,
  stateOf,
  watch,
} from '../../support/device-access.ts';

const [A, B, C, D] = [0x0a, 0x0b, 0x0c, 0x0d];
const [PIE, AIE, UIE, SET, BINARY, HOURS_24] = [0x40, 0x20, 0x10, 0x80, 0x04, 0x02];
const [PF, AF, UF, IRQF] = [0x40, 0x20, 0x10, 0x80];
const CENTURY = 0x32;

function machine(startTime: string | undefined = undefined, sizes: object = {}) {
  const root = new Root({ warnSink: () => {}, traceSink: () => {} });
  const params = startTime === undefined ? {} : { startTime: Date.parse(startTime) / 1000 };
  const rtc = new RtcMc146818(root, 'rtc', { ...params, ...sizes });
  const get = (index: number): number => {
    outb(rtc, 0x70, index);
    return inb(rtc, 0x71);
  };
  const put = (index: number, value: number): void => {
    outb(rtc, 0x70, index);
    outb(rtc, 0x71, value);
  };
  /** Century, year, month, day, hours, minutes, seconds, as hexadecimal digits. */
  const clock = (): string =>
    [CENTURY, 9, 8, 7, 4, 2, 0].map((index) => get(index).toString(16).padStart(2, '0')).join(' ');
  return { root, rtc, get, put, clock };
}

test('the clock shows the start time in BCD and 24 hours, and runs on simulated time', () => {
  const { root, clock, get } = machine();
  assert.equal(clock(), '20 26 01 01 00 00 00');
  assert.equal(get(6), 5, 'a Thursday');
  pass(root, 59 * SECOND + 999 * MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 00 59');
  pass(root, MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 01 00');
});

test('leap years, months and centuries turn over', () => {
  for (const [start, next] of [
    ['2028-02-28T23:59:59Z', '20 28 02 29 00 00 00'],
    ['2100-02-28T23:59:59Z', '21 00 03 01 00 00 00'],
    ['1999-12-31T23:59:59Z', '20 00 01 01 00 00 00'],
  ] as const) {
    const { root, clock } = machine(start);
    pass(root, SECOND);
    assert.equal(clock(), next);
  }
});

test('a start time with a fraction puts the first update where the fraction ends', () => {
  const { root, clock } = machine('2026-01-01T00:00:00.750Z');
  pass(root, 249 * MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 00 00');
  pass(root, MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 00 01');
});

test('binary and 12-hour formats show the same time: table 3', () => {
  const { put, get } = machine('2026-11-21T21:58:59Z');
  put(B, BINARY | HOURS_24);
  assert.deepEqual([get(4), get(2), get(0)], [21, 58, 59]);
  put(B, BINARY);
  assert.equal(get(4), 0x89);
  put(B, 0);
  assert.equal(get(4), 0x89);
  for (const [start, hour] of [
    ['2026-01-01T00:30:00Z', 0x12],
    ['2026-01-01T12:30:00Z', 0x92],
    ['2026-01-01T11:30:00Z', 0x11],
    ['2026-01-01T22:30:00Z', 0x90],
  ] as const) {
    const other = machine(start);
    other.put(B, 0);
    assert.equal(other.get(4), hour, start);
  }
});

test('update in progress warns 244 µs before the time changes', () => {
  const { root, get, put } = machine();
  pass(root, SECOND - 245 * MICROSECOND);
  assert.equal(get(A) & 0x80, 0);
  pass(root, 2 * MICROSECOND);
  assert.equal(get(A), 0xa6);
  put(B, SET | HOURS_24);
  assert.equal(get(A) & 0x80, 0, 'not while the clock is being set');
  put(B, HOURS_24);
  pass(root, 243 * MICROSECOND);
  assert.equal(get(A) & 0x80, 0);
  assert.equal(get(0), 1);
});

test('SET stops the clock; it goes on from what was written', () => {
  const { root, put, clock, get } = machine();
  put(B, SET | HOURS_24);
  pass(root, 10 * SECOND);
  assert.equal(clock(), '20 26 01 01 00 00 00');
  for (const [index, value] of [
    [CENTURY, 0x19],
    [9, 0x99],
    [8, 0x12],
    [7, 0x31],
    [6, 6],
    [4, 0x23],
    [2, 0x59],
    [0, 0x58],
  ] as const) {
    put(index, value);
  }
  put(B, HOURS_24);
  assert.equal(clock(), '19 99 12 31 23 59 58');
  pass(root, 2 * SECOND);
  assert.equal(clock(), '20 00 01 01 00 00 00');
  assert.equal(get(6), 7, 'the day of the week follows the one written');
});

test('a divider released from reset updates half a second later', () => {
  const { root, put, clock } = machine();
  pass(root, 300 * MILLISECOND);
  put(A, 0x76);
  put(0, 0x30);
  pass(root, 5 * SECOND);
  assert.equal(clock(), '20 26 01 01 00 00 30');
  put(A, 0x26);
  pass(root, 499 * MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 00 30');
  pass(root, MILLISECOND);
  assert.equal(clock(), '20 26 01 01 00 00 31');
});

test('a byte written while the clock runs takes effect at once', () => {
  const { root, put, clock } = machine('2026-01-01T10:20:30Z');
  pass(root, SECOND / 2);
  put(4, 0x15);
  assert.equal(clock(), '20 26 01 01 15 20 30');
  pass(root, SECOND / 2);
  assert.equal(clock(), '20 26 01 01 15 20 31');
});

test('the periodic interrupt comes at the rates of table 5', () => {
  for (const [rate, hertz] of [
    [1, 256],
    [2, 128],
    [3, 8192],
    [6, 1024],
    [15, 2],
  ] as const) {
    const { root, rtc, get, put } = machine();
    put(A, 0x20 | rate);
    put(B, PIE | HOURS_24);
    let count = 0;
    rtc.interrupt.connect({
      setLevel: (level) => {
        if (!level) return;
        count++;
        assert.equal(get(C) & (IRQF | PF), IRQF | PF);
      },
    });
    pass(root, SECOND);
    assert.equal(count, hertz, `rate ${rate}`);
  }
});

test('an interrupt that nobody serves makes one event, not a storm', () => {
  const { root, rtc, put, get } = machine();
  const levels = watch(rtc.interrupt);
  put(A, 0x23);
  put(B, PIE | AIE | UIE | HOURS_24);
  put(1, 0xff);
  put(3, 0xff);
  put(5, 0xff);
  pass(root, 5 * SECOND);
  assert.deepEqual(levels, [true]);
  assert.equal(root.eventQueue.size, 0);
  assert.equal(get(C), IRQF | PF | AF | UF, 'what happened meanwhile is noted all the same');
  assert.deepEqual(levels, [true, false]);
  assert.equal(get(C), 0);
});

test('flags are set without their interrupts, for software that polls', () => {
  const { root, rtc, get, put } = machine();
  get(C);
  pass(root, MILLISECOND);
  assert.equal(get(C), PF);
  assert.equal(get(C), 0);
  pass(root, SECOND);
  assert.equal(get(C), PF | UF);
  assert.equal(root.eventQueue.size, 0);
  assert.equal(rtc.interrupt.level, false);
  put(B, UIE | HOURS_24);
  pass(root, SECOND);
  assert.equal(rtc.interrupt.level, true);
});

test('enabling an interrupt whose flag is set raises it', () => {
  const { root, rtc, put, get } = machine();
  pass(root, 2 * SECOND);
  put(B, UIE | HOURS_24);
  assert.equal(rtc.interrupt.level, true);
  put(B, HOURS_24);
  assert.equal(rtc.interrupt.level, false);
  assert.equal(get(C), PF | UF);
});

test('SET clears the enable of the update interrupt', () => {
  const { put, get } = machine();
  put(B, SET | UIE | HOURS_24);
  assert.equal(get(B), SET | HOURS_24);
});

test('the alarm comes at its time of day, and each byte can be "any"', () => {
  const { root, rtc, put } = machine('2026-01-01T10:20:30Z');
  put(1, 0x15);
  put(3, 0x21);
  put(5, 0x10);
  put(B, AIE | HOURS_24);
  pass(root, 44 * SECOND);
  assert.equal(rtc.interrupt.level, false);
  pass(root, SECOND);
  assert.equal(rtc.interrupt.level, true);
});

test('the next alarm is the first match after now, across minutes, hours and midnight', () => {
  const bcd = { isBinary: false, is24Hours: true };
  const at = (time: string) => Date.parse(`2026-01-01T${time}Z`) / 1000;
  const any = 0xff;
  for (const [now, [hours, minutes, seconds], next] of [
    ['10:20:30', [any, any, any], at('10:20:31')],
    ['10:20:30', [any, any, 0x30], at('10:21:30')],
    ['10:20:30', [any, any, 0x31], at('10:20:31')],
    ['10:59:59', [any, any, any], at('11:00:00')],
    ['10:20:30', [any, 0x20, 0x30], at('11:20:30')],
    ['23:59:59', [any, 0x30, 0x00], at('23:59:59') + 1801],
    ['10:20:30', [0x10, 0x20, 0x30], at('10:20:30') + 86_400],
    ['10:20:30', [0x09, any, any], at('09:00:00') + 86_400],
    ['10:20:30', [any, 0x75, any], undefined],
  ] as const) {
    assert.equal(
      nextAlarm(at(now), { hours, minutes, seconds }, bcd),
      next,
      `${now} ${[hours, minutes, seconds]}`,
    );
  }
});

test('an alarm at every second of a day is found for every second of it', () => {
  const bcd = { isBinary: true, is24Hours: true };
  for (let second = 0; second < 86_400; second += 61) {
    const alarm = {
      hours: Math.floor(second / 3600),
      minutes: Math.floor(second / 60) % 60,
      seconds: second % 60,
    };
    assert.equal(
      nextAlarm(86_400 + 12_345, alarm, bcd),
      second > 12_345 ? 86_400 + second : 172_800 + second,
    );
  }
});

test('CMOS RAM keeps what is written, has the sizes of memory, and register D says that it is valid', () => {
  const { get, put, rtc } = machine(undefined, { memoryBelow4GiB: '1GiB', memoryAbove4GiB: '2GiB' });
  assert.equal(get(0x15) | (get(0x16) << 8), 640);
  assert.equal(get(0x17) | (get(0x18) << 8), 0xffff);
  assert.equal(get(0x30) | (get(0x31) << 8), 0xffff);
  assert.equal((get(0x34) | (get(0x35) << 8)) * 65_536, 2 ** 30 - 2 ** 24);
  assert.equal((get(0x5b) | (get(0x5c) << 8) | (get(0x5d) << 16)) * 65_536, 2 ** 31);
  put(0x0f, 0x0a);
  put(0x7f, 0x5a);
  assert.deepEqual([get(0x0f), get(0x7f), rtc.cmos(0x0f)], [0x0a, 0x5a, 0x0a]);
  put(D, 0);
  put(C, 0xff);
  assert.deepEqual([get(D), get(C)], [0x80, 0]);
});

test('bit 7 of the index masks NMIs, and the index cannot be read back', () => {
  const { rtc, put, get } = machine();
  put(0x80 | 0x50, 0x77);
  assert.equal(rtc.nmiMask.level, true);
  assert.equal(inb(rtc, 0x70), 0xff);
  assert.equal(get(0x50), 0x77);
  assert.equal(rtc.nmiMask.level, false);
});

test('a checkpoint keeps time, alarm, pending interrupt and CMOS', () => {
  const one = machine('2026-06-01T12:00:00.5Z');
  one.put(B, UIE | PIE | HOURS_24);
  one.put(0x20, 0x42);
  one.put(0x80 | 0x21, 0);
  pass(one.root, 3 * SECOND + 7);
  const other = machine();
  copyState(one.rtc, other.rtc);
  assert.deepEqual(stateOf(other.rtc), stateOf(one.rtc));
  for (const { rtc, root, get, clock } of [one, other]) {
    assert.deepEqual([rtc.interrupt.level, rtc.nmiMask.level], [true, true]);
    assert.equal(get(C), IRQF | PF | UF);
    assert.equal(rtc.interrupt.level, false);
    pass(root, SECOND / 1024);
    assert.equal(rtc.interrupt.level, true);
    assert.equal(clock(), '20 26 06 01 12 00 03');
    assert.equal(get(0x20), 0x42);
  }
});
