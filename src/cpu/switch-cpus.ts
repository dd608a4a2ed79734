// Switching a running system from some CPU models to others. gem5: m5.switchCpus.

import type { Simulator } from '../sim/simulator.ts';
import { fatal } from '../sim/trouble.ts';
import type { BaseCpu } from './base-cpu.ts';

/** A CPU that executes a thread now, and the one that is to go on with it. */
export type CpuPair<TC> = readonly [from: BaseCpu<TC>, to: BaseCpu<TC>];

/**
 * Drains the system and hands each thread to its other CPU: registers, instruction counts and the place in the memory
 * system; memory is where it was. The next run goes on.
 * @throws FatalError, before anything has changed, if a CPU has no thread to give or has one already
 */
export async function switchCpus<TC>(simulator: Simulator, pairs: readonly CpuPair<TC>[]): Promise<void> {
  for (const [from, to] of pairs) {
    if (from.isSwitchedOut) fatal(from.path, 'has no thread to give away: another CPU executes it');
    if (!to.isSwitchedOut)
      fatal(to.path, 'cannot take over a thread, it executes one: construct it with switchedOut');
  }
  await simulator.drain();
  for (const [from] of pairs) from.switchOut();
  for (const [from, to] of pairs) to.takeOverFrom(from);
}
