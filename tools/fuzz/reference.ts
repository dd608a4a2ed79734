// What the simulated processor is compared with: the host's processor under KVM, or the oracle.

import { existsSync } from 'node:fs';
import { otherProcessor } from '../../tests/support/reference-processor.ts';
import type { CampaignOptions } from './campaign.ts';
import type { Executor } from './executor.ts';
import type { FunctionalExecutorOptions } from './functional-executor.ts';
import { KvmExecutor } from './kvm-executor.ts';
import { needsMasks } from './masks.ts';
import { isNotSimulated } from './not-simulated.ts';
import { ORACLE_LIMIT, OracleExecutor } from './oracle/oracle-executor.ts';

export const REFERENCES = ['kvm', 'oracle'] as const;
export type ReferenceName = (typeof REFERENCES)[number];

export interface Reference {
  readonly executor: Executor;
  /** How the executors are made that are compared with it. */
  readonly subjects: FunctionalExecutorOptions;
  /** Flags that the manual leaves undefined are its own, and are not compared. */
  readonly needsMasks: boolean;
  /** Disagreements that are none. */
  readonly isExpected: NonNullable<CampaignOptions['isExpected']>;
}

/** Silicon where there is the one whose answers are simulated, else the oracle. */
export function defaultReference(): ReferenceName {
  return existsSync('/dev/kvm') && otherProcessor() === false ? 'kvm' : 'oracle';
}

/** The executor is the caller's to close. */
export function openReference(name: ReferenceName): Reference {
  if (name === 'kvm')
    return {
      executor: new KvmExecutor(),
      subjects: {},
      needsMasks: needsMasks(),
      isExpected: isNotSimulated,
    };
  // What is not in the definitions is in neither, and nothing is left to a processor's choice.
  return {
    executor: new OracleExecutor(),
    subjects: { limit: ORACLE_LIMIT, tolerance: {} },
    needsMasks: false,
    isExpected: () => false,
  };
}
