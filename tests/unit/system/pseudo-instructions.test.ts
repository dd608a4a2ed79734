// Pseudo-instructions through their window, as a guest calls them. Numbers, arguments and causes are gem5's
// (include/gem5/asm/generic/m5ops.h, src/sim/pseudo_inst.cc).

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import type { StatSnapshot } from '../../../src/sim/stats/snapshot.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { testBoard } from './board.ts';

const ARGUMENTS = [Gpr.RDI, Gpr.RSI, Gpr.RDX, Gpr.RCX, Gpr.R8, Gpr.R9];

/** A started machine, and its calls. */
async function guest() {
  const machine = testBoard();
  machine.spin();
  await machine.until(0);
  const call = (fn: number, ...args: readonly bigint[]): number => {
    const context = machine.board.cpu.modifyState(RegClass.general);
    for (const [i, register] of ARGUMENTS.entries()) context.setGpr(register, args[i] ?? 0n);
    return machine.load(0xffff_0000 + (fn << 8));
  };
  return { ...machine, call };
}

test('sum adds its six arguments', async () => {
  const { call } = await guest();
  assert.equal(call(0x23, 1n, 20n, 300n, 4000n, 50_000n, 600_000n), 654_321);
  assert.equal(call(0x23, 2n ** 64n - 1n, 3n), 2, 'modulo 2^64');
});

test('rpns is simulated time in nanoseconds', async () => {
  const { call, until } = await guest();
  await until(3);
  assert.equal(call(0x07), 3_000_000);
});

test('fail ends the loop after its delay, with the code', async () => {
  const { call, until } = await guest();
  call(0x22, 2_000_000n, 9n);
  assert.deepEqual(await until(5), {
    cause: 'm5_fail instruction encountered',
    code: 9,
    tick: 2_000_000_000n,
  });
});

test('work items end the loop with their number, and it can go on', async () => {
  const { call, until } = await guest();
  call(0x5a, 4n);
  call(0x5b, 4n);
  assert.deepEqual(await until(1), { cause: 'workbegin', code: 4, tick: 0n });
  assert.deepEqual(await until(1), { cause: 'workend', code: 4, tick: 0n });
  assert.equal((await until(1)).cause, 'simulate() limit reached');
});

test('checkpoint repeats itself with its period', async () => {
  const { call, until } = await guest();
  call(0x43, 1_000_000n, 2_000_000n);
  const ticks = [await until(10), await until(10)].map(({ cause, tick }) => `${cause} ${tick}`);
  assert.deepEqual(ticks, ['checkpoint 1000000000', 'checkpoint 3000000000']);
});

test('statistics are dumped and reset when the guest asks', async () => {
  const { call, until, simulator } = await guest();
  const dumps: StatSnapshot[] = [];
  simulator.stats.addOutput({ write: (snapshot) => dumps.push(snapshot) });
  await until(2);
  call(0x42);
  await until(3);
  call(0x41, 1_000_000n);
  await until(6);
  const seconds = dumps.map(({ root }) => root.stats.find(({ name }) => name === 'simSeconds'));
  assert.deepEqual(
    seconds.map((stat) => (stat?.kind === 'scalar' ? stat.value : undefined)),
    [0.002, 0.002],
  );
});

test('a number that there is not does nothing', async () => {
  const { call, until } = await guest();
  assert.equal(call(0xff), 0);
  assert.equal((await until(1)).cause, 'simulate() limit reached');
});

test('a delay beyond all time harms nobody', async () => {
  const { call, until } = await guest();
  call(0x21, 2n ** 64n - 1n);
  assert.equal((await until(1)).cause, 'simulate() limit reached');
});

test('what is asked for later goes through a checkpoint', async (t) => {
  const { call, simulator } = await guest();
  const directory = join(scratchDirectory(t), 'saved');
  call(0x22, 2_000_000n, 9n);
  call(0x43, 1_000_000n, 4_000_000n);
  call(0x41, 3_000_000n);
  await simulator.checkpoint(directory);
  const other = testBoard();
  const dumps: bigint[] = [];
  other.simulator.stats.addOutput({ write: () => void dumps.push(other.root.curTick) });
  other.simulator.restore(directory);
  const seen: string[] = [];
  for (let i = 0; i < 4; i++) {
    const { cause, code, tick } = await other.until(6);
    seen.push(`${cause} ${code} at ${tick / 1_000_000_000n} ms`);
  }
  assert.deepEqual(seen, [
    'checkpoint 0 at 1 ms',
    'm5_fail instruction encountered 9 at 2 ms',
    'checkpoint 0 at 5 ms',
    'simulate() limit reached 0 at 6 ms',
  ]);
  assert.deepEqual(dumps, [3_000_000_000n]);
});

test('nothing repeats more often than every 20 µs, and no more than 64 requests wait', async () => {
  const { call, until, root, warnings } = await guest();
  call(0x43, 0n, 1n);
  await until(1);
  assert.equal((await until(1)).tick, 20_000_000n);
  for (let i = 0; i < 100; i++) call(0x41, 10_000_000n);
  assert.equal(root.eventQueue.size, 64);
  assert.equal(warnings.length, 2);
});
