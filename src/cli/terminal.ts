// What the simulator says, and where: one line at a time on standard error, answers on standard output. Plain
// writes to descriptors 1 and 2: process.stdout and process.stderr would change modes that the guest shares.

import { writeSync } from 'node:fs';
import { attemptOutput, errnoOf } from '../sim/output-file.ts';

const STDOUT = 1;
const STDERR = 2;

/** Writes one line for the user to standard error, with the simulator's name in front. */
export function say(line: string): void {
  sayRaw(`hypertick: ${oneLine(line)}\n`);
}

/** Writes text to standard error as it is. What cannot be said there cannot be said at all: errors are given up. */
export function sayRaw(text: string): void {
  try {
    write(STDERR, text);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Writes what the user asked for (help, version, a report) to standard output. Throws FatalError. */
export function answer(text: string): void {
  attemptOutput('standard output', () => write(STDOUT, text));
}

/** The text with its control characters escaped as in a C string: names of files may contain any. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** A reader that went away, or is slower than we speak, is no reason to fail: the text is given up. */
function write(fd: number, text: string): void {
  let bytes = Buffer.from(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(fd, bytes));
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EAGAIN' && code !== 'EPIPE' && code !== 'EBADF' && code !== 'EIO') throw error;
  }
}
