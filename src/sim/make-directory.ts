/**
 * Making a directory with its parents. node:fs can do it too, but its recursive mkdir never returns on a file
 * system that answers ENOENT whatever exists, such as /proc.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Makes the directory and those above it that are missing. @throws the error of the mkdir that failed */
export function makeDirectory(path: string): void {
  const absolute = resolve(path);
  try {
    mkdirSync(absolute);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' && statSync(absolute).isDirectory()) return;
    if (code !== 'ENOENT' || absolute === dirname(absolute)) throw error;
    makeDirectory(dirname(absolute));
    // Once only: the parents are there now, so a second ENOENT is the file system's last word.
    mkdirSync(absolute);
  }
}
