// Timers programmed to go off as fast as they can, or to 0: simulated time still gets on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localApicAddress, portAddress } from '../../../src/arch/x86/address-spaces.ts';
import { FuzzPc, MOST_EVENTS_PER_MS } from './fuzz-pc.ts';

type Write = readonly [addr: number, sizeBytes: number, value: number];

/** How often the processor looks at its interrupts. */
const STEPS_PER_MS = 200;

const APIC = localApicAddress(0);
const HPET = 0xfed0_0000;

const pit = (control: number, ...counts: number[]): Write[] => [
  [portAddress(0x43), 1, control],
  ...counts.map((count): Write => [portAddress(0x40), 1, count]),
];
const rtc = (...pairs: (readonly [index: number, value: number])[]): Write[] =>
  pairs.flatMap(([index, value]): Write[] => [
    [portAddress(0x70), 1, index],
    [portAddress(0x71), 1, value],
  ]);
const hpetTimer = (config: number, comparator: number): Write[] => [
  [HPET + 0x100, 4, config],
  [HPET + 0x108, 4, comparator],
  [HPET + 0x108, 4, comparator],
  [HPET + 0x10, 4, 3],
];
const apicTimer = (lvt: number, count: number): Write[] => [
  [APIC + 0xf0, 4, 0x1ff],
  [APIC + 0x3e0, 4, 0xb],
  [APIC + 0x320, 4, lvt],
  [APIC + 0x380, 4, count],
];

const STORMS: Readonly<Record<string, readonly Write[]>> = {
  'PIT, rate generator, count 1': pit(0x14, 1),
  'PIT, rate generator, count 2': pit(0x14, 2),
  'PIT, square wave, count 2': pit(0x16, 2),
  'PIT, square wave, count 0': pit(0x36, 0, 0),
  'RTC, 8192 Hz, alarm each second': rtc([1, 0xff], [3, 0xff], [5, 0xff], [0xa, 0x23], [0xb, 0x72]),
  'HPET, periodic, period 0': hpetTimer(0x4c, 0),
  'HPET, periodic, period 1': hpetTimer(0x4c, 1),
  'HPET, periodic 32-bit, level, period 1': hpetTimer(0x14e, 1),
  'local APIC, periodic, count 1': apicTimer(0x2_0040, 1),
  'local APIC, periodic, illegal vector': apicTimer(0x2_0000, 1),
  'local APIC, one shot, count 0': apicTimer(0x40, 0),
};

for (const [name, writes] of Object.entries(STORMS)) {
  test(`${name}: a bounded number of events, interrupts served or not`, () => {
    for (const isServed of [false, true]) {
      const pc = new FuzzPc();
      for (const [addr, sizeBytes, value] of writes) {
        const device = pc.devices.findIndex((one) =>
          one.addrRanges().some((range) => range.contains(addr as never)),
        );
        pc.access({ device, addr, sizeBytes, value, isTiming: false });
      }
      let events = 0;
      for (let step = 0; step < 10 * STEPS_PER_MS; step++) {
        events += pc.pass(1_000_000_000 / STEPS_PER_MS);
        if (isServed) pc.takeInterrupt();
      }
      assert.equal(pc.root.curTick, 10_000_000_000n);
      assert.ok(events <= 10 * MOST_EVENTS_PER_MS, `${events} events in 10 ms`);
    }
  });
}
