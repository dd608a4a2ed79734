/**
 * Memory calls: argument checks here, the work in AddressSpace. mmap(2), brk(2), mremap(2), madvise(2),
 * mlock(2).
 */
import { Errno } from '../errno.ts';
import { MapFlag, Prot } from '../memory-flags.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
import { PAGE_SIZE, pageCeil, pageFloor } from '../vma.ts';

/** What mincore looks at in one go: a page of answers. */
const MINCORE_BYTES = PAGE_SIZE * PAGE_SIZE;

function mmap(call: SyscallCall): number {
  const { addressSpace, files } = call.process;
  const [address, length, prot, flags] = [call.addr(0), call.size(1), call.u32(2), call.u32(3)];
  if ((flags & MapFlag.anonymous) !== 0) return addressSpace.mmap({ address, length, prot, flags });
  const offset = call.size(5);
  if (offset % PAGE_SIZE !== 0 || length === 0) return -Errno.EINVAL;
  const writeShared = (flags & MapFlag.shared) !== 0 && (prot & Prot.write) !== 0;
  const source = files.fileToMap(call.i32(4), writeShared);
  if (typeof source === 'number') return source;
  return addressSpace.mmap({ address, length, prot, flags, source, offset });
}

/** Piece by piece, as Linux does it: reservations may be far larger than anything that could be answered at once. */
function mincore(call: SyscallCall): number {
  const { addressSpace, memory } = call.process;
  const [va, length, to] = [call.addr(0), call.size(1), call.addr(2)];
  for (let done = 0; done < length; done += MINCORE_BYTES) {
    const resident = addressSpace.mincore(va + done, Math.min(length - done, MINCORE_BYTES));
    if (typeof resident === 'number') return resident;
    memory.write(to + done / PAGE_SIZE, resident);
  }
  return va % PAGE_SIZE === 0 ? 0 : -Errno.EINVAL;
}

/** Memory never leaves RAM: locking is a check that the pages are mapped. */
function lock(call: SyscallCall): number {
  const [va, length] = [call.addr(0), call.size(1)];
  return call.process.addressSpace.areas.covers(pageFloor(va), pageCeil(va + length)) ? 0 : -Errno.ENOMEM;
}

export const memorySyscalls = {
  brk: (call) => call.process.addressSpace.brk(call.addr(0)),
  mmap,
  munmap: (call) => call.process.addressSpace.munmap(call.addr(0), call.size(1)),
  mprotect: (call) => call.process.addressSpace.mprotect(call.addr(0), call.size(1), call.u32(2)),
  // Without protection keys only "no key" is one.
  pkey_mprotect: (call) =>
    call.i32(3) === -1
      ? call.process.addressSpace.mprotect(call.addr(0), call.size(1), call.u32(2))
      : -Errno.EINVAL,
  mremap: (call) =>
    call.process.addressSpace.mremap(call.addr(0), call.size(1), call.size(2), call.u32(3), call.addr(4)),
  madvise: (call) => call.process.addressSpace.madvise(call.addr(0), call.size(1), call.i32(2)),
  msync: (call) => call.process.addressSpace.msync(call.addr(0), call.size(1), call.u32(2)),
  mincore,
  mlock: lock,
  mlock2: lock,
  munlock: lock,
  mlockall: () => 0,
  munlockall: () => 0,
} satisfies SyscallMap;
