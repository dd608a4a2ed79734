// The host's side of a KVM CPU: control signal, POSIX timer and counters of the thread that runs a vCPU.

import { HostError } from '../../host/errors.ts';
import type { X86Vcpu } from '../../host/kvm/vcpu.ts';
import { PerfCounter, PerfHardware, PerfType } from '../../host/perf.ts';
import { ControlSignal } from '../../host/signals.ts';
import { PosixTimer } from '../../host/timer.ts';
import type { GuestCounters, HostParts } from './vcpu-parts.ts';

/** Cycles and instructions of the guest by hardware counters: cycles lead the group and are pinned. */
class PerfGuestCounters implements GuestCounters {
  readonly #cycles: PerfCounter;
  readonly #instructions: PerfCounter;
  readonly #countsHost: boolean;
  #baseCycles = 0;
  #baseInstructions = 0;
  cycles = 0;
  instructions = 0;

  /** @throws HostError where the host has no such counters */
  constructor() {
    const exclude = { type: PerfType.HARDWARE, excludeHost: true, excludeHv: true } as const;
    this.#cycles = PerfCounter.open({ ...exclude, config: PerfHardware.CPU_CYCLES, pinned: true });
    try {
      this.#instructions = PerfCounter.open({
        ...exclude,
        config: PerfHardware.INSTRUCTIONS,
        leader: this.#cycles,
      });
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
  }

  close(): void {
    this.#instructions.close();
    this.#cycles.close();
  }
}

/**
 * Prepares the calling thread to run a vCPU: blocks the control signal outside KVM_RUN, makes timer and counters.
 * @param warn is told of what the counters cannot leave out
 */
export function attachVcpu(vcpu: X86Vcpu, warn: (message: string) => void): HostParts {
  const signal = new ControlSignal();
  vcpu.setSignalMask(signal.entryMask());
  const timer = new PosixTimer(signal);
  const parts = { signal, timer, frequencyHz: vcpu.getTscKhz() * 1000 };
  try {
    const counters = new PerfGuestCounters();
    if (counters.dropped.length > 0) {
      warn(
        `the kernel refuses ${counters.dropped.join(' and ')}: instruction counts contain the host's own work`,
      );
    }
    const close = (): void => {
      timer.close();
      counters.close();
    };
    return { ...parts, counters, whyNoCounters: '', close };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    const whyNoCounters = `no performance counters (${error.code})`;
    return { ...parts, counters: undefined, whyNoCounters, close: () => timer.close() };
  }
}
