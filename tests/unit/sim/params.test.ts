/** Quantities with units, and declared parameters: what is accepted, what is refused, and how it is said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bool,
  choice,
  declareParams,
  duration,
  float,
  frequency,
  instant,
  int,
  optional,
  resolveParams,
  size,
  text,
} from '../../../src/sim/params.ts';
import { clockPeriodTicks } from '../../../src/sim/tick.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { parseFrequency, parseSize, parseTime } from '../../../src/sim/units.ts';

test('sizes: binary and decimal prefixes mean what they say', () => {
  const cases: [string, number][] = [
    ['4096', 4096],
    ['1B', 1],
    ['32KiB', 32768],
    ['32kB', 32000],
    ['512MiB', 536870912],
    ['1.5GiB', 1610612736],
    ['0', 0],
    [' 2 TiB ', 2199023255552],
    ['4G', 2 ** 32],
    ['512M', 2 ** 29],
  ];
  for (const [input, bytes] of cases) assert.equal(parseSize(input), bytes, input);
  for (const input of [
    '',
    '12Q',
    '-1MiB',
    '1.5B',
    '0.3KiB',
    'MiB',
    '1e3',
    '99999999TiB',
    '5toString',
    '12m',
  ]) {
    assert.throws(() => parseSize(input), FatalError, input);
  }
});

test('times are exact ticks, however large', () => {
  const cases: [string, bigint][] = [
    ['0', 0n],
    ['10ms', 10_000_000_000n],
    ['1.5ns', 1500n],
    ['0.001ns', 1n],
    ['7us', 7_000_000n],
    ['7µs', 7_000_000n],
    ['10000.000000000001s', 10_000_000_000_000_001n],
    ['2h', 7_200_000_000_000_000n],
  ];
  for (const [input, ticks] of cases) assert.equal(parseTime(input), ticks, input);
  for (const input of ['', '10', '0.5ps', '-1s', '10m', '300000h']) {
    assert.throws(() => parseTime(input), FatalError, input);
  }
});

test('frequencies are positive, and 3 GHz has a period of 333 ticks as in gem5', () => {
  assert.equal(parseFrequency('3GHz'), 3e9);
  assert.equal(parseFrequency('2.4GHz'), 2.4e9);
  assert.equal(clockPeriodTicks(parseFrequency('3GHz')), 333);
  for (const input of ['3', '0GHz', '3ghz', 'GHz'])
    assert.throws(() => parseFrequency(input), FatalError, input);
});

const CPU = declareParams({
  clock: frequency({ default: '3GHz', min: '1MHz', max: '10GHz', description: 'core clock' }),
  cores: int({ min: 1, max: 8, description: 'cores' }),
  usePerf: bool({ default: true, description: 'hardware counters' }),
  mode: choice(['atomic', 'timing'], { default: 'atomic', description: 'memory mode' }),
  factor: float({ default: 1, min: 0.001, description: 'host factor' }),
  cache: size({ default: '32KiB', max: '1GiB', description: 'cache size' }),
  latency: duration({ default: '10ns', description: 'latency' }),
  start: instant({ default: '0', description: 'first tick' }),
  label: optional(text({ description: 'a label' })),
});

test('defaults are filled in and units converted', () => {
  assert.deepEqual(resolveParams('cpu', CPU, { cores: 2, cache: 65536 }), {
    clock: 3e9,
    cores: 2,
    usePerf: true,
    mode: 'atomic',
    factor: 1,
    cache: 65536,
    latency: 10_000,
    start: 0n,
  });
  assert.equal(resolveParams('cpu', CPU, { cores: 2, label: 'x' }).label, 'x');
});

test('an illegal parameter is refused with path, parameter, value and legal form', () => {
  const refused = (given: object, message: string) =>
    assert.throws(() => resolveParams('board.cpu', CPU, { cores: 1, ...given } as { cores: number }), {
      name: 'FatalError',
      message,
    });
  refused({ cores: 9 }, "board.cpu: parameter 'cores': 9 is not an integer from 1 to 8");
  refused({ cores: 1.5 }, "board.cpu: parameter 'cores': 1.5 is not an integer from 1 to 8");
  refused({ cores: undefined }, "board.cpu: parameter 'cores' is missing: an integer from 1 to 8");
  refused({ mode: 'fast' }, "board.cpu: parameter 'mode': 'fast' is not one of atomic, timing");
  refused({ factor: 0 }, "board.cpu: parameter 'factor': 0 is not a number, at least 0.001");
  refused({ usePerf: 'yes' }, "board.cpu: parameter 'usePerf': 'yes' is not true or false");
  refused(
    { cache: '2GiB' },
    "board.cpu: parameter 'cache': '2GiB' is not a size such as '512MiB' (B, KiB or K, MiB or M, GiB or G, TiB or T, kB, MB, GB, TB), at most 1GiB",
  );
  refused(
    { colour: 1 },
    "board.cpu: no parameter 'colour'; known: clock, cores, usePerf, mode, factor, cache, latency, start, label",
  );
  for (const clock of ['12GHz', '1kHz', 0, -3e9, Number.NaN, '3']) {
    assert.throws(() => resolveParams('cpu', CPU, { cores: 1, clock }), FatalError, String(clock));
  }
});
