/**
 * FunctionalCpu: executes instructions by itself, one per clock cycle, with nothing of the host's processor in what is
 * simulated: a run is the same everywhere. For user code in syscall emulation. gem5's counterpart is AtomicSimpleCPU.
 *
 *   tick ── nothing to serve ──▶ executes, up to the next event of its queue ──▶ SYSCALL, exception: to be served
 *        ── to be served ──────▶ the operating system serves it
 *
 * Each takes the time that it takes, and the next tick comes behind it. Between ticks the thread stands between two
 * instructions, and the thread context is current.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { INSTRUCTIONS } from '../../arch/x86/isa/instructions.ts';
import { MsrIndex } from '../../arch/x86/msrs.ts';
import { Cr4, Xcr0 } from '../../arch/x86/registers.ts';
import { OFFSET, RegClass, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { setOptionalCr4, setUserMode } from '../../arch/x86/user-mode.ts';
import { XsaveFormat } from '../../arch/x86/xsave.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { RequestPort } from '../../mem/port.ts';
import { Priority, SimEvent, TickMark } from '../../sim/event-queue.ts';
import type { ParamValues } from '../../sim/params.ts';
import type { DrainAnswer, SimObject } from '../../sim/sim-object.ts';
import { clockPeriodTicks, type Tick, type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { ExitStatus, fatal, panic } from '../../sim/trouble.ts';
import { BaseCpu } from '../base-cpu.ts';
import type { UserException, UserModeOs } from '../user-mode-os.ts';
import { AVX_COMPONENT, FunctionalCpuid } from './cpuid.ts';
import { Engine } from './engine.ts';
import type { RunEnd } from './engine-interface.ts';
import { chooseFeatures, implementedFeatures } from './features.ts';
import { FUNCTIONAL_CPU_PARAMS, type FunctionalCpuParams } from './params.ts';
import { RandomNumbers } from './random.ts';
import { FunctionalCpuStats } from './stats.ts';
import { exceptionText, undefinedInstruction } from './user-faults.ts';

/** Instructions at a stretch: some milliseconds of the host, so that the rest of the process has its turn. */
const MOST_AT_A_STRETCH = 1_000_000;
const MS_PER_SECOND = 1000;
/** Of an error code: the index in it is that of a gate (SDM vol. 3 §6.13). */
const GATE_OF_IDT = 2;

/** What the operating system has to serve. */
type Service = Extract<RunEnd, { kind: 'syscall' | 'exception' }>;

export class FunctionalCpu extends BaseCpu {
  readonly params: ParamValues<typeof FUNCTIONAL_CPU_PARAMS>;
  readonly stats = this.addStats(new FunctionalCpuStats());
  readonly cpuid: FunctionalCpuid;
  /** Layout of the XSAVE images in signal frames. */
  readonly xsaveFormat: XsaveFormat;
  readonly #engine: Engine;
  readonly #port: RequestPort;
  readonly #periodTicks: Ticks;
  readonly #tickEvent: SimEvent;
  readonly #idleSince = new TickMark();
  readonly #exception: UserException = { vector: 0, errorCode: 0, address: 0n };
  #service: Service | undefined;
  #faultNote: string | undefined;
  /** Of the translations, when the thread was given away. */
  #generation: number | undefined;
  /** The CPU is inside its tick. */
  #isTicking = false;
  #isDraining = false;
  /** The TSC was `tscBase` at `tscTick`; `executedBefore` instructions had been executed when the run began. */
  #tscBase = 0n;
  #tscTick = 0n as Tick;
  #executedBefore = 0;

  constructor(parent: SimObject, name: string, memory: PhysicalMemory, given: FunctionalCpuParams = {}) {
    super(parent, name, given.switchedOut);
    this.params = this.resolveParams(FUNCTIONAL_CPU_PARAMS, given);
    const { clock, features, translate } = this.params;
    this.#periodTicks = clockPeriodTicks(clock);
    const chosen = chooseFeatures(this.path, features, implementedFeatures(INSTRUCTIONS));
    this.cpuid = new FunctionalCpuid(chosen, clock);
    this.xsaveFormat = new XsaveFormat(chosen.has('avx') ? [AVX_COMPONENT] : []);
    const random = this.state('random', new RandomNumbers());
    this.#engine = new Engine({
      memory,
      features: chosen.forDecoder,
      translate,
      xsave: this.xsaveFormat,
      isWritable: (address) => this.os?.isWritable(address) ?? true,
      readTsc: () => halves(this.#tscInRun()),
      cpuid: (leaf, subleaf) => this.cpuid.answer(leaf, subleaf),
      random,
    });
    this.#port = new RequestPort(`${this.path}.dcache_port`, {
      recvTimingResp: () => panic(this.path, 'asked nothing of the memory system'),
      recvReqRetry: () => panic(this.path, 'asked nothing of the memory system'),
    });
    this.#tickEvent = new SimEvent(`${this.path}.tick`, () => this.#tick(), Priority.CpuTick);
    this.#engine.tc.powerOn();
    this.state('context', this.#engine.tc);
    this.root.addInstructionSource({
      totalInsts: () => this.stats.commitStats0.numInsts.result(),
      totalOps: () => this.stats.commitStats0.numInsts.result(),
    });
  }

  // ---- life cycle ----

  override initState(): void {
    const { features, xcr0 } = this.cpuid;
    const components = features.has('xsave') ? xcr0 : Xcr0.X87;
    setUserMode(this.#engine.tc, this.#theOs().pageTableRoot, components, this.#optionalCr4);
  }

  get #optionalCr4(): number {
    const { features } = this.cpuid;
    const bit = (name: string, mask: number): number => (features.has(name) ? mask : 0);
    return bit('umip', Cr4.UMIP) | bit('xsave', Cr4.OSXSAVE) | bit('fsgsbase', Cr4.FSGSBASE);
  }

  /** RAM and registers are others than before. */
  override restored(): void {
    this.#engine.forgetCode();
    this.#goesOnFrom();
  }

  /** Registers are others than before. */
  #goesOnFrom(): void {
    this.#setTsc();
    this.eventQueue.mark(this.#idleSince);
  }

  /** Nothing is behind it yet: all memory that instructions reach is RAM. */
  get dataPort(): RequestPort {
    return this.#port;
  }

  override get busyTicks(): number {
    return this.thread.busyTicks;
  }

  override get canSwitchThread(): boolean {
    return this.#service === undefined;
  }

  override get faultNote(): string | undefined {
    return this.#faultNote;
  }

  override translationsChanged(virtualAddress: number, sizeBytes: number): void {
    this.#engine.flushPages(virtualAddress, sizeBytes);
  }

  // ---- registers: the engine's own, current between its runs ----

  override readState(classes: number): X86ThreadContext {
    const { tc } = this.#engine;
    if (classes & RegClass.msr && !this.isSwitchedOut) tc.setMsr(MsrIndex.TSC, this.#tscNow());
    return tc;
  }

  override modifyState(classes: number): X86ThreadContext {
    return this.readState(classes);
  }

  // ---- activation ----

  override activateContext(): void {
    if (this.thread.status === 'active') return;
    this.thread.status = 'active';
    this.stats.numCycles.inc(Math.floor(this.eventQueue.ticksSince(this.#idleSince) / this.#periodTicks));
    this.#goOn();
  }

  override suspendContext(): void {
    this.thread.status = 'suspended';
    this.#stop();
  }

  override haltContext(): void {
    this.thread.status = 'halted';
    this.#service = undefined;
    this.#stop();
  }

  override wakeup(): void {
    if (this.thread.status === 'suspended') this.activateContext();
  }

  #goOn(): void {
    const isStopped = this.isSwitchedOut || this.#isDraining || this.thread.status !== 'active';
    if (!isStopped && !this.#tickEvent.scheduled) this.#schedule(ZERO_TICKS);
  }

  #stop(): void {
    this.eventQueue.mark(this.#idleSince);
    if (this.#tickEvent.scheduled) this.eventQueue.deschedule(this.#tickEvent);
  }

  #schedule(delay: Ticks): void {
    this.eventQueue.schedule(this.#tickEvent, this.eventQueue.ticksToClockEdge(this.#periodTicks, delay));
  }

  // ---- drain, switch ----

  /** Between two instructions it is drained at once; a service that is due comes first. */
  override drain(): DrainAnswer {
    if (this.isSwitchedOut) return 'drained';
    this.#isDraining = true;
    if (this.#isTicking || this.#service !== undefined) return 'draining';
    if (this.#tickEvent.scheduled) this.eventQueue.deschedule(this.#tickEvent);
    this.readState(RegClass.all);
    return 'drained';
  }

  override drainResume(): void {
    this.#isDraining = false;
    this.#goOn();
  }

  override switchOut(): void {
    this.#mustBeDrained('switched out');
    this.readState(RegClass.all);
    this.#engine.giveRam();
    this.#generation = this.os?.translationGeneration;
    super.switchOut();
  }

  override takeOverFrom(old: BaseCpu): void {
    this.#mustBeDrained('switched in');
    this.#engine.tc.copyFrom(old.readState(RegClass.all));
    setOptionalCr4(this.#engine.tc, this.#optionalCr4);
    super.takeOverFrom(old);
    if (old.dataPort.isBound) this.#port.takeOverFrom(old.dataPort);
    this.#engine.takeRam();
    if (this.os?.translationGeneration !== this.#generation) this.#engine.flushTlb();
    this.#goesOnFrom();
  }

  #mustBeDrained(action: string): void {
    if (this.#tickEvent.scheduled || this.#service !== undefined)
      panic(this.path, `${action} while it runs: drain first`);
  }

  // ---- the tick ----

  /** One tick after another, as long as nothing else is due before the next one: most ticks then need no event. */
  #tick(): void {
    const { slice, eventQueues } = this.root;
    this.#isTicking = true;
    for (;;) {
      const delay = (this.#service === undefined ? this.#execute() : this.#serve(this.#service)) as Ticks;
      if (this.#isDraining && this.#service === undefined) break;
      if (this.thread.status !== 'active' || this.#tickEvent.scheduled) break;
      const goesOn = !slice.checkSoon && eventQueues.length === 1 && this.eventQueue.tryAdvance(delay);
      if (goesOn) continue;
      this.#schedule(delay);
      break;
    }
    this.#isTicking = false;
    if (this.#isDraining && this.drain() === 'drained') this.drainDone();
  }

  /** Executes what fits in front of the next event; returns how long that takes. Hot path. */
  #execute(): number {
    const engine = this.#engine;
    const { instructionEvents } = this.thread;
    const { root, stats } = this;
    if (instructionEvents.distance === 0) {
      instructionEvents.serviceDue(root);
      return 0;
    }
    const startMs = root.hostClock();
    root.slice.remainingNs(startMs);
    this.#executedBefore = engine.executed;
    const end = engine.run(Math.min(this.#cyclesToNextEvent(), instructionEvents.distance));
    const executed = engine.executed - this.#executedBefore;
    const endMs = root.hostClock();
    root.slice.spentUntil(endMs);
    stats.hostSecondsInGuest.inc((endMs - startMs) / MS_PER_SECOND);
    stats.numRuns.inc();
    stats.commitStats0.numInsts.inc(executed);
    stats.commitStats0.numOps.inc(executed);
    this.#ended(end);
    // An instruction that faults has taken its cycle, too.
    const cycles = executed + (end.kind === 'exception' ? 1 : 0);
    stats.numCycles.inc(cycles);
    const ticks = cycles * this.#periodTicks;
    this.thread.busyTicks += ticks;
    instructionEvents.advance(executed);
    if (instructionEvents.distance === 0) instructionEvents.serviceDue(root);
    return ticks;
  }

  /** Instructions that begin before the next event; at least one. It never depends on the host how many. */
  #cyclesToNextEvent(): number {
    const cycles = Math.ceil(this.eventQueue.ticksToNext() / this.#periodTicks);
    return Math.max(1, Math.min(cycles, MOST_AT_A_STRETCH));
  }

  #ended(end: RunEnd): void {
    if (end.kind === 'syscall' || end.kind === 'exception') this.#service = end;
    else if (end.kind === 'interrupt') this.#service = this.#interrupt(end);
    else if (end.kind === 'halt') panic(this.path, 'user code has executed HLT');
  }

  /** Programs may ask for #BP and #OF only: the gates of all others are the kernel's (SDM vol. 3 §6.12.1.2). */
  #interrupt({ vector, at }: Extract<RunEnd, { kind: 'interrupt' }>): Service {
    const isFree = vector === Vector.BP || vector === Vector.OF;
    if (!isFree) this.#engine.tc.rip = at;
    const errorCode = isFree ? 0 : 8 * vector + GATE_OF_IDT;
    return { kind: 'exception', vector: isFree ? vector : Vector.GP, errorCode, address: 0n };
  }

  /** Takes no time. */
  #serve(service: Service): number {
    const os = this.#theOs();
    this.#service = undefined;
    if (service.kind === 'syscall') {
      this.stats.numUserSyscalls.inc();
      os.syscall(this);
    } else {
      this.stats.numUserExceptions.inc();
      this.#raise(os, service);
    }
    os.afterService(this);
    return 0;
  }

  #raise(os: UserModeOs, { vector, errorCode, address }: Extract<Service, { kind: 'exception' }>): void {
    const { tc } = this.#engine;
    const exception = this.#exception;
    exception.vector = vector;
    exception.errorCode = errorCode;
    exception.address = vector === Vector.PF ? address : 0n;
    if (vector === Vector.PF) tc.set(OFFSET.cr2, address);
    const code = vector === Vector.UD ? this.#engine.codeAtRip() : undefined;
    if (this.debug.Faults) this.trace('Faults', exceptionText(exception, tc.rip, code));
    const instruction = code === undefined ? undefined : undefinedInstruction(code, tc, this.cpuid.features);
    if (instruction?.isMissing) fatal(this.path, instruction.note, ExitStatus.notImplemented);
    this.#faultNote = instruction?.note;
    if (this.#faultNote !== undefined) this.warnOnce(this.#faultNote);
    os.exception(this, exception);
  }

  #theOs(): UserModeOs {
    return this.os ?? panic(this.path, 'runs user code only: there is no operating system');
  }

  // ---- time-stamp counter: simulated time in cycles ----

  #tscNow(): bigint {
    const cycles = (this.curTick - this.#tscTick) / BigInt(this.#periodTicks);
    return BigInt.asUintN(64, this.#tscBase + cycles);
  }

  /** As the instruction sees it that the engine executes: time stands at the beginning of the run. */
  #tscInRun(): bigint {
    return BigInt.asUintN(64, this.#tscNow() + BigInt(this.#engine.executedSoFar - this.#executedBefore));
  }

  /** The counter goes on from what the thread context says. */
  #setTsc(): void {
    this.#tscBase = this.#engine.tc.msr(MsrIndex.TSC)!;
    // It changes at clock edges.
    this.#tscTick = (this.curTick - (this.curTick % BigInt(this.#periodTicks))) as Tick;
  }
}

function halves(value: bigint): readonly [lo: number, hi: number] {
  return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
}
