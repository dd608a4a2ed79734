/**
 * Reading, writing, seeking. read(2), readv(2), pread(2), lseek(2). Data goes between the host's descriptor and guest
 * RAM directly. Hot: a program's input and output pass here.
 */
import { Errno } from '../errno.ts';
import { SEEK_CUR, SEEK_END, SEEK_SET } from '../files/abi.ts';
import { fileArgument } from '../files/arguments.ts';
import { flushMappings, refreshMappings } from '../files/mapping-coherence.ts';
import type { OpenFile } from '../files/open-file.ts';
import { readOrWait, writeOrWait } from '../files/stream-wait.ts';
import { AT_POSITION, type Direction, transfer } from '../files/transfer.ts';
import { UserBuffer } from '../files/user-buffer.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';

/** preadv2 flags. */
const RWF_NOWAIT = 8;
const RWF_KNOWN = 0x3f;

function readOrWrite(
  call: SyscallCall,
  direction: Direction,
  buffer: UserBuffer,
  offset = AT_POSITION,
  flags = 0,
): SyscallResult {
  const file = fileArgument(call, 0);
  const read = direction === 'read';
  if (file === undefined || !(read ? file.readable : file.writable)) return -Errno.EBADF;
  if (file.kind === 'listing') return -Errno.EISDIR;
  if (file.kind === 'stream' && offset === AT_POSITION) {
    const mayWait = !file.nonBlocking && (flags & RWF_NOWAIT) === 0;
    return read ? readOrWait(call, file, buffer, mayWait) : writeOrWait(call, file, buffer, mayWait);
  }
  const { process } = call;
  flushMappings(process, file, offset, buffer.length);
  const moved = transfer(process.files.host, file, buffer, direction, offset, flags);
  if (!read && moved > 0) refreshMappings(process, file, offset, moved);
  return moved;
}

/** read and write: one buffer, at the file position. */
function plain(call: SyscallCall, direction: Direction): SyscallResult {
  return readOrWrite(call, direction, UserBuffer.of(call.process.memory, call.addr(1), call.size(2)));
}

/** pread64 and pwrite64. */
function positioned(call: SyscallCall, direction: Direction): SyscallResult {
  const offset = call.long(3);
  if (offset < 0) return -Errno.EINVAL;
  return readOrWrite(call, direction, UserBuffer.of(call.process.memory, call.addr(1), call.size(2)), offset);
}

function vectored(call: SyscallCall, direction: Direction, offset = AT_POSITION, flags = 0): SyscallResult {
  const buffer = UserBuffer.fromIovec(call.process.memory, call.addr(1), call.i32(2));
  return typeof buffer === 'number' ? buffer : readOrWrite(call, direction, buffer, offset, flags);
}

/** preadv and pwritev; the second half of the offset is for 32-bit programs. */
function positionedVectored(call: SyscallCall, direction: Direction): SyscallResult {
  const offset = call.long(3);
  return offset < 0 ? -Errno.EINVAL : vectored(call, direction, offset);
}

/** preadv2 and pwritev2: offset −1 is the file position. */
function flagged(call: SyscallCall, direction: Direction): SyscallResult {
  const offset = call.long(3);
  const flags = call.u32(5);
  if (offset < -1) return -Errno.EINVAL;
  return (flags & ~RWF_KNOWN) !== 0 ? -Errno.EOPNOTSUPP : vectored(call, direction, offset, flags);
}

/** A listing's position counts entries. */
function seekListing(file: OpenFile, offset: number, whence: number): number {
  const bases = new Map([
    [SEEK_SET, 0],
    [SEEK_CUR, file.listingPosition],
    [SEEK_END, file.names.length],
  ]);
  const base = bases.get(whence);
  if (base === undefined || base + offset < 0) return -Errno.EINVAL;
  file.listingPosition = base + offset;
  return file.listingPosition;
}

export const fileIoSyscalls = {
  read: (call) => plain(call, 'read'),
  write: (call) => plain(call, 'write'),
  readv: (call) => vectored(call, 'read'),
  writev: (call) => vectored(call, 'write'),
  pread64: (call) => positioned(call, 'read'),
  pwrite64: (call) => positioned(call, 'write'),
  preadv: (call) => positionedVectored(call, 'read'),
  pwritev: (call) => positionedVectored(call, 'write'),
  preadv2: (call) => flagged(call, 'read'),
  pwritev2: (call) => flagged(call, 'write'),
  lseek(call) {
    const file = fileArgument(call, 0);
    if (file === undefined) return -Errno.EBADF;
    if (file.kind === 'listing') return seekListing(file, call.long(1), call.u32(2));
    return call.process.files.host.lseek(file.hostFd, call.long(1), call.u32(2));
  },
} satisfies SyscallMap;
