// What machine a checkpoint is of: read before the machine is built, so that --restore needs no other option.

import { readSavedState } from '../sim/checkpoint/reader.ts';
import { savedAssignments } from '../sim/param-overrides.ts';
import { StateError } from '../sim/state.ts';
import { FatalError } from '../sim/trouble.ts';
import { restoredParams, type SavedPcParams } from '../system/pc-params.ts';

const MIB = 2 ** 20;

/** Options of the command line that describe the machine, by the parameter of the board they set. */
const OPTION_OF = {
  memorySize: 'memory',
  irqchip: 'irqchip',
  testDevice: 'test-device',
  startTime: 'start-time',
} as const satisfies Partial<Record<keyof SavedPcParams, string>>;

/**
 * Parameters of the board whose checkpoint is in `directory`.
 * @param given options of the command line, undefined where they were left out
 * @throws FatalError if there is no checkpoint of such a machine, or the options ask for another one
 */
export function machineOfCheckpoint(
  directory: string,
  given: Readonly<Record<(typeof OPTION_OF)[keyof typeof OPTION_OF], unknown>>,
): SavedPcParams {
  const saved = paramsIn(directory);
  for (const [param, option] of Object.entries(OPTION_OF)) {
    const wanted = given[option];
    const was = saved[param as keyof SavedPcParams];
    if (wanted === undefined || wanted === was) continue;
    const has = typeof was === 'boolean' ? 'without it' : `with ${legible(was)}`;
    const asked = typeof was === 'boolean' ? option : `${option} ${legible(wanted)}`;
    throw new FatalError(
      `--${asked}: the checkpoint ${directory} is of a machine ${has}; leave the option out`,
    );
  }
  return saved;
}

/** What `--param` had set in the machine whose checkpoint is in `directory`: it is set again, unless the user sets it anew. */
export const overridesOfCheckpoint = (directory: string): readonly string[] =>
  savedBy(directory, 'root', ({ overrides = null }) => savedAssignments(overrides));

const paramsIn = (directory: string): SavedPcParams =>
  savedBy(directory, 'board', ({ machine = null }) => restoredParams(machine));

function savedBy<T>(
  directory: string,
  path: string,
  decode: (state: ReturnType<typeof readSavedState>) => T,
): T {
  try {
    return decode(readSavedState(directory, path));
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    throw new FatalError(`checkpoint ${directory}: ${path}: ${error.message}`, { cause: error });
  }
}

/** Sizes as they are written on the command line. */
const legible = (value: unknown): string =>
  typeof value === 'number' && value % MIB === 0 ? `${value / MIB}MiB` : String(value);
