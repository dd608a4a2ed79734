/**
 * A group of statistics, declared once: name, kind, description, unit. The types of the fields follow from
 * the declaration.
 *
 *   class CpuStats extends statGroup(
 *     { numInsts: scalar('instructions committed'), syncs: vector('transfers', ['general', 'msr']) },
 *     (g) => ({ ipc: formula('instructions per cycle', () => ratio(g.numInsts, g.numCycles), …) }),
 *   ) {}
 */
import {
  type AnyStat,
  Distribution,
  type DistributionShape,
  Formula,
  type Result,
  Scalar,
  type StatFormat,
  Value,
  Vector,
  type VectorElement,
  type VectorFormat,
} from './kinds.ts';
import { type StatUnit, Unit } from './unit.ts';

/** Makes one statistic for one instance of a group. */
export type StatMaker<T> = () => T;
export type StatDeclarations = Readonly<Record<string, StatMaker<AnyStat | StatGroup>>>;
export type StatFields<D> = { readonly [K in keyof D]: D[K] extends StatMaker<infer T> ? T : never };

/** A counter. */
export function scalar(
  description: string,
  unit: StatUnit = Unit.Count,
  format: StatFormat = {},
): StatMaker<Scalar> {
  return () => new Scalar(description, unit, format);
}

/** Named counters. */
export function vector<const N extends string>(
  description: string,
  elementNames: readonly N[],
  unit: StatUnit = Unit.Count,
  format: VectorFormat = {},
): StatMaker<Vector & { readonly [K in N]: VectorElement }> {
  return () => new Vector(description, elementNames, unit, format) as Vector & Record<N, VectorElement>;
}

export function distribution(
  description: string,
  shape: DistributionShape,
  unit: StatUnit = Unit.Count,
  format: StatFormat = {},
): StatMaker<Distribution> {
  return () => new Distribution(description, shape, unit, format);
}

/** A value kept elsewhere: connect it with `.functor(() => …)`. */
export function value(
  description: string,
  unit: StatUnit = Unit.Count,
  format: StatFormat = {},
): StatMaker<Value> {
  return () => new Value(description, unit, format);
}

/** Computed from others when dumped; see `ratio` and `sum`, which pass unavailability on. */
export function formula(
  description: string,
  compute: () => Result,
  unit: StatUnit = Unit.Ratio,
  format: StatFormat = {},
): StatMaker<Formula> {
  return () => new Formula(description, unit, compute, format);
}

/** A named group inside a group: its statistics are called `name.stat`. */
export function subGroup<D extends StatDeclarations>(declarations: D): StatMaker<StatGroup & StatFields<D>> {
  const Group = statGroup(declarations);
  return () => new Group();
}

/** Statistics and sub-groups, in the order of declaration. */
export class StatGroup {
  readonly #stats = new Map<string, AnyStat>();
  readonly #groups = new Map<string, StatGroup>();
  readonly #resetHooks: (() => void)[] = [];
  readonly #dumpHooks: (() => void)[] = [];

  get stats(): ReadonlyMap<string, AnyStat> {
    return this.#stats;
  }

  get groups(): ReadonlyMap<string, StatGroup> {
    return this.#groups;
  }

  /** Adds a statistic or group; it becomes a field too if the group is declared by {@link statGroup}. */
  add(name: string, item: AnyStat | StatGroup): void {
    if (this.#stats.has(name) || this.#groups.has(name)) throw new RangeError(`two statistics '${name}'`);
    if (item instanceof StatGroup) this.#groups.set(name, item);
    else this.#stats.set(name, item);
  }

  /** Runs after each reset, for values that count from it. */
  onReset(hook: () => void): void {
    this.#resetHooks.push(hook);
  }

  /** Runs before each dump, for counts that are brought up to date only then. */
  onDump(hook: () => void): void {
    this.#dumpHooks.push(hook);
  }

  /** Back to zero, sub-groups included. */
  reset(): void {
    for (const stat of this.#stats.values()) if ('reset' in stat) stat.reset();
    for (const group of this.#groups.values()) group.reset();
    this.runResetHooks();
  }

  /** Brings counts up to date, sub-groups included. */
  prepareDump(): void {
    this.runDumpHooks();
    for (const group of this.#groups.values()) group.prepareDump();
  }

  /** @internal */
  runResetHooks(): void {
    for (const hook of this.#resetHooks) hook();
  }

  /** @internal */
  runDumpHooks(): void {
    for (const hook of this.#dumpHooks) hook();
  }
}

type GroupClass<F> = new () => StatGroup & F;

/**
 * A class of statistics to extend or to instantiate.
 * @param declarations the statistics
 * @param derive further ones, usually formulas, that read the first: called once per instance
 */
export function statGroup<D extends StatDeclarations, F extends StatDeclarations = Record<never, never>>(
  declarations: D,
  derive?: (group: StatFields<D>) => F,
): GroupClass<StatFields<D> & StatFields<F>> {
  class DeclaredGroup extends StatGroup {
    constructor() {
      super();
      this.#make(declarations);
      if (derive !== undefined) this.#make(derive(this as unknown as StatFields<D>));
    }

    #make(makers: StatDeclarations): void {
      for (const [name, make] of Object.entries(makers)) {
        if (name in this) throw new RangeError(`a statistic cannot be called '${name}'`);
        const item = make();
        this.add(name, item);
        Object.defineProperty(this, name, { value: item, enumerable: true });
      }
    }
  }
  return DeclaredGroup as unknown as GroupClass<StatFields<D> & StatFields<F>>;
}
