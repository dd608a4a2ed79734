/** Parameters of the functional CPU. */

import { bool, choice, declareParams, frequency, type ParamInputs, text } from '../../sim/params.ts';

export const FUNCTIONAL_CPU_PARAMS = declareParams({
  clock: frequency({ default: '3GHz', description: 'clock of the simulated CPU: one instruction per cycle' }),
  switchedOut: bool({ default: false, description: 'another CPU executes the thread at first' }),
  features: text({
    default: 'x86-64-v2',
    description: "processor features: a level or 'max', and what differs, such as 'x86-64-v2,+bmi2,-sse4_2'",
  }),
  translate: choice(['hot', 'always', 'never'], {
    default: 'hot',
    description:
      'when code is translated: when it is executed often, at once, or never; results are the same',
  }),
});

export type FunctionalCpuParams = ParamInputs<typeof FUNCTIONAL_CPU_PARAMS>;
