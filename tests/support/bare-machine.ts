// The smallest whole machine on the host's KVM: RAM, one CPU with a scripted local APIC, and one device that answers every
// address outside RAM and records what it is asked.

import { portAddress } from '../../src/arch/x86/address-spaces.ts';
import { Rflags, Seg } from '../../src/arch/x86/registers.ts';
import { SegmentPreset } from '../../src/arch/x86/segments.ts';
import { RegClass, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { attachVcpu } from '../../src/cpu/kvm/kvm-host.ts';
import { KvmIrqchip } from '../../src/cpu/kvm/x86/kvm-irqchip.ts';
import { X86KvmCpu, type X86KvmCpuParams } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../../src/cpu/kvm/x86/x86-kvm-vm.ts';
import type { AddrRange, PhysAddr } from '../../src/mem/addr.ts';
import { LinuxHostPages } from '../../src/mem/linux-host-pages.ts';
import type { Packet } from '../../src/mem/packet.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { type Responder, ResponsePort } from '../../src/mem/port.ts';
import { SimEvent } from '../../src/sim/event-queue.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick, asTicks, type Ticks } from '../../src/sim/tick.ts';
import { ScriptedApic } from './scripted-apic.ts';

export const RAM_BYTES = 4 << 20;
/** Where real-mode code begins. */
export const CODE = 0x1000;
const LATENCY = 100_000 as Ticks;

/** Answers reads with `answers`, in order, then zeros; records everything as `w 0x3f8 41`. */
export class RecordingDevice implements Responder {
  readonly port = new ResponsePort('device.port', this);
  readonly log: string[] = [];
  readonly answers: number[] = [];
  onAccess: (line: string) => void = () => {};

  recvAtomic(packet: Packet): Ticks {
    if (packet.isRead) packet.data.fill(0).set([this.answers.shift() ?? 0]);
    const address = packet.addr >= portAddress(0) ? packet.addr - portAddress(0) : packet.addr;
    const line = `${packet.isRead ? 'r' : 'w'} 0x${address.toString(16)} ${packet.data.toHex()}`;
    this.log.push(line);
    packet.makeResponse();
    this.onAccess(line);
    return LATENCY;
  }
  recvFunctional(packet: Packet): void {
    this.recvAtomic(packet);
  }
  recvTimingReq(): boolean {
    return false;
  }
  recvRespRetry(): void {}
  addrRanges(): readonly AddrRange[] {
    return [];
  }
}

export interface BareMachineOptions {
  /** The kernel's interrupt controllers in place of the scripted APIC. */
  readonly inKernel?: boolean;
  /** The CPU may set KVM's clock. */
  readonly hasClock?: boolean;
  readonly params?: X86KvmCpuParams;
  readonly debugFlags?: string;
}

/** @param code real-mode machine code at {@link CODE} */
export function bareMachine(
  after: (hook: () => void) => void,
  code: readonly number[],
  { params, debugFlags, inKernel = false, hasClock = false }: BareMachineOptions = {},
) {
  const lines: string[] = [];
  const warnings: string[] = [];
  const root = new Root({
    warnSink: (line) => warnings.push(line),
    traceSink: (line) => lines.push(line),
    ...(debugFlags === undefined ? {} : { debugFlags }),
  });
  const memory = new PhysicalMemory(root, 'memory', {
    ranges: [{ start: 0, sizeBytes: RAM_BYTES }],
    hostPages: new LinuxHostPages(),
  });
  const kvm = Kvm.open();
  const vm = new X86KvmVm(root, 'vm', { kvm, memory });
  const apic = new ScriptedApic();
  const irqchip = inKernel ? new KvmIrqchip(root, 'irqchip', vm) : undefined;
  const device = new RecordingDevice();
  const cpu = new X86KvmCpu(
    root,
    'cpu',
    {
      kvm,
      createVcpu: () => vm.createVcpu(),
      exitOnMsrs: (refused) => vm.exitOnMsrs(refused),
      attach: attachVcpu,
      memory,
      ...(hasClock ? { clock: { setClock: (ns) => vm.setClock(ns), startSeconds: 0 } } : {}),
      ...(irqchip === undefined ? { interrupts: apic } : { irqchip }),
    },
    params,
  );
  cpu.dataPort.bind(device.port);
  memory.write(CODE as PhysAddr, Uint8Array.from(code));
  realMode(cpu.modifyState(RegClass.all), CODE);
  const simulator = new Simulator(root);
  after(() => {
    simulator.close();
    kvm.close();
  });
  const at = (ticks: number, callback: () => void): void =>
    root.eventQueue.schedule(new SimEvent('test', callback), asTicks(ticks));
  const initState = cpu.initState.bind(cpu);
  cpu.initState = () => {
    initState();
    cpu.activateContext();
  };
  return {
    root,
    memory,
    apic,
    irqchip,
    device,
    cpu,
    simulator,
    warnings,
    lines,
    at,
    run: (end: number) => simulator.runUntilExit({ maxTick: asTick(end) }),
  };
}

/** Real mode with all segments at 0, stack below 0x1000, interrupt vectors at 0. */
export function realMode(tc: X86ThreadContext, rip: number): void {
  tc.powerOn();
  tc.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: 0, base: 0n });
  tc.rip = BigInt(rip);
  tc.rflags = Rflags.FIXED;
  tc.setGprNumber(4, 0x1000);
}
