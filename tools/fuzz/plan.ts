// What a campaign is made of, as plain data that the processes that share it are given.

import { INSTRUCTIONS } from '../../src/arch/x86/isa/instructions.ts';
import type { Executor } from './executor.ts';
import { FunctionalExecutor } from './functional-executor.ts';
import type { Reference, ReferenceName } from './reference.ts';
import { allVariants, type Variant, variantsOf } from './variants.ts';

/** Interpreter, translator, both; or KVM against itself, the last case first. */
export const ENGINES = ['interpreter', 'translator', 'both', 'kvm'] as const;
export type EngineName = (typeof ENGINES)[number];

/** What the command line says. */
export interface Plan {
  readonly seed: number;
  readonly count: number;
  readonly engine: EngineName;
  readonly reference: ReferenceName;
  /** Mnemonics; undefined: all that are not left out. */
  readonly only?: readonly string[] | undefined;
  readonly randomBytes: boolean;
  /** Of a case, at most. */
  readonly instructions: number;
  /** So many disagreements are enough. */
  readonly failures: number;
}

/** The variants to draw from. */
export function variantsOfPlan({ only }: Plan): Variant[] {
  if (only === undefined) return allVariants();
  return INSTRUCTIONS.filter(({ mnemonic }) => only.includes(mnemonic))
    .flatMap(({ forms }) => forms)
    .filter(({ in64 }) => in64)
    .flatMap((form) => variantsOf(form));
}

/** The executors that are compared with the reference. */
export function subjectsOf(
  { engine }: Pick<Plan, 'engine'>,
  { executor, subjects }: Pick<Reference, 'executor' | 'subjects'>,
): Executor[] {
  if (engine === 'kvm') return [reversed(executor)];
  const names = engine === 'both' ? ['interpreter', 'translator'] : [engine];
  return names.map(
    (name) => new FunctionalExecutor({ ...subjects, translate: name === 'translator' ? 'always' : 'never' }),
  );
}

/** The same executor, last case first. */
const reversed = (executor: Executor): Executor => ({
  name: `${executor.name} again`,
  tolerance: executor.tolerance,
  run: (cases) => executor.run(cases.toReversed()).reverse(),
  close: () => {},
});
