// GuestRun: one stay in the guest after another, measured: how long it may last, what it took in host time, cycles and
// instructions, and how much simulated time that is. gem5: BaseKvmCPU::kvmRun.

import type { Root } from '../../sim/root.ts';
import { fatal } from '../../sim/trouble.ts';
import type { InstructionEvents } from '../instruction-events.ts';
import { HostTime } from './host-time.ts';
import { type EntryEnd, type RunnableVcpu, type RunnerClient, VcpuRunner } from './runner.ts';
import type { KvmCpuStats } from './stats.ts';
import type { GuestCounters, HostParts } from './vcpu-parts.ts';

const NS_PER_SECOND = 1e9;
const NS_PER_MS = 1e6;

export interface GuestRunParts {
  readonly vcpu: RunnableVcpu;
  readonly host: HostParts;
  readonly cpu: RunnerClient & { readonly path: string; readonly root: Root; readonly stats: KvmCpuStats };
  /** Count by hardware counters, if the host has them. */
  readonly usePerf: boolean;
  /** Frequency of the host cycles that are counted; undefined: as the host says. */
  readonly hostFreq: number | undefined;
  readonly hostFactor: number;
  /** Of the thread, and of the system if it has any. */
  readonly instructionEvents: readonly InstructionEvents[];
}

export class GuestRun {
  readonly #path: string;
  readonly #root: Root;
  readonly #stats: KvmCpuStats;
  readonly #host: HostParts;
  readonly #runner: VcpuRunner;
  readonly #time: HostTime;
  readonly #counters: GuestCounters | undefined;
  readonly #resolutionTicks: number;
  readonly #instructionEvents: readonly InstructionEvents[];
  /** Whether a signal ended the last entry, not an exit. */
  endedBySignal = false;
  /** Whether the last entry lasted as long as it was allowed to. */
  get timeIsUp(): boolean {
    return this.#runner.timeIsUp;
  }
  /** When the last entry ended, by the host's clock in ns. */
  get endNs(): number {
    return this.#runner.endNs;
  }
  /** Instructions of the last entry; 0 where nobody counts them. */
  instructions = 0;

  constructor({ vcpu, host, cpu, instructionEvents, usePerf, hostFreq, hostFactor }: GuestRunParts) {
    const { root } = cpu;
    this.#path = cpu.path;
    this.#root = root;
    this.#stats = cpu.stats;
    this.#instructionEvents = instructionEvents;
    this.#host = host;
    this.#counters = usePerf ? host.counters : undefined;
    if (this.#counters === undefined) {
      const why = usePerf ? host.whyNoCounters : 'usePerf is off';
      this.#stats.commitStats0.numInsts.setUnavailable(why);
      this.#stats.commitStats0.numOps.setUnavailable(why);
    }
    this.#time = new HostTime(hostFreq ?? host.frequencyHz, hostFactor);
    this.#resolutionTicks = this.#time.resolutionTicks(host.timer.resolutionNs);
    const now = (): number => root.hostClock() * NS_PER_MS;
    this.#runner = new VcpuRunner({ vcpu, timer: host.timer, signal: host.signal, now, client: cpu });
  }

  /** Whether instructions are counted. */
  get countsInstructions(): boolean {
    return this.#counters !== undefined;
  }

  /** Whether the guest must not execute anything more before an instruction event has been served. */
  get isInstructionEventDue(): boolean {
    return this.#counters !== undefined && this.#distance === 0;
  }

  /** @throws FatalError if there is an instruction event and nobody counts */
  checkInstructionStops(): void {
    if (this.countsInstructions || this.#distance === Infinity) return;
    fatal(
      this.#path,
      'a stop after a number of instructions needs the instruction counter of the host, which is not there: ' +
        'stop at a time instead (--max-ticks)',
    );
  }

  /** Counts the instructions of the last entry, and serves the events that are due then. */
  serviceInstructionEvents(): void {
    for (const events of this.#instructionEvents) {
      events.advance(this.instructions);
      if (events.serviceDue(this.#root) > 0) this.#stats.instructionOvershoot.inc(events.overshoot);
    }
  }

  /** KVM completes a pending I/O instruction and executes nothing. */
  halfEntry(): void {
    this.#stats.numVMHalfEntries.inc();
    this.instructions = 0;
    this.#finishEntry(this.#runner.halfEntry());
  }

  /** Runs the guest for at most `ticks`; returns the simulated time that passed. Hot path. */
  run(ticks: number): number {
    const runner = this.#runner;
    const time = this.#time;
    const { slice } = this.#root;
    const nowMs = this.#root.hostClock();
    const sliceNs = slice.remainingNs(nowMs);
    const awaitedNs = time.nsFromTicks(Math.max(ticks, this.#resolutionTicks));
    const counters = this.#counters;
    if (counters !== undefined) {
      counters.limitInstructions(this.#distance);
      counters.start();
    }
    this.#finishEntry(runner.run(Math.min(awaitedNs, sliceNs), nowMs * NS_PER_MS));
    slice.spentUntil(nowMs + runner.elapsedNs / NS_PER_MS);
    const hostCycles = this.#hostCycles();
    this.#stats.numCycles.inc(time.simCyclesFromCycles(hostCycles));
    const executed = time.ticksFromCycles(hostCycles);
    // When the timer has ended the run, time reaches the awaited event: runs of no cycles must not hold it up for ever.
    const isAwaited = this.endedBySignal && runner.timeIsUp && awaitedNs <= sliceNs;
    return isAwaited && executed < ticks ? ticks : executed;
  }

  /** Gets the vCPU out of the guest. Any thread may call it. */
  kick(): void {
    this.#runner.kick();
  }

  close(): void {
    this.#runner.close();
    this.#host.close();
  }

  /** Instructions to the next event; Infinity if there is none. */
  get #distance(): number {
    let distance = Infinity;
    for (const events of this.#instructionEvents) distance = Math.min(distance, events.distance);
    return distance;
  }

  #hostCycles(): number {
    const counters = this.#counters;
    if (counters === undefined) return this.#time.cyclesFromNs(this.#runner.elapsedNs);
    counters.stop();
    this.instructions = counters.instructions;
    this.#stats.commitStats0.numInsts.inc(counters.instructions);
    this.#stats.commitStats0.numOps.inc(counters.instructions);
    return counters.cycles;
  }

  #finishEntry(end: EntryEnd): void {
    this.endedBySignal = end === 'signal';
    if (end === 'cancelled') return;
    this.#stats.numVMExits.inc();
    this.#stats.hostSecondsInGuest.inc(this.#runner.elapsedNs / NS_PER_SECOND);
  }
}
