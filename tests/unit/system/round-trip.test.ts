// Every object of a PcBoard survives a checkpoint: after random accesses to all devices, a new board that restores it saves
// the same, and goes on in the same way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IO_SPACE_BASE } from '../../../src/arch/x86/address-spaces.ts';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { Random } from '../../support/random.ts';
import { stateOf } from '../../support/state-of.ts';
import { volatileDirectory } from '../../support/volatile-directory.ts';
import { testBoard } from './board.ts';

const ROUNDS = 8;
const ACCESSES_PER_ROUND = 400;
const MS_PER_ROUND = 3;

type Board = ReturnType<typeof testBoard>;

/** The test device is missing: of a line that it shares with another device, the last level counts, not the state of both. */
const fullBoard = (): Board => testBoard({ iommu: 'intel', edu: true });

/** Starting up schedules events, too: the numbers that order events of the same tick are others then. */
function withoutOrder({ root }: Board): unknown {
  const drop = (key: string, value: unknown) => (key === 'order' ? undefined : value);
  return JSON.parse(JSON.stringify(stateOf(root), drop));
}

/** Runs to a time, whatever exit events the guest causes on the way. */
async function until({ until: runUntil, root }: Board, ms: number): Promise<void> {
  while (root.curTick < BigInt(ms) * 1_000_000_000n) await runUntil(ms);
}

function access(machine: Board, random: Random): void {
  const { board } = machine;
  const { start, sizeBytes } = random.pick(random.pick(board.devices).addrRanges());
  const size = random.pick([1, 1, 1, 2, 4]);
  const address = start + random.below(Math.max(1, sizeBytes - size));
  const isPort = address >= IO_SPACE_BASE;
  const [read, write] = isPort ? [machine.in, machine.out] : [machine.load, machine.store];
  const at = isPort ? address - IO_SPACE_BASE : address;
  if (random.oneIn(2)) read(at, size);
  else write(at, random.u32() >>> (32 - 8 * size), size);
}

test('after random accesses a restored board saves the same, and goes on in the same way', async (t) => {
  const directory = `${volatileDirectory(t)}/cpt`;
  const random = new Random(1);
  let machine = fullBoard();
  machine.spin();
  for (let round = 1; round <= ROUNDS; round++) {
    await until(machine, (2 * round - 1) * MS_PER_ROUND);
    for (let i = 0; i < ACCESSES_PER_ROUND; i++) access(machine, random);
    machine.store(0x1000 + 4 * round, random.u32());
    machine.board.cpu.readState(0).setGprNumber(Gpr.RBX, round);
    await machine.simulator.checkpoint(directory);
    const saved = stateOf(machine.root);

    const copy = fullBoard();
    copy.simulator.restore(directory);
    assert.deepEqual(stateOf(copy.root), saved, `round ${round}`);
    assert.equal(copy.load(0x1000 + 4 * round), machine.load(0x1000 + 4 * round));

    const end = 2 * round * MS_PER_ROUND;
    await until(machine, end);
    await until(copy, end);
    assert.deepEqual(withoutOrder(copy), withoutOrder(machine), `behind round ${round}`);
    machine = copy;
  }
});
