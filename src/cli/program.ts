// Finds the program that the user named and collects what it starts with, as execvp(3) and env(1) do it. Names,
// arguments and environment are byte strings (one character per byte), so that nothing is lost that is not UTF-8.

import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { HostFiles } from '../host/files.ts';
import { Resolve } from '../host/files-abi.ts';
import { errnoOf, reasonFor } from '../sim/output-file.ts';
import { ExitStatus, FatalError } from '../sim/trouble.ts';
import { OpenFlag } from '../workload/linux/files/abi.ts';

/** Where to look: the program's own view of the files. */
export interface Lookup {
  /** Absolute working directory that the program starts in. */
  readonly cwd: string;
  /** Its PATH; undefined if it has none. */
  readonly searchPath: string | undefined;
  /** Directory of the host that is the program's `/`; undefined: the host's own. */
  readonly root: string | undefined;
}

/** UTF-8 text as a byte string. */
export const bytes = (utf8: string): string => Buffer.from(utf8).toString('latin1');

/** A byte string as text, for messages. */
export const readable = (byteString: string): string => Buffer.from(byteString, 'latin1').toString();

/** What the C library searches when there is no PATH: confstr(_CS_PATH). */
const DEFAULT_SEARCH_PATH = '/bin:/usr/bin';

/** Errors that mean that there is no such program; with all others there is one that cannot be run. */
const ABSENT = ['ENOENT', 'ENOTDIR'];

/**
 * The absolute path, in the program's view, of the program called `name`.
 * Throws FatalError with status 127 if there is none, 126 if it cannot be run.
 */
export function findProgram(name: string, lookup: Lookup): string {
  if (name.includes('/')) {
    const path = posix.resolve(lookup.cwd, name);
    const obstacle = obstacleTo(path, lookup.root);
    if (obstacle !== undefined) throw cannotRun(name, obstacle);
    return path;
  }
  let denied: string | undefined;
  for (const directory of (lookup.searchPath ?? DEFAULT_SEARCH_PATH).split(':')) {
    const path = posix.resolve(lookup.cwd, directory, name);
    const obstacle = obstacleTo(path, lookup.root);
    if (obstacle === undefined) return path;
    if (obstacle === 'EACCES') denied = path;
  }
  if (denied !== undefined) throw cannotRun(denied, 'EACCES');
  const hint =
    name === '' ? 'the name is empty' : `not found in PATH; a file of this directory is ./${readable(name)}`;
  throw new FatalError(`${name === '' ? 'program' : readable(name)}: ${hint}`, {
    exitStatus: ExitStatus.notFound,
  });
}

function cannotRun(name: string, code: string): FatalError {
  const hint = code === 'EACCES' ? ' (is it executable? chmod +x makes it so)' : '';
  return new FatalError(`${readable(name)}: ${reasonFor(code)}${hint}`, {
    exitStatus: ABSENT.includes(code) ? ExitStatus.notFound : ExitStatus.notExecutable,
  });
}

/** Throws FatalError unless `path` is a directory that can be entered; `option` asked for it. */
export function checkDirectory(path: string, option: string): void {
  const refuse = (why: string, cause?: unknown) =>
    new FatalError(`option ${option}: ${path}: ${why}`, { cause });
  try {
    if (!statSync(path).isDirectory()) throw refuse('is not a directory');
    accessSync(path, constants.X_OK);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    throw refuse(reasonFor(code), error);
  }
}

/** The errno name of what keeps us from running the file at `path`; undefined if nothing does. */
function obstacleTo(path: string, root: string | undefined): string | undefined {
  try {
    if (root === undefined) return check(Buffer.from(path, 'latin1'));
    return withFileBelow(root, path, check);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}

function check(hostPath: string | Buffer): string | undefined {
  if (statSync(hostPath).isDirectory()) return 'EISDIR';
  accessSync(hostPath, constants.X_OK);
  return undefined;
}

/** Calls `use` with a host path of the file, which is resolved as if `root` were the root directory. */
function withFileBelow<T>(root: string, path: string, use: (hostPath: string) => T): T | string {
  const host = new HostFiles();
  const rootFd = openSync(root, constants.O_RDONLY);
  const fd = host.openat2(
    rootFd,
    path,
    OpenFlag.PATH | OpenFlag.CLOEXEC,
    0,
    Resolve.IN_ROOT | Resolve.NO_MAGICLINKS,
  );
  closeSync(rootFd);
  if (fd < 0) return 'ENOENT';
  try {
    return use(`/proc/self/fd/${fd}`);
  } finally {
    host.close(fd);
  }
}

/** The last `count` arguments of this process as byte strings; process.argv has lost what is not UTF-8. */
export function lastArgumentsAsBytes(count: number): string[] {
  const all = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  return all.slice(all.length - count);
}

/** The environment that this process was started with, as byte strings `NAME=VALUE`. */
export function inheritedEnvironment(): string[] {
  return readFileSync('/proc/self/environ', 'latin1')
    .split('\0')
    .filter((entry) => entry !== '');
}

/** `inherited` with the settings `NAME=VALUE` added or put in place of older ones. */
export function withSettings(inherited: readonly string[], settings: readonly string[]): string[] {
  const byName = new Map(
    [...inherited, ...settings].map((entry) => [entry.slice(0, entry.indexOf('=')), entry]),
  );
  return [...byName.values()];
}

/** The value of a variable in an environment. */
export function variable(environment: readonly string[], name: string): string | undefined {
  return environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}
