/**
 * Files that a run leaves behind. A file is written beside its place and then renamed, so that there is either the old
 * one or the whole new one; only what is no regular file (a terminal, a pipe, /dev/stdout) is written in place.
 */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FatalError } from './trouble.ts';

/** What the user is told about an errno, after the name of the file. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'a file of that name is in the way',
  EFBIG: 'the file would be too large (ulimit -f)',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'operation not permitted',
  EPIPE: 'nobody reads it',
  EROFS: 'read-only file system',
};

/** The text for an errno name; the name itself if there is none. */
export const reasonFor = (code: string): string => REASONS[code] ?? code;

/** The errno name of a system call's error; undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Does something to an output; its error becomes a FatalError `cannot write WHAT: REASON`. */
export function attemptOutput<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    // The file itself may be missing: what is not there is its directory.
    const reason = code === 'ENOENT' ? 'its directory does not exist' : reasonFor(code);
    throw new FatalError(`cannot write ${what}: ${reason}`, { cause: error });
  }
}

/** Throws FatalError unless the file can be written, or made; does not touch it. */
export function checkOutput(path: string): void {
  attemptOutput(path, () => {
    const place = placeOf(path);
    if (place.stats?.isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' });
    if (place.stats !== undefined) accessSync(path, constants.W_OK);
    if (place.isReplaced) accessSync(`${dirname(place.path)}/.`, constants.W_OK | constants.X_OK);
  });
}

/** Writes a whole file. Throws FatalError, and then leaves what was there before. */
export function writeOutput(path: string, text: string): void {
  const draft = attemptOutput(path, () => new OutputDraft(path));
  try {
    attemptOutput(path, () => {
      draft.append(text);
      draft.publish();
    });
  } finally {
    draft.close();
  }
}

/** A file that appears under its name, in place of an older one, when it is published. */
export class OutputDraft {
  readonly #fd: number;
  readonly #place: string;
  #draft: string | undefined;

  /** Throws the error of open(2). */
  constructor(path: string) {
    const { path: place, stats, isReplaced } = placeOf(path);
    this.#place = place;
    if (stats?.isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' });
    if (!isReplaced) {
      this.#fd = openSync(path, 'w');
      return;
    }
    if (stats !== undefined) accessSync(place, constants.W_OK);
    // The number of the process keeps runs apart that write the same file; a draft of that name is a dead one's.
    const draft = join(dirname(place), `.${basename(place).slice(0, 100)}.${process.pid}.tmp`);
    rmSync(draft, { force: true });
    this.#fd = openSync(draft, 'wx');
    this.#draft = draft;
    if (stats !== undefined) fchmodSync(this.#fd, stats.mode & 0o777);
  }

  /** Throws the error of write(2). */
  append(text: string): void {
    let bytes = Buffer.from(text);
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(this.#fd, bytes));
  }

  /** Gives the file its name; more can be appended. Harmless to repeat. */
  publish(): void {
    if (this.#draft === undefined) return;
    renameSync(this.#draft, this.#place);
    this.#draft = undefined;
  }

  /** Ends the writing; what was not published is removed. */
  close(): void {
    closeSync(this.#fd);
    if (this.#draft !== undefined) rmSync(this.#draft, { force: true });
    this.#draft = undefined;
  }
}

interface Place {
  /** Where the file is, links resolved. */
  readonly path: string;
  /** Undefined: not there. */
  readonly stats: Stats | undefined;
  /** Whether a new file takes the place of the old one. */
  readonly isReplaced: boolean;
}

function placeOf(path: string): Place {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    const isDangling = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    return { path, stats, isReplaced: !isDangling };
  }
  // /dev/stdout is a regular file after `> file`, which stays open under the name of its descriptor.
  const isDescriptor = /^\/(dev|proc)\//.test(resolve(path));
  return { path: realpathSync(path), stats, isReplaced: stats.isFile() && !isDescriptor };
}

/** Whether a file with this name is kept; it is not where the name is that of a device, a pipe or a descriptor. */
export const isReplaced = (path: string): boolean => placeOf(path).isReplaced;

/** The absolute path with links resolved, as far as it exists: two names of one file have the same. */
export function canonicalPath(path: string): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  if (statSync(absolute, { throwIfNoEntry: false }) !== undefined) return realpathSync(absolute);
  return parent === absolute ? absolute : join(canonicalPath(parent), basename(absolute));
}
