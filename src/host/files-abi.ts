/*
 * Numbers of Linux's file interface on the host: system calls (x86-64), flags and modes.
 * Sources: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/linux/{fcntl,fs,openat2,stat}.h.
 */

/** System-call numbers of an x86-64 host. */
export const FileCall = {
  lseek: 8,
  ioctl: 16,
  readv: 19,
  writev: 20,
  pread64: 17,
  pwrite64: 18,
  sendfile: 40,
  fcntl: 72,
  flock: 73,
  fsync: 74,
  fdatasync: 75,
  ftruncate: 77,
  umask: 95,
  fstatfs: 138,
  sync: 162,
  readahead: 187,
  getdents64: 217,
  fadvise64: 221,
  openat: 257,
  mkdirat: 258,
  mknodat: 259,
  fchownat: 260,
  unlinkat: 263,
  linkat: 265,
  symlinkat: 266,
  readlinkat: 267,
  fchmodat: 268,
  tee: 276,
  sync_file_range: 277,
  utimensat: 280,
  fallocate: 285,
  eventfd2: 290,
  pipe2: 293,
  preadv: 295,
  pwritev: 296,
  syncfs: 306,
  renameat2: 316,
  memfd_create: 319,
  copy_file_range: 326,
  preadv2: 327,
  pwritev2: 328,
  statx: 332,
  openat2: 437,
  faccessat2: 439,
} as const;

/** Lookups relative to the simulator's own working directory. */
export const AT_FDCWD = -100;

export const AtFlag = {
  SYMLINK_NOFOLLOW: 0x100,
  /** faccessat: effective ids. Shares its value with REMOVEDIR of unlinkat. */
  EACCESS: 0x200,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  NO_AUTOMOUNT: 0x800,
  EMPTY_PATH: 0x1000,
  STATX_SYNC_TYPE: 0x6000,
} as const;

/** How openat2(2) confines a lookup. */
export const Resolve = {
  NO_XDEV: 0x01,
  NO_MAGICLINKS: 0x02,
  NO_SYMLINKS: 0x04,
  BENEATH: 0x08,
  IN_ROOT: 0x10,
  CACHED: 0x20,
} as const;

/** Do not wait, neither for data nor for room (preadv2, pwritev2). */
export const RWF_NOWAIT = 8;

/** File types in `mode`, and the mask for them. */
export const FileType = {
  MASK: 0o170000,
  FIFO: 0o010000,
  CHARACTER: 0o020000,
  DIRECTORY: 0o040000,
  BLOCK: 0o060000,
  REGULAR: 0o100000,
  SYMLINK: 0o120000,
  SOCKET: 0o140000,
} as const;

/** Events of poll(2). */
export const Poll = {
  IN: 0x001,
  PRI: 0x002,
  OUT: 0x004,
  ERR: 0x008,
  HUP: 0x010,
  NVAL: 0x020,
  RDNORM: 0x040,
  RDBAND: 0x080,
  WRNORM: 0x100,
  WRBAND: 0x200,
} as const;

/** Everything in struct statx up to and including stx_btime. */
export const STATX_ALL = 0xfff;

/** Byte offsets in struct statx. Times are {s64 seconds, u32 nanoseconds}. */
export const STATX = {
  SIZE_BYTES: 256,
  mask: 0,
  blksize: 4,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  atime: 64,
  btime: 80,
  ctime: 96,
  mtime: 112,
  rdevMajor: 128,
  rdevMinor: 132,
  devMajor: 136,
  devMinor: 140,
} as const;
