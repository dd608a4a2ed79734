import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../../src/workload/linux/random.ts';

test('the generator is xoshiro128**: its published first outputs from the state 1, 2, 3, 4', () => {
  // Test vector of the rand_xoshiro crate, made with the authors' C code.
  const expected = [
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ];
  const random = new SeededRandom([1, 2, 3, 4]);
  const drawn = expected.map(() => random.nextU32());
  assert.deepEqual(drawn, expected);
});

test('a seed is spread by splitmix64: its published outputs for 1234567 become the state', () => {
  const [first, second] = [6457827717110365317n, 3203168211198807973n];
  const low = (z: bigint) => Number(z & 0xffff_ffffn);
  assert.deepEqual(
    [...SeededRandom.fromSeed(1234567).state],
    [low(first), low(first >> 32n), low(second), low(second >> 32n)],
  );
});

test('bytes come lowest first, and a part of a word is not kept for the next call', () => {
  const random = new SeededRandom([1, 2, 3, 4]);
  const bytes = new Uint8Array(6);
  random.fill(bytes);
  assert.deepEqual([...bytes], [0x00, 0x2d, 0, 0, 0, 0]);
  assert.equal(random.nextU32(), 5927040);
});
