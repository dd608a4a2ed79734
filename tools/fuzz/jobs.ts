// Shares a campaign among processes. The cases are the same whatever their number: each process takes every n-th round.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CampaignResult } from './campaign.ts';
import { Coverage } from './coverage.ts';
import type { JobOrder, JobReport } from './job.ts';
import { type Plan, variantsOfPlan } from './plan.ts';

const JOB = fileURLToPath(new URL('job.ts', import.meta.url));
/**
 * Translated code is executed once: V8's optimizing compiler would only take time from it, and checks nothing that the first
 * one does not. Cases live as long as a round: young space has room for one.
 */
const NODE_FLAGS = [
  '--disable-warning=ExperimentalWarning',
  '--liftoff-only',
  '--no-wasm-lazy-compilation',
  '--min-semi-space-size=32',
  '--max-semi-space-size=32',
];

export interface JobsListener {
  /** Cases that all jobs together have run since the last call. */
  progress(cases: number): void;
  /** A disagreement, see {@link CampaignResult}. */
  found(failure: string): void;
}

type State = Extract<JobReport, { kind: 'state' }>;

/**
 * Runs a campaign in `jobs` processes. SIGINT ends it: the result is then what they have told so far.
 * @throws Error if one of them ends before its share is done
 */
export async function runJobs(
  plan: Plan,
  jobs: number,
  listener: JobsListener,
): Promise<CampaignResult & { readonly coverage: Coverage }> {
  const failures: string[] = [];
  const states: State[] = [];
  const children: ChildProcess[] = [];
  let isOver = false;
  const stopAll = () => {
    isOver = true;
    for (const child of children) child.kill();
  };
  process.once('SIGINT', stopAll);
  const ends = Array.from({ length: jobs }, (_, remainder) => {
    const child = fork(JOB, { execArgv: NODE_FLAGS, serialization: 'advanced', detached: true });
    children.push(child);
    child.on('message', (message: JobReport) => {
      if (message.kind === 'progress') listener.progress(message.cases);
      else if (message.kind === 'state') states[remainder] = message;
      else if (failures.push(message.failure) <= plan.failures) {
        listener.found(message.failure);
        if (failures.length === plan.failures) stopAll();
      }
    });
    const order: JobOrder = { plan, share: { of: jobs, remainder } };
    child.send(order);
    return new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        if (code === 0 || isOver) resolve();
        else reject(new Error(`job ${remainder} of ${jobs} has ended: ${signal ?? `exit status ${code}`}`));
      });
    });
  });
  await Promise.all(ends).finally(stopAll);
  return { ...sumOf(states), failures, coverage: coverageOf(plan, states) };
}

function sumOf(states: readonly State[]): CampaignResult {
  const sum = (of: (result: CampaignResult) => number) =>
    states.reduce((total, { result }) => total + of(result), 0);
  const spentMs: Record<string, number> = {};
  for (const { result } of states)
    for (const [name, ms] of Object.entries(result.spentMs)) spentMs[name] = (spentMs[name] ?? 0) + ms;
  return {
    count: sum(({ count }) => count),
    failures: states.flatMap(({ result }) => result.failures),
    unconfirmed: sum(({ unconfirmed }) => unconfirmed),
    expected: sum(({ expected }) => expected),
    spentMs,
  };
}

function coverageOf(plan: Plan, states: readonly State[]): Coverage {
  const coverage = new Coverage(variantsOfPlan(plan));
  for (const { coverage: counts } of states) coverage.add(counts);
  return coverage;
}
