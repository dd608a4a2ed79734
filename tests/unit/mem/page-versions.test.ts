import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageVersions } from '../../../src/mem/page-versions.ts';

test('a page that was never written has version 0', () => {
  const versions = new PageVersions(0x4000);
  assert.equal(versions.pageCount, 4);
  assert.equal(versions.versionAt(0x3fff), 0);
  assert.ok(!versions.changedSince(0, 0, 0x4000));
});

test('a write marks exactly the pages it touches', () => {
  const versions = new PageVersions(0x6000);
  versions.mark(0x1fff, 2);
  versions.mark(0x4000, 0x1000);
  const marked = [0, 1, 2, 3, 4, 5].map((page) => versions.versionAt(page << 12) > 0);
  assert.deepEqual(marked, [false, true, true, false, true, false]);
});

test('a write of nothing marks nothing', () => {
  const versions = new PageVersions(0x1000);
  versions.mark(0, 0);
  assert.equal(versions.versionAt(0), 0);
});

test('a snapshot separates the writes before it from those after it', () => {
  const versions = new PageVersions(0x2000);
  versions.mark(0, 8);
  const since = versions.snapshot();
  assert.ok(!versions.changedSince(since, 0, 0x2000));
  versions.mark(0x1000, 8);
  assert.ok(!versions.changedSince(since, 0, 0x1000));
  assert.ok(versions.changedSince(since, 0, 0x1001));
  assert.ok(!versions.changedSince(versions.snapshot(), 0, 0x2000));
});

test('two readers with snapshots of their own do not disturb each other', () => {
  const versions = new PageVersions(0x1000);
  const first = versions.snapshot();
  versions.mark(0, 1);
  const second = versions.snapshot();
  assert.ok(versions.changedSince(first, 0, 1));
  assert.ok(!versions.changedSince(second, 0, 1));
});

test('the last pages below 4 GiB can be marked', () => {
  const versions = new PageVersions(2 ** 32);
  versions.mark(2 ** 32 - 4096, 4096);
  assert.equal(versions.versionAt(2 ** 32 - 1), versions.epoch);
  assert.equal(versions.versionAt(2 ** 32 - 4097), 0);
});

test('epochs never wrap around silently', () => {
  const versions = new PageVersions(0x1000);
  versions.words[0] = 0xffff_ffff;
  assert.throws(() => versions.snapshot(), /used up/);
});

test('other threads see the words: they are shared and laid out as documented', () => {
  const versions = new PageVersions(0x3000);
  versions.snapshot();
  versions.mark(0x2000, 1);
  assert.ok(versions.words.buffer instanceof SharedArrayBuffer);
  assert.deepEqual([...versions.words], [2, 0, 0, 2]);
});
