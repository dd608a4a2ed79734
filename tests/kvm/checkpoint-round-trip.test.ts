// Every object of a PcBoard that runs a guest survives a checkpoint: a new board that restores it saves the same, before it
// has a virtual machine and after it has given its state to one.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { IRQCHIPS } from '../../src/system/pc-params.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import { MomentsMachine } from '../support/moments-machine.ts';
import { Random } from '../support/random.ts';
import { stateOf } from '../support/state-of.ts';
import { volatileDirectory } from '../support/volatile-directory.ts';

const MOMENTS = 10;
const MOST_EXITS_BETWEEN = 600;

/** Indices of a local APIC's registers: the timer's count, and pending interrupts 0x40–0x5f, with the timer's in this guest. */
const HOST_TIMED_REGISTERS = [0x39, 0x22];

/** The saved state but for what the kernel's timers change all the time, drained or not. */
function lastingState({ root }: MomentsMachine) {
  const state = stateOf(root);
  const controllers = state['board.irqchip']?.controllers as unknown as Controllers | undefined;
  for (const { registers } of Object.values(controllers?.localApics ?? {}))
    for (const index of HOST_TIMED_REGISTERS) registers[index] = 0;
  return state;
}
interface Controllers {
  readonly localApics: Record<string, { readonly registers: number[] }>;
}

describe('what is restored is saved again', { skip: kvmIsMissing() }, () => {
  for (const irqchip of IRQCHIPS)
    test(`with irqchip ${irqchip}`, async (t) => {
      const directory = `${volatileDirectory(t)}/cpt`;
      const random = new Random(1);
      let machine = new MomentsMachine(after, { irqchip }, irqchip === 'simulated' ? 1 : 0).boot();
      for (let moment = 0; moment < MOMENTS; moment++) {
        await machine.run({ exits: 1 + random.below(MOST_EXITS_BETWEEN) });
        await machine.simulator.drain();
        const saved = lastingState(machine);
        await machine.simulator.checkpoint(directory);
        assert.deepEqual(lastingState(machine), saved, 'saving changes nothing');
        machine.simulator.close();

        machine = new MomentsMachine(after, { irqchip }, irqchip === 'simulated' ? 1 : 0);
        machine.simulator.restore(directory);
        assert.deepEqual(lastingState(machine), saved, `moment ${moment}, restored`);
        await machine.simulator.checkpoint(directory);
        await machine.simulator.drain();
        const { root, ...started } = lastingState(machine);
        const { root: _, ...wanted } = saved;
        assert.deepEqual(started, wanted, `moment ${moment}, started`);
      }
    });
});
