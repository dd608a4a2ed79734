// Command-line options as data: a command declares a table, and from it come parsing, types, defaults and the
// help text. Conventions: POSIX.1-2017 Utility Syntax Guidelines with GNU long options; the first operand ends
// the options, so that everything behind a PROGRAM is the program's.

import { parseArgs } from 'node:util';
import { nearNames } from '../sim/debug-flags.ts';
import type { Param } from '../sim/params.ts';
import { FatalError } from '../sim/trouble.ts';

/** One option. `argument` is the placeholder in the help text; an option without one is a flag. */
export interface Option<T> {
  readonly argument?: string;
  readonly help: string;
  readonly initial: T;
  /** Whether two arguments follow: `--option FIRST SECOND`. */
  readonly isPair?: boolean;
  /** The value after one more occurrence with the text `text`, checked. Throws FatalError without the option's name. */
  accept(previous: T, text: string, second: string): T;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;
export type OptionValues<O extends OptionTable> = {
  -readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

/** An option without an argument. */
export const flag = (help: string): Option<boolean> => ({ help, initial: false, accept: () => true });

/** An option with an argument; the last occurrence counts. */
export const value = <T, I extends T | undefined>(
  argument: string,
  help: string,
  parse: (text: string) => T,
  initial: I,
): Option<T | I> => ({ argument, help, initial, accept: (_, text) => parse(text) });

/** An option with an argument that may be repeated. */
export const list = <T>(
  argument: string,
  help: string,
  parse: (text: string) => T,
): Option<readonly T[]> => ({
  argument,
  help,
  initial: [],
  accept: (previous, text) => [...previous, parse(text)],
});

/** An option with two arguments that may be repeated. */
export const pairs = <T>(
  argument: string,
  help: string,
  parse: (first: string, second: string) => T,
): Option<readonly T[]> => ({
  argument,
  help,
  initial: [],
  isPair: true,
  accept: (previous, first, second) => [...previous, parse(first, second)],
});

/** For {@link value} and {@link list}: any text that is not empty. */
export function text(argument: string): string {
  if (argument === '') throw new FatalError('is empty');
  return argument;
}

/** For {@link value}: a whole number, in decimal or hexadecimal, between the limits. */
export function integer(min: bigint, max: bigint): (argument: string) => bigint {
  return (argument) => {
    const legal = /^(\d+|0x[0-9a-f]+)$/i.test(argument);
    const number = legal ? BigInt(argument) : -1n;
    if (!legal || number < min || number > max)
      throw new FatalError(`'${argument}' is not a whole number between ${min} and ${max}`);
    return number;
  };
}

/** For {@link value}: what a parameter of a SimObject takes. */
export function parameter<V>(declared: Param<unknown, V>): (argument: string) => V {
  return (argument) => {
    const parsed = declared.parse(argument);
    if (parsed === undefined) throw new FatalError(`'${argument}' is not ${declared.legal}`);
    return parsed;
  };
}

/**
 * Splits `args` into checked option values and operands. Throws FatalError naming the option.
 * @param interspersed options may also follow operands; without it the first operand ends the options
 */
export function parseOptions<O extends OptionTable>(
  table: O,
  args: readonly string[],
  { interspersed = false }: { readonly interspersed?: boolean } = {},
): { values: OptionValues<O>; operands: string[] } {
  const values: Record<string, unknown> = {};
  const config: Record<string, { type: 'string' | 'boolean' }> = {};
  for (const [name, option] of Object.entries(table)) {
    values[name] = option.initial;
    config[name] = { type: isFlag(option) ? 'boolean' : 'string' };
  }
  const { tokens } = parseArgs({
    args: [...args],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const operands: string[] = [];
  const rest = tokens.values();
  for (const token of rest) {
    if (token.kind !== 'option') {
      const isTerminator = token.kind === 'option-terminator';
      if (isTerminator || !interspersed) {
        operands.push(...args.slice(isTerminator ? token.index + 1 : token.index));
        break;
      }
      operands.push(token.value);
      continue;
    }
    const option = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (option === undefined || !token.rawName.startsWith('--')) throw unknownOption(token.rawName, table);
    let second = '';
    if (option.isPair) {
      const next = rest.next().value;
      if (next?.kind !== 'positional' || token.value === undefined)
        throw new FatalError(`option ${token.rawName} needs two values: ${token.rawName} ${option.argument}`);
      second = next.value;
    }
    values[token.name] = accept(option, values[token.name], token, second);
  }
  // parseArgs has made sure of every name, `accept` of every value.
  return { values: values as OptionValues<O>, operands };
}

const isFlag = (option: Option<unknown>): boolean => option.argument === undefined;

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

/** The option's value after this occurrence of it. */
function accept(option: Option<unknown>, previous: unknown, token: OptionToken, second: string): unknown {
  const { rawName, value: argument, inlineValue } = token;
  if (isFlag(option) && argument !== undefined) throw new FatalError(`option ${rawName} takes no value`);
  if (!isFlag(option) && argument === undefined)
    throw new FatalError(`option ${rawName} needs a value: ${rawName} ${option.argument}`);
  if (!inlineValue && argument?.startsWith('--'))
    throw new FatalError(
      `option ${rawName} needs a value, found ${argument}; write ${rawName}=${argument} if you mean it`,
    );
  try {
    return option.accept(previous, argument ?? '', second);
  } catch (error) {
    if (error instanceof FatalError)
      throw new FatalError(`option ${rawName}: ${error.message}`, { cause: error });
    throw error;
  }
}

function unknownOption(rawName: string, table: OptionTable): FatalError {
  const [similar] = nearNames(rawName.replace(/^-+/, ''), Object.keys(table));
  const hint = similar === undefined ? 'see --help' : `did you mean --${similar}?`;
  return new FatalError(`unknown option ${rawName}; ${hint}`);
}

/** The options as the lines of a help text. */
export function describeOptions(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, option]) => {
    const left = isFlag(option) ? `--${name}` : `--${name} ${option.argument}`;
    return [left, option.help] as const;
  });
  return describeRows(rows);
}

/** Two columns, the right one wrapped so that no line is longer than `lineWidth`. */
export function describeRows(
  rows: readonly (readonly [left: string, right: string])[],
  lineWidth = 80,
): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 4;
  return rows
    .map(
      ([left, right]) =>
        `  ${left}`.padEnd(width) + wrap(right, lineWidth - width).join(`\n${' '.repeat(width)}`),
    )
    .map((row) => `${row}\n`)
    .join('');
}

function wrap(sentence: string, width: number): string[] {
  const lines = [''];
  for (const word of sentence.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
