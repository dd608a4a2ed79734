// BaseKvmCpu: the ISA-independent KVM CPU. A tick event enters the guest until the next event of its queue is due, and
// serves what made it come back; the states are in state.ts. gem5: src/cpu/kvm/base.cc.
//
//   tick in Running, RunningServiceCompletion      tick in RunningService
//     registers that the TC changed → KVM            the exit is served: delay, next state
//     enter, at most until the next event
//     everything in KVM is newer than the TC
//
// Register classes are synchronized lazily: `#tcDirty` must be written before an entry, `#kvmDirty` must be read before
// anybody looks. A class is never in both.

import { KvmExitReason } from '../../host/kvm/abi.ts';
import { Priority, SimEvent, TickMark } from '../../sim/event-queue.ts';
import type { ParamValues } from '../../sim/params.ts';
import type { DrainAnswer, SimObject } from '../../sim/sim-object.ts';
import { clockPeriodTicks, type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { panic } from '../../sim/trouble.ts';
import { BaseCpu } from '../base-cpu.ts';
import { HostTime } from './host-time.ts';
import { BASE_KVM_CPU_PARAMS, type BaseKvmCpuParams } from './params.ts';
import { type EntryEnd, type RunnerClient, VcpuRunner } from './runner.ts';
import { type KvmCpuState, KvmCpuStateMachine } from './state.ts';
import { KvmCpuStats } from './stats.ts';
import type { GuestCounters, HostParts, KvmCpuParts, Vcpu } from './vcpu-parts.ts';

/** Whether the thread has work, whatever state the CPU is in: a drained CPU is Idle and its thread may be active. */
type ThreadStatus = 'active' | 'suspended' | 'halted';

const NS_PER_SECOND = 1e9;
const NS_PER_MS = 1e6;
/** Longest run while draining: 1 ms. */
const DRAIN_RUN_TICKS = 1e9;

export abstract class BaseKvmCpu<TC, V extends Vcpu> extends BaseCpu<TC> implements RunnerClient {
  readonly params: ParamValues<typeof BASE_KVM_CPU_PARAMS>;
  readonly stats = this.addStats(new KvmCpuStats());
  /** Mask of all register classes. */
  protected readonly allClasses: number;
  readonly #parts: KvmCpuParts<V>;
  readonly #machine: KvmCpuStateMachine;
  readonly #tickEvent: SimEvent;
  readonly #periodTicks: Ticks;
  #vcpu: V | undefined;
  #host: HostParts | undefined;
  #runner: VcpuRunner | undefined;
  #time: HostTime | undefined;
  #resolutionTicks = 0;
  #counters: GuestCounters | undefined;
  #thread: ThreadStatus = 'halted';
  #tcDirty: number;
  #kvmDirty = 0;
  readonly #idleSince = new TickMark();
  #draining = false;
  #serving = false;
  #exitBySignal = false;
  #busyTicks = 0;

  /** @param allClasses mask of all register classes of the architecture */
  constructor(
    parent: SimObject,
    name: string,
    parts: KvmCpuParts<V>,
    allClasses: number,
    given: BaseKvmCpuParams,
  ) {
    super(parent, name);
    this.allClasses = allClasses;
    this.#tcDirty = allClasses;
    this.params = this.resolveParams(BASE_KVM_CPU_PARAMS, given);
    this.#parts = parts;
    this.#machine = new KvmCpuStateMachine(this.path);
    this.#periodTicks = clockPeriodTicks(this.params.clock);
    this.#tickEvent = new SimEvent(`${this.path}.tick`, () => this.#tick(), Priority.CpuTick);
    this.root.addInstructionSource({
      totalInsts: () => this.stats.commitStats0.numInsts.result(),
      totalOps: () => this.stats.commitStats0.numInsts.result(),
    });
    const startMs = { value: this.root.hostClock() };
    this.stats.hostSecondsInSimulator.functor(
      () => (this.root.hostClock() - startMs.value) / 1000 - this.stats.hostSecondsInGuest.value,
    );
    this.stats.onReset(() => {
      startMs.value = this.root.hostClock();
    });
  }

  // ---- what the architecture adds ----

  /** The thread context itself; some classes may be stale. */
  protected abstract readonly context: TC;
  /** A new vCPU exists: give it CPUID and the like. */
  protected abstract setUpVcpu(vcpu: V): void;
  /** Thread context → KVM, right before an entry; a half entry executes nothing new. */
  protected abstract storeState(classes: number, halfEntry: boolean): void;
  /** KVM → thread context. */
  protected abstract loadState(classes: number): void;
  /** Serves an exit that this class does not know; returns its duration. It sets the next state by {@link served}. */
  protected abstract serveExit(reason: number): Ticks;
  /** The whole state as text, for messages. */
  abstract dump(): string;
  /** Whether the guest can be entered as the thread context says; what is in the way is served otherwise. */
  protected prepareEntry(): boolean {
    return true;
  }
  /** The guest was entered and has come back, by an exit or a signal: KVM's registers are the valid ones. */
  protected entered(_bySignal: boolean): void {}
  /** Whether nothing is half delivered: the thread context, once read, is the whole truth. */
  protected isArchDrained(): boolean {
    return true;
  }
  /** The last look before the entry: interrupts. May suspend the CPU. */
  protected deliverInterrupts(): void {}

  // ---- life cycle ----

  override startup(): void {
    const vcpu = this.#parts.createVcpu();
    this.#vcpu = vcpu;
    const host = this.#parts.attach(vcpu);
    this.#host = host;
    this.#time = new HostTime(this.params.hostFreq ?? host.frequencyHz, this.params.hostFactor);
    this.#resolutionTicks = this.#time.resolutionTicks(host.timer.resolutionNs);
    this.#runner = new VcpuRunner({
      vcpu,
      timer: host.timer,
      signal: host.signal,
      now: () => this.root.hostClock() * NS_PER_MS,
      client: this,
    });
    this.#counters = this.params.usePerf ? host.counters : undefined;
    if (this.#counters === undefined) this.#sayNoCounters(host.whyNoCounters);
    this.root.beforeProcessExit(() => this.#close());
    this.setUpVcpu(vcpu);
  }

  /** What was restored is newer than anything KVM holds. */
  override restored(): void {
    this.#tcDirty = this.allClasses;
    this.#kvmDirty = 0;
  }

  /** The vCPU; there is one from startup on. */
  protected get vcpu(): V {
    return this.#vcpu ?? panic(this.path, 'used before startup');
  }

  /** Whether the CPU is in a state that a tick leads out of. */
  get #ticks(): boolean {
    return this.kvmState !== 'Idle' && this.kvmState !== 'RunningMmioPending';
  }

  get kvmState(): KvmCpuState {
    return this.#machine.state;
  }

  override get busyTicks(): number {
    return this.#busyTicks;
  }

  override get canSwitchThread(): boolean {
    if (this.#serving || this.kvmState === 'RunningServiceCompletion') return true;
    return (this.kvmState === 'Running' || this.kvmState === 'Idle') && this.isArchDrained();
  }

  // ---- registers ----

  override readState(classes: number): TC {
    const stale = classes & this.#kvmDirty;
    if (stale !== 0) {
      this.loadState(stale);
      this.#kvmDirty &= ~stale;
    }
    return this.context;
  }

  override modifyState(classes: number): TC {
    const context = this.readState(classes);
    this.#tcDirty |= classes;
    return context;
  }

  /** Classes that the thread context has changed and KVM does not know yet. */
  protected get tcDirty(): number {
    return this.#tcDirty;
  }

  // ---- activation ----

  override activateContext(): void {
    if (this.#thread === 'active') return;
    this.#thread = 'active';
    this.stats.numCycles.inc(Math.floor(this.eventQueue.ticksSince(this.#idleSince) / this.#periodTicks));
    if (this.#draining || this.kvmState !== 'Idle') return;
    this.#to('Running');
    this.#startTicking();
  }

  override suspendContext(): void {
    this.#thread = 'suspended';
    this.#goIdle();
  }

  override haltContext(): void {
    this.#thread = 'halted';
    this.#goIdle();
  }

  override wakeup(): void {
    this.#runner?.kick();
    if (this.#thread === 'suspended') this.activateContext();
  }

  // ---- drain ----

  override drain(): DrainAnswer {
    this.#draining = true;
    if (this.kvmState === 'Running' && this.isArchDrained()) {
      if (this.#tickEvent.scheduled) this.eventQueue.deschedule(this.#tickEvent);
      this.#to('Idle');
    }
    if (this.kvmState !== 'Idle') return 'draining';
    this.readState(this.allClasses);
    return 'drained';
  }

  override drainResume(): void {
    this.#draining = false;
    if (this.#thread !== 'active' || this.kvmState !== 'Idle') return;
    this.#to('Running');
    this.#startTicking();
  }

  // ---- the tick ----

  /** Asked by the runner: nothing of KVM's is written before this. */
  beforeEntry(_letters: number): boolean {
    this.deliverInterrupts();
    return this.kvmState !== 'Idle';
  }

  /** The next state after a service, unless the service has idled the CPU. */
  protected served(next: 'Running' | 'RunningServiceCompletion'): void {
    if (this.kvmState === 'RunningService') this.#to(next);
  }

  /**
   * One tick after another, as long as nothing else is due before the next one: most ticks of a busy CPU then need no
   * event. Ticks come at clock edges, so the next edge is a whole number of periods away.
   */
  #tick(): void {
    const { slice, eventQueues } = this.root;
    for (;;) {
      const delay = this.#step();
      if (this.#draining) this.#tryDrain();
      // A service that suspended and woke the thread has scheduled the tick already.
      if (!this.#ticks || this.#tickEvent.scheduled) return;
      const toNextTick = (Math.ceil(delay / this.#periodTicks) * this.#periodTicks) as Ticks;
      const goesOn = !slice.checkSoon && eventQueues.length === 1 && this.eventQueue.tryAdvance(toNextTick);
      if (!goesOn) {
        this.eventQueue.schedule(this.#tickEvent, toNextTick);
        return;
      }
    }
  }

  /** What the state asks for; returns how long it takes, in ticks. */
  #step(): number {
    switch (this.kvmState) {
      case 'RunningService':
        return this.#serve();
      case 'Running':
      case 'RunningServiceCompletion':
        return this.#enter();
      default:
        return panic(this.path, `tick in state ${this.kvmState}`);
    }
  }

  /** Enters the guest, from Running or RunningServiceCompletion; returns the simulated time that it took. */
  #enter(): number {
    const { debug } = this;
    if (!this.#canEnter()) return 0;
    if (this.params.alwaysSyncTC) this.modifyState(this.allClasses);
    const ticks = this.#ticksToRun();
    if (debug.KvmRun)
      this.trace('KvmRun', ticks === 0 ? 'half entry' : `entering for at most ${ticks} ticks`);
    if (this.#tcDirty !== 0) {
      this.storeState(this.#tcDirty, ticks === 0);
      this.#tcDirty = 0;
    }
    const delay = ticks === 0 ? this.#halfEntry() : this.#run(ticks);
    if (this.kvmState === 'Idle') return delay;
    this.#kvmDirty = this.allClasses;
    this.entered(this.#exitBySignal);
    if (this.params.alwaysSyncTC) this.readState(this.allClasses);
    if (this.#exitBySignal) {
      this.stats.numExitSignal.inc();
      this.#to('Running');
    } else this.#to('RunningService');
    if (debug.KvmRun)
      this.trace(
        'KvmRun',
        `${this.#exitBySignal ? 'signal' : `exit ${this.#exitReason()}`} after ${delay} ticks`,
      );
    return delay;
  }

  /** A service before the entry, of what stands in its way, is a service like any other. */
  #canEnter(): boolean {
    this.#serving = true;
    const ready = this.prepareEntry();
    this.#serving = false;
    return ready;
  }

  /** How long to run: to the next event, or not at all, or while draining until nothing is half delivered. */
  #ticksToRun(): number {
    if (!this.#draining) return this.eventQueue.ticksToNext();
    return this.kvmState === 'Running' && !this.isArchDrained() ? DRAIN_RUN_TICKS : 0;
  }

  /** KVM completes a pending I/O instruction and executes nothing. One clock period passes. */
  #halfEntry(): number {
    this.stats.numVMHalfEntries.inc();
    this.#finishEntry(this.#theRunner().halfEntry());
    return this.#periodTicks;
  }

  /** Runs the guest for at most `ticks`; returns the simulated time that passed. Hot path. */
  #run(ticks: number): number {
    const time = this.#time!;
    const { stats } = this;
    const runner = this.#theRunner();
    const nowMs = this.root.hostClock();
    const sliceNs = this.root.slice.remainingNs(nowMs);
    const awaitedNs = time.nsFromTicks(Math.max(ticks, this.#resolutionTicks));
    this.#counters?.start();
    this.#finishEntry(runner.run(Math.min(awaitedNs, sliceNs), nowMs * NS_PER_MS));
    this.root.slice.spentUntil(nowMs + runner.elapsedNs / NS_PER_MS);
    let hostCycles: number;
    if (this.#counters !== undefined) {
      this.#counters.stop();
      hostCycles = this.#counters.cycles;
      stats.commitStats0.numInsts.inc(this.#counters.instructions);
      stats.commitStats0.numOps.inc(this.#counters.instructions);
    } else hostCycles = time.cyclesFromNs(runner.elapsedNs);
    stats.numCycles.inc(time.simCyclesFromCycles(hostCycles));
    let executed = time.ticksFromCycles(hostCycles);
    if (this.debug.KvmTimer && runner.timeIsUp) this.trace('KvmTimer', `time was up after ${executed} ticks`);
    // When the timer has ended the run, time reaches the awaited event: runs of no cycles must not hold it up for ever.
    if (this.#exitBySignal && runner.timeIsUp && awaitedNs <= sliceNs && executed < ticks) executed = ticks;
    this.#busyTicks += executed;
    return executed;
  }

  #finishEntry(end: EntryEnd): void {
    this.#exitBySignal = end === 'signal';
    if (end === 'cancelled') return;
    this.stats.numVMExits.inc();
    this.stats.hostSecondsInGuest.inc(this.#theRunner().elapsedNs / NS_PER_SECOND);
  }

  /** Serves the exit of the last entry; returns how long that takes. */
  #serve(): number {
    const reason = this.#exitReason();
    const { stats } = this;
    this.#serving = true;
    let delay: Ticks = ZERO_TICKS;
    switch (reason) {
      case KvmExitReason.HLT:
        stats.numHalt.inc();
        this.suspendContext();
        break;
      case KvmExitReason.INTR:
      case KvmExitReason.IRQ_WINDOW_OPEN:
      case KvmExitReason.SET_TPR:
        this.served('Running');
        break;
      default:
        delay = this.serveExit(reason);
    }
    this.#serving = false;
    return delay;
  }

  #tryDrain(): void {
    if (this.kvmState === 'Running' && this.isArchDrained()) this.#to('Idle');
    if (this.kvmState !== 'Idle') return;
    this.readState(this.allClasses);
    this.drainDone();
  }

  #to(next: KvmCpuState): void {
    if (this.debug.Kvm) this.trace('Kvm', `state ${this.kvmState} -> ${next}`);
    this.#machine.to(next);
  }

  #goIdle(): void {
    if (this.#tickEvent.scheduled) this.eventQueue.deschedule(this.#tickEvent);
    // In the middle of a timing access the thread stops when the last answer has come.
    if (this.kvmState !== 'RunningMmioPending') this.#to('Idle');
    this.eventQueue.mark(this.#idleSince);
  }

  /** The CPU begins to run at the next clock edge. */
  #startTicking(): void {
    this.eventQueue.schedule(this.#tickEvent, this.eventQueue.ticksToClockEdge(this.#periodTicks));
  }

  #exitReason(): number {
    return this.vcpu.run.exitReason;
  }

  #theRunner(): VcpuRunner {
    return this.#runner ?? panic(this.path, 'used before startup');
  }

  #sayNoCounters(why: string): void {
    this.stats.commitStats0.numInsts.setUnavailable(why);
    this.stats.commitStats0.numOps.setUnavailable(why);
    if (this.debug.Kvm) this.trace('Kvm', `no instruction counts: ${why}`);
  }

  #close(): void {
    this.#runner?.close();
    this.#host?.close();
    this.#vcpu?.close();
  }
}
