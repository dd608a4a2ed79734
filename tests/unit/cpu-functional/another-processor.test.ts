// RAM in the hands of another processor, which marks nothing of what it writes; and code whose pages move.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PagePreset } from '../../../src/arch/x86/page-table.ts';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { CODE, FunctionalMachine } from '../../support/functional-machine.ts';

const WAYS = ['never', 'hot', 'always'] as const;
/** 1: add rbx, 1; jmp 1b */
const COUNT = [0x48, 0x83, 0xc3, 0x01, 0xeb, 0xfa];
/** Offset of its immediate. */
const STEP = 3;
const PAGE = 4096;
/** Enough for all that is hot to be translated, in large regions, too. */
const LONG = 400_000;

/** Instructions that are executed change RBX by so much. */
function progress(m: FunctionalMachine, instructions: number): number {
  const before = m.tc.gprNumber(Gpr.RBX);
  m.engine.run(instructions);
  return m.tc.gprNumber(Gpr.RBX) - before;
}

/** Another processor's write. */
function writeUnmarked(m: FunctionalMachine, address: number, value: number): void {
  new Uint8Array(m.memory.memory.buffer)[m.memory.linear(m.physical(address))] = value;
}

for (const translate of WAYS) {
  test(`translate ${translate}: code that the other has written is executed, after each turn of it`, () => {
    const m = new FunctionalMachine({ translate });
    m.load(COUNT);
    assert.equal(progress(m, LONG), LONG / 2);
    for (const step of [3, 5, 5, 7]) {
      m.engine.giveRam();
      writeUnmarked(m, CODE + STEP, step);
      m.engine.takeRam();
      assert.equal(progress(m, LONG), (LONG / 2) * step);
    }
  });

  test(`translate ${translate}: marked writes between two turns count as well`, () => {
    const m = new FunctionalMachine({ translate });
    m.load(COUNT);
    for (const step of [1, 2, 3]) {
      m.write(CODE + STEP, Uint8Array.of(step));
      assert.equal(progress(m, 100), 50 * step);
      m.engine.giveRam();
      m.engine.takeRam();
      assert.equal(progress(m, 100), 50 * step);
    }
  });

  test(`translate ${translate}: of code that goes through two pages, one moves`, () => {
    const m = new FunctionalMachine({ translate });
    // jmp to the second page; there add rbx, 1 and a jump back
    m.load([0xe9, ...u32(PAGE - 5)]);
    const second = [0x48, 0x83, 0xc3, 0x01, 0xe9, ...u32(-(PAGE + 9))];
    m.write(CODE + PAGE, Uint8Array.from(second));
    assert.equal(progress(m, 3 * LONG), LONG);
    const frame = m.os.frame() as PhysAddr;
    m.memory.write(frame, Uint8Array.from(second.with(STEP, 9)));
    m.os.mapReserved(CODE + PAGE, frame, PagePreset.userReadExecute);
    m.engine.flushPages(CODE + PAGE, PAGE);
    assert.equal(progress(m, 3 * LONG), 9 * LONG);
  });
}

test('pages that the other cannot write are compared only once it can: then they are marked', () => {
  let canWrite = false;
  const asked: number[] = [];
  const m = new FunctionalMachine({
    isWritable: (address) => {
      asked.push(address);
      return canWrite;
    },
  });
  m.load(COUNT);
  assert.equal(progress(m, 100), 50);
  for (let turn = 0; turn < 3; turn++) {
    m.engine.giveRam();
    m.engine.takeRam();
    assert.equal(progress(m, 100), 50);
  }
  assert.deepEqual(asked, [CODE], 'asked once');

  // In the other's turn it becomes writable, and is written.
  m.engine.giveRam();
  canWrite = true;
  m.memory.versions.mark(m.memory.linear(m.physical(CODE)), PAGE);
  writeUnmarked(m, CODE + STEP, 3);
  m.engine.takeRam();
  assert.equal(progress(m, 100), 150);
  m.engine.giveRam();
  writeUnmarked(m, CODE + STEP, 5);
  m.engine.takeRam();
  assert.equal(progress(m, 100), 250);
});

function u32(value: number): number[] {
  return [...new Uint8Array(Int32Array.of(value).buffer)];
}
