// The option parser: what belongs to hypertick and what to the program, and the types that come out.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  describeOptions,
  flag,
  integer,
  list,
  pairs,
  parseOptions,
  text,
  value,
} from '../../../src/cli/options.ts';
import { FatalError } from '../../../src/sim/trouble.ts';

const TABLE = {
  quiet: flag('say less'),
  count: value('N', 'how many', integer(1n, 10n), 3n),
  env: list('NAME=VALUE', 'set a variable', text),
  file: value('FILE', 'a file', text, undefined),
};

describe('options', () => {
  test('have their defaults when they are not given', () => {
    const { values, operands } = parseOptions(TABLE, []);
    assert.deepEqual(values, { quiet: false, count: 3n, env: [], file: undefined });
    assert.deepEqual(operands, []);
  });

  test('take a value behind a space or an equals sign; the last one counts, a list collects', () => {
    const { values } = parseOptions(TABLE, [
      '--count',
      '4',
      '--env=A=1',
      '--count=0x5',
      '--env',
      'B=--x',
      '--quiet',
    ]);
    assert.deepEqual(values, { quiet: true, count: 5n, env: ['A=1', 'B=--x'], file: undefined });
  });

  test('end at the first operand: the rest is the program’s, whatever it looks like', () => {
    const { values, operands } = parseOptions(TABLE, ['--quiet', 'ls', '--count', '99', '--', '-l']);
    assert.equal(values.count, 3n);
    assert.deepEqual(operands, ['ls', '--count', '99', '--', '-l']);
  });

  test('end at --, which is dropped', () => {
    assert.deepEqual(parseOptions(TABLE, ['--', '--quiet', '--']).operands, ['--quiet', '--']);
  });

  test('may have a value that begins with a dash', () => {
    assert.equal(parseOptions(TABLE, ['--file', '-']).values.file, '-');
    assert.equal(parseOptions(TABLE, ['--file=--odd']).values.file, '--odd');
  });

  test('with two values take both, as often as they come', () => {
    const table = { ...TABLE, copy: pairs('FROM TO', 'copy a file', (from, to) => `${from}>${to}`) };
    const { values, operands } = parseOptions(table, [
      '--copy',
      'a',
      'b',
      '--copy=c',
      'd',
      '--quiet',
      'e',
      'f',
    ]);
    assert.deepEqual([values.copy, values.quiet, operands], [['a>b', 'c>d'], true, ['e', 'f']]);
    for (const args of [['--copy'], ['--copy', 'a'], ['--copy', 'a', '--quiet']])
      assert.throws(
        () => parseOptions(table, args),
        /^FatalError: option --copy needs two values: --copy FROM TO$/,
      );
  });

  test('may stand between and behind operands where a command says so, up to --', () => {
    const args = ['a', '--quiet', 'b', '--count', '4', '--', '--file', 'c'];
    const { values, operands } = parseOptions(TABLE, args, { interspersed: true });
    assert.deepEqual([values.quiet, values.count, values.file], [true, 4n, undefined]);
    assert.deepEqual(operands, ['a', 'b', '--file', 'c']);
  });

  const wrong: Record<string, [args: string[], message: RegExp]> = {
    'an unknown one': [['--cout', '1'], /^unknown option --cout; did you mean --count\?$/],
    'a known one with one dash': [['-quiet'], /^unknown option -q/],
    'one without its value': [['--count'], /^option --count needs a value: --count N$/],
    'one that would swallow another': [['--file', '--quiet'], /write --file=--quiet if you mean it/],
    'a flag with a value': [['--quiet=1'], /^option --quiet takes no value$/],
    'a value out of range': [
      ['--count', '11'],
      /^option --count: '11' is not a whole number between 1 and 10$/,
    ],
    'an empty value': [['--file='], /^option --file: is empty$/],
    'an inherited name': [['--constructor'], /^unknown option --constructor/],
  };
  for (const [name, [args, message]] of Object.entries(wrong))
    test(`refuse ${name}`, () => {
      assert.throws(
        () => parseOptions(TABLE, args),
        (error) => error instanceof FatalError && message.test(error.message),
      );
    });

  test('are described in two columns of at most 80 characters', () => {
    const lines = describeOptions({ ...TABLE, long: flag('word '.repeat(40).trim()) }).split('\n');
    assert.equal(lines[0], '  --quiet           say less');
    assert.ok(lines.every((line) => line.length <= 80));
  });
});
