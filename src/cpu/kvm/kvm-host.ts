// The host's side of a KVM CPU: control signal, POSIX timer and counters of the thread that runs a vCPU.

import { HostError } from '../../host/errors.ts';
import type { X86Vcpu } from '../../host/kvm/vcpu.ts';
import { ControlSignal } from '../../host/signals.ts';
import { PosixTimer } from '../../host/timer.ts';
import { FatalError } from '../../sim/trouble.ts';
import { CycleOverflowTimer, PerfGuestCounters } from './guest-counters.ts';
import type { HostParts, HostWants } from './vcpu-parts.ts';

/**
 * Prepares the calling thread to run a vCPU: blocks the control signal outside KVM_RUN, makes timer and counters.
 * @param warn is told of what the counters cannot leave out
 */
export function attachVcpu(vcpu: X86Vcpu, warn: (message: string) => void, wants: HostWants): HostParts {
  const signal = new ControlSignal();
  vcpu.setSignalMask(signal.entryMask());
  const frequencyHz = vcpu.getTscKhz() * 1000;
  const { counters, whyNoCounters } = wants.usePerf
    ? openCounters(signal, warn)
    : { counters: undefined, whyNoCounters: 'usePerf is off' };
  if (wants.usePerfOverflow && counters === undefined)
    throw new FatalError(
      `usePerfOverflow: ${whyNoCounters}; leave the option out: a timer bounds the runs then`,
    );
  const timer = wants.usePerfOverflow ? new CycleOverflowTimer(signal, frequencyHz) : new PosixTimer(signal);
  const close = (): void => {
    timer.close();
    counters?.close();
  };
  return { signal, timer, frequencyHz, counters, whyNoCounters, close };
}

function openCounters(target: ControlSignal, warn: (message: string) => void) {
  try {
    const counters = new PerfGuestCounters(target);
    if (counters.dropped.length > 0)
      warn(
        `the kernel refuses ${counters.dropped.join(' and ')}: instruction counts contain the host's own work`,
      );
    return { counters, whyNoCounters: '' };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { counters: undefined, whyNoCounters: `no performance counters (${error.code})` };
  }
}
