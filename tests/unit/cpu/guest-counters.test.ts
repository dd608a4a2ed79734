// Hardware counters and the cycle-overflow timer over scripted counters: no host in use has real ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CycleOverflowTimer,
  type OpenCounter,
  PerfGuestCounters,
} from '../../../src/cpu/kvm/guest-counters.ts';
import { Errno, HostError } from '../../../src/host/errors.ts';
import { type PerfEvent, PerfHardware } from '../../../src/host/perf.ts';

const TARGET = { threadId: 7, signal: 36 };

/** Counters that a test moves by hand; `log` records what is done to them. */
function bench(dropped: readonly ('exclude_host' | 'exclude_hv')[] = []) {
  const log: string[] = [];
  const values = { cycles: 0, instructions: 0 };
  const opened: PerfEvent[] = [];
  const open: OpenCounter = (event) => {
    const name = event.config === PerfHardware.CPU_CYCLES ? 'cycles' : 'instructions';
    opened.push(event);
    log.push(`open ${name}${event.samplePeriod ? ` every ${event.samplePeriod}` : ''}`);
    const base = event.samplePeriod === undefined ? 0 : values[name];
    return {
      fd: opened.length,
      dropped,
      start: () => log.push(`start ${name}`),
      stop: () => log.push(`stop ${name}`),
      reset: () => {},
      read: () => values[name] - base,
      setPeriod: () => assert.fail('a period takes effect too late'),
      startFor: (n: number) => log.push(`start ${name} for ${n}`),
      signalOverflow: (target: unknown) => {
        assert.equal(target, TARGET);
        log.push(`signal ${name}`);
      },
      close: () => log.push(`close ${name}`),
    };
  };
  return { log, values, opened, open };
}

test('cycles lead the group and are pinned, instructions follow, both count the guest alone', () => {
  const { opened, open } = bench();
  const counters = new PerfGuestCounters(TARGET, open);
  const [cycles, instructions] = opened;
  assert.equal(cycles!.pinned, true);
  assert.equal(cycles!.excludeHost, true);
  assert.equal(instructions!.excludeHost, true);
  assert.equal(instructions!.leader?.fd, 1);
  counters.close();
});

test('counts are those of one entry', () => {
  const { values, open } = bench();
  const counters = new PerfGuestCounters(TARGET, open);
  Object.assign(values, { cycles: 500, instructions: 900 });
  counters.start();
  counters.stop();
  assert.deepEqual([counters.cycles, counters.instructions], [500, 900]);
  Object.assign(values, { cycles: 600, instructions: 1000 });
  counters.start();
  counters.stop();
  assert.deepEqual([counters.cycles, counters.instructions], [100, 100]);
});

test('where the kernel cannot leave the host out, the counters run during the entry only', () => {
  const { log, open } = bench(['exclude_host']);
  const counters = new PerfGuestCounters(TARGET, open);
  assert.deepEqual(counters.dropped, ['exclude_host']);
  assert.ok(!log.includes('start cycles'));
  counters.start();
  counters.stop();
  assert.deepEqual(log.slice(-2), ['start cycles', 'stop cycles']);
});

test('a limit attaches the instruction counter anew, with that period; the same limit does nothing', () => {
  const { log, values, open } = bench();
  const counters = new PerfGuestCounters(TARGET, open);
  counters.limitInstructions(5000);
  assert.deepEqual(log.slice(-3), [
    'close instructions',
    'open instructions every 5000',
    'signal instructions',
  ]);
  const before = log.length;
  counters.limitInstructions(5000);
  assert.equal(log.length, before);
  values.instructions = 1200;
  counters.start();
  counters.stop();
  assert.equal(counters.instructions, 1200);
  counters.limitInstructions(3800);
  assert.equal(log.length, before, 'what is left of it is the same limit');
  counters.limitInstructions(Number.POSITIVE_INFINITY);
  assert.equal(log.at(-1), 'open instructions');
});

test('when the second counter cannot be opened the first is closed', () => {
  const { log, open } = bench();
  let opened = 0;
  const failing: OpenCounter = (event) => {
    if (opened++ === 1) throw new HostError('perf_event_open', Errno.EMFILE, 'too many open files');
    return open(event);
  };
  assert.throws(() => new PerfGuestCounters(TARGET, failing), HostError);
  assert.deepEqual(log, ['open cycles', 'close cycles']);
});

test('the overflow timer counts guest cycles, at least 1,000, and is attached for each run', () => {
  const { log, open } = bench();
  const timer = new CycleOverflowTimer(TARGET, 2e9, open);
  assert.equal(timer.onlyInGuest, true);
  assert.equal(timer.resolutionNs, 500);
  timer.arm(10_000);
  assert.deepEqual(log, ['open cycles every 20000', 'signal cycles', 'start cycles for 1']);
  timer.arm(1);
  assert.deepEqual(log.slice(3), [
    'close cycles',
    'open cycles every 1000',
    'signal cycles',
    'start cycles for 1',
  ]);
  timer.disarm();
  timer.disarm();
  assert.equal(log.filter((line) => line === 'close cycles').length, 2);
});
