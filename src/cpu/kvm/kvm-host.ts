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
  }

  /** What the counts contain although it was to be excluded. */
  get dropped(): readonly string[] {
    return [...new Set([...this.#cycles.dropped, ...this.#instructions.dropped])];
  }

  start(): void {
    this.#baseCycles = this.#cycles.read();
    this.#baseInstructions = this.#instructions.read();
    this.#cycles.start();
  }

  stop(): void {
    this.#cycles.stop();
    this.cycles = this.#cycles.read() - this.#baseCycles;
    this.instructions = this.#instructions.read() - this.#baseInstructions;
  }
}

/**
 * Prepares the calling thread to run a vCPU: blocks the control signal outside KVM_RUN, makes timer and counters.
 * @param warn is told of what the counters cannot leave out
 */
export function attachVcpu(vcpu: X86Vcpu, warn: (message: string) => void): HostParts {
  const signal = new ControlSignal();
  vcpu.setSignalMask(signal.entryMask());
  const parts = {
    signal,
    timer: new PosixTimer(signal),
    frequencyHz: vcpu.getTscKhz() * 1000,
  };
  try {
    const counters = new PerfGuestCounters();
    if (counters.dropped.length > 0) {
      warn(
        `the kernel refuses ${counters.dropped.join(' and ')}: instruction counts contain the host's own work`,
      );
    }
    return { ...parts, counters, whyNoCounters: '' };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { ...parts, counters: undefined, whyNoCounters: `no performance counters (${error.code})` };
  }
}
