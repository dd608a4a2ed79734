// BaseKvmCpu: the ISA-independent KVM CPU. A tick event enters the guest until the next event of its queue is due, and
// serves what made it come back; states are in state.ts, registers in lazy-registers.ts. gem5: src/cpu/kvm/base.cc.
//
//   tick in Running, RunningServiceCompletion      tick in RunningService
//     registers that the TC changed → KVM            the exit is served: delay, next state
//     enter, at most until the next event
//     everything in KVM is newer than the TC

import { KvmExitReason } from '../../host/kvm/abi.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { Packet } from '../../mem/packet.ts';
import type { RequestPort } from '../../mem/port.ts';
import { TickMark } from '../../sim/event-queue.ts';
import type { ParamValues } from '../../sim/params.ts';
import type { DrainAnswer, SimObject } from '../../sim/sim-object.ts';
import { clockPeriodTicks, type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { fatal, panic } from '../../sim/trouble.ts';
import type { BaseCpu } from '../base-cpu.ts';
import { GuestRun } from './guest-run.ts';
import { KvmCpuHooks } from './kvm-cpu-hooks.ts';
import { KvmCpuPort, type KvmCpuPortOwner } from './kvm-cpu-port.ts';
import { LazyRegisters } from './lazy-registers.ts';
import { BASE_KVM_CPU_PARAMS, type BaseKvmCpuParams } from './params.ts';
import type { RunnerClient } from './runner.ts';
import type { KvmCpuState } from './state.ts';
import { KvmCpuStats } from './stats.ts';
import { Ticking } from './ticking.ts';
import type { KvmCpuParts, Vcpu } from './vcpu-parts.ts';

/** Longest run while draining: 1 ms. */
const DRAIN_RUN_TICKS = 1e9;

export abstract class BaseKvmCpu<TC, V extends Vcpu>
  extends KvmCpuHooks<TC, V>
  implements RunnerClient, KvmCpuPortOwner
{
  readonly params: ParamValues<typeof BASE_KVM_CPU_PARAMS>;
  readonly stats = this.addStats(new KvmCpuStats());
  /** Mask of all register classes. */
  protected readonly allClasses: number;
  readonly #parts: KvmCpuParts<V>;
  readonly #port: KvmCpuPort;
  readonly #ticking: Ticking;
  readonly #periodTicks: Ticks;
  #vcpu: V | undefined;
  #guestRun: GuestRun | undefined;
  readonly #registers: LazyRegisters;
  readonly #idleSince = new TickMark();
  protected isDraining = false;
  #serving = false;
  /** The exit being served is an instruction that KVM retires at the next entry. */
  #owesCompletion = false;

  /** @param allClasses mask of all register classes of the architecture */
  constructor(
    parent: SimObject,
    name: string,
    parts: KvmCpuParts<V>,
    allClasses: number,
    given: BaseKvmCpuParams,
  ) {
    super(parent, name, given.switchedOut);
    this.allClasses = allClasses;
    this.#registers = new LazyRegisters(allClasses, (classes) => this.loadState(classes));
    this.params = this.resolveParams(BASE_KVM_CPU_PARAMS, given);
    if (this.params.usePerfOverflow && !this.params.usePerf)
      fatal(this.path, 'usePerfOverflow needs usePerf: the cycle counter is what overflows');
    this.#parts = parts;
    this.#port = new KvmCpuPort(this.path, this, () => parts.memoryMode?.() ?? 'atomicNoncaching');
    this.#periodTicks = clockPeriodTicks(this.params.clock);
    this.#ticking = new Ticking(
      this.path,
      this.eventQueue,
      this.#periodTicks,
      () => this.#tick(),
      (from, to) => {
        if (this.debug.Kvm) this.trace('Kvm', `state ${from} -> ${to}`);
      },
    );
    this.root.addInstructionSource({
      totalInsts: () => this.stats.commitStats0.numInsts.result(),
      totalOps: () => this.stats.commitStats0.numInsts.result(),
    });
    this.stats.startHostClock(this.root.hostClock);
  }

  // ---- life cycle ----

  override startup(): void {
    this.#port.verifyMemoryMode();
    // A simulation that has been restored starts once more, with the vCPU that it has.
    if (this.#vcpu !== undefined) {
      this.#theRun().checkInstructionStops();
      return;
    }
    const vcpu = this.#parts.createVcpu();
    this.#vcpu = vcpu;
    const { usePerf, usePerfOverflow, hostFreq, hostFactor } = this.params;
    const host = this.#parts.attach(vcpu, { usePerf, usePerfOverflow });
    const { systemInstructions: system } = this.#parts;
    const instructionEvents = [this.thread.instructionEvents, ...(system ? [system] : [])];
    const run = new GuestRun({ vcpu, host, cpu: this, usePerf, hostFreq, hostFactor, instructionEvents });
    this.#guestRun = run;
    if (this.debug.Kvm && !run.countsInstructions)
      this.trace('Kvm', `no instruction counts: ${host.whyNoCounters}`);
    run.checkInstructionStops();
    this.root.beforeProcessExit(() => {
      run.close();
      vcpu.close();
    });
    this.setUpVcpu(vcpu);
    if (this.#port.port.isBound && this.params.useCoalescedMMIO && vcpu.run.coalesced === undefined)
      fatal(this.path, 'useCoalescedMMIO: this KVM lacks KVM_CAP_COALESCED_MMIO; leave the option out');
  }

  /** The port through which what leaves the guest reaches memory and devices. */
  get dataPort(): RequestPort {
    return this.#port.port;
  }

  /** What was restored is newer than anything KVM holds. */
  override restored(): void {
    this.#registers.tcIsNewer();
    this.eventQueue.mark(this.#idleSince);
  }

  /** The vCPU; there is one from startup on. */
  protected get vcpu(): V {
    return this.#vcpu ?? panic(this.path, 'used before startup');
  }

  get kvmState(): KvmCpuState {
    return this.#ticking.state;
  }

  override get busyTicks(): number {
    return this.thread.busyTicks;
  }

  override get canSwitchThread(): boolean {
    if (this.#serving || this.kvmState === 'RunningServiceCompletion') return true;
    return (this.kvmState === 'Running' || this.kvmState === 'Idle') && this.isArchDrained();
  }

  // ---- registers ----

  override readState(classes: number): TC {
    this.#registers.read(classes);
    return this.context;
  }

  override modifyState(classes: number): TC {
    this.#registers.modify(classes);
    return this.context;
  }

  /** Classes that the thread context has changed and KVM does not know yet. */
  protected get tcDirty(): number {
    return this.#registers.tcDirty;
  }

  // ---- activation ----

  override activateContext(): void {
    if (this.thread.status === 'active') return;
    this.thread.status = 'active';
    this.stats.numCycles.inc(Math.floor(this.eventQueue.ticksSince(this.#idleSince) / this.#periodTicks));
    if (this.kvmState === 'RunningMmioPending') this.#ticking.whileWaiting(false);
    if (!this.isDraining && !this.isSwitchedOut && this.kvmState === 'Idle') this.#ticking.run();
  }

  override suspendContext(): void {
    this.thread.status = 'suspended';
    this.#goIdle();
  }

  override haltContext(): void {
    this.thread.status = 'halted';
    this.#goIdle();
  }

  override wakeup(): void {
    this.#guestRun?.kick();
    if (this.thread.status === 'suspended') this.activateContext();
  }

  // ---- drain, switch ----
  override drain(): DrainAnswer {
    if (this.isSwitchedOut) return 'drained';
    this.isDraining = true;
    if (this.kvmState === 'Running' && this.isArchDrained()) this.#ticking.idle();
    if (this.kvmState !== 'Idle') return 'draining';
    this.readState(this.allClasses);
    return 'drained';
  }

  override drainResume(): void {
    this.isDraining = false;
    if (this.isSwitchedOut) return;
    this.#port.verifyMemoryMode();
    if (this.thread.status === 'active' && this.kvmState === 'Idle') this.#ticking.run();
  }

  override scheduleInstStop(insts: number, cause: string, code = 0): void {
    super.scheduleInstStop(insts, cause, code);
    this.#guestRun?.checkInstructionStops();
  }

  override switchOut(): void {
    this.#mustBeDrained('switched out');
    super.switchOut();
    this.readState(this.allClasses);
  }

  /** The state is written to KVM at once: what it takes by ioctl and refuses is refused here. */
  override takeOverFrom(old: BaseCpu<TC>): void {
    this.#mustBeDrained('switched in');
    super.takeOverFrom(old);
    if (old.dataPort.isBound) this.#port.takeOverFrom(old.dataPort);
    this.#registers.tcIsNewer();
    this.eventQueue.mark(this.#idleSince);
    this.#guestRun?.checkInstructionStops();
    if (this.thread.status !== 'halted') this.#storeDirty(true);
  }

  // ---- the tick ----

  /** Asked by the runner, with the registers written: the last that happens in front of the guest. */
  beforeEntry(_letters: number, nowNs: number): boolean {
    this.deliverInterrupts(nowNs);
    return this.kvmState !== 'Idle';
  }

  /** The next state after a service, unless the service has idled the CPU. */
  protected served(next: 'Running' | 'RunningServiceCompletion'): void {
    if (this.kvmState === 'RunningService') this.#toWhenAnswered(next);
  }

  /**
   * An access of the instruction that left the guest, at an address that a device or memory answers: atomic or timing,
   * as the system's memory mode says. KVM retires the instruction at the next entry.
   * @param data has from `at` on what is written; or is where KVM expects what is read, and finds it at the next entry
   * @returns how long it takes; 0 in timing mode, where the CPU waits for the answers
   */
  protected access(
    address: PhysAddr,
    data: Uint8Array,
    at: number,
    sizeBytes: number,
    isWrite: boolean,
  ): Ticks {
    this.#owesCompletion = true;
    return this.#port.access(address, data, at, sizeBytes, isWrite);
  }

  /** Nobody answers: the guest reads ones. */
  refused(packet: Packet): void {
    if (this.debug.KvmIO) this.trace('KvmIO', `${packet}: nobody is there`);
  }

  flushed(): void {
    this.stats.numCoalescedMMIO.inc();
  }

  /** The CPU goes on: what it waited for has come. */
  allAnswered(): void {
    if (this.kvmState !== 'RunningMmioPending') return;
    this.#ticking.answered();
    if (this.isDraining) this.#tryDrain();
  }

  /**
   * One tick after another, as long as nothing else is due before the next one: most ticks of a busy CPU then need no
   * event. Ticks come at clock edges, so the next edge is a whole number of periods away.
   */
  #tick(): void {
    const { slice, eventQueues } = this.root;
    for (;;) {
      const delay = this.#step();
      if (this.isDraining) this.#tryDrain();
      // A service that suspended and woke the thread has scheduled the tick already.
      if (this.kvmState === 'RunningMmioPending') this.#ticking.waitAtLeast(delay);
      if (!this.#ticking.needsTick || this.#ticking.isScheduled) return;
      const toNextTick = (Math.ceil(delay / this.#periodTicks) * this.#periodTicks) as Ticks;
      const goesOn = !slice.checkSoon && eventQueues.length === 1 && this.eventQueue.tryAdvance(toNextTick);
      if (!goesOn) {
        this.#ticking.schedule(toNextTick);
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
    this.#storeDirty(ticks === 0);
    const run = this.#theRun();
    let delay = ticks === 0 ? this.#halfEntry(run) : this.#run(run, ticks);
    if (this.kvmState === 'Idle') return delay;
    this.#owesCompletion = false;
    this.#registers.kvmIsNewer();
    this.entered(run.endedBySignal, run.endNs);
    if (this.params.alwaysSyncTC) this.readState(this.allClasses);
    if (this.params.useCoalescedMMIO) delay += this.#flushCoalesced();
    if (run.endedBySignal) {
      this.stats.numExitSignal.inc();
      this.#toWhenAnswered('Running');
    } else this.#ticking.to('RunningService');
    if (debug.KvmRun) {
      const end = run.endedBySignal ? 'signal' : `exit ${this.vcpu.run.exitReason}`;
      this.trace('KvmRun', `${end} after ${delay} ticks`);
    }
    if (run.instructions > 0 || run.isInstructionEventDue) run.serviceInstructionEvents();
    return delay;
  }

  #storeDirty(halfEntry: boolean): void {
    const dirty = this.#registers.takeTcDirty();
    if (dirty !== 0) this.storeState(dirty, halfEntry);
  }

  /** Writes that the kernel queued come before the exit's own access. */
  #flushCoalesced(): Ticks {
    this.#serving = true;
    this.#owesCompletion = true;
    const delay = this.#port.flush(this.vcpu.run.coalesced!);
    this.#serving = false;
    this.#owesCompletion = false;
    return delay;
  }

  /** A service before the entry, of what stands in its way, is a service like any other. */
  #canEnter(): boolean {
    this.#serving = true;
    const ready = this.prepareEntry();
    this.#serving = false;
    return ready;
  }

  /**
   * How long to run: to the next event; not at all if an instruction event is due or the thread has stopped; while
   * draining until nothing is half delivered.
   */
  #ticksToRun(): number {
    if (this.thread.status !== 'active') return 0;
    if (this.isDraining) return this.kvmState === 'Running' && !this.isArchDrained() ? DRAIN_RUN_TICKS : 0;
    if (this.#theRun().isInstructionEventDue) return 0;
    return this.eventQueue.ticksToNext();
  }

  /** One clock period passes. */
  #halfEntry(run: GuestRun): number {
    run.halfEntry();
    return this.#periodTicks;
  }

  #run(run: GuestRun, ticks: number): number {
    const executed = run.run(ticks);
    if (this.debug.KvmTimer && run.timeIsUp) this.trace('KvmTimer', `time was up after ${executed} ticks`);
    this.thread.busyTicks += executed;
    return executed;
  }

  /** Serves the exit of the last entry; returns how long that takes. */
  #serve(): number {
    const reason = this.vcpu.run.exitReason;
    const { stats } = this;
    this.#serving = true;
    let delay: Ticks = ZERO_TICKS;
    switch (reason) {
      case KvmExitReason.HLT:
        stats.numHalt.inc();
        if (this.isWakeupPending()) this.served('Running');
        else this.suspendContext();
        break;
      case KvmExitReason.MMIO:
        delay = this.#serveMmio();
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

  #serveMmio(): Ticks {
    const { mmio } = this.vcpu.run;
    const { physAddr, len, isWrite } = mmio;
    this.stats.numMMIO.inc();
    if (this.debug.KvmIO)
      this.trace('KvmIO', `MMIO ${isWrite ? 'write' : 'read'} of ${len} bytes at 0x${physAddr.toString(16)}`);
    const address = this.translateAccess(physAddr as PhysAddr);
    const delay = this.access(address, mmio.data, 0, len, isWrite);
    this.served('RunningServiceCompletion');
    return delay;
  }

  #tryDrain(): void {
    if (this.drain() === 'drained') this.drainDone();
  }

  /** To `next`, when all requests are answered. A thread that has stopped idles instead of running. */
  #toWhenAnswered(next: 'Running' | 'RunningServiceCompletion'): void {
    const after = next === 'Running' && this.thread.status !== 'active' ? 'Idle' : next;
    if (this.#port.outstanding === 0) this.#ticking.to(after);
    else this.#ticking.waitForAnswers(after);
  }

  #goIdle(): void {
    this.eventQueue.mark(this.#idleSince);
    // The instruction that stopped the thread, by an access to a device, is completed first.
    if (this.#serving && this.#owesCompletion) return;
    if (this.kvmState === 'RunningMmioPending') this.#ticking.whileWaiting(true);
    else if (this.#port.outstanding > 0) this.#ticking.waitForAnswers('Idle');
    else this.#ticking.idle();
  }

  #mustBeDrained(action: string): void {
    if (this.kvmState !== 'Idle') panic(this.path, `${action} while ${this.kvmState}: drain first`);
  }

  #theRun(): GuestRun {
    return this.#guestRun ?? panic(this.path, 'used before startup');
  }
}
