/**
 * Files without a name: pipes, memory files, event counters. pipe(2), memfd_create(2), eventfd(2).
 */
import { Errno } from '../errno.ts';
import { OpenFlag } from '../files/abi.ts';
import { pathArgument } from '../files/arguments.ts';
import { OpenFile, type OpenFileKind } from '../files/open-file.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';

const PIPE_FLAGS = OpenFlag.CLOEXEC | OpenFlag.NONBLOCK | OpenFlag.DIRECT;
/** On the host, streams never wait. */
const HOST_STREAM = OpenFlag.CLOEXEC | OpenFlag.NONBLOCK;

const MFD_CLOEXEC = 1;
const MAX_MEMFD_NAME = 249;

const EFD_SEMAPHORE = 1;

function add(call: SyscallCall, hostFd: number, kind: OpenFileKind, flags: number): number {
  const { files } = call.process;
  // Of these, only memory files are regular ones.
  const quota = kind === 'regular' ? files.memoryQuota : undefined;
  const file = new OpenFile(files.host, { hostFd, kind, flags, quota });
  return files.table.install(file, (flags & OpenFlag.CLOEXEC) !== 0);
}

function pipe(call: SyscallCall, flags: number): number {
  if ((flags & ~PIPE_FLAGS) !== 0) return -Errno.EINVAL;
  const { files, memory } = call.process;
  const to = call.addr(0);
  if (!memory.isAccessible(to, 8, 'write')) return -Errno.EFAULT;
  const ends = files.host.pipe2((flags & OpenFlag.DIRECT) | HOST_STREAM);
  if (typeof ends === 'number') return ends;
  const readEnd = add(call, ends.readFd, 'stream', flags | OpenFlag.RDONLY);
  if (readEnd < 0) {
    files.host.close(ends.writeFd);
    return readEnd;
  }
  const writeEnd = add(call, ends.writeFd, 'stream', flags | OpenFlag.WRONLY);
  if (writeEnd < 0) {
    files.table.close(readEnd);
    return writeEnd;
  }
  memory.writeI32(to, readEnd);
  memory.writeI32(to + 4, writeEnd);
  return 0;
}

function memfdCreate(call: SyscallCall): number {
  const name = pathArgument(call, 0);
  const flags = call.u32(1);
  if (typeof name === 'number' || name.length > MAX_MEMFD_NAME) return -Errno.EINVAL;
  const hostFd = call.process.files.host.memfdCreate(name, flags | MFD_CLOEXEC);
  if (hostFd < 0) return hostFd;
  return add(
    call,
    hostFd,
    'regular',
    OpenFlag.RDWR | OpenFlag.LARGEFILE | ((flags & MFD_CLOEXEC) !== 0 ? OpenFlag.CLOEXEC : 0),
  );
}

function eventfd(call: SyscallCall, flags: number): number {
  if ((flags & ~(OpenFlag.CLOEXEC | OpenFlag.NONBLOCK | EFD_SEMAPHORE)) !== 0) return -Errno.EINVAL;
  const hostFd = call.process.files.host.eventfd2(call.u32(0), (flags & EFD_SEMAPHORE) | HOST_STREAM);
  return hostFd < 0 ? hostFd : add(call, hostFd, 'stream', (flags & ~EFD_SEMAPHORE) | OpenFlag.RDWR);
}

export const pipeSyscalls = {
  pipe: (call) => pipe(call, 0),
  pipe2: (call) => pipe(call, call.i32(1)),
  memfd_create: memfdCreate,
  eventfd: (call) => eventfd(call, 0),
  eventfd2: (call) => eventfd(call, call.i32(1)),
} satisfies SyscallMap;
