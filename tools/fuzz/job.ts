// A process that runs its share of a campaign: started by jobs.ts, which says by a message what is to be done, and is told how
// it goes.

import { type CampaignResult, runCampaign } from './campaign.ts';
import { Coverage, type CoverageCounts } from './coverage.ts';
import { type Plan, subjectsOf, variantsOfPlan } from './plan.ts';
import { randomBytesSource } from './random-bytes.ts';
import { openReference } from './reference.ts';
import { rowSource } from './row-source.ts';

/** What a job is to do. */
export interface JobOrder {
  readonly plan: Plan;
  readonly share: { readonly of: number; readonly remainder: number };
}

/** What a job tells. */
export type JobReport =
  | { readonly kind: 'progress'; readonly cases: number }
  | { readonly kind: 'found'; readonly failure: string }
  /** All so far: now and then, and at the end. */
  | { readonly kind: 'state'; readonly result: CampaignResult; readonly coverage: CoverageCounts };

/** Rounds between two such reports. */
const ROUNDS_PER_STATE = 64;

function report(message: JobReport): void {
  if (process.send === undefined) throw new Error('job.ts is started by jobs.ts');
  process.send(message);
}

process.once('message', ({ plan, share }: JobOrder) => {
  const variants = variantsOfPlan(plan);
  const coverage = new Coverage(variants);
  const reference = openReference(plan.reference);
  let rounds = 0;
  const result = runCampaign(reference.executor, subjectsOf(plan, reference), {
    seed: plan.seed,
    count: plan.count,
    maxFailures: plan.failures,
    maxInstructions: plan.instructions,
    source: plan.randomBytes ? randomBytesSource : rowSource(variants, reference.needsMasks),
    isExpected: reference.isExpected,
    share,
    coverage,
    progress: (cases, sofar) => {
      report({ kind: 'progress', cases });
      if (++rounds % ROUNDS_PER_STATE === 0)
        report({ kind: 'state', result: sofar, coverage: coverage.counts });
    },
    found: (failure) => report({ kind: 'found', failure }),
  });
  reference.executor.close();
  report({ kind: 'state', result, coverage: coverage.counts });
  process.disconnect?.();
});
