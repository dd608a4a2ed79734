// Performance counters, with a software event, which every kernel has. perf_event_open(2).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HostError } from '../../../src/host/errors.ts';
import { PerfCounter, PerfSoftware, PerfType } from '../../../src/host/perf.ts';
import { probeHost } from '../../../src/host/probe.ts';
import { ControlSignal } from '../../../src/host/signals.ts';

const TASK_CLOCK = { type: PerfType.SOFTWARE, config: PerfSoftware.TASK_CLOCK } as const;

function whyNot(): string | false {
  const { software } = probeHost().perf;
  return software.available ? false : `perf events: ${software.reason}`;
}

function work(): number {
  let sum = 0;
  for (let i = 0; i < 1e6; i++) sum += Math.sqrt(i);
  return sum;
}

describe('a counter', { skip: whyNot() }, () => {
  test('counts between start and stop, and only then', (t) => {
    const counter = PerfCounter.open(TASK_CLOCK);
    t.after(() => counter.close());
    work();
    assert.equal(counter.read(), 0);
    counter.start();
    work();
    counter.stop();
    const counted = counter.read();
    assert.ok(counted > 0);
    work();
    assert.equal(counter.read(), counted);
    counter.reset();
    assert.equal(counter.read(), 0);
  });

  test('of a group starts with its leader', (t) => {
    const leader = PerfCounter.open(TASK_CLOCK);
    const member = PerfCounter.open({ ...TASK_CLOCK, leader });
    t.after(() => {
      member.close();
      leader.close();
    });
    work();
    assert.equal(member.read(), 0);
    leader.start();
    work();
    leader.stop();
    assert.ok(member.read() > 0);
  });

  test('signals its overflow', (t) => {
    const signal = new ControlSignal();
    const counter = PerfCounter.open({ ...TASK_CLOCK, samplePeriod: 100_000 });
    t.after(() => {
      counter.close();
      signal.discardPending();
    });
    counter.signalOverflow(signal);
    counter.startFor(1);
    let rounds = 0;
    while (!signal.discardPending() && ++rounds < 1000) work();
    assert.ok(rounds < 1000, 'the signal came');
    assert.ok(counter.read() >= 100_000);
  });

  test('that does not exist is refused with call, errno and remedy', () => {
    const isHelpful = (error: unknown) =>
      error instanceof HostError && /^perf_event_open: E/.test(error.message);
    assert.throws(() => PerfCounter.open({ type: 0xffff, config: 0 }), isHelpful);
  });
});
