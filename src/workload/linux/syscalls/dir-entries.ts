/**
 * Reading directories. getdents(2): struct linux_dirent64 and its predecessor, which has the type in its last byte.
 */
import { Errno } from '../errno.ts';
import { DirentType } from '../files/abi.ts';
import { fileArgument } from '../files/arguments.ts';
import type { OpenFile } from '../files/open-file.ts';
import { inodeOf } from '../files/virtual-files.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';

/** Offsets in struct linux_dirent64 {u64 ino, s64 off, u16 reclen, u8 type, char name[]}. */
const RECLEN = 16;
const TYPE = 18;
const NAME = 19;
/** Where the name starts in struct linux_dirent. A record is as long in both forms. */
const OLD_NAME = 18;

/** Smallest buffer that any name fits in. */
const LARGEST_RECORD = 280;

function entries64(call: SyscallCall, file: OpenFile, maxBytes: number): Uint8Array | number {
  if (file.kind === 'listing') return listEntries(file, maxBytes);
  const { host } = call.process.files;
  const length = host.getdents64(file.hostFd, maxBytes);
  return length < 0 ? length : host.data.slice(0, length);
}

/** Entries of a directory that the simulator makes up; `off` is the number of the next entry. */
function listEntries(file: OpenFile, maxBytes: number): Uint8Array | number {
  const bytes = new Uint8Array(Math.min(maxBytes, 65536));
  const view = new DataView(bytes.buffer);
  let at = 0;
  while (file.listingPosition < file.names.length) {
    const { name, type } = file.names[file.listingPosition]!;
    const length = (NAME + name.length + 1 + 7) & ~7;
    if (at + length > bytes.length) return at > 0 ? bytes.subarray(0, at) : -Errno.EINVAL;
    file.listingPosition++;
    view.setUint32(at, inodeOf(`${file.path}/${name}`), true);
    view.setUint32(at + 8, file.listingPosition, true);
    view.setUint16(at + RECLEN, length, true);
    bytes[at + TYPE] = type;
    for (let i = 0; i < name.length; i++) bytes[at + NAME + i] = name.charCodeAt(i);
    at += length;
  }
  return bytes.subarray(0, at);
}

/** Rewrites linux_dirent64 records as linux_dirent ones, in place. */
function toOldFormat(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint16(at + RECLEN, true);
    const type = bytes[at + TYPE] ?? DirentType.REG;
    bytes.copyWithin(at + OLD_NAME, at + NAME, at + length);
    bytes[at + length - 1] = type;
    at += length;
  }
}

function getdents(call: SyscallCall, oldFormat: boolean): number {
  const file = fileArgument(call, 0);
  if (file === undefined) return -Errno.EBADF;
  if (file.kind === 'regular' || file.kind === 'stream') return -Errno.ENOTDIR;
  const { memory } = call.process;
  const va = call.addr(1);
  const count = call.u32(2);
  // The host moves on as it hands entries out, so a bad buffer is found before.
  if (!memory.isAccessible(va, Math.min(count, LARGEST_RECORD), 'write')) return -Errno.EFAULT;
  const bytes = entries64(call, file, count);
  if (typeof bytes === 'number') return bytes;
  if (oldFormat) toOldFormat(bytes);
  memory.write(va, bytes);
  return bytes.length;
}

export const dirEntrySyscalls = {
  getdents: (call) => getdents(call, true),
  getdents64: (call) => getdents(call, false),
} satisfies SyscallMap;
