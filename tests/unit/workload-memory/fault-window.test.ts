import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultWindows, type Window } from '../../../src/workload/linux/fault-window.ts';
import { Machine, MIB, PAGE } from './machine.ts';

const SIZE = { initial: 4, max: 64 };

function pages({ start, end }: Window): [number, number] {
  return [start / PAGE, end / PAGE];
}

test('a lone fault takes the aligned block around it, clipped to the area', () => {
  const windows = new FaultWindows();
  assert.deepEqual(pages(windows.next(6 * PAGE, 0, 100 * PAGE, SIZE)), [4, 8]);
  assert.deepEqual(pages(windows.next(21 * PAGE, 21 * PAGE, 23 * PAGE, SIZE)), [21, 23]);
});

test('faults that go upwards take four times as much each time, up to the maximum', () => {
  const windows = new FaultWindows();
  const sizes: number[] = [];
  for (let page = 0; page < 300; ) {
    const { start, end } = windows.next(page * PAGE, 0, 1000 * PAGE, SIZE);
    assert.equal(start, page * PAGE);
    sizes.push((end - start) / PAGE);
    page = end / PAGE;
  }
  assert.deepEqual(sizes.slice(0, 5), [4, 16, 64, 64, 64]);
});

test('faults that go downwards grow the same way', () => {
  const windows = new FaultWindows();
  assert.deepEqual(pages(windows.next(103 * PAGE, 0, 200 * PAGE, SIZE)), [100, 104]);
  assert.deepEqual(pages(windows.next(99 * PAGE, 0, 200 * PAGE, SIZE)), [84, 100]);
  assert.deepEqual(pages(windows.next(83 * PAGE, 50 * PAGE, 200 * PAGE, SIZE)), [50, 84]);
});

test('interleaved walks do not disturb each other', () => {
  const windows = new FaultWindows();
  const next = [0, 10_000, 20_000, 30_000];
  for (let round = 0; round < 3; round++) {
    for (const [i, page] of next.entries()) {
      next[i] = windows.next(page * PAGE, 0, 100_000 * PAGE, SIZE).end / PAGE;
    }
  }
  assert.deepEqual(next, [84, 10_084, 20_084, 30_084]);
});

/** Faults that a walk over `[va, va + length)` takes, a page at a time. */
function faultsOfWalk(machine: Machine, va: number, length: number, step: number): number {
  let faults = 0;
  const first = step > 0 ? va : va + length - PAGE;
  for (let page = first; page >= va && page < va + length; page += step) {
    if (isPresent(machine, page)) continue;
    faults++;
    assert.equal(machine.space.handleFault(page, { write: true, fetch: false }), 'resolved');
  }
  return faults;
}

function isPresent(machine: Machine, va: number): boolean {
  const residency = machine.space.mincore(va, PAGE);
  return typeof residency !== 'number' && residency[0] === 1;
}

test('clearing 100 MB of fresh memory takes fewer than 50 faults, upwards and downwards', () => {
  for (const step of [PAGE, -PAGE]) {
    const machine = new Machine(160 * MIB);
    const va = machine.map({ length: 100 * MIB });
    const faults = faultsOfWalk(machine, va, 100 * MIB, step);
    assert.ok(faults < 50, `${faults} faults with step ${step}`);
  }
});

test('memory of up to 1 MiB is there when mmap and brk return, without a fault', () => {
  const machine = new Machine(64 * MIB);
  assert.equal(faultsOfWalk(machine, machine.map({ length: MIB }), MIB, PAGE), 0);
  machine.space.startHeap(0x1000_0000);
  machine.space.brk(0x1000_0000 + 135_168);
  assert.equal(faultsOfWalk(machine, 0x1000_0000, 135_168, PAGE), 0);
});

test('a window never takes more than a sixteenth of the free frames', () => {
  const machine = new Machine(4 * MIB);
  const va = machine.map({ length: 4 * MIB });
  const before = machine.frames.freeFrames;
  machine.space.handleFault(va, { write: true, fetch: false });
  const tables = 3;
  assert.ok(before - machine.frames.freeFrames <= before / 16 + tables);
});
