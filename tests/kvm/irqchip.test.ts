// The kernel's interrupt controllers on a real vCPU: a line interrupts the guest, HLT stays in the kernel, and the state of
// all controllers survives a checkpoint into a new machine.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Activity, activityOf } from '../../src/arch/x86/processor-reset.ts';
import { RegClass } from '../../src/arch/x86/thread-context.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { bareMachine, CODE } from '../support/bare-machine.ts';
import { kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';

const MS = 1e9;
/** Far beyond what the slowest host needs. */
const LIMIT = 60_000 * MS;
const READY = 'w 0x84 00';
const HANDLED = 'w 0x80 aa';
const out = (port: number, value: number) => [0xb0, value, 0xe6, port];
const HANDLER = 0x2000;
const IRQ = 3;
const BASE_VECTOR = 0x20;

/** Programs the first 8259 (vectors from 0x20, only IRQ 3 open), then halts with interrupts on for ever. */
const PROGRAM = [
  ...out(0x20, 0x11),
  ...out(0x21, BASE_VECTOR),
  ...out(0x21, 4),
  ...out(0x21, 1),
  ...out(0x21, 0xff & ~(1 << IRQ)),
  ...out(0x84, 0), // ready
  0xfb, // sti
  0xf4, // hlt
  ...[0xeb, 0xfd], // jmp to the hlt
];

function machine() {
  const m = bareMachine(after, PROGRAM, { inKernel: true });
  // Writes to port 0x80, ends the interrupt, returns.
  const handler = [...out(0x80, 0xaa), ...out(0x20, 0x20), 0xcf];
  m.memory.write(HANDLER as PhysAddr, Uint8Array.from(handler));
  m.memory.writeU32((4 * (BASE_VECTOR + IRQ)) as PhysAddr, HANDLER);
  const line = m.irqchip!.input(IRQ);
  /** Simulates until the guest has written this. Until then it may sleep in the kernel, in host time. */
  const runUntil = async (wanted: string): Promise<void> => {
    m.device.onAccess = (seen) => {
      if (seen === wanted) m.simulator.requestExit(wanted);
    };
    assert.equal((await m.run(LIMIT)).cause, wanted);
  };
  return { ...m, line, runUntil };
}

describe('an in-kernel irqchip', { skip: kvmIsMissing() }, () => {
  test('a line interrupts the halted guest, once per edge; the 8259’s ports do not leave the kernel', async () => {
    const m = machine();
    await m.runUntil(READY);
    m.line.setLevel(true);
    await m.runUntil(HANDLED);
    m.line.setLevel(false);
    m.at(20 * MS, () => m.line.setLevel(true));
    await m.runUntil(HANDLED);
    assert.deepEqual(m.device.log, [READY, HANDLED, HANDLED]);
    assert.equal(m.cpu.stats.numHalt.value, 0, 'HLT stays in the kernel');
    assert.equal(m.cpu.isHaltedForGood, false);
  });

  test('a checkpoint of the halted guest goes on in a new machine with its controllers', async (t) => {
    const directory = scratchDirectory(t);
    const source = machine();
    await source.runUntil(READY);
    const isHalted = () => activityOf(source.cpu.readState(RegClass.events)) === Activity.halted;
    for (let i = 0; i < 100 && !isHalted(); i++) {
      const here = Number(source.root.curTick);
      await source.run(here + 20 * MS);
      await source.simulator.drain();
    }
    assert.ok(isHalted());
    await source.simulator.checkpoint(`${directory}/cpt`);
    const { pics, localApics } = source.irqchip!.readState();
    assert.equal(pics[0].imr, 0xff & ~(1 << IRQ));
    assert.equal(pics[0].irqBase, BASE_VECTOR);

    const target = machine();
    target.memory.writeU32(CODE as PhysAddr, 0);
    target.simulator.restore(`${directory}/cpt`);
    target.at(20 * MS, () => target.line.setLevel(true));
    await target.runUntil(HANDLED);
    assert.deepEqual(target.device.log, [HANDLED]);
    const now = target.irqchip!.readState();
    assert.equal(now.pics[0].imr, pics[0].imr);
    const identity = (state: typeof now) => state.localApics.get(0)!.registers.slice(0, 4);
    assert.deepEqual(identity(now), identity({ ...now, localApics }));
  });
});
