// Files that a command reads whole: images, initrds, modules. A pipe will do (`<(zcat image.gz)`), a device will not: it
// may have no end.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { errnoOf, reasonFor } from '../sim/output-file.ts';
import { ExitStatus, FatalError } from '../sim/trouble.ts';

/** More than this no machine can load: what Node reads at once. */
const LARGEST_BYTES = 2 ** 31 - 1;
const PIPE_CHUNK_BYTES = 1 << 16;

/**
 * The contents of a file.
 * @param what the file is, for messages
 * @throws FatalError in one line, with status 127 if there is no such file, else 126
 */
export function readInput(path: string, what: string): Uint8Array {
  const refuse = (why: string, cause?: unknown, exitStatus: number = ExitStatus.notExecutable) =>
    new FatalError(`${what} ${path}: ${why}`, { exitStatus, cause });
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const stats = fstatSync(fd);
    if (stats.isCharacterDevice() || stats.isBlockDevice()) throw refuse('is a device, not a file');
    if (stats.size > LARGEST_BYTES) throw refuse('is larger than 2 GiB');
    return readToEnd(fd, stats.size) ?? refused(refuse('gives more than 2 GiB'));
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    throw refuse(reasonFor(code), error, code === 'ENOENT' ? ExitStatus.notFound : undefined);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function refused(error: FatalError): never {
  throw error;
}

/** All there is to read; undefined if that is too much. */
function readToEnd(fd: number, expectedBytes: number): Uint8Array | undefined {
  const chunks: Uint8Array[] = [];
  let total = 0;
  // One byte more than expected, so that the end shows without another allocation.
  for (let size = expectedBytes + 1; total <= LARGEST_BYTES; size = PIPE_CHUNK_BYTES) {
    const chunk = new Uint8Array(size);
    const length = readSync(fd, chunk);
    if (length === 0) return chunks.length === 1 ? chunks[0] : new Uint8Array(Buffer.concat(chunks));
    chunks.push(chunk.subarray(0, length));
    total += length;
  }
  return undefined;
}
