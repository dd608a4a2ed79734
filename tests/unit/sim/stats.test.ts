/**
 * Statistics: counting, formulas, unavailable values, and the two files. The layout of stats.txt is that of
 * gem5's src/base/stats/text.cc; the columns below are spelt out from its widths (40, 12, 10, 10).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Root } from '../../../src/sim/root.ts';
import { SimObject } from '../../../src/sim/sim-object.ts';
import { distribution, formula, scalar, statGroup, subGroup, vector } from '../../../src/sim/stats/group.ts';
import { ratio, sum, Unavailable } from '../../../src/sim/stats/kinds.ts';
import { JsonFileOutput, Statistics, TextFileOutput } from '../../../src/sim/stats/statistics.ts';
import { formatText, formatValue } from '../../../src/sim/stats/text.ts';
import { rate, Unit } from '../../../src/sim/stats/unit.ts';
import { asTick } from '../../../src/sim/tick.ts';

class CpuStats extends statGroup(
  {
    numCycles: scalar('Cycles', Unit.Cycle),
    commitStats0: subGroup({ numInsts: scalar('Instructions') }),
    syncs: vector('Transfers', ['general', 'msr']),
    runs: distribution('Run length', { min: 0, max: 9, bucketSize: 5 }, Unit.Tick, { nozero: true }),
    rare: scalar('Hardly ever', Unit.Count, { nozero: true }),
  },
  (g) => ({
    ipc: formula('IPC', () => ratio(g.commitStats0.numInsts, g.numCycles), rate(Unit.Count, Unit.Cycle)),
  }),
) {}

class Cpu extends SimObject {
  readonly stats = this.addStats(new CpuStats());
}

function system() {
  let hostMs = 1000;
  const root = new Root({ hostClock: () => hostMs, hostMemory: () => 4096 });
  const cpu = new Cpu(root, 'cpu');
  const statistics = new Statistics(root);
  const lines = () => formatText(statistics.snapshot()).split('\n');
  const line = (name: string) => lines().find((text) => text.startsWith(`${name} `));
  const passHostMs = (ms: number) => {
    hostMs += ms;
  };
  return { root, cpu, statistics, lines, line, passHostMs };
}

test('stats.txt has gem5’s frame and columns', () => {
  const { root, cpu, lines, passHostMs } = system();
  root.eventQueue.advanceTo(asTick(57_467_000n));
  passHostMs(2500);
  cpu.stats.numCycles.inc(8);
  cpu.stats.commitStats0.numInsts.inc(2);
  const pad = ' '.repeat(22);
  assert.deepEqual(lines(), [
    '',
    '---------- Begin Simulation Statistics ----------',
    `simSeconds                                   0.000057${pad} # Simulated time (Second)`,
    `simTicks                                     57467000${pad} # Simulated time in ticks (Tick)`,
    `finalTick                                    57467000${pad} # Ticks since the beginning of the simulation, restored from checkpoints, never reset (Tick)`,
    `simFreq                                  1000000000000${pad} # Ticks per simulated second ((Tick/Second))`,
    `hostSeconds                                      2.50${pad} # Time that passed on the host (Second)`,
    `hostTickRate                                 22986800${pad} # Ticks simulated per host second ((Tick/Second))`,
    `hostMemory                                       4096${pad} # Resident memory of the simulator on the host (Byte)`,
    `cpu.numCycles                                       8${pad} # Cycles (Cycle)`,
    `cpu.syncs::general                                  0${pad} # Transfers (Count)`,
    `cpu.syncs::msr                                      0${pad} # Transfers (Count)`,
    `cpu.syncs::total                                    0${pad} # Transfers (Count)`,
    `cpu.ipc                                      0.250000${pad} # IPC ((Count/Cycle))`,
    `cpu.commitStats0.numInsts                           2${pad} # Instructions (Count)`,
    '',
    '---------- End Simulation Statistics   ----------',
    '',
  ]);
});

test('a distribution prints moments, buckets with shares, and the samples outside', () => {
  const { cpu, lines } = system();
  for (const value of [-1, 0, 4, 5, 12]) cpu.stats.runs.sample(value);
  const rows = lines()
    .filter((text) => text.startsWith('cpu.runs'))
    .map((text) => text.replace(/ # .*/, '').trim().split(/\s+/));
  // mean 20/5; stdev by hand: squares 186, sqrt((5·186 − 20²) / (5·4)) = sqrt(26.5)
  assert.deepEqual(rows, [
    ['cpu.runs::samples', '5'],
    ['cpu.runs::mean', '4'],
    ['cpu.runs::stdev', '5.147815'],
    ['cpu.runs::underflows', '1', '20.00%', '20.00%'],
    ['cpu.runs::0-4', '2', '40.00%', '60.00%'],
    ['cpu.runs::5-9', '1', '20.00%', '80.00%'],
    ['cpu.runs::overflows', '1', '20.00%', '100.00%'],
    ['cpu.runs::min_value', '-1'],
    ['cpu.runs::max_value', '12'],
    ['cpu.runs::total', '5'],
  ]);
});

test('an unavailable value is nan with its reason, never 0, and formulas of it are unavailable too', () => {
  const { cpu, line, statistics } = system();
  cpu.stats.numCycles.inc(5);
  cpu.stats.commitStats0.numInsts.setUnavailable('no hardware counter');
  const note = '[unavailable: no hardware counter]';
  assert.equal(
    line('cpu.commitStats0.numInsts'),
    `cpu.commitStats0.numInsts                         nan${' '.repeat(22)} # Instructions ${note} (Count)`,
  );
  assert.match(line('cpu.ipc') ?? '', /nan .*\[unavailable: no hardware counter\]/);
  assert.deepEqual(cpu.stats.ipc.result(), new Unavailable('no hardware counter'));
  assert.deepEqual(ratio(1, new Unavailable('divisor')), new Unavailable('divisor'));
  assert.deepEqual(sum(1, new Unavailable('term'), 2), new Unavailable('term'));
  assert.deepEqual([ratio(1n, cpu.stats.numCycles), sum(1n, 2, cpu.stats.numCycles)], [0.2, 8]);
  const cpuRows = statistics.snapshot().root.groups.get('cpu')?.stats;
  assert.ok(cpuRows?.some((row) => row.kind === 'scalar' && row.value instanceof Unavailable));
});

test('numbers print as C++ prints them', () => {
  assert.equal(formatValue(3), '3');
  assert.equal(formatValue(-0.5), '-0.500000');
  assert.equal(formatValue(2 ** 64), '18446744073709551616');
  assert.equal(formatValue(1e22), '10000000000000000000000');
  assert.equal(formatValue(2n ** 64n - 1n), '18446744073709551615');
  assert.equal(formatValue(Number.NaN), 'nan');
  assert.equal(formatValue(-Infinity), '-inf');
  // printf("%.2f"): ties to even of the exact binary value
  assert.equal(formatValue(0.125, 2), '0.12');
  assert.equal(formatValue(0.375, 2), '0.38');
  assert.equal(formatValue(2.5, 0), '2');
  assert.equal(formatValue(-3.5, 0), '-4');
  assert.equal(formatValue(1.005, 2), '1.00');
});

test('a group’s declared statistics are typed fields; a name is used once', () => {
  const stats = new CpuStats();
  stats.syncs.msr.inc();
  stats.syncs.general.inc(3);
  assert.equal(stats.syncs.total(), 4);
  // @ts-expect-error there is no such element
  assert.equal(stats.syncs.bogus, undefined);
  assert.throws(() => new (statGroup({ reset: scalar('clash') }))(), /cannot be called 'reset'/);
  assert.throws(() => vector('clash', ['total'])(), /cannot be called 'total'/);
});

test('two instances of a group count apart', () => {
  const a = new CpuStats();
  const b = new CpuStats();
  a.numCycles.inc();
  assert.deepEqual([a.numCycles.value, b.numCycles.value], [1, 0]);
});

test('a reset clears everything but finalTick, and what counts from it starts there', () => {
  const { root, cpu, statistics, line, passHostMs } = system();
  root.addInstructionSource({ totalInsts: () => 700 + cpu.stats.numCycles.value, totalOps: () => 0 });
  root.eventQueue.advanceTo(asTick(1000n));
  cpu.stats.numCycles.inc(3);
  cpu.stats.commitStats0.numInsts.inc(3);
  cpu.stats.syncs.msr.inc(3);
  cpu.stats.runs.sample(3);
  statistics.reset();
  root.eventQueue.advanceTo(asTick(1400n));
  passHostMs(500);
  cpu.stats.numCycles.inc(50);
  const value = (name: string) => line(name)?.split(/\s+/)[1];
  assert.equal(value('simTicks'), '400');
  assert.equal(value('finalTick'), '1400');
  assert.equal(value('hostSeconds'), '0.50');
  assert.equal(value('simInsts'), '47');
  assert.equal(value('hostInstRate'), '94');
  assert.equal(value('cpu.numCycles'), '50');
  assert.equal(value('cpu.commitStats0.numInsts'), '0');
  assert.equal(value('cpu.syncs::total'), '0');
  assert.equal(value('cpu.runs::samples'), undefined);
});

test('dumps append to both files; stats.json is well-formed after each', () => {
  const directory = mkdtempSync(join(tmpdir(), 'stats-'));
  try {
    const { root, cpu, statistics } = system();
    statistics.addOutput(new TextFileOutput(join(directory, 'stats.txt')));
    statistics.addOutput(new JsonFileOutput(join(directory, 'stats.json')));
    const json = () => JSON.parse(readFileSync(join(directory, 'stats.json'), 'utf8'));
    assert.deepEqual(readdirSync(directory), [], 'nothing before the first dump');
    cpu.stats.numCycles.inc(4);
    statistics.dump();
    assert.equal(json().length, 1);
    root.eventQueue.advanceTo(asTick(2n ** 60n));
    cpu.stats.numCycles.inc();
    cpu.stats.syncs.msr.inc(2);
    cpu.stats.commitStats0.numInsts.setUnavailable('no counter');
    statistics.dump();
    const [first, second] = json();
    assert.equal(first.stats.cpu.numCycles.value, 4);
    assert.equal(second.tick, '1152921504606846976');
    assert.equal(second.stats.finalTick.value, '1152921504606846976');
    assert.deepEqual(second.stats.cpu.numCycles, {
      type: 'scalar',
      unit: 'Cycle',
      description: 'Cycles',
      value: 5,
    });
    assert.deepEqual(second.stats.cpu.syncs.elements, { general: 0, msr: 2 });
    assert.equal(second.stats.cpu.commitStats0.numInsts.value, null);
    assert.equal(second.stats.cpu.commitStats0.numInsts.unavailable, 'no counter');
    assert.equal(second.stats.cpu.ipc.unavailable, 'no counter');
    const text = readFileSync(join(directory, 'stats.txt'), 'utf8');
    assert.deepEqual(readdirSync(directory).sort(), ['stats.json', 'stats.txt'], 'no drafts are left');
    assert.equal(text.match(/Begin Simulation Statistics/g)?.length, 2);
    assert.ok(text.endsWith('\n---------- End Simulation Statistics   ----------\n'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('an output that cannot be written is a one-line fatal error', () => {
  assert.throws(() => new TextFileOutput('/nonexistent/stats.txt'), {
    name: 'FatalError',
    message: 'cannot write /nonexistent/stats.txt: its directory does not exist',
  });
});

test('an output that fails does not lose the others', () => {
  const { statistics } = system();
  const written: string[] = [];
  const failing = (name: string) => ({
    write() {
      written.push(name);
      throw new Error(name);
    },
  });
  statistics.addOutput(failing('first'));
  statistics.addOutput(failing('second'));
  statistics.addOutput({ write: () => written.push('third') });
  assert.throws(() => statistics.dump(), /^Error: first$/);
  assert.deepEqual(written, ['first', 'second', 'third']);
});
