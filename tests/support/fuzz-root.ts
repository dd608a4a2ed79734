// The directory that fuzzed programs are confined to, something outside it, and whether that is as it was.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code, elf, writeProgram } from './elf.ts';

/** A program in the root, whose name no fuzzer uses. */
export const FUZZED_PROGRAM = '/program';

export interface FuzzRoot {
  /** For --root. */
  readonly path: string;
  /** What can be seen outside the root: must stay the same. */
  outside(): string;
}

/** Makes the root, with files, a directory, links that lead out of it, and a named pipe. */
export function makeFuzzRoot(directory: string): FuzzRoot {
  const path = join(directory, 'root');
  mkdirSync(join(path, 'd'), { recursive: true });
  writeFileSync(join(directory, 'outside'), 'untouched');
  writeFileSync(join(path, 'a'), 'hello, file');
  writeFileSync(join(path, 'b'), '');
  writeFileSync(join(path, 'd', 'c'), 'x'.repeat(10_000));
  restoreProgram(path);
  symlinkSync('a', join(path, 'link'));
  symlinkSync('..', join(path, 'up'));
  symlinkSync(join(directory, 'outside'), join(path, 'absolute'));
  execFileSync('mkfifo', [join(path, 'fifo')]);
  return {
    path,
    outside: () => `${readdirSync(directory).join()}: ${readFileSync(join(directory, 'outside'), 'utf8')}`,
  };
}

/** A fuzzed program may have written into its own file, by way of /proc/self/exe. */
export function restoreProgram(root: string): void {
  writeProgram(join(root, FUZZED_PROGRAM), elf(Code.exit(0)));
}

/** Names and contents of all regular files below a directory, to see whether anything was written. */
export function contentsBelow(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  return files
    .map((file) => {
      const path = join(file.parentPath, file.name);
      return file.isFile() ? `${path}: ${readFileSync(path, 'latin1')}` : path;
    })
    .sort();
}
