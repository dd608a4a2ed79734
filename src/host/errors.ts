/*
 * Failures of host calls: the call, the errno by number and name, and what the user can do about it.
 * Numbers and names: Linux, include/uapi/asm-generic/errno{-base,}.h (the same on x86-64 and arm64).
 */

/** errno values that the simulator reacts to or reports, by name. */
// biome-ignore format: a table
export const Errno = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, ECHILD: 10,
  EAGAIN: 11, ENOMEM: 12, EACCES: 13, EFAULT: 14, ENOTBLK: 15, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19,
  ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28,
  ESPIPE: 29, EROFS: 30, EMLINK: 31, EPIPE: 32, EDOM: 33, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36,
  ENOLCK: 37, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, ENODATA: 61, EPROTO: 71, EOVERFLOW: 75, ENOTSOCK: 88,
  EOPNOTSUPP: 95, EADDRINUSE: 98, ENOBUFS: 105, ETIMEDOUT: 110, ECONNREFUSED: 111, EALREADY: 114,
  ECANCELED: 125,
} as const;

/** The name of an errno, or `errno N` for one that is not listed. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(Errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

/** A failed host call. The message is one line: what failed, why, and what to do. */
export class HostError extends Error {
  override readonly name: string = 'HostError';
  /** The call as a manual page names it, with its object: `open(/dev/kvm)`. */
  readonly call: string;
  readonly errno: number;
  /** The errno's name: `EACCES`. */
  readonly code: string;
  /** What the user can do; empty if nothing better than the errno is known. */
  readonly remedy: string;

  constructor(call: string, errno: number, remedy = '') {
    const code = errnoName(errno);
    super(remedy === '' ? `${call}: ${code}` : `${call}: ${code}: ${remedy}`);
    this.call = call;
    this.errno = errno;
    this.code = code;
    this.remedy = remedy;
  }
}

/** Remedies by errno name, for one call. */
export type Remedies = Readonly<Partial<Record<keyof typeof Errno, string>>>;
