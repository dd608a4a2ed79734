/**
 * Parameters that the user sets by the path of their object, over what the machine's code gives: `board.cpu.hostFactor=2`.
 * gem5: --param.
 */
import { nearNames } from './debug-flags.ts';
import type { Param, ParamDeclarations } from './params.ts';
import { decodeString, isJsonArray, type Json, type StateCell, StateError } from './state.ts';
import { FatalError } from './trouble.ts';

const FORM = /^([\w.]+)\.(\w+)=(.*)$/s;

export class ParamOverrides {
  /** By path, then by name; the last of several counts. */
  readonly #wanted = new Map<string, Map<string, string>>();
  /** Names of the parameters of each object made so far, by path. */
  readonly #known = new Map<string, readonly string[]>();
  /** As they were given. */
  readonly assignments: readonly string[];

  /** @throws FatalError unless each has the form `PATH.NAME=VALUE` */
  constructor(assignments: readonly string[]) {
    this.assignments = assignments;
    for (const assignment of assignments) {
      const [, path, name, value] = FORM.exec(assignment) ?? [];
      if (path === undefined)
        throw new FatalError(
          `'${assignment}' is not of the form PATH.NAME=VALUE, such as board.cpu.hostFactor=2`,
        );
      const ofObject = this.#wanted.get(path) ?? new Map<string, string>();
      this.#wanted.set(path, ofObject.set(name!, value!));
    }
  }

  /**
   * The inputs of an object's parameters, which it may declare in several parts.
   * @throws FatalError naming the object and the parameter if a value is not legal
   */
  over<G extends object>(path: string, declared: ParamDeclarations, given: G): G {
    this.#known.set(path, [...(this.#known.get(path) ?? []), ...Object.keys(declared)]);
    const wanted = this.#wanted.get(path);
    if (wanted === undefined) return given;
    const inputs: Record<string, unknown> = { ...(given as Readonly<Record<string, unknown>>) };
    for (const [name, value] of wanted) {
      if (Object.hasOwn(declared, name)) inputs[name] = inputFrom(path, name, declared[name]!, value);
    }
    return inputs as G;
  }

  /** @throws FatalError if there is one that no object has taken, now that all are made */
  checkAllTaken(): void {
    for (const [path, wanted] of this.#wanted) {
      const known = this.#known.get(path);
      if (known === undefined)
        throw new FatalError(
          `no object '${path}' has parameters; ${suggestion(path, [...this.#known.keys()])}`,
        );
      for (const name of wanted.keys()) {
        if (!known.includes(name))
          throw new FatalError(`${path} has no parameter '${name}'; ${suggestion(name, known)}`);
      }
    }
  }
}

/** What was set is kept with a checkpoint, for whoever builds the machine again: when it is restored, that has been done. */
export const overridesCell = ({ assignments }: ParamOverrides): StateCell => ({
  save: () => [...assignments],
  restore: (saved) => void savedAssignments(saved),
});

/**
 * What was set in the machine that was saved.
 * @param saved state `overrides` of the root
 * @throws StateError if it is no such state
 */
export function savedAssignments(saved: Json): readonly string[] {
  if (!isJsonArray(saved))
    throw new StateError(`expected a list of parameters, found ${JSON.stringify(saved)}`);
  return saved.map(decodeString);
}

/** What is written may be a string, a truth value or a number: the first that the parameter takes. */
function inputFrom(path: string, name: string, param: Param<unknown, unknown>, value: string): unknown {
  const truth = { true: true, false: false }[value];
  const number = value.trim() === '' ? undefined : Number(value);
  for (const input of [value, truth, number]) {
    if (input !== undefined && param.parse(input) !== undefined) return input;
  }
  throw new FatalError(`${path}: parameter '${name}': '${value}' is not ${param.legal}`);
}

function suggestion(wrong: string, known: readonly string[]): string {
  const [near] = nearNames(wrong, known);
  return near === undefined ? `there are: ${known.join(', ')}` : `did you mean ${near}?`;
}
