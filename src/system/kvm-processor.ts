/**
 * The processor of a board, executed by the host's own through KVM: one virtual machine with one vCPU.
 */
import type { HyperVPartition } from '../arch/x86/hyper-v.ts';
import type { InterruptController, InterruptedCpu } from '../arch/x86/interrupts.ts';
import type { BaseCpu } from '../cpu/base-cpu.ts';
import { Kvm } from '../cpu/kvm/kvm.ts';
import { attachVcpu } from '../cpu/kvm/kvm-host.ts';
import { KvmIrqchip } from '../cpu/kvm/x86/kvm-irqchip.ts';
import { X86KvmCpu, type X86KvmCpuParams, type X86KvmCpuWiring } from '../cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../cpu/kvm/x86/x86-kvm-vm.ts';
import type { CoalescedZone } from '../host/kvm/vm.ts';
import type { PhysAddr } from '../mem/addr.ts';
import type { MemoryMode } from '../mem/memory-mode.ts';
import type { PhysicalMemory } from '../mem/physical-memory.ts';
import type { PinSink } from '../sim/pin.ts';
import type { SimObject } from '../sim/sim-object.ts';

/** What a board gives to its processor. */
export interface ProcessorWiring {
  readonly apicId: number;
  readonly memory: PhysicalMemory;
  memoryMode(): MemoryMode;
  /** Its simulated local APIC; undefined: the interrupt controllers are to be the host kernel's. */
  readonly localApic: SimulatedApic | undefined;
  /** Where writes have no effect that anybody waits for: they may be queued. */
  readonly coalescible: readonly CoalescedZone[];
  /** Date and time at tick 0, seconds since 1970. */
  readonly startSeconds: number;
  /** To be called when nothing can wake the processor any more. */
  haltedForGood(): void;
}

export interface SimulatedApic {
  readonly controller: InterruptController;
  /** Where its registers are on the bus. */
  readonly address: PhysAddr;
  readonly timerKhz: number;
}

export type ProcessorCpu = BaseCpu & InterruptedCpu;

export interface Processor {
  /** The CPU that executes the thread at first. */
  readonly cpu: ProcessorCpu;
  /** Others that can take it over: see switchCpus in cpu/switch-cpus.ts. */
  readonly spares?: readonly ProcessorCpu[];
  /** The interrupt lines into the host kernel's controllers, by number of the I/O APIC's input. */
  readonly kernelInput?: (gsi: number) => PinSink;
  /** Hyper-V's interface, if the processor offers it. */
  readonly hyperV?: HyperVPartition;
}

/** Makes the processor of a board, as a child of it. */
export type ProcessorFactory = (board: SimObject, wiring: ProcessorWiring) => Processor;

/**
 * A processor under KVM.
 * @param params of the CPU
 * @param spares parameters of further CPUs, which can take over from it and from each other: for a run in which another way
 *   of simulating takes its turn
 * @throws FatalError, from the factory, where the host's KVM cannot be used
 */
export function kvmProcessor(
  params: X86KvmCpuParams = {},
  ...spares: readonly X86KvmCpuParams[]
): ProcessorFactory {
  return (board, { apicId, coalescible, haltedForGood, localApic, memory, memoryMode, startSeconds }) => {
    const kvm = Kvm.open();
    const vm = new X86KvmVm(board, 'vm', { kvm, memory });
    const irqchip = localApic === undefined ? new KvmIrqchip(board, 'irqchip', vm) : undefined;
    const wiring: X86KvmCpuWiring = {
      kvm,
      createVcpu: () => vm.createVcpu(),
      coalesce: () => vm.coalesce(coalescible),
      exitOnMsrs: (refused) => vm.exitOnMsrs(refused),
      attach: attachVcpu,
      memoryMode,
      memory,
      clock: { setClock: (ns) => vm.setClock(ns), startSeconds },
      ...(irqchip === undefined ? {} : { irqchip }),
      ...(localApic === undefined
        ? {}
        : {
            interrupts: localApic.controller,
            localApic: localApic.address,
            apicTimerKhz: localApic.timerKhz,
          }),
    };
    // What one has left in the queue another finds there.
    const useCoalescedMMIO = [params, ...spares].some((own) => own.useCoalescedMMIO ?? false);
    const makeCpu = (name: string, own: X86KvmCpuParams) =>
      new BoardCpu(board, name, wiring, { ...own, useCoalescedMMIO, apicId }, haltedForGood);
    const cpu = makeCpu('cpu', params);
    return {
      cpu,
      spares: spares.map((own, i) => makeCpu(`cpu${i + 1}`, { ...own, switchedOut: true })),
      ...(irqchip === undefined ? {} : { kernelInput: (gsi) => irqchip.input(gsi) }),
      ...(cpu.hyperV === undefined ? {} : { hyperV: cpu.hyperV }),
    };
  };
}

/** A CPU that tells its board when it has executed HLT with interrupts off. */
class BoardCpu extends X86KvmCpu {
  readonly #haltedForGood: () => void;

  constructor(
    parent: SimObject,
    name: string,
    wiring: X86KvmCpuWiring,
    params: X86KvmCpuParams,
    haltedForGood: () => void,
  ) {
    super(parent, name, wiring, params);
    this.#haltedForGood = haltedForGood;
  }

  override get stateType(): string {
    return X86KvmCpu.name;
  }

  override suspendContext(): void {
    super.suspendContext();
    if (this.isHaltedForGood) this.#haltedForGood();
  }
}
