// Conversions between the host's time, the cycles it runs guest code for, and simulated time
// (gem5: BaseKvmTimer and BaseKvmCPU::kvmRun). hostFactor scales: 2 means that simulated code is twice as slow.

import { TICKS_PER_NS, TICKS_PER_SECOND } from '../../sim/tick.ts';

const NS_PER_SECOND = 1e9;
/** A timer shorter than this many host cycles would fire before the guest is entered. */
const MIN_TIMER_CYCLES = 1000;

export class HostTime {
  readonly hostFreqHz: number;
  readonly hostFactor: number;
  readonly #hostPeriodTicks: number;

  /** @param hostFreqHz of the cycles that are counted  @param hostFactor simulated per host time, above 0 */
  constructor(hostFreqHz: number, hostFactor: number) {
    this.hostFreqHz = hostFreqHz;
    this.hostFactor = hostFactor;
    this.#hostPeriodTicks = TICKS_PER_SECOND / hostFreqHz;
  }

  /** Host cycles in `ns` nanoseconds, rounded to the nearest. */
  cyclesFromNs(ns: number): number {
    return Math.round((ns * this.hostFreqHz) / NS_PER_SECOND);
  }

  /** Cycles of the simulated CPU for host cycles, rounded down. */
  simCyclesFromCycles(hostCycles: number): number {
    return Math.floor(hostCycles * this.hostFactor);
  }

  /** Simulated time of host cycles, rounded down. */
  ticksFromCycles(hostCycles: number): number {
    return Math.floor(hostCycles * this.hostFactor * this.#hostPeriodTicks);
  }

  /** Simulated time of `ns` nanoseconds of the host, rounded down. */
  ticksFromNs(ns: number): number {
    return Math.floor(ns * this.hostFactor * TICKS_PER_NS);
  }

  /** Nanoseconds of the host that `ticks` of simulated time take. */
  nsFromTicks(ticks: number): number {
    return ticks / (this.hostFactor * TICKS_PER_NS);
  }

  /** Shortest time to run for, in ticks: the clock's resolution plus one tick, or 1,000 host cycles if that is longer. */
  resolutionTicks(clockResolutionNs: number): number {
    return Math.max(this.ticksFromNs(clockResolutionNs) + 1, this.ticksFromCycles(MIN_TIMER_CYCLES));
  }
}
