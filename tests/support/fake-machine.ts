// A machine around a scripted vCPU: an X86KvmCpu in syscall emulation, a tiny operating system, and events at chosen times.

import { PAGE_SIZE, PagePreset } from '../../src/arch/x86/page-table.ts';
import type { GuestCounters } from '../../src/cpu/kvm/vcpu-parts.ts';
import { STUB_SIZE_BYTES } from '../../src/cpu/kvm/x86/user-stub.ts';
import { X86KvmCpu, type X86KvmCpuParams } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import type { MemoryMode } from '../../src/mem/memory-mode.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { SimEvent } from '../../src/sim/event-queue.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick, asTicks } from '../../src/sim/tick.ts';
import { FAKE_KVM, FakeVcpu, type Step } from './fake-vcpu.ts';
import { TinyOs } from './tiny-os.ts';

const STUB_BASE = 8 << 20;
/** Where user code would be. */
export const CODE = 0x40_0000;
const SYSCALL_PORT = 0xe0;

export interface FakeMachineOptions {
  readonly params?: X86KvmCpuParams;
  readonly counters?: GuestCounters;
  readonly memoryMode?: MemoryMode;
}

/** A CPU on a scripted vCPU, in syscall emulation. Host cycles are nanoseconds. */
export function fakeMachine(
  script: readonly Step[],
  { params, counters, memoryMode = 'atomicNoncaching' }: FakeMachineOptions = {},
) {
  const lines: string[] = [];
  const warnings: string[] = [];
  const vcpu = new FakeVcpu();
  const root = new Root({
    hostClock: () => vcpu.time.ns / 1e6,
    debugFlags: 'Kvm',
    traceSink: (line) => lines.push(line),
    warnSink: (line) => warnings.push(line),
  });
  const memory = new PhysicalMemory(root, 'memory', {
    ranges: [
      { start: 0, sizeBytes: 4 << 20 },
      { start: STUB_BASE, sizeBytes: STUB_SIZE_BYTES },
    ],
  });
  vcpu.script.push(...script);
  const os = new TinyOs(memory);
  const cpu = new X86KvmCpu(
    root,
    'cpu',
    {
      kvm: FAKE_KVM,
      createVcpu: () => vcpu,
      attach: () => ({
        timer: vcpu.time,
        signal: vcpu.signal,
        frequencyHz: 1e9,
        counters,
        whyNoCounters: 'no counters in this test',
        close: () => {},
      }),
      memoryMode: () => memoryMode,
      memory,
      stubBase: STUB_BASE,
    },
    params,
  );
  cpu.os = os;
  os.mapReserved(CODE, os.frame(), PagePreset.userReadExecute);
  os.mapReserved(CODE + PAGE_SIZE, os.frame(), PagePreset.userReadWrite);
  const simulator = new Simulator(root);
  // Events at chosen times stand for whatever else happens in the machine.
  const at = (ticks: number, callback: () => void): void => {
    root.eventQueue.schedule(new SimEvent('test', callback), asTicks(ticks));
  };
  const transitions = (): string[] =>
    lines.flatMap((line) => (line.includes(': state ') ? [line.slice(line.indexOf(': state ') + 8)] : []));
  return {
    warnings,
    lines,
    root,
    cpu,
    os,
    vcpu,
    simulator,
    at,
    transitions,
    run: (end: number) => simulator.runUntilExit({ maxTick: asTick(end) }),
  };
}

/** User code runs for `ns` and makes a system call; PVM leaves it in ring 3, hardware in ring 0. */
export const syscall =
  (nr: number, { ns = 100, cpl = 3 } = {}): Step =>
  (vcpu) => {
    vcpu.time.advance(ns);
    vcpu.setReg('rax', nr);
    vcpu.setReg('rip', 0x7fff_ffe0_0002);
    vcpu.setReg('rcx', CODE + 7);
    vcpu.setReg('r11', 0x202);
    vcpu.setCpl(cpl);
    return vcpu.portOut(SYSCALL_PORT);
  };
/** The guest runs for `ns` and comes back for this reason. */
export const exitWith =
  (reason: number, ns = 100): Step =>
  (vcpu) => {
    vcpu.time.advance(ns);
    return vcpu.exit(reason);
  };
