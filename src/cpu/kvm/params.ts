// Parameters of a KVM CPU. Names as in gem5 (BaseKvmCPU.py); what is not there yet is refused as unknown.

import { bool, declareParams, float, frequency, optional, type ParamInputs } from '../../sim/params.ts';

/** Parameters of every KVM CPU; names as in gem5. */
export const BASE_KVM_CPU_PARAMS = declareParams({
  clock: frequency({ default: '3GHz', description: 'clock of the simulated CPU: the grid of its ticks' }),
  switchedOut: bool({ default: false, description: 'another CPU executes the thread at first' }),
  usePerf: bool({
    default: true,
    description: 'count cycles and instructions by performance counters, if the host has them',
  }),
  usePerfOverflow: bool({
    default: false,
    description: 'bound a run by an overflow of the cycle counter instead of a timer; needs usePerf',
  }),
  useCoalescedMMIO: bool({
    default: false,
    description: 'let the kernel queue writes to the zones that devices declare safe for it',
  }),
  alwaysSyncTC: bool({ default: false, description: 'synchronize all registers at every entry and exit' }),
  hostFreq: optional(
    frequency({ description: 'frequency of the host cycles that are counted; default: detected' }),
  ),
  hostFactor: float({
    default: 1,
    min: 1e-6,
    max: 1e6,
    description: 'simulated time per host time in the guest',
  }),
});

export type BaseKvmCpuParams = ParamInputs<typeof BASE_KVM_CPU_PARAMS>;
