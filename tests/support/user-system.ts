// A machine in which user code runs on a CPU model of one's choice, at CODE with a page of data and a stack, and with a tiny
// operating system. The other model of a switch is there from the beginning.

import { existsSync } from 'node:fs';
import { PAGE_SIZE, PagePreset } from '../../src/arch/x86/page-table.ts';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { RegClass } from '../../src/arch/x86/thread-context.ts';
import type { BaseCpu } from '../../src/cpu/base-cpu.ts';
import { FunctionalCpu } from '../../src/cpu/functional/functional-cpu.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { attachVcpu } from '../../src/cpu/kvm/kvm-host.ts';
import { STUB_SIZE_BYTES } from '../../src/cpu/kvm/x86/user-stub.ts';
import { X86KvmCpu } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../../src/cpu/kvm/x86/x86-kvm-vm.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { LinuxHostPages } from '../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { SimEvent } from '../../src/sim/event-queue.ts';
import { Root } from '../../src/sim/root.ts';
import { SimObject } from '../../src/sim/sim-object.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick, asTicks } from '../../src/sim/tick.ts';
import { TinyOs } from './tiny-os.ts';

export const CODE = 0x40_0000;
export const DATA = 0x60_0000;
/** Its highest address. */
export const STACK = 0x70_0000;
const RAM_BYTES = 4 << 20;
const STUB = 32 << 20;

/** The functional CPU with and without its translator, and the host's processor. */
export const CPU_MODELS = ['interpreter', 'translator', 'kvm'] as const;
export type CpuModel = (typeof CPU_MODELS)[number];

/** Why a model cannot be used here; false if it can. For the `skip` option of a test. */
export function whyNo(model: CpuModel): string | false {
  return model !== 'kvm' || existsSync('/dev/kvm') ? false : 'no /dev/kvm on this host';
}

/** Starts the program, as a loader does. */
class Starter extends SimObject {
  readonly #cpu: BaseCpu;

  constructor(parent: SimObject, cpu: BaseCpu) {
    super(parent, 'starter');
    this.#cpu = cpu;
  }

  override initState(): void {
    const tc = this.#cpu.modifyState(RegClass.general);
    tc.ripNumber = CODE;
    tc.setGprNumber(Gpr.RSP, STACK);
  }

  override startup(): void {
    this.#cpu.activateContext();
  }
}

/** @param spare the model that takes over at a switch; without it, there is only one CPU */
export function userSystem(code: readonly number[], model: CpuModel, spare?: CpuModel) {
  const root = new Root({ warnSink: () => {} });
  const needsKvm = model === 'kvm' || spare === 'kvm';
  const memory = new PhysicalMemory(root, 'memory', {
    ranges: [
      { start: 0, sizeBytes: RAM_BYTES },
      { start: STUB, sizeBytes: STUB_SIZE_BYTES },
    ],
    ...(needsKvm && { hostPages: new LinuxHostPages() }),
  });
  const kvm = needsKvm ? Kvm.open() : undefined;
  const os = new TinyOs(memory);
  const makeCpu = (name: string, which: CpuModel, switchedOut: boolean): FunctionalCpu | X86KvmCpu => {
    const cpu =
      which === 'kvm'
        ? makeKvmCpu(root, name, memory, kvm!, switchedOut)
        : new FunctionalCpu(root, name, memory, {
            translate: which === 'translator' ? 'always' : 'never',
            switchedOut,
          });
    cpu.os = os;
    return cpu;
  };
  const cpu = makeCpu('cpu', model, false);
  const other = spare === undefined ? undefined : makeCpu('other', spare, true);
  new Starter(root, cpu);
  const codeFrame = os.frame() as PhysAddr;
  const dataFrame = os.frame() as PhysAddr;
  os.mapReserved(CODE, codeFrame, PagePreset.userReadWriteExecute);
  os.mapReserved(DATA, dataFrame, PagePreset.userReadWrite);
  os.mapReserved(STACK - PAGE_SIZE, os.frame(), PagePreset.userReadWrite);
  memory.write(codeFrame, Uint8Array.from(code));
  const simulator = new Simulator(root, { sliceMs: 10 });
  return {
    ...{ root, memory, os, cpu, other, simulator, codeFrame, dataFrame },
    /** Something else that happens in the machine. */
    at(ticks: number, callback: () => void): void {
      root.eventQueue.schedule(new SimEvent('test', callback), asTicks(ticks));
    },
    /** Runs to an exit event, or up to an absolute tick. */
    run: (maxTick?: number) =>
      simulator.runUntilExit(maxTick === undefined ? {} : { maxTick: asTick(BigInt(maxTick)) }),
    close(): void {
      simulator.close();
      kvm?.close();
    },
  };
}
export type UserSystem = ReturnType<typeof userSystem>;

function makeKvmCpu(
  root: Root,
  name: string,
  memory: PhysicalMemory,
  kvm: Kvm,
  switchedOut: boolean,
): X86KvmCpu {
  const vm = new X86KvmVm(root, 'vm', { kvm, memory });
  const createVcpu = () => vm.createVcpu();
  return new X86KvmCpu(
    root,
    name,
    { kvm, createVcpu, attach: attachVcpu, memory, stubBase: STUB },
    { switchedOut },
  );
}
