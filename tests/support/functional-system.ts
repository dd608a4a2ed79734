// A whole machine around a functional CPU: user code at CODE, a page of data, a tiny operating system, events at chosen times.

import { PagePreset } from '../../src/arch/x86/page-table.ts';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { RegClass } from '../../src/arch/x86/thread-context.ts';
import { FunctionalCpu } from '../../src/cpu/functional/functional-cpu.ts';
import type { FunctionalCpuParams } from '../../src/cpu/functional/params.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { SimEvent } from '../../src/sim/event-queue.ts';
import { Root } from '../../src/sim/root.ts';
import { SimObject } from '../../src/sim/sim-object.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick, asTicks } from '../../src/sim/tick.ts';
import { TinyOs } from './tiny-os.ts';

export const CODE = 0x40_0000;
export const DATA = 0x60_0000;
/** Ticks of a cycle of the test machine: 1 ns. */
export const CYCLE = 1000;

/** x86 code for these tests. */
export const X86: Readonly<
  Record<'count' | 'work' | 'syscall' | 'ud2' | 'load' | 'clock', readonly number[]>
> = {
  /** 1: add rbx, 1; jmp 1b */
  count: [0x48, 0x83, 0xc3, 0x01, 0xeb, 0xfa],
  /** 1: add rbx, 1; mov [DATA], rbx; cmp rbx, rdx; jne 1b; syscall; jmp 1b */
  work: [
    ...[0x48, 0x83, 0xc3, 0x01, 0x48, 0x89, 0x1c, 0x25, 0x00, 0x00, 0x60, 0x00],
    ...[0x48, 0x39, 0xd3, 0x75, 0xef, 0x0f, 0x05, 0xeb, 0xeb],
  ],
  /**
   * rdtsc; mov esi, eax; sub esi, 4; 1: rdtsc; mov ebx, eax; sub ebx, esi; mov esi, eax; cmp ebx, 7; jne 2f; jmp 1b; 2: ud2
   * From one RDTSC of the loop to the next it is seven instructions.
   */
  clock: [
    ...[0x0f, 0x31, 0x89, 0xc6, 0x83, 0xee, 0x04, 0x0f, 0x31, 0x89, 0xc3, 0x29, 0xf3, 0x89, 0xc6],
    ...[0x83, 0xfb, 0x07, 0x75, 0x02, 0xeb, 0xf1, 0x0f, 0x0b],
  ],
  syscall: [0x0f, 0x05],
  ud2: [0x0f, 0x0b],
  /** mov rax, [DATA] */
  load: [0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x60, 0x00],
};

/** Starts user code, as a program loader does. */
class Starter extends SimObject {
  cpu!: FunctionalCpu;

  override initState(): void {
    const tc = this.cpu.modifyState(RegClass.general);
    tc.ripNumber = CODE;
    tc.setGprNumber(Gpr.RDX, 1000);
  }

  override startup(): void {
    this.cpu.activateContext();
  }
}

export function functionalSystem(code: readonly number[], params: FunctionalCpuParams = {}) {
  const warnings: string[] = [];
  const lines: string[] = [];
  const root = new Root({
    debugFlags: 'Faults',
    traceSink: (line) => lines.push(line),
    warnSink: (line) => warnings.push(line),
  });
  const memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: 4 << 20 }] });
  const os = new TinyOs(memory);
  const makeCpu = (name: string, switchedOut: boolean) => {
    const cpu = new FunctionalCpu(root, name, memory, { clock: '1GHz', ...params, switchedOut });
    cpu.os = os;
    return cpu;
  };
  const cpu = makeCpu('cpu', false);
  const spare = makeCpu('spare', true);
  const starter = new Starter(root, 'starter');
  starter.cpu = cpu;
  const codeFrame = os.frame() as PhysAddr;
  const dataFrame = os.frame() as PhysAddr;
  os.mapReserved(CODE, codeFrame, PagePreset.userReadExecute);
  os.mapReserved(DATA, dataFrame, PagePreset.userReadWrite);
  memory.write(codeFrame, Uint8Array.from(code));
  const simulator = new Simulator(root, { sliceMs: 10 });
  return {
    ...{ root, memory, os, cpu, spare, simulator, codeFrame, dataFrame, warnings, lines },
    /** Other things that happen in the machine. */
    at(ticks: number, callback: () => void): void {
      root.eventQueue.schedule(new SimEvent('test', callback), asTicks(ticks));
    },
    /** Runs to an exit event, or up to an absolute tick. */
    run: (maxTick?: number) =>
      simulator.runUntilExit(maxTick === undefined ? {} : { maxTick: asTick(BigInt(maxTick)) }),
    insts: (of: FunctionalCpu = cpu) => of.stats.commitStats0.numInsts.value,
    rbx: (of: FunctionalCpu = cpu) => of.readState(RegClass.general).gprNumber(Gpr.RBX),
  };
}
