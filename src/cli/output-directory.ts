// The output directory of a run: made, and seen to be writable, before anything is simulated. Without --outdir
// nothing is written, except the dump of a program that crashed.

import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describeConfig } from '../sim/config.ts';
import {
  attemptOutput,
  canonicalPath,
  checkOutput,
  errnoOf,
  isReplaced,
  writeOutput,
} from '../sim/output-file.ts';
import type { SimObject } from '../sim/sim-object.ts';
import { FatalError } from '../sim/trouble.ts';

/** Where a crash is recorded when there is no --outdir. */
export const DEFAULT_DIRECTORY = 'hypertick-out';

/** Files that every run writes into its --outdir. */
const FILES = ['stats.txt', 'stats.json', 'config.json'] as const;

/**
 * Makes the directory if necessary; returns the directories that were made, the outermost first.
 * Throws FatalError, and then leaves none, if it cannot be written.
 */
export function makeOutputDirectory(path: string, what = `the output directory ${path}`): string[] {
  const made: string[] = [];
  try {
    attemptOutput(what, () => {
      makeDirectories(path, made);
      accessSync(path, constants.W_OK | constants.X_OK);
    });
    return made;
  } catch (error) {
    removeDirectories(made);
    throw error;
  }
}

/** Throws FatalError unless the files of a run can be written there; does not touch them. */
export function checkOutputFiles(directory: string): void {
  for (const name of FILES) checkOutput(join(directory, name));
}

/** Undoes makeOutputDirectory, except for directories that others have used since. */
export function removeDirectories(made: readonly string[]): void {
  try {
    for (const path of made.toReversed()) rmdirSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Throws FatalError if two outputs of a run would be the same file. */
export function checkDistinct(
  outdir: string | undefined,
  files: Readonly<Record<string, string | undefined>>,
): void {
  const users = new Map<string, string>();
  if (outdir !== undefined)
    for (const name of [...FILES, 'crash.txt'])
      users.set(
        attemptOutput(outdir, () => canonicalPath(join(outdir, name))),
        '--outdir',
      );
  for (const [option, path] of Object.entries(files)) {
    if (path === undefined) continue;
    attemptOutput(path, () => {
      const place = canonicalPath(path);
      const other = users.get(place);
      if (other !== undefined && isReplaced(path))
        throw new FatalError(`options ${other} and ${option}: both would write ${path}; name another file`);
      users.set(place, option);
    });
  }
}

/** Throws FatalError if an output of a run would take the place of a file that the run reads. */
export function checkNotRead(
  outputs: Readonly<Record<string, string | undefined>>,
  inputs: Readonly<Record<string, readonly (string | undefined)[]>>,
): void {
  for (const [option, path] of Object.entries(outputs)) {
    if (path === undefined || path === '' || !attemptOutput(path, () => isReplaced(path))) continue;
    const place = canonicalPath(path);
    for (const [input, paths] of Object.entries(inputs)) {
      if (paths.some((read) => read !== undefined && canonicalPath(read) === place))
        throw new FatalError(`option ${option}: ${path} is what ${input} reads; name another file`);
    }
  }
}

/**
 * Throws FatalError unless a checkpoint can be made there, by making what it is made in.
 * @returns the directories that were made, as makeOutputDirectory does
 */
export function checkCheckpoint(directory: string, outdir: string | undefined): string[] {
  const target = resolve(directory);
  if (outdir !== undefined && `${canonicalPath(outdir)}/`.startsWith(`${canonicalPath(target)}/`))
    throw new FatalError(
      `checkpoint ${directory}: it would replace the output directory ${outdir}; name another directory`,
    );
  const made = makeOutputDirectory(dirname(target), `the checkpoint ${directory}`);
  try {
    attemptOutput(`the checkpoint ${directory}`, () => rmdirSync(mkdtempSync(`${target}.`)));
    return made;
  } catch (error) {
    removeDirectories(made);
    throw error;
  }
}

/** config.json: every object of the tree with its class and checked parameters, and what it executes. */
export function writeConfiguration(directory: string, root: SimObject): void {
  writeOutput(join(directory, 'config.json'), `${JSON.stringify(describeConfig(root), undefined, 1)}\n`);
}

/** mkdir -p. The recursive mkdirSync of Node 26.10 never returns where a parent refuses children, as /proc does. */
function makeDirectories(path: string, made: string[]): void {
  const parent = dirname(path);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    if (parent !== path && !existsSync(parent)) makeDirectories(parent, made);
    mkdirSync(path);
    made.push(path);
  } else if (!stats.isDirectory()) {
    throw Object.assign(new Error(path), { code: 'EEXIST' });
  }
}
