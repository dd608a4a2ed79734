// Checkpoints of a whole machine at awkward moments, on a real vCPU: in the middle of string I/O, halted, with an interrupt on
// its way. A new machine goes on from them as if nothing had been.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { MsrIndex } from '../../src/arch/x86/msrs.ts';
import { RegClass } from '../../src/arch/x86/thread-context.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { type BareMachineOptions, bareMachine } from '../support/bare-machine.ts';
import { kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';

/** Far beyond what the slowest host needs; a halted guest gets there at once. */
const LIMIT = 60_000e9;
const HANDLER = 0x2000;
const VECTOR = 0x40;
const out = (port: number, value: number) => [0xb0, value, 0xe6, port];

function machine(code: readonly number[], options: BareMachineOptions = {}) {
  const m = bareMachine(after, code, options);
  m.memory.write(HANDLER as PhysAddr, Uint8Array.of(...out(0x80, 0xee), 0xcf));
  m.memory.writeU32((4 * VECTOR) as PhysAddr, HANDLER);
  return m;
}

describe('a checkpoint of a whole machine', { skip: kvmIsMissing() }, () => {
  for (const alwaysSyncTC of [false, true]) {
    test(`in the middle of string output loses and repeats nothing, alwaysSyncTC ${alwaysSyncTC}`, async (t) => {
      const directory = scratchDirectory(t);
      const count = 1200;
      // mov si, 0x3000; mov cx, 1200; mov dx, 0x70; cld; rep outsb; hlt
      const code = [0xbe, 0, 0x30, 0xb9, count & 0xff, count >> 8, 0xba, 0x70, 0, 0xfc, 0xf3, 0x6e, 0xf4];
      const fresh = () => {
        const m = machine(code, { params: { alwaysSyncTC } });
        for (let i = 0; i < count; i++) m.memory.writeU8((0x3000 + i) as PhysAddr, i % 251);
        return m;
      };
      const source = fresh();
      source.device.onAccess = () => {
        if (source.device.log.length === 500) source.simulator.requestExit('enough');
      };
      assert.equal((await source.run(LIMIT)).cause, 'enough');
      await source.simulator.checkpoint(`${directory}/cpt`);
      const before = [...source.device.log];
      assert.ok(before.length < count, 'the checkpoint is in the middle');

      const target = fresh();
      target.simulator.restore(`${directory}/cpt`);
      await target.run(2 * LIMIT);
      const written = [...before, ...target.device.log].map((line) => Number.parseInt(line.slice(-2), 16));
      assert.deepEqual(
        written,
        Array.from({ length: count }, (_, i) => i % 251),
      );
      assert.equal(target.cpu.isHaltedForGood, true);
    });
  }

  test('while halted, the restored guest still sleeps, and an interrupt wakes it', async (t) => {
    const directory = scratchDirectory(t);
    const code = [0xfb, 0xf4, ...out(0x82, 1), 0xfa, 0xf4];
    const source = machine(code);
    await source.run(LIMIT);
    assert.equal(source.cpu.kvmState, 'Idle');
    await source.simulator.checkpoint(`${directory}/cpt`);

    const target = machine([0xf4]);
    target.simulator.restore(`${directory}/cpt`);
    await target.run(2 * LIMIT);
    assert.deepEqual(target.device.log, []);
    assert.equal(target.cpu.isHaltedForGood, false);
    target.apic.vectors.push(VECTOR);
    target.cpu.wakeup();
    await target.run(3 * LIMIT);
    assert.deepEqual(target.device.log, ['w 0x80 ee', 'w 0x82 01']);
  });

  test('with an interrupt on its way, it is delivered before or behind the checkpoint, once', async (t) => {
    const directory = scratchDirectory(t);
    // out 0x84; sti; nop; 60,000 × loop; cli; hlt: the interrupt comes at the first exit.
    const code = [...out(0x84, 0), 0xfb, 0x90, 0xb9, 0x60, 0xea, 0xe2, 0xfe, 0xfa, 0xf4];
    const source = machine(code);
    source.device.onAccess = (line) => {
      if (!line.startsWith('w 0x84')) return;
      source.apic.vectors.push(VECTOR);
      source.simulator.requestExit('now');
    };
    assert.equal((await source.run(LIMIT)).cause, 'now');
    await source.simulator.checkpoint(`${directory}/cpt`);
    const target = machine(code);
    target.apic.vectors.push(...source.apic.vectors);
    target.simulator.restore(`${directory}/cpt`);
    await target.run(2 * LIMIT);
    assert.deepEqual([...source.device.log, ...target.device.log], ['w 0x84 00', 'w 0x80 ee']);
  });

  test('the TSC does not go backwards', async (t) => {
    const directory = scratchDirectory(t);
    // rdtsc; mov [0x3000], eax; mov [0x3004], edx; out 0x84, al; jmp
    const code = [0x0f, 0x31, 0x66, 0xa3, 0, 0x30, 0x66, 0x89, 0x16, 4, 0x30, 0xe6, 0x84, 0xeb, 0xf1];
    const counting = () => {
      const m = machine(code);
      const seen: bigint[] = [];
      m.device.onAccess = () => {
        seen.push(m.memory.readU64(0x3000 as PhysAddr));
        if (seen.length === 30) m.simulator.requestExit('enough');
      };
      return { ...m, seen };
    };
    const source = counting();
    await source.run(LIMIT);
    await source.simulator.checkpoint(`${directory}/cpt`);
    const shown = source.cpu.readState(RegClass.msr).msr(MsrIndex.TSC)!;
    const target = counting();
    target.simulator.restore(`${directory}/cpt`);
    await target.run(2 * LIMIT);
    const seen = [...source.seen, ...target.seen];
    for (const [i, value] of seen.entries()) assert.ok(i === 0 || value > seen[i - 1]!, `${seen.join(' ')}`);
    assert.ok(shown >= source.seen.at(-1)!, `the thread context shows ${shown}, the guest saw ${seen[29]}`);
  });
});
