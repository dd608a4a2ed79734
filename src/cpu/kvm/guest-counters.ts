// Hardware counters of the thread that runs a vCPU, counting the guest: cycles lead the group and are pinned,
// instructions follow. gem5: src/cpu/kvm/perfevent.hh, timer.hh (PerfKvmTimer).

import { PerfCounter, type PerfEvent, PerfHardware, PerfType } from '../../host/perf.ts';
import type { SignalTarget } from '../../host/signals.ts';
import type { RunTimer } from './runner.ts';
import type { GuestCounters } from './vcpu-parts.ts';

/** The thread that an overflow signals. */
export type OverflowTarget = Pick<SignalTarget, 'threadId' | 'signal'>;

const GUEST = { type: PerfType.HARDWARE, excludeHost: true, excludeHv: true } as const;
const INSTRUCTIONS: PerfEvent = { ...GUEST, config: PerfHardware.INSTRUCTIONS };
const NEVER = Number.POSITIVE_INFINITY;

/** Opens a counter; tests give scripted ones. */
export type OpenCounter = (event: PerfEvent) => Pick<PerfCounter, keyof PerfCounter>;

export class PerfGuestCounters implements GuestCounters {
  readonly #open: OpenCounter;
  readonly #target: OverflowTarget;
  readonly #cycles: ReturnType<OpenCounter>;
  #instructions: ReturnType<OpenCounter>;
  readonly #countsHost: boolean;
  /** Instructions until the counter overflows, as it was attached. */
  #limit = NEVER;
  #baseCycles = 0;
  #baseInstructions = 0;
  cycles = 0;
  instructions = 0;

  /**
   * @param target the thread that an instruction limit signals
   * @throws HostError where the host has no such counters
   */
  constructor(target: OverflowTarget, open: OpenCounter = PerfCounter.open) {
    this.#open = open;
    this.#target = target;
    this.#cycles = open({ ...GUEST, config: PerfHardware.CPU_CYCLES, pinned: true });
    try {
      this.#instructions = open({ ...INSTRUCTIONS, leader: this.#leader });
    } catch (error) {
      this.#cycles.close();
      throw error;
    }
    this.#countsHost = this.dropped.includes('exclude_host');
    if (!this.#countsHost) this.#cycles.start();
  }

  /** What the counts contain although it was to be excluded. */
  get dropped(): readonly string[] {
    return [...new Set([...this.#cycles.dropped, ...this.#instructions.dropped])];
  }

  start(): void {
    // Where the host is excluded the counters run all the time: they move in the guest only.
    if (this.#countsHost) {
      this.#baseCycles = this.#cycles.read();
      this.#baseInstructions = this.#instructions.read();
      this.#cycles.start();
    }
  }

  stop(): void {
    if (this.#countsHost) this.#cycles.stop();
    const cycles = this.#cycles.read();
    const instructions = this.#instructions.read();
    this.cycles = cycles - this.#baseCycles;
    this.instructions = instructions - this.#baseInstructions;
    this.#baseCycles = cycles;
    this.#baseInstructions = instructions;
    if (this.#limit !== NEVER) this.#limit -= this.instructions;
  }

  /** The period of an attached counter takes effect after its next overflow only: it is attached anew. */
  limitInstructions(distance: number): void {
    if (distance === this.#limit) return;
    this.#limit = distance;
    this.#instructions.close();
    const samplePeriod = distance === NEVER ? 0 : Math.max(1, distance);
    this.#instructions = this.#open({ ...INSTRUCTIONS, leader: this.#leader, samplePeriod });
    if (samplePeriod !== 0) this.#instructions.signalOverflow(this.#target);
    this.#baseInstructions = 0;
  }

  close(): void {
    this.#instructions.close();
    this.#cycles.close();
  }

  get #leader(): PerfCounter {
    return this.#cycles as PerfCounter;
  }
}

const NS_PER_SECOND = 1e9;
/** A shorter period would overflow before the guest is entered. */
const MIN_CYCLES = 1000;

/** Bounds a run by the guest's own cycles: a counter whose overflow signals the thread. */
export class CycleOverflowTimer implements RunTimer {
  readonly onlyInGuest = true;
  readonly #open: OpenCounter;
  readonly #target: OverflowTarget;
  readonly #cyclesPerNs: number;
  #counter: ReturnType<OpenCounter> | undefined;

  /** @param frequencyHz of the cycles that are counted */
  constructor(target: OverflowTarget, frequencyHz: number, open: OpenCounter = PerfCounter.open) {
    this.#target = target;
    this.#cyclesPerNs = frequencyHz / NS_PER_SECOND;
    this.#open = open;
  }

  get resolutionNs(): number {
    return MIN_CYCLES / this.#cyclesPerNs;
  }

  arm(ns: number): void {
    this.disarm();
    const samplePeriod = Math.max(MIN_CYCLES, Math.ceil(ns * this.#cyclesPerNs));
    this.#counter = this.#open({ ...GUEST, config: PerfHardware.CPU_CYCLES, samplePeriod });
    this.#counter.signalOverflow(this.#target);
    this.#counter.startFor(1);
  }

  disarm(): void {
    this.#counter?.close();
    this.#counter = undefined;
  }

  close(): void {
    this.disarm();
  }
}
