/**
 * Descriptors: opening, closing, duplicating. open(2), openat2(2), close(2), close_range(2), dup(2).
 */
import { AT_FDCWD } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { KNOWN_OPEN_FLAGS, OpenFlag } from '../files/abi.ts';
import { pathArgument } from '../files/arguments.ts';
import { openFile } from '../files/opening.ts';
import { releaseRecordLocks } from '../files/record-locks.ts';
import type { ArgumentIndex, SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';

/** struct open_how. */
const OPEN_HOW_BYTES = 24;
const PAGE_BYTES = 4096;

const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

function open(
  call: SyscallCall,
  dirFd: number,
  at: ArgumentIndex,
  flags: number,
  mode: number,
): SyscallResult {
  const path = pathArgument(call, at);
  if (typeof path === 'number') return path;
  return openFile(call.process.files, { dirFd, path, flags, mode, resolve: 0 });
}

function openat2(call: SyscallCall): SyscallResult {
  const { memory, files } = call.process;
  const path = pathArgument(call, 1);
  if (typeof path === 'number') return path;
  const how = call.addr(2);
  const size = call.size(3);
  if (size < OPEN_HOW_BYTES) return -Errno.EINVAL;
  if (size > PAGE_BYTES) return -Errno.E2BIG;
  if (memory.read(how + OPEN_HOW_BYTES, size - OPEN_HOW_BYTES).some((byte) => byte !== 0))
    return -Errno.E2BIG;
  const [flags, mode, resolve] = [0, 8, 16].map((offset) => memory.readAddress(how + offset));
  if (flags! > KNOWN_OPEN_FLAGS || (flags! & ~KNOWN_OPEN_FLAGS) !== 0) return -Errno.EINVAL;
  if (mode! > 0o7777 || resolve! > 0x3f) return -Errno.EINVAL;
  const creates = (flags! & (OpenFlag.CREAT | (OpenFlag.TMPFILE & ~OpenFlag.DIRECTORY))) !== 0;
  if (!creates && mode !== 0) return -Errno.EINVAL;
  return openFile(files, { dirFd: call.i32(0), path, flags: flags!, mode: mode!, resolve: resolve! });
}

/** close(2) of one descriptor, with what POSIX wants of record locks. */
function close(call: SyscallCall, fd: number): number {
  const { files } = call.process;
  const file = files.table.get(fd);
  if (file === undefined) return -Errno.EBADF;
  releaseRecordLocks(files, file);
  return files.table.close(fd);
}

function closeRange(call: SyscallCall): number {
  const { table } = call.process.files;
  const [first, last, flags] = [call.u32(0), call.u32(1), call.u32(2)];
  if ((flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) !== 0 || first > last) return -Errno.EINVAL;
  for (const fd of table.numbers()) {
    if (fd < first || fd > last) continue;
    if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) table.setCloseOnExec(fd, true);
    else close(call, fd);
  }
  return 0;
}

function duplicateTo(call: SyscallCall, from: number, to: number, closeOnExec: boolean): number {
  const { files } = call.process;
  const file = files.table.get(from);
  if (file === undefined) return -Errno.EBADF;
  const replaced = files.table.get(to);
  if (replaced !== undefined) releaseRecordLocks(files, replaced);
  return files.table.replace(to, file.retain(), closeOnExec);
}

export const fileOpenSyscalls = {
  open: (call) => open(call, AT_FDCWD, 0, call.i32(1), call.u32(2)),
  creat: (call) => open(call, AT_FDCWD, 0, OpenFlag.CREAT | OpenFlag.WRONLY | OpenFlag.TRUNC, call.u32(1)),
  openat: (call) => open(call, call.i32(0), 1, call.i32(2), call.u32(3)),
  openat2,
  close: (call) => close(call, call.i32(0)),
  close_range: closeRange,
  dup(call) {
    const { table } = call.process.files;
    const file = table.get(call.i32(0));
    return file === undefined ? -Errno.EBADF : table.install(file.retain(), false);
  },
  dup2(call) {
    const [from, to] = [call.i32(0), call.i32(1)];
    if (from === to) return call.process.files.table.get(from) === undefined ? -Errno.EBADF : to;
    return duplicateTo(call, from, to, false);
  },
  dup3(call) {
    const [from, to, flags] = [call.i32(0), call.i32(1), call.i32(2)];
    if ((flags & ~OpenFlag.CLOEXEC) !== 0 || from === to) return -Errno.EINVAL;
    return duplicateTo(call, from, to, flags !== 0);
  },
} satisfies SyscallMap;
