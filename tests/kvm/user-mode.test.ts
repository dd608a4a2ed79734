// User code in ring 3 on a real vCPU, with a tiny operating system in place of workload/linux: what SYSCALL, faults and
// signals look like to it, and what a round trip costs.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { PAGE_SIZE, PagePreset } from '../../src/arch/x86/page-table.ts';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { RegClass } from '../../src/arch/x86/thread-context.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { attachVcpu } from '../../src/cpu/kvm/kvm-host.ts';
import { STUB_SIZE_BYTES } from '../../src/cpu/kvm/x86/user-stub.ts';
import { X86KvmCpu } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../../src/cpu/kvm/x86/x86-kvm-vm.ts';
import type { UserException } from '../../src/cpu/user-mode-os.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { LinuxHostPages } from '../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import type { Tick } from '../../src/sim/tick.ts';
import { TinyOs } from '../support/tiny-os.ts';

const skip = existsSync('/dev/kvm') ? false : 'no /dev/kvm on this host';

const RAM = 16 << 20;
const STUB = 32 << 20;
const CODE = 0x40_0000;
const STACK = 0x60_0000;

function machine(code: readonly number[], debugFlags = '') {
  const root = new Root({ warnSink: () => {}, traceSink: (line) => console.error(line), debugFlags });
  const memory = new PhysicalMemory(root, 'memory', {
    ranges: [
      { start: 0, sizeBytes: RAM },
      { start: STUB, sizeBytes: STUB_SIZE_BYTES },
    ],
    hostPages: new LinuxHostPages(),
  });
  const kvm = Kvm.open();
  const vm = new X86KvmVm(root, 'vm', { kvm, memory });
  const cpu = new X86KvmCpu(root, 'cpu', {
    kvm,
    createVcpu: () => vm.createVcpu(),
    attach: attachVcpu,
    memory,
    stubBase: STUB,
  });
  const os = new TinyOs(memory);
  cpu.os = os;
  const text = os.frame();
  memory.write(text as PhysAddr, Uint8Array.from(code));
  os.mapReserved(CODE, text, PagePreset.userReadExecute);
  os.mapReserved(STACK, os.frame(), PagePreset.userReadWrite);
  const simulator = new Simulator(root);
  const start = () => {
    const tc = cpu.modifyState(RegClass.general);
    tc.ripNumber = CODE;
    tc.setGprNumber(Gpr.RSP, STACK + PAGE_SIZE);
    cpu.activateContext();
  };
  const run = async (maxTick?: number) => {
    const options = maxTick === undefined ? {} : { maxTick: BigInt(maxTick) as Tick };
    const exit = await simulator.runUntilExit(options);
    return exit;
  };
  after(() => {
    simulator.close();
    kvm.close();
  });
  // The program starts when the machine does.
  const initState = cpu.initState.bind(cpu);
  cpu.initState = () => {
    initState();
    start();
  };
  return { root, memory, cpu, os, run, simulator };
}

test('SYSCALL arrives with its number and return address, and the result comes back', { skip }, async () => {
  // mov eax, 39; syscall; mov edi, eax; mov eax, 60; syscall
  const m = machine([0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
  m.os.onSyscall = (tc, cpu) => {
    if (tc.gprNumber(Gpr.RAX) === 39) tc.setGprNumber(Gpr.RAX, 1234);
    else cpu.root.exitSimLoop('exit', tc.gprNumber(Gpr.RDI));
  };
  assert.equal((await m.run()).code, 1234);
  assert.deepEqual(m.os.log, ['syscall 39 at 0x400007', 'syscall 60 at 0x400010']);
});

test('a page fault gives address and error code, and the instruction restarts once the page is there', {
  skip,
}, async () => {
  // mov byte [0x500010], 0x5a; mov al, [0x500010]; syscall
  const m = machine([
    0xc6, 0x04, 0x25, 0x10, 0, 0x50, 0, 0x5a, 0x8a, 0x04, 0x25, 0x10, 0, 0x50, 0, 0x0f, 0x05,
  ]);
  let seen: UserException | undefined;
  m.os.onException = (e) => {
    seen = { ...e };
    m.os.mapReserved(0x50_0000, m.os.frame(), PagePreset.userReadWrite);
  };
  await m.run();
  assert.deepEqual(seen, {
    vector: Vector.PF,
    errorCode: PageFaultError.WRITE | PageFaultError.USER,
    address: 0x50_0010n,
  });
  assert.deepEqual(m.os.log, ['exception 14 at 0x400000', 'syscall 90 at 0x400011']);
});

test('a syscall round trip costs one KVM_RUN and no other vCPU ioctl', { skip }, async () => {
  // loop: mov eax, 1; syscall; jmp loop
  const m = machine([0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]);
  let count = 0;
  let before = { exits: 0, ioctls: 0, signals: 0 };
  const { stats } = m.cpu;
  const now = () => ({
    exits: stats.numVMExits.value,
    ioctls: stats.numSyncIoctls.value,
    signals: stats.numExitSignal.value,
  });
  m.os.onSyscall = (_tc, cpu) => {
    count++;
    if (count === 100) before = now();
    if (count === 1100) cpu.root.exitSimLoop('exit');
  };
  await m.run();
  const after = now();
  assert.equal(after.ioctls - before.ioctls, 0);
  assert.equal(after.exits - before.exits - (after.signals - before.signals), 1000);
});

test('a guest that spins without an exit is stopped by simulated time', { skip }, async () => {
  const m = machine([0xeb, 0xfe]);
  const exit = await m.run(5_000_000_000);
  assert.equal(exit.cause, 'simulate() limit reached');
  assert.equal(m.root.curTick, 5_000_000_000n);
});
