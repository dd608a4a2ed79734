/**
 * struct stat of x86-64 from the host's struct statx, which is the same on every architecture.
 * Sources: arch/x86/include/uapi/asm/stat.h, include/uapi/linux/stat.h; dev_t as new_encode_dev makes it.
 */
import { STATX } from '../../../host/files-abi.ts';

/** Byte offsets in struct stat. */
const STAT = {
  SIZE_BYTES: 144,
  dev: 0,
  ino: 8,
  nlink: 16,
  mode: 24,
  uid: 28,
  gid: 32,
  rdev: 40,
  size: 48,
  blksize: 56,
  blocks: 64,
  atime: 72,
  mtime: 88,
  ctime: 104,
} as const;

/** Fields copied as they are: offset in statx, offset in stat, 32-bit words. Narrower ones widen into zeros. */
const COPIED: readonly (readonly [from: number, to: number, words: number])[] = [
  [STATX.ino, STAT.ino, 2],
  [STATX.nlink, STAT.nlink, 1],
  [STATX.uid, STAT.uid, 1],
  [STATX.gid, STAT.gid, 1],
  [STATX.size, STAT.size, 2],
  [STATX.blksize, STAT.blksize, 1],
  [STATX.blocks, STAT.blocks, 2],
  [STATX.atime, STAT.atime, 3],
  [STATX.mtime, STAT.mtime, 3],
  [STATX.ctime, STAT.ctime, 3],
];

/** A device number in the kernel's 32-bit encoding. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** @param statx a struct statx; @returns a struct stat */
export function statOf(statx: DataView): Uint8Array {
  const stat = new Uint8Array(STAT.SIZE_BYTES);
  const view = new DataView(stat.buffer);
  for (const [from, to, words] of COPIED) {
    for (let i = 0; i < words; i++) view.setUint32(to + 4 * i, statx.getUint32(from + 4 * i, true), true);
  }
  const device = (major: number, minor: number) =>
    encodeDevice(statx.getUint32(major, true), statx.getUint32(minor, true));
  view.setUint32(STAT.mode, statx.getUint16(STATX.mode, true), true);
  view.setUint32(STAT.dev, device(STATX.devMajor, STATX.devMinor), true);
  view.setUint32(STAT.rdev, device(STATX.rdevMajor, STATX.rdevMinor), true);
  return stat;
}
