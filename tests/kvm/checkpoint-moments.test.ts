// A guest that is interrupted at pseudo-random moments, in the middle of string I/O, of memory-mapped accesses, of interrupts
// and of halts, prints what it prints undisturbed: whether it is drained and resumed, saved and restored into a new
// machine, or handed from one CPU to another. The expected text is checked against QEMU by the test of the guest itself.

import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { switchCpus } from '../../src/cpu/switch-cpus.ts';
import { isTiming, MEMORY_MODES } from '../../src/mem/memory-mode.ts';
import { FatalError } from '../../src/sim/trouble.ts';
import { IRQCHIPS } from '../../src/system/pc-params.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import {
  expectedOf,
  type Moment,
  MomentsMachine,
  type MomentsOptions,
  upToLastLine,
} from '../support/moments-machine.ts';
import { Random } from '../support/random.ts';
import { volatileDirectory } from '../support/volatile-directory.ts';

const SEED = 1;
/** Moments come this often in an undisturbed run; hosts are not always equally fast. */
const MOMENTS_PER_RUN = 100;
const MOST_MOMENTS = 80;
const FEWEST_MOMENTS = 20;
/** On a host that is slow beyond measure (KVM under emulation) the moments end after this time of the host. */
const PATIENCE_MS = 8_000;
const EXPECTED = expectedOf('checkpoint');

/** What is done to the machine at a moment; returns the machine that goes on. */
type Disturbance = (machine: MomentsMachine) => Promise<MomentsMachine>;

const drainAndResume: Disturbance = async (machine) => {
  await machine.simulator.drain();
  machine.simulator.resume();
  return machine;
};

const toTheOtherCpu: Disturbance = async (machine) => {
  const { cpu, cpus } = machine.board;
  const other = cpus.find((candidate) => candidate !== cpu)!;
  await switchCpus(machine.simulator, [[cpu, other]]);
  assert.equal(machine.board.cpu, other);
  return machine;
};

const toANewMachine =
  (directory: string, options: MomentsOptions, spares = 0): Disturbance =>
  async (machine) => {
    await machine.simulator.checkpoint(directory);
    machine.simulator.close();
    const next = new MomentsMachine(after, options, spares);
    next.simulator.restore(directory);
    return next;
  };

/** How long an undisturbed run takes on this host. */
interface Extent {
  readonly ticks: bigint;
  readonly exits: number;
}

/** Half of the moments are in simulated time, half are exits for I/O: there the machine is in the middle of something. */
function* moments({ ticks, exits }: Extent): Generator<Moment> {
  const random = new Random(SEED);
  const twiceMeanUs = Number(ticks / 1_000_000n / BigInt(MOMENTS_PER_RUN / 2));
  const twiceMeanExits = Math.floor(exits / (MOMENTS_PER_RUN / 2));
  for (let i = 0; i < MOST_MOMENTS; i++) {
    const isTime = random.oneIn(2);
    yield isTime
      ? { ticks: BigInt(random.below(twiceMeanUs)) * 1_000_000n }
      : { exits: 1 + random.below(twiceMeanExits) };
  }
}

async function disturbed(t: TestContext, first: MomentsMachine, extent: Extent, disturb: Disturbance) {
  let machine = first;
  let before = '';
  const states: Record<string, number> = {};
  const began = performance.now();
  const isLate = () => performance.now() - began > PATIENCE_MS;
  let count = 0;
  let goesOn = true;
  for (const moment of moments(extent)) {
    goesOn = await machine.run(moment, before);
    if (!goesOn) break;
    count++;
    states[machine.cpuState] = (states[machine.cpuState] ?? 0) + 1;
    const next = await disturb(machine);
    if (next !== machine) before += machine.text;
    machine = next;
    if (isLate()) break;
  }
  const wasLate = isLate();
  while (goesOn) goesOn = await machine.run(undefined, before);
  assert.equal(upToLastLine(before + machine.text), EXPECTED);
  t.diagnostic(`${count} moments: ${JSON.stringify(states)}`);
  assert.ok(wasLate || count >= FEWEST_MOMENTS, `${count} moments only`);
  const inTheMiddle = isTiming(first.board.params.memoryMode)
    ? 'RunningMmioPending'
    : 'RunningServiceCompletion';
  assert.ok((states[inTheMiddle] ?? 0) > 0, `none in ${inTheMiddle}`);
}

const NONCACHING = MEMORY_MODES.filter((mode) => mode.endsWith('Noncaching'));

for (const irqchip of IRQCHIPS)
  for (const memoryMode of NONCACHING)
    describe(`a guest with irqchip ${irqchip}, memory mode ${memoryMode}`, { skip: kvmIsMissing() }, () => {
      const options = { irqchip, memoryMode };
      let extent: Extent = { ticks: 0n, exits: 0 };

      test('prints its text when it is left alone', async () => {
        const machine = new MomentsMachine(after, options).boot();
        while (await machine.run(undefined));
        assert.equal(upToLastLine(machine.text), EXPECTED);
        extent = { ticks: machine.root.curTick, exits: machine.exits };
      });

      test('drained and resumed', (t) =>
        disturbed(t, new MomentsMachine(after, options).boot(), extent, drainAndResume));

      test('saved, and restored into a new machine', (t) => {
        const next = toANewMachine(`${volatileDirectory(t)}/cpt`, options);
        return disturbed(t, new MomentsMachine(after, options).boot(), extent, next);
      });

      if (irqchip === 'kernel') return;

      test('handed from one CPU to another', (t) =>
        disturbed(t, new MomentsMachine(after, options, 1).boot(), extent, toTheOtherCpu));

      test('handed to another CPU, saved, and restored by that one', (t) => {
        const random = new Random(SEED);
        const next = toANewMachine(`${volatileDirectory(t)}/cpt`, options, 2);
        return disturbed(t, new MomentsMachine(after, options, 2).boot(), extent, (machine) =>
          random.oneIn(2) ? next(machine) : toTheOtherCpu(machine),
        );
      });
    });

test('two CPUs with the kernel’s interrupt controllers are refused', { skip: kvmIsMissing() }, async () => {
  const machine = new MomentsMachine(after, { irqchip: 'kernel' }, 1).boot();
  await assert.rejects(machine.run(undefined), (error) => {
    assert.ok(error instanceof FatalError);
    assert.match(error.message, /^board\.irqchip: a second CPU .*; use the simulated interrupt controllers$/);
    return true;
  });
});
