/** State cells: what they save restores to the same value through JSON, and nothing else is taken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  arrayCell,
  bigintCell,
  booleanCell,
  choiceCell,
  type Json,
  listCell,
  numberCell,
  type StateCell,
  StateError,
  stringCell,
} from '../../../src/sim/state.ts';

const throughJson = (cell: StateCell): Json => JSON.parse(JSON.stringify(cell.save()));

test('every number survives, also those that JSON lacks', () => {
  for (const value of [0, -0, 1.5, -1e300, Number.NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER]) {
    const restored = numberCell(99);
    restored.restore(throughJson(numberCell(value)));
    assert.ok(Object.is(restored.value, value), String(value));
  }
});

test('bigints, booleans, strings, choices and lists survive', () => {
  const pairs: [StateCell & { value?: unknown }, StateCell & { value?: unknown }][] = [
    [bigintCell(-(2n ** 70n)), bigintCell()],
    [booleanCell(true), booleanCell()],
    [stringCell('täst\0"'), stringCell()],
    [choiceCell<'Idle' | 'Running'>('Running', ['Idle', 'Running']), choiceCell('Idle', ['Idle', 'Running'])],
  ];
  for (const [saved, restored] of pairs) {
    restored.restore(throughJson(saved));
    assert.deepEqual(restored.value, saved.value);
  }
  const list = listCell<number>((n) => n, Number);
  list.items = [3, 1, 2];
  const restored = listCell<number>((n) => n, Number);
  restored.restore(throughJson(list));
  assert.deepEqual(restored.items, [3, 1, 2]);
});

test('typed arrays survive bit by bit and in place, also as part of a larger buffer', () => {
  const backing = new Float64Array([7, Number.NaN, -0, 1e-320, 8]);
  const target = new Float64Array(5).fill(5);
  const cell = arrayCell(target.subarray(1, 4));
  cell.restore(throughJson(arrayCell(backing.subarray(1, 4))));
  assert.deepEqual([...target], [5, Number.NaN, -0, 1e-320, 5]);
  const wide = arrayCell(new BigUint64Array(2));
  wide.restore(throughJson(arrayCell(new BigUint64Array([1n, 2n ** 64n - 1n]))));
  assert.deepEqual([...wide.array], [1n, 2n ** 64n - 1n]);
});

test('saved state of another shape is refused', () => {
  const refused: [StateCell, Json][] = [
    [numberCell(), 'x'],
    [numberCell(), null],
    [bigintCell(), 5],
    [bigintCell(), '0x10'],
    [booleanCell(), 1],
    [stringCell(), 1],
    [choiceCell('a', ['a', 'b']), 'c'],
    [listCell((n: number) => n, Number), {}],
    [arrayCell(new Uint16Array(2)), '000000'],
    [arrayCell(new Uint16Array(2)), '0000000g'],
  ];
  for (const [cell, saved] of refused)
    assert.throws(() => cell.restore(saved), StateError, JSON.stringify(saved));
});
