// A whole machine around a scripted vCPU: an X86KvmCpu with a scripted local APIC.

import { OFFSET, RegClass } from '../../src/arch/x86/thread-context.ts';
import { X86KvmCpu, type X86KvmCpuParams, type X86KvmCpuWiring } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { KvmExitReason, KvmRunLayout } from '../../src/host/kvm/abi.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { SimEvent } from '../../src/sim/event-queue.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick, asTicks } from '../../src/sim/tick.ts';
import { FAKE_KVM, FakeVcpu, type Step } from './fake-vcpu.ts';
import { ScriptedApic } from './scripted-apic.ts';

export interface FakeFullSystemOptions {
  readonly params?: X86KvmCpuParams;
  readonly debugFlags?: string;
  readonly wiring?: Partial<X86KvmCpuWiring>;
  /** Changes the vCPU before anybody uses it. */
  readonly prepare?: (vcpu: FakeVcpu) => void;
}

/** The processor is in its state after power-on; host cycles are nanoseconds. It starts at tick 0. */
export function fakeFullSystem(
  script: readonly Step[],
  { params, debugFlags = 'Kvm', wiring, prepare }: FakeFullSystemOptions = {},
) {
  const lines: string[] = [];
  const warnings: string[] = [];
  const vcpu = new FakeVcpu();
  vcpu.tscOffset = 0n;
  prepare?.(vcpu);
  vcpu.script.push(...script);
  const root = new Root({
    hostClock: () => vcpu.time.ns / 1e6,
    debugFlags,
    traceSink: (line) => lines.push(line),
    warnSink: (line) => warnings.push(line),
  });
  const memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: 1 << 20 }] });
  const apic = new ScriptedApic();
  const cpu = new X86KvmCpu(
    root,
    'cpu',
    {
      kvm: FAKE_KVM,
      createVcpu: () => vcpu,
      exitOnMsrs: (refused) =>
        vcpu.calls.push(`msr exits ${refused.map(({ first }) => first.toString(16)).join(' ')}`),
      attach: () => ({
        timer: vcpu.time,
        signal: vcpu.signal,
        frequencyHz: 1e9,
        counters: undefined,
        whyNoCounters: 'no counters in this test',
        close: () => {},
      }),
      memory,
      interrupts: apic,
      ...wiring,
    },
    params,
  );
  const simulator = new Simulator(root);
  const at = (ticks: number, callback: () => void): void =>
    root.eventQueue.schedule(new SimEvent('test', callback), asTicks(ticks));
  at(0, () => cpu.activateContext());
  const transitions = (): string[] =>
    lines.flatMap((line) => (line.includes(': state ') ? [line.slice(line.indexOf(': state ') + 8)] : []));
  return {
    root,
    cpu,
    apic,
    vcpu,
    memory,
    simulator,
    lines,
    warnings,
    at,
    transitions,
    /** Calls of the vCPU that inject something. */
    injected: () => vcpu.calls.filter((call) => call.startsWith('interrupt') || call === 'nmi'),
    event: (event: number) => cpu.readState(RegClass.events).u8[OFFSET.events + event],
    run: (end: number) => simulator.runUntilExit({ maxTick: asTick(end) }),
  };
}

/** What KVM says at an exit about interrupts: RFLAGS.IF, and whether one could be injected now. */
export function says(vcpu: FakeVcpu, { flag, ready }: { flag: boolean; ready: boolean }): void {
  vcpu.run.u8[KvmRunLayout.at.if_flag] = flag ? 1 : 0;
  vcpu.run.u8[KvmRunLayout.at.ready_for_interrupt_injection] = ready ? 1 : 0;
  vcpu.setReg('rflags', flag ? 0x202 : 0x2);
}

/** The guest runs for `ns`, comes back for this reason, and takes interrupts or not. */
export const exitReady =
  (reason: number, ready: boolean, ns = 100): Step =>
  (vcpu) => {
    vcpu.time.advance(ns);
    says(vcpu, { flag: ready, ready });
    return vcpu.exit(reason);
  };

/** HLT with interrupts on, or off. */
export const halt = (interruptible: boolean): Step => exitReady(KvmExitReason.HLT, interruptible);
