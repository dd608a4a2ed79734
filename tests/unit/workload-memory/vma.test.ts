import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileSource } from '../../../src/workload/linux/file-source.ts';
import { type Vma, VmaList } from '../../../src/workload/linux/vma.ts';

const PAGE = 4096;
const GUARD = 256 * PAGE;

/** An area by page numbers. */
function area(first: number, last: number, more: Partial<Vma> = {}): Vma {
  const attributes = { prot: 3, shared: false, growsDown: false, source: undefined, offset: 0, name: '' };
  return { ...attributes, start: first * PAGE, end: last * PAGE, ...more };
}

function list(...areas: Vma[]): VmaList {
  const result = new VmaList();
  for (const each of areas) result.insert(each);
  return result;
}

function spans(areas: Iterable<Vma>): number[][] {
  return [...areas].map(({ start, end }) => [start / PAGE, end / PAGE]);
}

const file = { identity: { path: '/f' } } as FileSource;

test('neighbours with equal attributes become one area, on both sides', () => {
  const areas = list(area(10, 20), area(30, 40), area(20, 30));
  assert.deepEqual(spans(areas), [[10, 40]]);
});

test('different rights, names, kinds or directions keep neighbours apart', () => {
  for (const more of [
    { prot: 1 },
    { name: '[heap]' },
    { shared: true },
    { growsDown: true },
    { source: file },
  ]) {
    assert.equal(list(area(10, 20), area(20, 30, more)).length, 2, JSON.stringify(more));
  }
});

test('areas of one file merge only where the offsets continue', () => {
  const first = area(10, 20, { source: file, offset: 5 * PAGE });
  assert.equal(list(first, area(20, 30, { source: file, offset: 15 * PAGE })).length, 1);
  assert.equal(list(first, area(20, 30, { source: file, offset: 16 * PAGE })).length, 2);
});

test('cutting splits at both ends and keeps file offsets right', () => {
  const areas = list(area(10, 20, { source: file, offset: 100 * PAGE }));
  const parts = areas.cut(13 * PAGE, 15 * PAGE);
  assert.deepEqual(spans(parts), [[13, 15]]);
  assert.equal(parts[0]?.offset, 103 * PAGE);
  assert.deepEqual(spans(areas), [[10, 13], [15, 20]]); // biome-ignore format: spans read better in one line
  assert.equal(areas.find(15 * PAGE)?.offset, 105 * PAGE);
});

test('an area cannot be put where another is', () => {
  const areas = list(area(10, 20));
  assert.throws(() => areas.insert(area(19, 21)), RangeError);
  assert.throws(() => areas.insert(area(5, 11)), RangeError);
  assert.throws(() => areas.insert(area(12, 13)), RangeError);
  assert.throws(() => areas.insert(area(25, 25)), RangeError);
});

test('lookup finds the area that holds an address, the next one and the one before', () => {
  const areas = list(area(10, 20), area(30, 40));
  assert.equal(areas.find(20 * PAGE), undefined);
  assert.equal(areas.find(20 * PAGE - 1)?.start, 10 * PAGE);
  assert.equal(areas.findOrNext(25 * PAGE)?.start, 30 * PAGE);
  assert.equal(areas.before(30 * PAGE)?.start, 10 * PAGE);
  assert.equal(areas.before(10 * PAGE), undefined);
});

test('coverage notices a hole of one page', () => {
  const areas = list(area(10, 20), area(20, 25, { prot: 1 }), area(26, 30));
  assert.ok(areas.covers(11 * PAGE, 25 * PAGE));
  assert.ok(!areas.covers(11 * PAGE, 26 * PAGE));
  assert.ok(!areas.covers(9 * PAGE, 11 * PAGE));
  assert.ok(!areas.covers(29 * PAGE, 31 * PAGE));
});

test('the highest gap that is large enough is found', () => {
  const areas = list(area(10, 20), area(25, 30), area(40, 50));
  const gap = (pages: number) => areas.findGap(pages * PAGE, 5 * PAGE, 50 * PAGE);
  assert.equal(gap(10), 30 * PAGE);
  assert.equal(gap(3), 37 * PAGE);
  assert.equal(gap(11), undefined);
  assert.equal(areas.findGap(11 * PAGE, 5 * PAGE, 60 * PAGE), undefined);
  assert.equal(areas.findGap(10 * PAGE, 5 * PAGE, 60 * PAGE), 50 * PAGE);
  assert.equal(areas.findGap(5 * PAGE, 5 * PAGE, 28 * PAGE), 20 * PAGE);
  assert.equal(areas.findGap(6 * PAGE, 5 * PAGE, 28 * PAGE), undefined);
});

test('the lowest gap that is large enough is found', () => {
  const areas = list(area(10, 20), area(25, 30), area(40, 50));
  const gap = (pages: number, low = 5) => areas.findLowestGap(pages * PAGE, low * PAGE, 60 * PAGE);
  assert.equal(gap(5), 5 * PAGE);
  assert.equal(gap(5, 12), 20 * PAGE);
  assert.equal(gap(6), 30 * PAGE);
  assert.equal(gap(10, 31), 50 * PAGE);
  assert.equal(gap(10, 51), undefined);
  assert.equal(gap(11), undefined);
  assert.equal(list().findLowestGap(PAGE, 0, PAGE), 0);
});

test('a gap below a stack leaves its guard free', () => {
  const stack = area(1000, 1010, { growsDown: true });
  assert.equal(list(stack).findGap(PAGE, 0, 1000 * PAGE), 999 * PAGE - GUARD);
  assert.equal(list(stack).findGap(PAGE, 0, 900 * PAGE), 999 * PAGE - GUARD);
  assert.equal(list(stack).findGap(PAGE, 0, 700 * PAGE), 699 * PAGE);
});
