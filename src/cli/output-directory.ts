// The output directory of a run: made, and seen to be writable, before anything is simulated. Without --outdir
// nothing is written, except the dump of a program that crashed.

import { accessSync, constants, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SimObject } from '../sim/sim-object.ts';
import { FatalError } from '../sim/trouble.ts';

/** Where a crash is recorded when there is no --outdir. */
export const DEFAULT_DIRECTORY = 'hypertick-out';

/** Makes the directory if necessary. Throws FatalError if it cannot be written. */
export function makeOutputDirectory(path: string): void {
  attempt(`cannot write the output directory ${path}`, () => {
    makeDirectories(path);
    accessSync(path, constants.W_OK | constants.X_OK);
  });
}

/** Throws FatalError unless the file can be written, or made; does not touch it. */
export function checkWritable(path: string): void {
  attempt(`cannot write ${path}`, () => {
    if (exists(path)) accessSync(path, constants.W_OK);
    else accessSync(dirname(path), constants.W_OK | constants.X_OK);
  });
}

/** Writes a whole file. Throws FatalError. */
export function writeOutput(path: string, text: string): void {
  attempt(`cannot write ${path}`, () => writeFileSync(path, text));
}

/** config.json: every object of the tree with its class and checked parameters. */
export function writeConfiguration(directory: string, root: SimObject): void {
  const json = JSON.stringify(
    describe(root),
    (_, value) => (typeof value === 'bigint' ? `${value}` : value),
    1,
  );
  writeOutput(join(directory, 'config.json'), `${json}\n`);
}

interface ObjectDescription {
  readonly type: string;
  readonly path: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly children: Readonly<Record<string, ObjectDescription>>;
}

function describe(object: SimObject): ObjectDescription {
  const children = [...object.children].map(([name, child]) => [name, describe(child)] as const);
  return {
    type: object.constructor.name,
    path: object.path,
    params: object.resolvedParams,
    children: Object.fromEntries(children),
  };
}

/** mkdir -p. The recursive mkdirSync of Node 26.10 never returns where a parent refuses children, as /proc does. */
function makeDirectories(path: string): void {
  const parent = dirname(path);
  if (!exists(path) && parent !== path) {
    makeDirectories(parent);
    mkdirSync(path);
  } else if (!statSync(path).isDirectory()) {
    throw Object.assign(new Error(path), { code: 'EEXIST' });
  }
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function attempt(failure: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new FatalError(`${failure}: ${REASONS[code] ?? code}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'a file of that name is in the way',
  EISDIR: 'it is a directory',
  ENOENT: 'its directory does not exist',
  ENOSPC: 'no space left',
  ENOTDIR: 'a part of the path is not a directory',
  EROFS: 'read-only file system',
};
