import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddrRange, asPhysAddr, physAdd } from '../../../src/mem/addr.ts';

test('an address is a whole number from 0 to 2^53 - 1', () => {
  assert.equal(asPhysAddr(0), 0);
  assert.equal(asPhysAddr(2 ** 52), 2 ** 52);
  for (const bad of [-1, 0.5, 2 ** 53, NaN, Infinity]) assert.throws(() => asPhysAddr(bad), RangeError);
  assert.equal(physAdd(asPhysAddr(0x1000), 8), 0x1008);
});

test('a range holds its start and not its end', () => {
  const range = new AddrRange(0x1000, 0x3000);
  assert.ok(range.contains(asPhysAddr(0x1000)));
  assert.ok(!range.contains(asPhysAddr(0xfff)));
  assert.ok(range.contains(asPhysAddr(0x2fff)));
  assert.ok(!range.contains(asPhysAddr(0x3000)));
});

test('a span is contained only as a whole', () => {
  const range = AddrRange.ofSize(0x1000, 0x1000);
  assert.ok(range.contains(asPhysAddr(0x1ff8), 8));
  assert.ok(!range.contains(asPhysAddr(0x1ff9), 8));
  assert.ok(!range.contains(asPhysAddr(0xfff), 8));
});

test('ranges that only touch do not intersect', () => {
  const range = new AddrRange(0x1000, 0x2000);
  assert.ok(!range.intersects(new AddrRange(0x2000, 0x3000)));
  assert.ok(!range.intersects(new AddrRange(0, 0x1000)));
  assert.ok(range.intersects(new AddrRange(0x1fff, 0x3000)));
  assert.ok(range.intersects(new AddrRange(0, 0x1001)));
  assert.ok(range.intersects(new AddrRange(0, 0x10_0000)));
});

test('subset and equality', () => {
  const range = new AddrRange(0x1000, 0x2000);
  assert.ok(range.isSubsetOf(new AddrRange(0x1000, 0x2000)));
  assert.ok(!new AddrRange(0, 0x2000).isSubsetOf(range));
  assert.ok(range.equals(AddrRange.ofSize(0x1000, 0x1000)));
  assert.ok(!range.equals(AddrRange.ofSize(0x1000, 0x1001)));
});

test('an empty or reversed range is refused', () => {
  assert.throws(() => new AddrRange(0x1000, 0x1000), /empty/);
  assert.throws(() => new AddrRange(0x2000, 0x1000), /empty/);
});

test('a range is printed as gem5 prints it', () => {
  assert.equal(String(new AddrRange(0, 0x2000_0000)), '[0x0:0x20000000)');
});
