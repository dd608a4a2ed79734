// User code that a functional CPU and a CPU on a real vCPU execute in turns, with a tiny operating system in place of
// workload/linux: every register goes along, time does not go back, and code that one of them has changed is new to the other.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { Vector } from '../../src/arch/x86/exceptions.ts';
import { PagePreset } from '../../src/arch/x86/page-table.ts';
import { Gpr, Rflags, Seg } from '../../src/arch/x86/registers.ts';
import { OFFSET, RegClass, STRIDE, X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import type { BaseCpu } from '../../src/cpu/base-cpu.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { STUB_SIZE_BYTES } from '../../src/cpu/kvm/x86/user-stub.ts';
import { switchCpus } from '../../src/cpu/switch-cpus.ts';
import { probeHost } from '../../src/host/probe.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { LinuxHostPages } from '../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import { SimObject } from '../../src/sim/sim-object.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { makeSwitchedCpus, STUB_BASE } from '../../src/system/program-cpus.ts';
import { Random } from '../support/random.ts';
import { TinyOs } from '../support/tiny-os.ts';

const skip = existsSync('/dev/kvm') ? false : 'no /dev/kvm on this host';

const probed = probeHost().kvm;
const isPvm = probed.available && probed.flavour === 'pvm';

const CODE = 0x40_0000;
const DATA = 0x60_0000;
const ABSENT = 0x50_0000;
const SYSCALL = [0x0f, 0x05] as const;
/** Flags that user code sets at will and no instruction of these tests changes. */
const FREE_FLAGS = Rflags.DF | Rflags.AC | Rflags.ID | Rflags.NT;
const TURNS = 24;
const TRAPS_IN_A_TURN = 5;

/** Starts user code, as a program loader does. */
class Starter extends SimObject {
  cpu!: BaseCpu;

  override initState(): void {
    this.cpu.modifyState(RegClass.general).ripNumber = CODE;
  }

  override startup(): void {
    this.cpu.activateContext();
  }
}

function machine(code: readonly number[]) {
  const root = new Root({ warnSink: () => {} });
  const memory = new PhysicalMemory(root, 'memory', {
    ranges: [
      { start: 0, sizeBytes: 16 << 20 },
      { start: STUB_BASE, sizeBytes: STUB_SIZE_BYTES, confTableReported: false },
    ],
    hostPages: new LinuxHostPages(),
  });
  const kvm = Kvm.open();
  const { cpu: functional, spare } = makeSwitchedCpus(root, memory, kvm, {});
  const cpus = [functional, spare!] as const;
  const os = new TinyOs(memory);
  for (const cpu of cpus) cpu.os = os;
  const starter = new Starter(root, 'starter');
  starter.cpu = functional;
  const text = os.frame() as PhysAddr;
  const data = os.frame() as PhysAddr;
  memory.write(text, Uint8Array.from(code));
  os.mapReserved(CODE, text, PagePreset.userReadExecute);
  os.mapReserved(DATA, data, PagePreset.userReadWrite);
  const simulator = new Simulator(root);
  after(() => {
    simulator.close();
    kvm.close();
  });
  const current = (): BaseCpu => cpus.find((cpu) => !cpu.isSwitchedOut)!;
  return {
    ...{ root, memory, os, cpus, text, data, current },
    run: () => simulator.runUntilExit(),
    switch: async () => {
      const other = cpus.find((cpu) => cpu.isSwitchedOut)!;
      await switchCpus(simulator, [[current(), other]]);
    },
  };
}

/** Something in every register that user code has. */
function fill(tc: X86ThreadContext, random: Random): void {
  for (let i = 0; i < 16; i++) tc.setGpr(i, (BigInt(random.u32()) << 32n) | BigInt(random.u32()));
  tc.rflags = Rflags.FIXED | Rflags.IF | (random.u32() & (FREE_FLAGS | Rflags.CF | Rflags.ZF | Rflags.OF));
  for (const segment of [Seg.FS, Seg.GS]) tc.setSegmentBase(segment, BigInt(random.u32()) << 14n);
  for (let i = 0; i < 16 * STRIDE.zmm; i += STRIDE.zmm)
    for (let at = 0; at < 16; at++) tc.u8[OFFSET.zmm + i + at] = random.u32();
  for (let i = 0; i < 8 * STRIDE.st; i += STRIDE.st) {
    for (let at = 0; at < 8; at++) tc.u8[OFFSET.st + i + at] = random.u32();
    // With the integer bit of its significand any exponent makes a number of it (SDM vol. 1 §8.2.2).
    tc.u8[OFFSET.st + i + 7]! |= 0x80;
    for (let at = 8; at < 10; at++) tc.u8[OFFSET.st + i + at] = random.u32();
  }
  tc.u16[OFFSET.fcw >> 1] = 0x7f | (random.u32() & 0xf00);
  // Condition codes and the top of the stack, with no exception pending.
  tc.u16[OFFSET.fsw >> 1] = random.u32() & 0x7f00;
  tc.u16[OFFSET.ftw >> 1] = random.u32() & 0xff;
  tc.u32[OFFSET.mxcsr >> 2] = 0x1f80 | (random.u32() & 0xe03f);
}

/** As SYSCALL leaves it (SDM vol. 2B "SYSCALL"), seen from behind it. */
function afterSyscall(tc: X86ThreadContext): void {
  tc.ripNumber = CODE + SYSCALL.length;
  tc.setGprNumber(Gpr.RCX, CODE + SYSCALL.length);
  tc.setGprNumber(Gpr.R11, tc.rflags);
}

const USER_CLASSES = RegClass.general | RegClass.fpu;

function copyOf(tc: X86ThreadContext): X86ThreadContext {
  const copy = new X86ThreadContext();
  copy.copyFrom(tc);
  return copy;
}

describe('a functional CPU and a vCPU', { skip }, () => {
  test('find every register of user code as the other has left it', async () => {
    const m = machine(SYSCALL);
    const random = new Random(11);
    for (let turn = 0; turn < TURNS; turn++) {
      await m.run();
      await m.switch();
      const given = m.current().modifyState(RegClass.all);
      fill(given, random);
      given.ripNumber = CODE;
      const expected = copyOf(given);
      afterSyscall(expected);
      await m.switch();
      await m.run();
      const seen = m.current().readState(RegClass.all);
      assert.deepEqual(seen.diff(expected, USER_CLASSES), [], `turn ${turn}, on ${m.current().path}`);
      for (const segment of [Seg.CS, Seg.SS, Seg.FS, Seg.GS])
        assert.deepEqual(
          seen.segment(segment),
          expected.segment(segment),
          `segment ${segment}, turn ${turn}`,
        );
      m.current().modifyState(RegClass.general).ripNumber = CODE;
      if (turn % 2 === 0) await m.switch();
    }
  });

  test('go on with one time-stamp counter', async () => {
    // rdtsc; shl rdx, 32; or rax, rdx; syscall; jmp back
    const m = machine([0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, ...SYSCALL, 0xeb, 0xf3]);
    let last = -1n;
    m.os.onSyscall = (tc, cpu) => {
      const now = tc.gpr(Gpr.RAX);
      assert.ok(now > last, `${cpu.path} reads ${now}, behind ${last}`);
      last = now;
      cpu.root.exitSimLoop('exit');
    };
    for (let turn = 0; turn < TURNS; turn++) {
      await m.run();
      await m.switch();
    }
  });

  for (const [where, address] of [
    ['where it is executed', CODE],
    ['at another address of the same page', DATA],
  ] as const)
    test(`execute what the other has written as code, ${where}`, async () => {
      // mov eax, 1; add dword [address + 1], 1; syscall; jmp back
      const m = machine([
        ...[0xb8, 1, 0, 0, 0, 0x83, 0x04, 0x25, ...u32(address + 1), 1, ...SYSCALL, 0xeb, 0xef],
      ]);
      m.os.mapReserved(address, m.text, PagePreset.userReadWriteExecute);
      for (let turn = 1; turn <= TURNS; turn++) {
        await m.run();
        assert.equal(m.current().readState(RegClass.general).gprNumber(Gpr.RAX), turn);
        await m.switch();
      }
    });

  for (const first of ['functional', 'kvm'] as const)
    test(`stay in compatibility mode across a fault: the first is ${first}`, {
      skip: first === 'kvm' && isPvm && 'PVM goes on in 64-bit mode',
    }, async () => {
      // syscall; push 23H; push behind; retfq; behind: inc eax (64-bit code has a prefix there); mov byte [PAGE], 1; inc eax; ud2
      const behind = [0x40, 0xc6, 0x05, ...u32(ABSENT), 1, 0x40, 0x0f, 0x0b];
      const m = machine([...SYSCALL, 0x6a, 0x23, 0x68, ...u32(CODE + 11), 0x48, 0xcb, ...behind]);
      m.os.onSyscall = (tc, cpu) => {
        tc.setGprNumber(Gpr.RSP, DATA + 0x800);
        tc.setGprNumber(Gpr.RAX, 7);
        cpu.root.exitSimLoop('exit');
      };
      m.os.onException = (_e, cpu) => {
        m.os.mapReserved(ABSENT, m.os.frame(), PagePreset.userReadWrite);
        cpu.root.exitSimLoop('fault');
      };
      await m.run();
      if (first === 'kvm') await m.switch();
      for (let turn = 0; turn < 2; turn++) {
        await m.run();
        await m.switch();
      }
      const end = CODE + 11 + behind.length - 2;
      // Nobody has served the last one: it may come again while the CPU is drained.
      assert.deepEqual(m.os.log.slice(1, 3), [
        `exception 14 at 0x${(CODE + 12).toString(16)}`,
        `exception 6 at 0x${end.toString(16)}`,
      ]);
      const context = m.current().readState(RegClass.all);
      assert.equal(context.gprNumber(Gpr.RAX), 9);
      assert.equal(context.segment(Seg.CS).selector, 0x23);
    });

  test('trap behind each instruction of a program that single-steps itself', async () => {
    // syscall; seven instructions, of which the last jumps back to the first of them
    const m = machine([...SYSCALL, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xf8]);
    await m.run();
    const traps: { at: number; by: BaseCpu }[] = [];
    m.os.onException = ({ vector }, cpu) => {
      assert.equal(vector, Vector.DB);
      const at = cpu.readState(RegClass.general).ripNumber - CODE - SYSCALL.length;
      traps.push({ at, by: cpu });
      if (traps.length % TRAPS_IN_A_TURN === 0) cpu.root.exitSimLoop('trap');
    };
    m.current().modifyState(RegClass.general).rflags |= Rflags.TF;
    for (let turn = 0; turn < TURNS; turn++) {
      await m.run();
      await m.switch();
    }
    for (const cpu of m.cpus) assert.ok(traps.filter(({ by }) => by === cpu).length > TURNS, cpu.path);
    for (const [i, { at, by }] of traps.slice(1).entries())
      assert.equal(at, (traps[i]!.at + 1) % 7, `trap ${i + 1}, on ${by.path}`);
  });
});

function u32(value: number): number[] {
  return [...new Uint8Array(Uint32Array.of(value).buffer)];
}
