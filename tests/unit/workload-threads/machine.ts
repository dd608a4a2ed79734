// A process on a CPU that executes nothing: tests make its system calls and faults by hand.

import { Gpr } from '../../../src/arch/x86/registers.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../../src/arch/x86/user-mode.ts';
import { XsaveFormat } from '../../../src/arch/x86/xsave.ts';
import { BaseCpu } from '../../../src/cpu/base-cpu.ts';
import { HostFiles } from '../../../src/host/files.ts';
import { LinuxHostPages } from '../../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { Root } from '../../../src/sim/root.ts';
import type { Tick } from '../../../src/sim/tick.ts';
import { LinuxProcess } from '../../../src/workload/linux/process.ts';
import { SYSCALL_ROWS } from '../../../src/workload/linux/syscall-rows.ts';

/** Where the process has RAM to play with: 16 pages. */
export const DATA = 0x10_0000;
export const STACK_TOP = DATA + 0x8000;
export const CODE = 0x40_0000;

/** Components 2, 5, 6, 7 and 9 where Intel's processors have them. */
export function intelXsaveFormat(): XsaveFormat {
  return new XsaveFormat([
    { bit: 0x4, offset: 576, sizeBytes: 256 },
    { bit: 0x20, offset: 1088, sizeBytes: 64 },
    { bit: 0x40, offset: 1152, sizeBytes: 512 },
    { bit: 0x80, offset: 1664, sizeBytes: 1024 },
    { bit: 0x200, offset: 2688, sizeBytes: 8 },
  ]);
}

export class FakeCpu extends BaseCpu<X86ThreadContext> {
  readonly context = new X86ThreadContext();
  active = false;
  halted = false;
  busyTicks = 0;
  canSwitchThread = true;
  get dataPort(): never {
    throw new Error('no access leaves this CPU');
  }

  readState(): X86ThreadContext {
    return this.context;
  }
  modifyState(): X86ThreadContext {
    return this.context;
  }
  activateContext(): void {
    this.active = true;
  }
  suspendContext(): void {
    this.active = false;
  }
  haltContext(): void {
    this.active = false;
    this.halted = true;
  }
  wakeup(): void {}
}

const ARGUMENTS = [Gpr.RDI, Gpr.RSI, Gpr.RDX, Gpr.R10, Gpr.R8, Gpr.R9];
const NUMBERS = new Map(SYSCALL_ROWS.map(({ nr, name }) => [name, nr]));

export class Machine {
  readonly root: Root;
  readonly cpu: FakeCpu;
  readonly process: LinuxProcess;
  readonly warnings: string[] = [];
  readonly trace: string[] = [];

  constructor(
    options: { seed?: number; debugFlags?: string; startTime?: number; host?: HostFiles; uid?: number } = {},
  ) {
    const { debugFlags = '', seed = 1, startTime, host = new HostFiles(), uid = 1000 } = options;
    this.root = new Root({
      seed,
      debugFlags,
      warnSink: (line) => this.warnings.push(line),
      traceSink: (line) => this.trace.push(line),
    });
    const memory = new PhysicalMemory(this.root, 'memory', {
      ranges: [{ start: 0, sizeBytes: 8 << 20 }],
      hostPages: new LinuxHostPages(),
    });
    this.cpu = new FakeCpu(this.root, 'cpu');
    this.process = new LinuxProcess(this.root, 'process', {
      xsave: intelXsaveFormat,
      cpu: this.cpu,
      memory,
      executablePath: '/bin/a-program-with-a-long-name',
      args: ['a-program'],
      environment: [],
      cwd: '/',
      host,
      startTime,
      credentials: { uid, euid: uid, gid: 100, egid: 100, groups: [100, 27] },
    });
    setUserMode(this.cpu.context, this.process.pageTableRoot, 0xe7);
    this.process.addressSpace.mmap({ address: DATA, length: 0x1_0000, prot: 3, flags: 0x32 });
    this.cpu.context.setGprNumber(Gpr.RSP, STACK_TOP);
    this.cpu.context.ripNumber = CODE;
    this.cpu.active = true;
  }

  get memory() {
    return this.process.memory;
  }

  /**
   * Makes a call with the current thread's registers; returns RAX as a signed Number when the service is
   * over.
   */
  call(name: string, ...args: (number | bigint)[]): number {
    const tc = this.cpu.context;
    const nr = NUMBERS.get(name);
    if (nr === undefined) throw new Error(`no call ${name}`);
    tc.setGprNumber(Gpr.RAX, nr);
    args.forEach((arg, i) => {
      tc.setGpr(ARGUMENTS[i]!, BigInt.asUintN(64, BigInt(arg)));
    });
    this.process.syscall(this.cpu);
    this.process.afterService();
    return this.rax;
  }

  get rax(): number {
    return Number(BigInt.asIntN(64, this.cpu.context.gpr(Gpr.RAX)));
  }

  fault(vector: number, errorCode = 0, address = 0n): void {
    this.process.exception(this.cpu, { vector, errorCode, address });
    this.process.afterService();
  }

  get tid(): number {
    return this.process.currentThread.tid;
  }

  get tick(): Tick {
    return this.root.eventQueue.curTick;
  }

  /** Serves events up to and including a time from now. */
  run(ns: number): void {
    const queue = this.root.eventQueue;
    const end = (queue.curTick + BigInt(ns) * 1000n) as Tick;
    while ((queue.nextTick() ?? end + 1n) <= end) queue.serviceOne();
    queue.advanceTo(end);
  }

  /** Makes another thread current: those before it in the queue give way. */
  switchTo(tid: number): void {
    for (let i = 0; i < 10 && this.tid !== tid; i++) this.call('sched_yield');
    if (this.tid !== tid) throw new Error(`thread ${tid} does not get the CPU`);
  }

  /** Starts a thread; it is runnable and has the parent's registers. */
  thread(): number {
    return this.call('clone', 0x3d0f00, STACK_TOP - 0x4000, DATA, DATA + 4, 0x7000);
  }

  /** Gives `signal` a handler; returns nothing. The restorer is `CODE + 0x2000`. */
  handle(signal: number, handler = CODE + 0x1000, flags = 0, mask = 0n): void {
    const at = DATA + 0xf000;
    this.memory.writeNumber64(at, handler);
    this.memory.writeNumber64(at + 8, flags + 0x0400_0000);
    this.memory.writeNumber64(at + 16, CODE + 0x2000);
    this.memory.writeU64(at + 24, mask);
    if (this.call('rt_sigaction', signal, at, 0, 8) !== 0) throw new Error(`no handler for ${signal}`);
  }
}
