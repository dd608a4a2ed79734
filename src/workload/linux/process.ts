/**
 * The simulated Linux process: what the CPU calls when user code makes a system call or faults. It owns the
 * address space, files, threads, signals, clocks and limits; the calls themselves are in syscalls/, by
 * subject.
 */
import { Gpr } from '../../arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { UserException, UserModeOs } from '../../cpu/user-mode-os.ts';
import { HostFiles } from '../../host/files.ts';
import { SimObject } from '../../sim/sim-object.ts';
import { TICKS_PER_NS, type Tick } from '../../sim/tick.ts';
import { panic } from '../../sim/trouble.ts';
import { AddressSpace } from './address-space.ts';
import { SimulatedClock } from './clock.ts';
import { serveCompatSyscall } from './compat-syscalls.ts';
import { Errno, Restart } from './errno.ts';
import { PAGE_FAULT, signalOfException } from './faults.ts';
import { ProcessFiles } from './files/process-files.ts';
import { FrameAllocator } from './frame-allocator.ts';
import { FutexTable } from './futex.ts';
import { HostWaiting } from './host-waiting.ts';
import { Identity } from './identity.ts';
import type { LoadedProgram } from './loader.ts';
import { PiFutexTable } from './pi-futex.ts';
import { ProcessAttributes } from './process-attributes.ts';
import { EXIT_CAUSE, endBySignal, type ProcessEnd } from './process-end.ts';
import {
  BASELINE_HWCAP,
  commandName,
  HWCAP2_FSGSBASE,
  hostCredentials,
  type LinuxProcessOptions,
} from './process-options.ts';
import { startProgram } from './process-start.ts';
import { ProcessStats } from './process-stats.ts';
import { fileFacts } from './process-texts.ts';
import { SeededRandom } from './random.ts';
import { memoryLimits, ResourceLimits, Rlimit } from './rlimits.ts';
import { Scheduler } from './scheduler.ts';
import { SignalFrames } from './sigframe.ts';
import { SignalDelivery } from './signal-delivery.ts';
import { Signal, SignalCode, type SignalInfo, signalName } from './signals.ts';
import { NO_RETURN, SyscallCall, type SyscallHandler } from './syscall.ts';
import { fileCallNumbers, syscallHandlers } from './syscall-table.ts';
import { describeCall, showResult } from './syscall-trace.ts';
import { Thread } from './thread.ts';
import { type TimerClock, TimerTable } from './timers.ts';
import { UmipEmulation } from './umip.ts';
import { GuestFault, UserMemory } from './user-memory.ts';

const MSYNC_SYNC = 4;

export class LinuxProcess extends SimObject implements UserModeOs {
  readonly pid: number = 1000;
  readonly ppid: number = 1;
  readonly executablePath: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
  readonly credentials: Identity;
  readonly attributes = new ProcessAttributes();
  readonly options: LinuxProcessOptions;

  /** The CPU that executes the program: another one after a switch. */
  cpu: BaseCpu<X86ThreadContext>;
  /** The RAM that the program may use. */
  readonly ram: FrameAllocator;
  readonly addressSpace: AddressSpace;
  /** The program's memory, as system calls see it. */
  readonly memory: UserMemory;
  readonly files: ProcessFiles;
  readonly clock: SimulatedClock;
  readonly limits = new ResourceLimits();
  readonly random: SeededRandom;
  readonly threads = new Map<number, Thread>();
  readonly scheduler: Scheduler;
  readonly futexes: FutexTable;
  readonly piFutexes: PiFutexTable;
  readonly signals: SignalDelivery;
  readonly timers: TimerTable;
  readonly wallClock: TimerClock = { nowNs: () => this.clock.elapsedNs, isCpuTime: false };
  readonly cpuClock: TimerClock = { nowNs: () => this.cpuNs(), isCpuTime: true };
  readonly stats = this.addStats(new ProcessStats());

  /** Set once the process has ended. */
  end: ProcessEnd | undefined;
  #program: LoadedProgram | undefined;
  #frames: SignalFrames | undefined;
  #nextTid: number = this.pid;
  /** CPU time of threads that are gone, in ticks. */
  #goneCpuTicks = 0;
  readonly #call = new SyscallCall(this);
  readonly #umip: UmipEmulation;
  readonly #handlers: readonly SyscallHandler[] = syscallHandlers();
  readonly #isFileCall = fileCallNumbers();
  readonly #hostWaiting: HostWaiting;
  readonly #syscallMade: (() => void) | undefined;
  /** A service is going on: thread switches wait for `afterService`. */
  #inService = false;

  constructor(parent: SimObject, name: string, options: LinuxProcessOptions) {
    super(parent, name);
    this.options = options;
    const { cpu, memory, executablePath } = options;
    this.cpu = cpu;
    this.#syscallMade = options.syscallMade;
    this.executablePath = executablePath;
    this.args = options.args;
    this.addToConfig({ executable: executablePath, cmd: options.args });
    this.environment = options.environment;
    this.credentials = new Identity(options.credentials ?? hostCredentials());
    this.random = SeededRandom.fromSeed(this.root.params.seed);
    this.clock = new SimulatedClock(this.eventQueue, options.startTime);
    this.ram = new FrameAllocator(options.ram ?? memory.regions[0]!.range);
    this.addressSpace = new AddressSpace({
      memory,
      frames: this.ram,
      limits: memoryLimits(this.limits),
      warn: (line) => this.warnOnce(line),
      onMappingChanged: (va, sizeBytes) => this.cpu.translationsChanged(va, sizeBytes),
    });
    this.memory = new UserMemory(this.addressSpace, memory);
    this.#umip = new UmipEmulation(this.memory);
    this.files = new ProcessFiles({
      host: options.host ?? new HostFiles(),
      root: options.root,
      readOnly: options.readOnly,
      cwd: options.cwd,
      limit: () => this.limit(Rlimit.nofile),
      facts: fileFacts(this),
    });
    this.futexes = new FutexTable(this.memory, (thread, result) => this.scheduler.finish(thread, result));
    this.piFutexes = new PiFutexTable({
      memory: this.memory,
      thread: (tid) => this.threads.get(tid),
      finish: (thread, result) => this.scheduler.finish(thread, result),
      reprioritized: (thread) => this.scheduler.reprioritized(thread),
    });
    this.signals = new SignalDelivery(this);
    this.timers = new TimerTable(this);
    this.scheduler = new Scheduler(this, this.newThread(commandName(executablePath)));
    this.#hostWaiting = new HostWaiting(this.files.host, this.scheduler);
    this.root.addIdleSource(this.#hostWaiting);
    this.stats.onDump(() => this.#updateStats());
    cpu.os = this;
  }

  // ---- start ----

  /** What the loader found: valid from `startup` on. */
  get program(): LoadedProgram {
    return this.#program ?? panic(this.path, 'no program is loaded yet');
  }

  /** How signal frames look; known once the CPU has started. */
  get frames(): SignalFrames {
    this.#frames ??= new SignalFrames(this.memory, this.options.xsave());
    return this.#frames;
  }

  /** AT_HWCAP and AT_HWCAP2. */
  get hwcaps(): readonly [number, number] {
    return [this.options.hwcap ?? BASELINE_HWCAP, this.options.hwcap2 ?? HWCAP2_FSGSBASE];
  }

  /** Loads the program and points the CPU at its entry. Throws ExecError if the file cannot be run. */
  override startup(): void {
    this.#program = startProgram(this);
    this.cpu.activateContext();
  }

  // ---- UserModeOs ----

  get pageTableRoot(): number {
    return this.addressSpace.pageTableRoot;
  }

  get translationGeneration(): number {
    return this.addressSpace.generation;
  }

  mapReserved(virtualAddress: number, physicalAddress: number, flags: number): void {
    this.addressSpace.mapReserved(virtualAddress, physicalAddress, flags);
  }

  isWritable(virtualAddress: number): boolean {
    return this.addressSpace.isWritable(virtualAddress);
  }

  /** Hot path: one table look-up, no allocation. */
  syscall(cpu: BaseCpu<X86ThreadContext>): void {
    this.#inService = true;
    const registers = cpu.modifyState(RegClass.general);
    const thread = this.scheduler.current;
    const nr = registers.gprLo(Gpr.RAX);
    const known = nr < this.#handlers.length ? nr : this.#handlers.length - 1;
    thread.syscallNumber = nr | 0;
    this.stats.syscalls.elements[known]!.value++;
    const call = this.#call;
    call.start(thread, registers, nr);
    // Described before it is made: the call may change the strings that its arguments point to.
    const text =
      this.debug.SyscallBase || this.debug.SyscallVerbose
        ? describeCall(call, this.debug.SyscallVerbose)
        : undefined;
    let result: ReturnType<SyscallHandler>;
    try {
      result = this.#handlers[known]!(call);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      result = -Errno.EFAULT;
    }
    if (text !== undefined) this.#traceCall(thread, text, result);
    if (typeof result === 'number' || typeof result === 'bigint') this.setResult(thread, result);
    else if (result !== NO_RETURN) this.scheduler.block(thread, result);
    if (this.scheduler.waitsForHost && this.#isFileCall[known] === 1) this.scheduler.filesChanged();
    this.#syscallMade?.();
  }

  exception(cpu: BaseCpu<X86ThreadContext>, raised: UserException): void {
    this.#inService = true;
    if (serveCompatSyscall(this, cpu, raised)) return;
    const e = this.#umip.emulate(cpu, raised);
    if (e === 'done') return;
    const thread = this.scheduler.current;
    const info = signalOfException(this.addressSpace, cpu, e);
    if (info === 'resolved') return;
    if (info === undefined) panic(this.path, `user code raised exception ${e.vector}`);
    thread.fault.trapNumber = e.vector;
    thread.fault.errorCode = e.errorCode;
    if (e.vector === PAGE_FAULT) thread.fault.cr2 = e.address;
    if (info.signal === Signal.SIGKILL) this.killed(thread, info);
    else this.signals.force(thread, info);
  }

  afterService(): void {
    this.#inService = false;
    this.scheduler.safePoint();
  }

  cpuChanged(cpu: BaseCpu<X86ThreadContext>): void {
    this.cpu = cpu;
  }

  // ---- threads ----

  get currentThread(): Thread {
    return this.scheduler.current;
  }

  /** Makes a thread; the caller sets its registers and adds it to the scheduler. */
  newThread(name: string): Thread {
    const thread = new Thread(this.#nextTid++, name, (expired) => this.scheduler.expire(expired));
    this.threads.set(thread.tid, thread);
    this.stats.numThreads.inc();
    return thread;
  }

  /** The calling thread exits; the last one takes the process with it. */
  exitThread(thread: Thread, status: number): void {
    if (this.threads.size === 1) {
      this.exit(status);
      return;
    }
    this.piFutexes.ownerExits(thread);
    this.futexes.threadExits(thread);
    this.#goneCpuTicks += this.scheduler.cpuTicks(thread);
    this.threads.delete(thread.tid);
    this.scheduler.remove(thread);
  }

  livingThreads(): Iterable<Thread> {
    return this.threads.values();
  }

  /** Registers of a thread, to be changed: the CPU's if it has them. */
  modifyRegisters(thread: Thread, classes: number): X86ThreadContext {
    return thread === this.scheduler.current ? this.cpu.modifyState(classes) : thread.context;
  }

  /** Gives a call its result. Hot path. */
  setResult(thread: Thread, result: number | bigint): void {
    const registers = this.modifyRegisters(thread, RegClass.general);
    thread.resumesWait = false;
    if (typeof result === 'bigint') registers.setGpr(Gpr.RAX, BigInt.asUintN(64, result));
    else {
      registers.setGprNumber(Gpr.RAX, result);
      if (result <= Restart.sys && result >= Restart.noHand) {
        thread.restart = result;
        this.requestSafePoint();
      }
    }
    if (thread.savedMask !== undefined && thread.restart === 0 && result !== -Errno.EINTR) {
      const { lo, hi } = thread.savedMask;
      thread.savedMask = undefined;
      this.signals.setMask(thread, lo, hi);
    }
  }

  /** Whether registers may be replaced now: not while a call is being served. */
  get canSwitch(): boolean {
    return !this.#inService && this.cpu.canSwitchThread;
  }

  requestSafePoint(): void {
    this.scheduler.requestSafePoint();
  }

  interrupt(thread: Thread): void {
    this.scheduler.interrupt(thread);
  }

  repoll(thread: Thread): void {
    this.scheduler.repoll(thread);
  }

  hasSignal(thread: Thread): boolean {
    return this.signals.hasDeliverable(thread);
  }

  deliverSignals(thread: Thread): void {
    if (thread.restart !== 0 || thread.savedMask !== undefined || this.signals.hasDeliverable(thread)) {
      this.signals.deliver(thread);
    }
  }

  switched(from: Thread, to: Thread): void {
    this.stats.numContextSwitches.inc();
    if (this.debug.ThreadSwitch) this.trace('ThreadSwitch', `T${from.tid} -> T${to.tid}`);
  }

  /** No thread can run: CPU time stands still. */
  cpuIdle(): void {
    this.timers.pauseCpuTime();
  }

  cpuBusy(): void {
    this.timers.resumeCpuTime();
    this.options.becameBusy?.();
  }

  // ---- signals ----

  /** Sends a signal that this thread caused itself, such as SIGPIPE. */
  signalThread(thread: Thread, signal: number): void {
    const { pid } = this;
    this.signals.sendToThread(thread, { signal, code: SignalCode.SI_USER, pid, uid: this.credentials.uid });
  }

  /** A timer went off. */
  send(info: SignalInfo, tid: number | undefined): void {
    if (tid === undefined) this.signals.sendToProcess(info);
    else {
      const thread = this.threads.get(tid);
      if (thread !== undefined) this.signals.sendToThread(thread, info);
    }
  }

  countDelivered(): void {
    this.stats.numSignals.inc();
  }

  stopped(signal: number): void {
    const name = signalName(signal);
    this.warnOnce(`${name} does not stop the program: nothing here could continue it`, name);
  }

  /** The default action of a signal ends the process. */
  killed(thread: Thread, info: SignalInfo): void {
    const { signal } = info;
    this.#finish(endBySignal(info, thread.tid), `program killed by ${signalName(signal)}`, 128 + signal);
  }

  // ---- end ----

  /** exit_group: the process is over. */
  exit(status: number): void {
    this.#finish({ kind: 'exited', status: status & 0xff }, EXIT_CAUSE, status & 0xff);
  }

  #finish(end: ProcessEnd, cause: string, code: number): void {
    if (this.end !== undefined) return;
    this.end = end;
    for (const thread of this.threads.values()) this.scheduler.remove(thread);
    this.scheduler.end();
    this.timers.disarmAll();
    this.cpu.haltContext();
    this.#writeSharedFiles();
    this.files.close();
    this.root.exitSimLoop(cause, code);
  }

  /** Memory itself stays, for a record of the crash. */
  #writeSharedFiles(): void {
    for (const area of this.addressSpace.areas) {
      if (area.shared && area.source !== undefined) {
        this.addressSpace.msync(area.start, area.end - area.start, MSYNC_SYNC);
      }
    }
  }

  // ---- time, limits, randomness ----

  /** CPU time of the process, in simulated nanoseconds. */
  cpuNs(): number {
    let ticks = this.#goneCpuTicks;
    for (const thread of this.threads.values()) ticks += this.scheduler.cpuTicks(thread);
    return Math.floor(ticks / TICKS_PER_NS);
  }

  /** Simulated time `ns` nanoseconds from now, for a `Wait`'s deadline. */
  deadlineAfter(ns: number): Tick {
    return this.clock.tickAfterNs(ns);
  }

  /** Soft limit of a resource (`Rlimit.nofile`, …); Infinity = unlimited. */
  limit(resource: number): number {
    return this.limits.soft(resource);
  }

  /** Fills with seeded pseudo-random bytes. */
  randomBytes(into: Uint8Array): void {
    this.random.fill(into);
  }

  // ---- internals ----

  #updateStats(): void {
    const { minorFaults, majorFaults } = this.addressSpace;
    this.stats.numPageFaults.value = minorFaults + majorFaults;
    this.stats.numMajorFaults.value = majorFaults;
    this.stats.numSyscalls.value = this.stats.syscalls.total();
  }

  #traceCall(thread: Thread, text: string, result: ReturnType<SyscallHandler>): void {
    const outcome =
      typeof result === 'number' || typeof result === 'bigint'
        ? showResult(result)
        : result === NO_RETURN
          ? '?'
          : 'waits';
    const flag = this.debug.SyscallBase ? 'SyscallBase' : 'SyscallVerbose';
    this.trace(flag, `T${thread.tid}: ${text} = ${outcome}`);
  }
}
