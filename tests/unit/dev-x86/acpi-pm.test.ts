/** ACPI fixed hardware against ACPI 6.5 §4.8; reset control against the 82371SB data sheet, §2.5.6. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcpiPm, type AcpiPmParams, type SuspendToRam } from '../../../src/dev/x86/acpi-pm.ts';
import { PciHost } from '../../../src/dev/x86/pci-host.ts';
import { ResetControl } from '../../../src/dev/x86/reset-control.ts';
import { Accessor, Probe, quietRoot, restoreAll, runTo, saveAll } from './pc-bench.ts';

const STATUS = 0x600;
const ENABLE = 0x602;
const CONTROL = 0x604;
const TIMER = 0x608;
const SECOND = 10n ** 12n;
/** The first tick at which the timer shows a value. */
const tickOf = (value: number) => (BigInt(value) * SECOND + 3_579_544n) / 3_579_545n;

function bench(params: AcpiPmParams = {}, suspendToRam?: SuspendToRam) {
  const root = quietRoot();
  const power = new AcpiPm(root, 'power', params, suspendToRam);
  const sci = new Probe();
  power.sci.connect(sci);
  return { root, power, sci, io: new Accessor(power) };
}

test('the timer counts 3579545 times a second, exactly', () => {
  const { root, io } = bench();
  assert.equal(io.in(TIMER, 4), 0);
  runTo(root, SECOND - 1n);
  assert.equal(io.in(TIMER, 4), 3_579_544);
  runTo(root, SECOND);
  assert.equal(io.in(TIMER, 4), 3_579_545);
  runTo(root, 1000n * SECOND);
  assert.equal(io.in(TIMER, 4), 3_579_545_000);
});

test('the timer wraps at 32 or 24 bits and cannot be written', () => {
  for (const [timerWidth, span] of [
    ['24bit', 2 ** 24],
    ['32bit', 2 ** 32],
  ] as const) {
    const { root, io } = bench({ timerWidth });
    runTo(root, tickOf(span) - 1n);
    assert.equal(io.in(TIMER, 4), span - 1);
    runTo(root, tickOf(span + 5));
    io.out(TIMER, 0, 4);
    assert.equal(io.in(TIMER, 4), 5);
  }
});

test('TMR_STS is set when the highest bit changes, either way, and interrupts if enabled', () => {
  const { root, io, sci } = bench({ timerWidth: '24bit' });
  io.out(ENABLE, 1, 2);
  for (const carry of [1, 2, 3]) {
    runTo(root, tickOf(carry * 2 ** 23) - 1n);
    assert.deepEqual([sci.level, io.in(STATUS, 2)], [false, 0]);
    assert.equal(runTo(root, tickOf(carry * 2 ** 23)), 1);
    assert.deepEqual([sci.level, io.in(STATUS, 2)], [true, 1]);
    assert.equal(root.eventQueue.isEmpty, true, 'a status bit that is set cannot be set again');
    io.out(STATUS, 1, 2);
    assert.deepEqual([sci.level, io.in(STATUS, 2)], [false, 0]);
  }
});

test('without TMR_EN the carry sets the status bit and schedules nothing; enabling it later interrupts', () => {
  const { root, io, sci } = bench({ timerWidth: '24bit' });
  assert.equal(runTo(root, tickOf(2 ** 23)), 0);
  assert.deepEqual([io.in(STATUS, 2), sci.level], [1, false]);
  io.out(ENABLE, 1, 2);
  assert.equal(sci.level, true);
});

test('a press of the power button sets its status bit; ones clear it, byte by byte', () => {
  const { io, power, sci } = bench();
  io.out(ENABLE, 0x0100, 2);
  power.powerButton.setLevel(true);
  assert.deepEqual([io.in(STATUS, 2), sci.level], [0x0100, true]);
  io.out(STATUS, 0x00);
  io.out(STATUS + 1, 0x00);
  assert.equal(sci.level, true);
  io.out(STATUS + 1, 0x01);
  assert.deepEqual([io.in(STATUS, 2), sci.level], [0, false]);
  power.powerButton.setLevel(false);
  assert.equal(sci.level, false);
});

test('enable bits are those of the timer, the global lock, both buttons and the RTC', () => {
  const { io } = bench();
  io.out(STATUS, 0xffff_ffff, 4);
  assert.equal(io.in(STATUS, 4), 0x0721_0000);
});

test('the machine is in ACPI mode from reset on; SLP_EN reads as zero', () => {
  const { io } = bench();
  assert.equal(io.in(CONTROL, 2), 0x0001);
  io.out(CONTROL, 0x2400, 2);
  assert.equal(io.in(CONTROL, 2), 0x0401);
});

test('SLP_EN with the sleep type of S5 powers off; other types do nothing', () => {
  const { root, io } = bench({ s5SleepType: 7 });
  io.out(CONTROL, 0x1c00, 2);
  io.out(CONTROL, 0x2000 | (5 << 10), 2);
  assert.equal(root.eventQueue.isEmpty, true);
  io.out(CONTROL, 0x2000 | (7 << 10), 2);
  runTo(root, 0n);
  assert.deepEqual(root.takeExit(), { cause: 'ACPI power off', code: 0, tick: 0n });
});

/** A machine with S3, SLP_TYP 1, that notes what becomes of its processors. */
function sleeper() {
  const log: string[] = [];
  return { log, ...bench({}, { suspend: () => log.push('suspend'), resume: () => log.push('resume') }) };
}
const ENTER_S3 = 0x2400;
const [WAK_STS, RTC, PWRBTN] = [0x8000, 0x400, 0x100];

test('in S3 the alarm of the RTC wakes, if enabled', () => {
  const { io, log, power } = sleeper();
  const alarm = () => [true, false].forEach((level) => void power.rtcAlarm.setLevel(level));
  alarm();
  assert.equal(io.in(STATUS, 2), RTC);
  io.out(STATUS, RTC, 2);
  io.out(CONTROL, ENTER_S3, 2);
  alarm();
  assert.deepEqual([log, power.isAsleep], [['suspend'], true], 'not enabled');
  io.out(ENABLE, RTC, 2);
  alarm();
  alarm();
  assert.deepEqual([log, power.isAsleep], [['suspend', 'resume'], false]);
  assert.equal(io.in(STATUS, 2), WAK_STS | RTC);
});

test('what would wake and has come just before S3 wakes at once', () => {
  const { io, log, power } = sleeper();
  io.out(ENABLE, RTC, 2);
  power.rtcAlarm.setLevel(true);
  io.out(CONTROL, ENTER_S3, 2);
  assert.deepEqual([log, power.isAsleep], [['suspend', 'resume'], false]);
});

test('in S3 the power button wakes, also behind a checkpoint', () => {
  const one = sleeper();
  one.io.out(CONTROL, ENTER_S3, 2);
  const other = sleeper();
  restoreAll(other.root, saveAll(one.root));
  other.power.powerButton.setLevel(true);
  assert.deepEqual(other.log, ['resume']);
  assert.equal(other.io.in(STATUS, 2), WAK_STS | PWRBTN);
});

test('a checkpoint keeps the pending carry and the interrupt', () => {
  const one = bench();
  one.io.out(ENABLE, 0x0101, 2);
  one.power.powerButton.setLevel(true);
  const other = bench();
  restoreAll(other.root, saveAll(one.root));
  assert.equal(other.sci.level, true);
  assert.equal(other.root.eventQueue.nextTick(), tickOf(2 ** 31));
  other.io.out(STATUS, 0x0100, 2);
  other.power.powerButton.setLevel(true);
  assert.equal(other.io.in(STATUS, 2), 0, 'the button was held down');
});

test('reset control: bit 2 resets, bits 1 and 3 say how and can be read back', () => {
  const root = quietRoot();
  const kinds: string[] = [];
  const io = new Accessor(
    new PciHost(root, 'pci', new ResetControl(root, 'reset', (kind) => kinds.push(kind))),
  );
  io.out(0xcf9, 0x02);
  assert.deepEqual([io.in(0xcf9), kinds], [0x02, []]);
  for (const value of [0x06, 0x0e, 0x04]) io.out(0xcf9, value);
  assert.deepEqual(kinds, ['hard', 'full', 'soft']);
  io.out(0xcf9, 0xff);
  assert.equal(io.in(0xcf9), 0x0a);
});
