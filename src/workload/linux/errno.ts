/**
 * Error numbers of Linux on x86-64, and the kernel-internal codes that say how an interrupted call continues.
 * Source: include/uapi/asm-generic/errno{,-base}.h and include/linux/errno.h of the Linux kernel.
 */

/** Error numbers. A handler returns them negated: `return -Errno.EINVAL`. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  ETIME: 62,
  EPROTO: 71,
  EOVERFLOW: 75,
  EILSEQ: 84,
  EUSERS: 87,
  ENOTSOCK: 88,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EALREADY: 114,
  EINPROGRESS: 115,
  ECANCELED: 125,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
} as const;

/** Name of an error number. */
export type ErrnoName = keyof typeof Errno;

/**
 * Results of an interrupted call that the program never sees: they become EINTR, or the call is made again,
 * depending on whether a handler runs and on its SA_RESTART. They are negative already.
 */
export const Restart = {
  /**
   * Made again unless a handler without SA_RESTART runs (ERESTARTSYS): read, write, wait, futex without
   * timeout.
   */
  sys: -512,
  /** Always made again (ERESTARTNOINTR). */
  noIntr: -513,
  /** Made again only if no handler runs (ERESTARTNOHAND): pause, poll, select, sigsuspend, sleeps. */
  noHand: -514,
} as const;

const NAMES: ReadonlyMap<number, ErrnoName> = new Map(
  Object.entries(Errno).map(([name, value]) => [value, name as ErrnoName]),
);

/** 'ENOENT' for 2; 'errno 4095' style text for a number that has no name here. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}
