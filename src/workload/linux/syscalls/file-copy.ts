/**
 * Copying between descriptors without the program's memory. sendfile(2), copy_file_range(2); splice(2) and its kin
 * answer EINVAL, upon which programs read and write.
 */
import { Poll } from '../../../host/files-abi.ts';
import { Errno, Restart } from '../errno.ts';
import { SEEK_CUR, SIGPIPE } from '../files/abi.ts';
import { fileArgument } from '../files/arguments.ts';
import { flushMappings, refreshMappings } from '../files/mapping-coherence.ts';
import type { OpenFile } from '../files/open-file.ts';
import { waitFor } from '../files/stream-wait.ts';
import { AT_POSITION } from '../files/transfer.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';

const PAGE_BYTES = 4096;
/** Moved by one call at most; programs go on from there. The host cannot be interrupted while it copies. */
const MAX_COUNT = 32 << 20;

/** An optional file offset in the program's memory; undefined = the file position. */
function readOffset(call: SyscallCall, va: number): number | undefined {
  return va === 0 ? undefined : Number(call.process.memory.readI64(va));
}

function sendfile(call: SyscallCall): SyscallResult {
  const output = fileArgument(call, 0);
  const source = fileArgument(call, 1);
  if (output === undefined || source === undefined) return -Errno.EBADF;
  if (!output.writable || !source.readable) return -Errno.EBADF;
  // From a stream the host might have to wait; programs read and write then.
  if (output.kind === 'listing' || source.kind !== 'regular') return -Errno.EINVAL;
  const offsetAt = call.addr(2);
  const count = Math.min(call.size(3), MAX_COUNT);
  const refusal = output.refusesGrowth(count);
  if (refusal < 0) return refusal;
  const { memory } = call.process;
  let offset = readOffset(call, offsetAt);
  const { process, thread } = call;
  const attempt = () => {
    flushMappings(process, source, offset ?? AT_POSITION, count);
    flushMappings(process, output, AT_POSITION, count);
    const result = sendNow(process, source, output, offset, count);
    if (result > 0) refreshMappings(process, output, AT_POSITION, result);
    if (result === -Errno.EPIPE) process.signalThread(thread, SIGPIPE);
    if (result > 0 && offset !== undefined) {
      offset += result;
      memory.writeNumber64(offsetAt, offset);
    }
    return result;
  };
  const result = attempt();
  if (result !== -Errno.EAGAIN || output.nonBlocking) return result;
  return waitFor(output, Poll.OUT, Restart.sys, () => {
    const later = attempt();
    return later === -Errno.EAGAIN ? undefined : later;
  });
}

/** Sends until the output takes no more. */
function sendNow(
  process: SyscallCall['process'],
  source: OpenFile,
  output: OpenFile,
  offset: number | undefined,
  count: number,
): number {
  const { host } = process.files;
  const shared = output.kind === 'stream' && output.inherited;
  let done = 0;
  while (done < count) {
    let piece = count - done;
    if (shared) {
      // This output cannot be asked not to wait; but once it is ready, what comes from one page goes in at once.
      if (host.pollOne(output.hostFd, Poll.OUT) === 0) return done > 0 ? done : -Errno.EAGAIN;
      const at = offset === undefined ? host.lseek(source.hostFd, 0, SEEK_CUR) : offset + done;
      piece = Math.min(piece, PAGE_BYTES - (Math.max(0, at) % PAGE_BYTES));
    }
    const sent = host.sendfile(
      output.hostFd,
      source.hostFd,
      offset === undefined ? undefined : offset + done,
      piece,
    );
    if (sent < 0) return done > 0 ? done : sent;
    if (sent === 0) break;
    done += sent;
  }
  return done;
}

function copyFileRange(call: SyscallCall): number {
  const source = fileArgument(call, 0);
  const output = fileArgument(call, 2);
  if (source === undefined || output === undefined) return -Errno.EBADF;
  if (source.kind === 'listing' || output.kind === 'listing') return -Errno.EINVAL;
  const [inAt, outAt] = [call.addr(1), call.addr(3)];
  const inOffset = readOffset(call, inAt);
  const outOffset = readOffset(call, outAt);
  const { process } = call;
  const { memory } = process;
  const length = Math.min(call.size(4), MAX_COUNT);
  const refusal = output.refusesGrowth(length);
  if (refusal < 0) return refusal;
  flushMappings(process, source, inOffset ?? AT_POSITION, length);
  flushMappings(process, output, outOffset ?? AT_POSITION, length);
  const copied = process.files.host.copyFileRange(
    source.hostFd,
    inOffset,
    output.hostFd,
    outOffset,
    length,
    call.u32(5),
  );
  if (copied <= 0) return copied;
  if (inOffset !== undefined) memory.writeNumber64(inAt, inOffset + copied);
  if (outOffset !== undefined) memory.writeNumber64(outAt, outOffset + copied);
  refreshMappings(process, output, outOffset ?? AT_POSITION, copied);
  return copied;
}

const unsupported = () => -Errno.EINVAL;

export const fileCopySyscalls = {
  sendfile,
  copy_file_range: copyFileRange,
  splice: unsupported,
  tee: unsupported,
  vmsplice: unsupported,
} satisfies SyscallMap;
