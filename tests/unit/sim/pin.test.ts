// Wires that several devices pull.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutputPin, wiredOr } from '../../../src/sim/pin.ts';

test('a wired OR is high while any of its inputs is, and says so at its edges only', () => {
  const heard: boolean[] = [];
  const input = wiredOr({ setLevel: (level) => heard.push(level) });
  const pins = [new OutputPin(), new OutputPin()];
  for (const pin of pins) pin.connect(input());
  for (const [pin, level] of [
    [0, true],
    [1, true],
    [0, false],
    [1, false],
    [1, true],
  ] as const)
    pins[pin]!.set(level);
  assert.deepEqual(heard, [true, false, true]);
});

test('an input that is told its level again, as after a restore, pulls once', () => {
  const heard: boolean[] = [];
  const input = wiredOr({ setLevel: (level) => heard.push(level) })();
  for (const level of [false, true, true, false]) input.setLevel(level);
  assert.deepEqual(heard, [true, false]);
});
