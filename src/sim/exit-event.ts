/**
 * Why a simulation stopped. The causes that gem5 has are spelt as gem5 spells them.
 */
import type { Tick } from './tick.ts';

/** Causes that the simulator itself gives; objects have their own. */
export const ExitCause = {
  /** `--max-ticks` (gem5). */
  limitReached: 'simulate() limit reached',
  /** `--max-insts` (gem5). Where counters overshoot, how far stands behind it. */
  instructionLimit: 'a thread reached the max instruction count',
  /** SIGINT or a caller of requestExit (gem5). */
  userInterrupt: 'user interrupt received',
  /** Nothing is scheduled and nothing outside can change that. gem5 runs to MaxTick and says the limit is reached. */
  queueEmpty: 'event queue empty',
} as const;

export interface ExitEvent {
  readonly cause: string;
  /** What the guest gave as its status, else 0. */
  readonly code: number;
  readonly tick: Tick;
}
