/**
 * Moving data between an open file and user memory: regular files at once, streams as far as they go without
 * waiting. read(2), write(2), pipe(7).
 */

import type { HostFiles, Span } from '../../../host/files.ts';
import { Poll, RWF_NOWAIT } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import type { OpenFile } from './open-file.ts';
import { spanBytes, type UserBuffer } from './user-buffer.ts';

/** Pages are made present this far ahead of the data. No datagram, and by default no pipe, holds more. */
const CHUNK_BYTES = 1 << 20;
/** What a pipe holds unless it was enlarged. */
const STREAM_WRITE_BYTES = 1 << 16;
/** Once poll(2) says that a pipe or terminal is writable, this much goes in without waiting. */
const PIPE_BUF = 4096;

/** The file position instead of an offset. */
export const AT_POSITION = -1;

export type Direction = 'read' | 'write';

/**
 * Reads or writes a file that never waits. Returns the bytes moved, fewer at the end of the file, at a bad address
 * or after an error with some already moved; or a negative errno.
 * @param offset in the file, or AT_POSITION
 * @param flags RWF_ bits
 */
export function transfer(
  host: HostFiles,
  file: OpenFile,
  buffer: UserBuffer,
  direction: Direction,
  offset: number,
  flags: number,
): number {
  const access = direction === 'read' ? 'write' : 'read';
  let done = 0;
  for (;;) {
    const spans = buffer.spans(done, CHUNK_BYTES, access);
    const wanted = spanBytes(spans);
    if (wanted === 0 && buffer.length > 0) return done > 0 ? done : -Errno.EFAULT;
    const refusal = direction === 'write' ? file.refusesGrowth(wanted) : 0;
    if (refusal < 0) return done > 0 ? done : refusal;
    const at = offset === AT_POSITION ? AT_POSITION : offset + done;
    const moved = move(host, file.hostFd, spans, direction, at, flags);
    if (moved < 0) return done > 0 ? done : moved;
    done += moved;
    if (moved < wanted || done >= buffer.length) return done;
  }
}

function move(
  host: HostFiles,
  fd: number,
  spans: readonly Span[],
  direction: Direction,
  at: number,
  flags: number,
): number {
  const read = direction === 'read';
  if (flags !== 0) return read ? host.preadv2(fd, spans, at, flags) : host.pwritev2(fd, spans, at, flags);
  if (at === AT_POSITION) return read ? host.readv(fd, spans) : host.writev(fd, spans);
  return read ? host.preadv(fd, spans, at) : host.pwritev(fd, spans, at);
}

/** Reads what a stream has now: bytes (0 = end of file), −EAGAIN if it has nothing yet, or another negative errno. */
export function readStream(host: HostFiles, file: OpenFile, buffer: UserBuffer): number {
  if (buffer.length === 0) return 0;
  let done = 0;
  for (;;) {
    const spans = buffer.spans(done, CHUNK_BYTES, 'write');
    const moved = spans.length === 0 ? -Errno.EFAULT : readNow(host, file, spans);
    if (moved < 0) return done > 0 ? done : moved;
    done += moved;
    if (moved < spanBytes(spans) || done >= buffer.length) return done;
  }
}

/** One read of a stream, which does not wait. */
function readNow(host: HostFiles, file: OpenFile, spans: readonly Span[]): number {
  // The program's own streams are open non-blocking on the host. One that was inherited is shared with the shell and
  // others, and stays as it is: there each call has to ask not to wait.
  if (!file.inherited) return host.readv(file.hostFd, spans);
  if (file.noWait) {
    const result = host.preadv2(file.hostFd, spans, AT_POSITION, RWF_NOWAIT);
    if (result !== -Errno.EOPNOTSUPP) return result;
    file.noWait = false;
  }
  return host.pollOne(file.hostFd, Poll.IN) === 0 ? -Errno.EAGAIN : host.readv(file.hostFd, spans);
}

/** Writes what a stream takes now from position `from` of the buffer on: bytes, −EAGAIN, or another negative errno. */
export function writeStream(host: HostFiles, file: OpenFile, buffer: UserBuffer, from: number): number {
  if (buffer.length === 0) return host.writev(file.hostFd, []);
  const spans = buffer.spans(from, STREAM_WRITE_BYTES, 'read');
  if (spans.length === 0) return -Errno.EFAULT;
  if (!file.inherited) return host.writev(file.hostFd, spans);
  if (file.noWait) {
    const result = host.pwritev2(file.hostFd, spans, AT_POSITION, RWF_NOWAIT);
    if (result !== -Errno.EOPNOTSUPP) return result;
    file.noWait = false;
  }
  if (host.pollOne(file.hostFd, Poll.OUT) === 0) return -Errno.EAGAIN;
  return host.writev(file.hostFd, buffer.spans(from, PIPE_BUF, 'read'));
}
