// What the simulator says, and where: one line at a time on standard error, answers on standard output. Plain
// writes to descriptors 1 and 2: process.stdout and process.stderr would change modes that the guest shares.

import { writeSync } from 'node:fs';

const STDOUT = 1;
const STDERR = 2;

/** Writes one line for the user to standard error, with the simulator's name in front. */
export function say(line: string): void {
  write(STDERR, `hypertick: ${line}\n`);
}

/** Writes text to standard error as it is. */
export function sayRaw(text: string): void {
  write(STDERR, text);
}

/** Writes what the user asked for (help, version, a report) to standard output. */
export function answer(text: string): void {
  write(STDOUT, text);
}

/** A reader that went away, or is slower than we speak, is no reason to fail: the text is given up. */
function write(fd: number, text: string): void {
  let bytes = Buffer.from(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(fd, bytes));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAGAIN' && code !== 'EPIPE' && code !== 'EBADF' && code !== 'EIO') throw error;
  }
}
