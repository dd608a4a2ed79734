// A PcBoard whose processor is the test: it executes nothing, and the test makes its accesses.

import { portAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { InterruptController, InterruptedCpu } from '../../../src/arch/x86/interrupts.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { BaseCpu } from '../../../src/cpu/base-cpu.ts';
import { MemoryBackend } from '../../../src/dev/serial/char-backend.ts';
import { asPhysAddr, type PhysAddr } from '../../../src/mem/addr.ts';
import { Command, type MemCmd, Packet } from '../../../src/mem/packet.ts';
import { RequestPort } from '../../../src/mem/port.ts';
import { Root } from '../../../src/sim/root.ts';
import type { SimObject } from '../../../src/sim/sim-object.ts';
import { Simulator } from '../../../src/sim/simulator.ts';
import { asTick } from '../../../src/sim/tick.ts';
import type { Processor } from '../../../src/system/kvm-processor.ts';
import { PcBoard, type PcBoardOptions } from '../../../src/system/pc-board.ts';

const MS = 1_000_000_000n;

class TestCpu extends BaseCpu implements InterruptedCpu {
  readonly context = new X86ThreadContext();
  readonly dataPort = new RequestPort('cpu.port', {
    recvTimingResp: () => true,
    recvReqRetry: () => {},
  });
  readonly busyTicks = 0;
  readonly canSwitchThread = true;
  readonly tscHz = 1e9;
  wakeups = 0;

  constructor(parent: SimObject) {
    super(parent, 'cpu');
    this.state('context', this.context);
  }
  readState(): X86ThreadContext {
    return this.context;
  }
  modifyState(): X86ThreadContext {
    return this.context;
  }
  activateContext(): void {
    this.thread.status = 'active';
  }
  suspendContext(): void {
    this.thread.status = 'suspended';
  }
  haltContext(): void {
    this.thread.status = 'halted';
  }
  wakeup(): void {
    this.wakeups++;
  }
  readTsc(): bigint {
    return this.curTick / 1000n;
  }
}

/** `jmp .` at 1 MiB. */
const SPIN = Uint8Array.of(0xeb, 0xfe);

/** @param hyperV Hyper-V's interface of the processor */
export function testBoard({ hyperV, ...options }: PcBoardOptions & Pick<Processor, 'hyperV'> = {}) {
  const warnings: string[] = [];
  const root = new Root({ warnSink: (line) => warnings.push(line), hostMemory: () => 0 });
  const com1 = new MemoryBackend();
  // Without an end the machine would wait for what is typed.
  com1.end();
  let interrupts: InterruptController | undefined;
  const board = new PcBoard(root, 'board', {
    memorySize: '4MiB',
    serial: [com1],
    processor: (parent, { localApic }) => {
      interrupts = localApic?.controller;
      return { cpu: new TestCpu(parent), ...(hyperV && { hyperV }) };
    },
    ...options,
  });
  const simulator = new Simulator(root);
  const access = (cmd: MemCmd, address: PhysAddr, sizeBytes: number, value = 0): number => {
    const packet = new Packet().set(cmd, address, sizeBytes);
    packet.setUint(value);
    board.cpu.dataPort.sendAtomic(packet);
    return packet.getUint();
  };
  return {
    root,
    board,
    simulator,
    com1,
    warnings,
    /** Of the local APIC. */
    interrupts: interrupts!,
    out: (port: number, value: number, size = 1) => access(Command.WriteReq, portAddress(port), size, value),
    in: (port: number, size = 1) => access(Command.ReadReq, portAddress(port), size),
    load: (address: number, size = 4) => access(Command.ReadReq, asPhysAddr(address), size),
    store: (address: number, value: number, size = 4) =>
      access(Command.WriteReq, asPhysAddr(address), size, value),
    spin: () => board.boot({ image: SPIN, name: 'spin' }),
    /** Runs to the next exit event, or for `ms` simulated milliseconds from the start. */
    until: (ms: number) => simulator.runUntilExit({ maxTick: asTick(BigInt(ms) * MS) }),
  };
}
