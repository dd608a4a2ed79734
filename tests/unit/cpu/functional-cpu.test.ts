// The functional CPU as a simulated object: its time, instruction stops, services of the operating system, drain, switches,
// checkpoints, and changing translations. What instructions do is tested elsewhere.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PagePreset } from '../../../src/arch/x86/page-table.ts';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import { switchCpus } from '../../../src/cpu/switch-cpus.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { ExitCause } from '../../../src/sim/exit-event.ts';
import { CODE, CYCLE, DATA, functionalSystem, X86 } from '../../support/functional-system.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { Random } from '../../support/random.ts';

describe('time', () => {
  test('one instruction per cycle', async () => {
    const m = functionalSystem(X86.count);
    const { cause } = await m.run(5_000_000 * CYCLE);
    assert.equal(cause, ExitCause.limitReached);
    assert.ok(Math.abs(m.insts() - 5_000_000) <= 1, `${m.insts()}`);
    assert.equal(m.cpu.stats.numCycles.value, m.insts());
    assert.equal(m.cpu.busyTicks, m.insts() * CYCLE);
  });

  test('an event finds executed what began before it', async () => {
    const m = functionalSystem(X86.count);
    const seen: number[] = [];
    for (const ticks of [1, 7 * CYCLE, 10 * CYCLE - 1, 10 * CYCLE + 1, 99_999 * CYCLE])
      m.at(ticks, () => seen.push(m.insts()));
    await m.run(100_000 * CYCLE);
    assert.deepEqual(seen, [1, 7, 10, 11, 99_999]);
  });

  test('events on the way change nothing of what is executed', async () => {
    const alone = functionalSystem(X86.work);
    await alone.run(50_000 * CYCLE);
    const crowded = functionalSystem(X86.work);
    const random = new Random(5);
    for (let i = 0; i < 500; i++) crowded.at(random.below(50_000 * CYCLE), () => {});
    await crowded.run(50_000 * CYCLE);
    assert.equal(crowded.root.curTick, alone.root.curTick);
    assert.equal(crowded.insts(), alone.insts());
    assert.deepEqual(crowded.cpu.readState(RegClass.all).diff(alone.cpu.readState(RegClass.all)), []);
  });

  test('RDTSC: the cycles before it, wherever in a run it is executed', async () => {
    const m = functionalSystem(X86.clock);
    const random = new Random(3);
    for (let i = 0; i < 300; i++) m.at(random.below(500_000 * CYCLE), () => {});
    const { cause } = await m.run(500_000 * CYCLE);
    assert.equal(cause, ExitCause.limitReached, m.os.log.join());
    const first = functionalSystem([0x48, 0x83, 0xc3, 0x01, ...X86.clock]);
    first.cpu.scheduleInstStop(2, 'stop');
    await first.run();
    assert.equal(first.cpu.readState(RegClass.general).gpr(Gpr.RAX), 1n);
  });

  test('time without work is idle', async () => {
    const m = functionalSystem(X86.count);
    m.at(1000 * CYCLE, () => m.cpu.suspendContext());
    m.at(3000 * CYCLE, () => m.cpu.wakeup());
    await m.run(4000 * CYCLE);
    assert.ok(Math.abs(m.insts() - 2000) <= 1, `${m.insts()}`);
    assert.ok(Math.abs(m.cpu.stats.numCycles.value - 4000) <= 1);
    assert.equal(m.cpu.busyTicks, m.insts() * CYCLE);
  });

  test('a halted thread is not woken', async () => {
    const m = functionalSystem(X86.count);
    m.at(10 * CYCLE, () => m.cpu.haltContext());
    m.at(20 * CYCLE, () => m.cpu.wakeup());
    await m.run(100 * CYCLE);
    assert.equal(m.insts(), 10);
  });
});

describe('instruction stops', () => {
  test('come exactly, wherever they are in a block', async () => {
    const m = functionalSystem(X86.work);
    for (let [insts, total] = [1, 1]; insts <= 40; insts++, total += insts) {
      m.cpu.scheduleInstStop(insts, 'enough', 3);
      const { cause, code } = await m.run();
      assert.deepEqual([cause, code, m.insts()], ['enough', 3, total]);
    }
  });

  test('come one after the other, and after a switch', async () => {
    const m = functionalSystem(X86.count);
    for (const insts of [10_000, 123, 124]) m.cpu.scheduleInstStop(insts, `at ${insts}`);
    assert.equal((await m.run()).cause, 'at 123');
    assert.equal((await m.run()).cause, 'at 124');
    await switchCpus(m.simulator, [[m.cpu, m.spare]]);
    assert.equal((await m.run()).cause, 'at 10000');
    assert.equal(m.insts() + m.insts(m.spare), 10_000);
  });
});

describe('services', () => {
  test('SYSCALL: RIP and RCX behind it, R11 the flags; what the system leaves goes on', async () => {
    const m = functionalSystem([...X86.syscall, ...X86.count]);
    m.os.onSyscall = (tc) => {
      assert.equal(tc.ripNumber, CODE + 2);
      assert.equal(tc.gprNumber(Gpr.RCX), CODE + 2);
      assert.equal(tc.gprNumber(Gpr.R11), tc.rflags);
      assert.equal(m.root.curTick, BigInt(CYCLE), 'behind its cycle');
      tc.setGprNumber(Gpr.RBX, 1000);
    };
    await m.run(20 * CYCLE + 1);
    assert.equal(m.rbx(), 1010);
    assert.equal(m.cpu.stats.numUserSyscalls.value, 1);
  });

  test('a page fault: CR2 and error code; with the page there the instruction is executed', async () => {
    const m = functionalSystem([...X86.load, ...X86.syscall]);
    m.cpu.os = m.os;
    const [there, absent] = [m.os.frame() as PhysAddr, PagePreset.userReadWrite & ~1];
    m.memory.writeU64(there, 0x1234n);
    m.os.mapReserved(DATA, there, absent);
    m.os.onException = ({ vector, errorCode, address }) => {
      assert.deepEqual([vector, errorCode, address], [14, 4, BigInt(DATA)]);
      m.os.mapReserved(DATA, there, PagePreset.userReadWrite);
    };
    assert.equal((await m.run()).cause, 'exit');
    assert.equal(m.cpu.readState(RegClass.general).gpr(Gpr.RAX), 0x1234n);
    assert.equal(m.insts(), 2);
    assert.deepEqual(m.os.log, [`exception 14 at 0x${CODE.toString(16)}`, `syscall 4660 at 0x40000a`]);
  });

  test('an instruction that nobody knows is said, with its bytes; UD2 is not', async () => {
    const undefinedOpcode = [0x0f, 0x04, 0x11, 0x22];
    const m = functionalSystem(undefinedOpcode);
    assert.equal((await m.run()).cause, 'fault');
    assert.match(m.warnings.join('\n'), /cpu: does not know the instruction at 0x400000: 0f 04 11 22/);
    assert.match(m.lines.join('\n'), /cpu: #UD at 0x400000: 0f 04 11 22/);
    const meant = functionalSystem(X86.ud2);
    assert.equal((await meant.run()).cause, 'fault');
    assert.deepEqual(meant.warnings, []);
    assert.match(meant.lines.join('\n'), /cpu: #UD at 0x400000: 0f 0b/);
  });

  test('an address that is not canonical: #GP', async () => {
    const m = functionalSystem(X86.count);
    m.at(10 * CYCLE, () => m.cpu.modifyState(RegClass.general).setGpr(Gpr.RBX, 0n));
    m.at(10 * CYCLE, () => {
      m.cpu.modifyState(RegClass.general).rip = 0x8000_0000_0000n;
    });
    assert.equal((await m.run()).cause, 'fault');
    assert.deepEqual(m.os.log, ['exception 13 at 0x800000000000']);
  });
});

describe('drain, switch, checkpoint', () => {
  /** Runs for so long, with the other CPU taking over at these ticks. */
  async function switched(ticks: readonly number[], end: number) {
    const m = functionalSystem(X86.work);
    m.os.onSyscall = (tc) => tc.setGprNumber(Gpr.RDX, tc.gprNumber(Gpr.RDX) + 777);
    let [from, to] = [m.cpu, m.spare];
    for (const tick of ticks) {
      await m.run(tick);
      await switchCpus(m.simulator, [[from, to]]);
      [from, to] = [to, from];
    }
    await m.run(end);
    return { ...m, current: from };
  }

  test('switches at any time leave no trace in what is executed', async () => {
    const end = 200_000 * CYCLE;
    const straight = await switched([], end);
    const random = new Random(9);
    const ticks = Array.from({ length: 60 }, () => random.below(end)).sort((a, b) => a - b);
    const m = await switched(ticks, end);
    assert.equal(m.insts() + m.insts(m.spare), straight.insts());
    assert.deepEqual(m.current.readState(RegClass.all).diff(straight.cpu.readState(RegClass.all)), []);
    assert.equal(m.current.busyTicks, straight.cpu.busyTicks);
    assert.deepEqual(m.os.log, straight.os.log);
  });

  test('code that has changed while another CPU executed is decoded anew', async () => {
    const m = functionalSystem(X86.count);
    await m.run(1000 * CYCLE);
    await switchCpus(m.simulator, [[m.cpu, m.spare]]);
    // Nobody marks it: as a KVM guest writes.
    new Uint8Array(m.memory.memory.buffer)[m.memory.linear(m.codeFrame) + 3] = 5;
    await switchCpus(m.simulator, [[m.spare, m.cpu]]);
    const before = m.rbx();
    await m.run(1100 * CYCLE);
    assert.equal(m.rbx() - before, 250);
  });

  test('a checkpoint goes on as the run did', async (t) => {
    const directory = join(scratchDirectory(t), 'cpt');
    const m = functionalSystem(X86.work);
    await m.run(12_345 * CYCLE + 17);
    await m.simulator.checkpoint(directory);
    await m.run(20_000 * CYCLE);
    const restored = functionalSystem(X86.ud2);
    restored.simulator.restore(directory);
    await restored.run(20_000 * CYCLE);
    assert.deepEqual(restored.cpu.readState(RegClass.all).diff(m.cpu.readState(RegClass.all)), []);
    assert.equal(restored.memory.readU64(restored.dataFrame), m.memory.readU64(m.dataFrame));
  });

  test('random numbers go on behind a checkpoint', async (t) => {
    const directory = join(scratchDirectory(t), 'cpt');
    const rdrand = [0x48, 0x0f, 0xc7, 0xf3, 0xeb, 0xfa]; // 1: rdrand rbx; jmp 1b
    const m = functionalSystem(rdrand, { features: 'max' });
    await m.run(1001 * CYCLE);
    const saved = m.rbx();
    await m.simulator.checkpoint(directory);
    await m.run(2001 * CYCLE);
    const restored = functionalSystem(X86.ud2, { features: 'max' });
    restored.simulator.restore(directory);
    await restored.run(2001 * CYCLE);
    assert.notEqual(m.rbx(), saved);
    assert.equal(restored.rbx(), m.rbx());
  });
});

describe('translations that change', () => {
  test('of data: the next access finds the new page', async () => {
    const m = functionalSystem([...X86.load, 0xeb, 0xf6]);
    await m.run(100 * CYCLE);
    const other = m.os.frame() as PhysAddr;
    m.memory.writeU64(other, 77n);
    m.os.mapReserved(DATA, other, PagePreset.userReadWrite);
    m.cpu.translationsChanged(DATA, 4096);
    await m.run(200 * CYCLE);
    assert.equal(m.cpu.readState(RegClass.general).gpr(Gpr.RAX), 77n);
  });

  test('of code: the code of the new page is executed', async () => {
    for (const sizeBytes of [4096, 64 << 20]) {
      const m = functionalSystem(X86.count);
      await m.run(100 * CYCLE);
      const other = m.os.frame() as PhysAddr;
      m.memory.write(other, Uint8Array.from([...X86.count].with(3, 100)));
      m.os.mapReserved(CODE, other, PagePreset.userReadExecute);
      m.cpu.translationsChanged(CODE, sizeBytes);
      const before = m.rbx();
      await m.run(110 * CYCLE);
      assert.equal(m.rbx() - before, 500);
    }
  });
});
