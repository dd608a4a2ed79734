import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddrRange } from '../../../src/mem/addr.ts';
import { FrameAllocator } from '../../../src/workload/linux/frame-allocator.ts';

const PAGE = 4096;

test('partial pages at the ends of the range are not handed out', () => {
  const frames = new FrameAllocator(new AddrRange(PAGE + 1, 5 * PAGE - 1));
  assert.equal(frames.totalFrames, 2);
  assert.deepEqual(frames.allocate(10), { first: 2, count: 2 });
  assert.equal(frames.allocate(1), undefined);
});

test('every frame is handed out once, in runs across word borders', () => {
  const frames = new FrameAllocator(new AddrRange(0, 100 * PAGE));
  assert.deepEqual(frames.allocate(30), { first: 0, count: 30 });
  assert.deepEqual(frames.allocate(40), { first: 30, count: 40 });
  assert.deepEqual(frames.allocate(1000), { first: 70, count: 30 });
  assert.equal(frames.freeFrames, 0);
});

test('a run ends at the next frame in use, and freed frames come first', () => {
  const frames = new FrameAllocator(new AddrRange(0, 100 * PAGE));
  frames.allocate(80);
  frames.free(10, 3);
  frames.free(63, 2);
  assert.equal(frames.freeFrames, 25);
  assert.deepEqual(frames.allocate(8), { first: 10, count: 3 });
  assert.deepEqual(frames.allocate(8), { first: 63, count: 2 });
  assert.deepEqual(frames.allocate(8), { first: 80, count: 8 });
});

test('a frame that is not in use cannot be given back', () => {
  const frames = new FrameAllocator(new AddrRange(0, 40 * PAGE));
  frames.allocate(4);
  frames.free(1, 1);
  assert.throws(() => frames.free(1, 1), RangeError);
  assert.throws(() => frames.free(40, 1), RangeError);
  assert.throws(() => frames.free(-1, 1), RangeError);
});
