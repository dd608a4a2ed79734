/**
 * Declared parameters of SimObjects: type, unit, range, default and description in one place; checked when
 * an object is made. The declaration is data: `config.json`, `--help` and the documentation read it.
 *
 *   const PARAMS = declareParams({ clock: frequency({ default: '3GHz', description: 'core clock' }) });
 *   class Cpu extends SimObject {
 *     readonly params: ParamValues<typeof PARAMS>;
 *     constructor(parent: SimObject, name: string, given: ParamInputs<typeof PARAMS> = {}) {
 *       super(parent, name);
 *       this.params = this.resolveParams(PARAMS, given);
 */
import type { Tick, Ticks } from './tick.ts';
import { FatalError } from './trouble.ts';
import { LEGAL_FREQUENCY, LEGAL_SIZE, LEGAL_TIME, parseFrequency, parseSize, parseTime } from './units.ts';

export { parseFrequency, parseSize, parseTime } from './units.ts';

/** One declared parameter: `I` is what the user writes, `V` what the object reads. */
export interface Param<I, V, Optional extends boolean = boolean> {
  readonly description: string;
  /** The legal form, for messages and documentation: `an integer from 1 to 8`. */
  readonly legal: string;
  readonly optional: Optional;
  readonly default: I | undefined;
  /** The checked value, or undefined if the input is illegal. */
  parse(input: unknown): V | undefined;
}

export type ParamDeclarations = Readonly<Record<string, Param<unknown, unknown>>>;

type InputOf<P> = P extends Param<infer I, unknown> ? I : never;
type ValueOf<P> = P extends Param<unknown, infer V> ? V : never;
type OptionalKeys<D> = { [K in keyof D]: D[K] extends Param<unknown, unknown, true> ? K : never }[keyof D];

/** What a user may give: those without a default are required. */
export type ParamInputs<D> = { readonly [K in Exclude<keyof D, OptionalKeys<D>>]: InputOf<D[K]> } & {
  readonly [K in OptionalKeys<D>]?: InputOf<D[K]> | undefined;
};

/** What an object reads. */
export type ParamValues<D> = { readonly [K in keyof D]: ValueOf<D[K]> };

/** Only for the types: returns its argument. */
export function declareParams<const D extends ParamDeclarations>(declarations: D): D {
  return declarations;
}

/**
 * Checks the given values against the declarations and fills in defaults.
 * @param path of the object, for messages
 * @throws FatalError naming path, parameter, the bad value and the legal form
 */
export function resolveParams<D extends ParamDeclarations>(
  path: string,
  declarations: D,
  given: ParamInputs<D>,
): ParamValues<D> {
  const inputs = given as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(inputs)) {
    if (!Object.hasOwn(declarations, name)) {
      const known = Object.keys(declarations).join(', ');
      throw new FatalError(`${path}: no parameter '${name}'; known: ${known || 'none'}`);
    }
  }
  const values: Record<string, unknown> = {};
  for (const [name, param] of Object.entries(declarations)) {
    const input = inputs[name] ?? param.default;
    if (input === undefined && param.optional) continue;
    if (input === undefined) throw new FatalError(`${path}: parameter '${name}' is missing: ${param.legal}`);
    const value = param.parse(input);
    if (value === undefined) {
      throw new FatalError(`${path}: parameter '${name}': ${show(input)} is not ${param.legal}`);
    }
    values[name] = value;
  }
  return values as ParamValues<D>;
}

interface Options<I> {
  readonly description: string;
  readonly default?: I;
}
interface Range {
  readonly min?: number;
  readonly max?: number;
}
interface RangeOf<I> {
  readonly min?: I;
  readonly max?: I;
}

/** A declaration with a default is optional to the user. */
type Declared<I, V, O extends Options<I>> = Param<I, V, O extends { readonly default: I } ? true : false>;

function declare<I, V, O extends Options<I>>(
  options: O,
  legal: string,
  parse: (input: unknown) => V | undefined,
): Declared<I, V, O> {
  const declared: Param<I, V> = {
    description: options.description,
    legal,
    optional: options.default !== undefined,
    default: options.default,
    parse,
  };
  return declared as Declared<I, V, O>;
}

/** A parameter that may be left out without having a default: then its value is undefined. */
export function optional<I, V>(param: Param<I, V, boolean>): Param<I, V | undefined, true> {
  return { ...param, optional: true };
}

export function bool<const O extends Options<boolean>>(options: O): Declared<boolean, boolean, O> {
  return declare(options, 'true or false', (input) => (typeof input === 'boolean' ? input : undefined));
}

export function text<const O extends Options<string>>(options: O): Declared<string, string, O> {
  return declare(options, 'a string', (input) => (typeof input === 'string' ? input : undefined));
}

/** One of a few strings. */
export function choice<const C extends string, const O extends Options<NoInfer<C>>>(
  choices: readonly C[],
  options: O,
): Declared<C, C, O> {
  return declare(options, `one of ${choices.join(', ')}`, (input) => choices.find((c) => c === input));
}

/** A whole number. */
export function int<const O extends Options<number> & Range>(options: O): Declared<number, number, O> {
  return declare(options, `an integer${rangeText(options.min, options.max)}`, (input) =>
    typeof input === 'number' && Number.isSafeInteger(input) ? inRange(input, options) : undefined,
  );
}

/** Any finite number. */
export function float<const O extends Options<number> & Range>(options: O): Declared<number, number, O> {
  return declare(options, `a number${rangeText(options.min, options.max)}`, (input) =>
    typeof input === 'number' && Number.isFinite(input) ? inRange(input, options) : undefined,
  );
}

/** Bytes: '512MiB', or a Number of bytes. The object reads a Number. */
export function size<const O extends Options<string | number> & RangeOf<string>>(
  options: O,
): Declared<string | number, number, O> {
  const range = bounds(options, parseSize);
  return declare(options, LEGAL_SIZE + rangeText(options.min, options.max), (input) =>
    quantity(input, parseSize, range),
  );
}

/** Hertz: '3GHz', or a Number of hertz. The object reads a Number of hertz. */
export function frequency<const O extends Options<string | number> & RangeOf<string>>(
  options: O,
): Declared<string | number, number, O> {
  const range = bounds(options, parseFrequency);
  return declare(options, LEGAL_FREQUENCY + rangeText(options.min, options.max), (input) =>
    typeof input === 'number' && input <= 0 ? undefined : quantity(input, parseFrequency, range),
  );
}

/** A duration: '10ns'. The object reads Ticks. */
export function duration<const O extends Options<string> & RangeOf<string>>(
  options: O,
): Declared<string, Ticks, O> {
  const parse = (input: string) => Number(parseTime(input));
  const range = bounds(options, parse);
  return declare(options, LEGAL_TIME + rangeText(options.min, options.max), (input) => {
    const ticks = typeof input === 'string' ? quantity(input, parse, range) : undefined;
    return Number.isSafeInteger(ticks) ? (ticks as Ticks) : undefined;
  });
}

/** An instant: '10ms', or a bigint of ticks. The object reads a Tick. */
export function instant<const O extends Options<string | bigint>>(
  options: O,
): Declared<string | bigint, Tick, O> {
  return declare(options, LEGAL_TIME, (input) => {
    if (typeof input !== 'string' && typeof input !== 'bigint') return undefined;
    return attempt(() => parseTime(typeof input === 'bigint' ? `${input}ps` : input));
  });
}

function bounds(options: RangeOf<string>, parse: (input: string) => number): Range {
  return {
    ...(options.min === undefined ? {} : { min: parse(options.min) }),
    ...(options.max === undefined ? {} : { max: parse(options.max) }),
  };
}

function quantity(input: unknown, parse: (input: string) => number, range: Range): number | undefined {
  if (typeof input === 'number')
    return Number.isFinite(input) && input >= 0 ? inRange(input, range) : undefined;
  if (typeof input !== 'string') return undefined;
  const value = attempt(() => parse(input));
  return value === undefined ? undefined : inRange(value, range);
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FatalError) return undefined;
    throw error;
  }
}

function inRange(value: number, { min = -Infinity, max = Infinity }: Range): number | undefined {
  return value >= min && value <= max ? value : undefined;
}

function rangeText(min: string | number | undefined, max: string | number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return `, at least ${min}`;
  return max === undefined ? '' : `, at most ${max}`;
}

function show(input: unknown): string {
  if (typeof input === 'string') return `'${input}'`;
  return typeof input === 'bigint' || typeof input === 'number' ? String(input) : JSON.stringify(input);
}
