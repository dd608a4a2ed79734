// What every CPU model does, whichever way it executes instructions: the run loop and its time, system calls and exceptions of
// user code, drain, activation, stops after instructions, access to registers, switches, checkpoints, code that changes itself.
// The same bodies run on the interpreter, the translator and the KVM CPU; DESIGN calls them the CPU specification suite.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { PagePreset } from '../../src/arch/x86/page-table.ts';
import { Gpr, Rflags, Seg } from '../../src/arch/x86/registers.ts';
import { OFFSET, RegClass, STRIDE } from '../../src/arch/x86/thread-context.ts';
import { LinuxSelector, USER_CODE_32 } from '../../src/arch/x86/user-mode.ts';
import { switchCpus } from '../../src/cpu/switch-cpus.ts';
import type { UserException } from '../../src/cpu/user-mode-os.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { ExitCause, type ExitEvent } from '../../src/sim/exit-event.ts';
import { FatalError } from '../../src/sim/trouble.ts';
import { scratchDirectory } from '../support/hypertick.ts';
import {
  CODE,
  CPU_MODELS,
  type CpuModel,
  DATA,
  STACK,
  type UserSystem,
  userSystem,
  whyNo,
} from '../support/user-system.ts';

const MICROSECOND = 1_000_000;
const MILLISECOND = 1000 * MICROSECOND;

/** x86-64 code for these tests. */
const X86 = {
  syscall: [0x0f, 0x05],
  /** 1: add rbx, 1; jmp 1b */
  count: [0x48, 0x83, 0xc3, 0x01, 0xeb, 0xfa],
  /** 1: add rbx, 1; mov [DATA], rbx; syscall; jmp 1b */
  callForEach: [
    ...[0x48, 0x83, 0xc3, 0x01, 0x48, 0x89, 0x1c, 0x25, 0x00, 0x00, 0x60, 0x00],
    ...[0x0f, 0x05, 0xeb, 0xf0],
  ],
  /** mov rax, [DATA]; syscall */
  load: [0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x60, 0x00, 0x0f, 0x05],
  /** mov byte [0x500010], 0x5a; mov al, [0x500010]; syscall */
  storeToNewPage: [
    ...[0xc6, 0x04, 0x25, 0x10, 0, 0x50, 0, 0x5a, 0x8a, 0x04, 0x25, 0x10, 0, 0x50, 0, 0x0f, 0x05],
  ],
  /** addss xmm1, xmm2; fld1; push rbx; pop rdx; stc; syscall */
  compute: [0xf3, 0x0f, 0x58, 0xca, 0xd9, 0xe8, 0x53, 0x5a, 0xf9, 0x0f, 0x05],
  /** 1: mov eax, 1; add byte [rip − 10], 1 (the constant); syscall; jmp 1b */
  changesItself: [0xb8, 1, 0, 0, 0, 0x80, 0x05, 0xf5, 0xff, 0xff, 0xff, 1, 0x0f, 0x05, 0xeb, 0xf0],
  /** xor edx, edx; div edx */
  divideByZero: [0x31, 0xd2, 0xf7, 0xf2],
  int3: [0x90, 0xcc, 0x0f, 0x05],
  ud2: [0x0f, 0x0b],
} as const satisfies Record<string, readonly number[]>;

function makeSystem(t: TestContext, code: readonly number[], model: CpuModel, spare?: CpuModel): UserSystem {
  const system = userSystem(code, model, spare);
  t.after(() => system.close());
  return system;
}

/** Its n-th system call ends the run; returns the list of RBX at each. */
function endAtCall(m: UserSystem, n: number): number[] {
  const seen: number[] = [];
  m.os.onSyscall = (tc, cpu) => {
    seen.push(tc.gprNumber(Gpr.RBX));
    if (seen.length === n) cpu.root.exitSimLoop('enough');
  };
  return seen;
}

function ascending(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

for (const model of CPU_MODELS) {
  describe(`a CPU: ${model}`, { skip: whyNo(model) }, () => {
    // Entering the guest takes a KVM CPU simulated time, more so when the host is busy.
    const stretch = model === 'kvm' ? 20 * MILLISECOND : 20 * MICROSECOND;
    const system = (t: TestContext, code: readonly number[], spare?: CpuModel) =>
      makeSystem(t, code, model, spare);

    describe('executes', () => {
      test('a system call: RIP and RCX behind it, R11 the flags, and what the system leaves goes on', async (t) => {
        const m = system(t, [...X86.syscall, 0x89, 0xc3, ...X86.syscall]); // syscall; mov ebx, eax; syscall
        const at: number[] = [];
        m.os.onSyscall = (tc, cpu) => {
          at.push(tc.ripNumber, tc.gprNumber(Gpr.RCX));
          assert.equal(tc.gprNumber(Gpr.R11) & Rflags.FIXED, Rflags.FIXED);
          if (at.length === 2) tc.setGprNumber(Gpr.RAX, 1234);
          else cpu.root.exitSimLoop('exit', tc.gprNumber(Gpr.RBX));
        };
        assert.equal((await m.run()).code, 1234);
        assert.deepEqual(at, [CODE + 2, CODE + 2, CODE + 6, CODE + 6]);
      });

      test('integer, x87 and SSE instructions on what the context holds, and puts the results there', async (t) => {
        const m = system(t, X86.compute);
        m.os.onSyscall = (_tc, cpu) => cpu.root.exitSimLoop('exit');
        m.at(0, () => {
          const tc = m.cpu.modifyState(RegClass.all);
          tc.setGpr(Gpr.RBX, 0x1122_3344_5566_7788n);
          new Float32Array(tc.u8.buffer, tc.u8.byteOffset + OFFSET.zmm + STRIDE.zmm, 1)[0] = 1.5;
          new Float32Array(tc.u8.buffer, tc.u8.byteOffset + OFFSET.zmm + 2 * STRIDE.zmm, 1)[0] = 2.25;
        });
        await m.run();
        const tc = m.cpu.readState(RegClass.all);
        assert.equal(tc.gpr(Gpr.RDX), 0x1122_3344_5566_7788n);
        assert.equal(tc.gprNumber(Gpr.R11) & Rflags.CF, Rflags.CF);
        assert.equal(tc.u32[(OFFSET.zmm + STRIDE.zmm) >> 2], 0x4070_0000, '3.75');
        assert.equal(tc.get(OFFSET.st + 7 * STRIDE.st), 1n << 63n, '1 in R7');
        assert.equal(tc.gprNumber(Gpr.RSP), STACK);
      });

      test('code that changes itself: the next time it is another instruction', async (t) => {
        const m = system(t, X86.changesItself);
        const seen: number[] = [];
        m.os.onSyscall = (tc, cpu) => {
          if (seen.push(tc.gprNumber(Gpr.RAX)) === 20) cpu.root.exitSimLoop('exit');
        };
        await m.run();
        assert.deepEqual(seen, ascending(20));
      });

      test('for as long as simulated time lasts, and goes on in the next run', async (t) => {
        const m = system(t, X86.count);
        assert.equal((await m.run(stretch)).cause, ExitCause.limitReached);
        const count = () => m.cpu.readState(RegClass.general).gprNumber(Gpr.RBX);
        const first = count();
        assert.ok(first > 0);
        assert.equal(m.root.curTick, BigInt(stretch));
        // Where the host's time is simulated time, a busy host may take all of the next stretch.
        for (let i = 2; i < 50 && count() === first; i++) await m.run(i * stretch);
        assert.ok(count() > first);
        assert.ok(m.cpu.busyTicks > 0);
      });

      test('no further than to the next event', async (t) => {
        const m = system(t, X86.count);
        const ticks: bigint[] = [];
        for (let i = 1; i <= 5; i++) m.at(i * stretch, () => ticks.push(m.root.curTick));
        await m.run(10 * stretch);
        assert.deepEqual(
          ticks,
          ascending(5).map((i) => BigInt(i * stretch)),
        );
      });
    });

    describe('gives exceptions to the system', () => {
      async function raised(t: TestContext, code: readonly number[]) {
        const m = system(t, code);
        let seen: (UserException & { rip: number }) | undefined;
        m.os.onException = (exception, cpu) => {
          seen ??= { ...exception, rip: cpu.readState(RegClass.general).ripNumber - CODE };
          cpu.root.exitSimLoop('fault');
        };
        await m.run();
        return seen;
      }

      test('a fault stands at its instruction, a trap behind it', async (t) => {
        const none = { errorCode: 0, address: 0n };
        assert.deepEqual(await raised(t, X86.divideByZero), { vector: Vector.DE, ...none, rip: 2 });
        assert.deepEqual(await raised(t, X86.ud2), { vector: Vector.UD, ...none, rip: 0 });
        assert.deepEqual(await raised(t, X86.int3), { vector: Vector.BP, ...none, rip: 2 });
      });

      test('a page fault has address and error code; with the page there the instruction is executed', async (t) => {
        const m = system(t, X86.storeToNewPage);
        let seen: UserException | undefined;
        m.os.onException = (exception) => {
          seen = { ...exception };
          m.os.mapReserved(0x50_0000, m.os.frame(), PagePreset.userReadWrite);
        };
        await m.run();
        const errorCode = PageFaultError.WRITE | PageFaultError.USER;
        assert.deepEqual(seen, { vector: Vector.PF, errorCode, address: 0x50_0010n });
        assert.deepEqual(m.os.log, [`exception 14 at 0x400000`, `syscall ${0x5a} at 0x400011`]);
      });

      test('in compatibility mode: the thread goes on there', async (t) => {
        // mov eax, 1; ud2; inc eax (in 64-bit mode a prefix); ud2
        const m = system(t, [0xb8, 1, 0, 0, 0, ...X86.ud2, 0x40, ...X86.ud2]);
        const classes = RegClass.general | RegClass.special;
        m.at(0, () => {
          const code = { ...USER_CODE_32, selector: LinuxSelector.sysretBase };
          m.cpu.modifyState(classes).setSegment(Seg.CS, code);
        });
        const seen: number[] = [];
        m.os.onException = (_exception, cpu) => {
          const tc = cpu.modifyState(classes);
          seen.push(tc.segment(Seg.CS).selector, tc.gprNumber(Gpr.RAX));
          if (seen.length === 4) cpu.root.exitSimLoop('enough');
          else tc.rip += 2n;
        };
        await m.run();
        assert.deepEqual(seen, [LinuxSelector.sysretBase, 1, LinuxSelector.sysretBase, 2]);
      });

      test('an address that is not canonical: #GP', async (t) => {
        // mov rax, 1 << 63; mov rax, [rax]
        const code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x48, 0x8b, 0x00];
        assert.deepEqual(await raised(t, code), { vector: Vector.GP, errorCode: 0, address: 0n, rip: 10 });
      });
    });

    describe('has a life cycle', () => {
      test('suspended it executes nothing, woken it goes on behind the call', async (t) => {
        const m = system(t, X86.callForEach);
        let calls = 0;
        m.os.onSyscall = (_tc, cpu) => {
          if (++calls === 1) cpu.suspendContext();
          else cpu.root.exitSimLoop('enough');
        };
        assert.equal((await m.run(stretch)).cause, ExitCause.limitReached);
        assert.deepEqual([calls, m.cpu.thread.status], [1, 'suspended']);
        m.at(stretch / 2, () => m.cpu.wakeup());
        assert.equal((await m.run()).cause, 'enough');
        assert.equal(m.cpu.readState(RegClass.general).gprNumber(Gpr.RBX), 2);
        assert.ok(m.root.curTick >= BigInt(1.5 * stretch));
      });

      test('halted it stays so, whoever wakes it', async (t) => {
        const m = system(t, X86.callForEach);
        m.os.onSyscall = (_tc, cpu) => cpu.haltContext();
        await m.run(stretch);
        m.cpu.wakeup();
        await m.run(2 * stretch);
        assert.equal(m.cpu.thread.status, 'halted');
        assert.equal(m.cpu.readState(RegClass.general).gprNumber(Gpr.RBX), 1);
      });

      test('drained it stands between two instructions; it goes on as if nothing had been', async (t) => {
        const m = system(t, X86.callForEach);
        const seen = endAtCall(m, 200);
        for (let i = 0; i < 20; i++) {
          await m.run(Number(m.root.curTick) + 2 * MICROSECOND);
          await m.simulator.drain();
          const before = m.cpu.readState(RegClass.all).gprNumber(Gpr.RBX);
          assert.equal(m.cpu.readState(RegClass.all).gprNumber(Gpr.RBX), before);
          if (seen.length >= 200) break;
        }
        if (seen.length < 200) await m.run();
        assert.deepEqual(seen.slice(0, 200), ascending(200));
      });
    });

    describe('gives and takes registers', () => {
      test('by class: what is set is what the program has, and what it leaves is read', async (t) => {
        const m = system(t, [0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0, 0x0f, 0x05]); // mov rax, fs:[8]; syscall
        m.memory.writeU64((m.dataFrame + 8) as PhysAddr, 0xfeedn);
        m.at(0, () => {
          const tc = m.cpu.modifyState(RegClass.special | RegClass.fpu | RegClass.general);
          tc.setSegment(4, { ...tc.segment(4), base: BigInt(DATA) });
          tc.u32[OFFSET.mxcsr >> 2] = 0x1fa0;
          for (let i = 8; i < 16; i++) tc.setGpr(i, BigInt(i) << 40n);
        });
        await m.run();
        const tc = m.cpu.readState(RegClass.all);
        assert.equal(tc.gpr(Gpr.RAX), 0xfeedn);
        assert.equal(tc.u32[OFFSET.mxcsr >> 2], 0x1fa0);
        // SYSCALL has changed R11.
        for (const i of [8, 9, 10, 12, 13, 14, 15]) assert.equal(tc.gpr(i), BigInt(i) << 40n);
      });

      test('translations of the system: after a change the next access finds the new page', async (t) => {
        const m = system(t, [...X86.load, 0xeb, 0xf4]);
        const seen: number[] = [];
        m.memory.writeU64(m.dataFrame, 1n);
        m.os.onSyscall = (tc, cpu) => {
          if (seen.push(tc.gprNumber(Gpr.RAX)) === 2) return cpu.root.exitSimLoop('enough');
          const frame = m.os.frame() as PhysAddr;
          m.memory.writeU64(frame, 77n);
          m.os.remapReserved(cpu, DATA, frame, PagePreset.userReadWrite);
        };
        await m.run();
        assert.deepEqual(seen, [1, 77]);
      });
    });

    describe('stops after instructions', () => {
      test('exactly, or refuses to without a counter', async (t) => {
        const m = system(t, X86.callForEach);
        m.os.onSyscall = () => {};
        m.cpu.scheduleInstStop(1001, 'enough');
        const exit = await m.run().catch((error: unknown) => error);
        if (model === 'kvm' && exit instanceof FatalError) {
          assert.match(exit.message, /--max-ticks/, 'a host without counters says what to do instead');
          return;
        }
        assert.equal((exit as ExitEvent).cause, 'enough');
        assert.equal(m.cpu.thread.instructionEvents.count - m.cpu.thread.instructionEvents.overshoot, 1001);
        // Four instructions a round: the 1001st is the ADD of round 251.
        if (model !== 'kvm') assert.equal(m.cpu.readState(RegClass.general).gprNumber(Gpr.RBX), 251);
      });
    });

    describe('hands its thread over', () => {
      for (const spare of CPU_MODELS.filter((other) => model !== 'kvm' || other !== 'kvm'))
        test(`to ${spare} and back, with every register and byte`, { skip: whyNo(spare) }, async (t) => {
          const m = system(t, X86.callForEach, spare);
          const seen = endAtCall(m, 400);
          let [from, to] = [m.cpu, m.other!];
          for (let i = 0; i < 10 && seen.length < 400; i++) {
            await m.run(Number(m.root.curTick) + 3 * MICROSECOND);
            await switchCpus(m.simulator, [[from, to]]);
            assert.deepEqual([from.isSwitchedOut, to.isSwitchedOut], [true, false]);
            [from, to] = [to, from];
          }
          if (seen.length < 400) await m.run();
          assert.deepEqual(seen.slice(0, 400), ascending(400));
          assert.equal(m.memory.readU64(m.dataFrame), BigInt(seen.length));
        });
    });

    test('a checkpoint goes on in another machine as the run did', async (t) => {
      const directory = join(scratchDirectory(t), 'cpt');
      const m = system(t, X86.callForEach);
      const seen = endAtCall(m, 100);
      await m.run();
      await m.simulator.checkpoint(directory);
      const other = system(t, X86.ud2);
      const goesOn = endAtCall(other, 50);
      other.simulator.restore(directory);
      await other.run();
      assert.deepEqual([...seen.slice(0, 100), ...goesOn], ascending(150));
    });
  });
}
