/*
 * ioctl(2): numbers as the kernel's macros make them, and the call, with its failures turned into HostErrors.
 * Source: include/uapi/asm-generic/ioctl.h (x86-64 and arm64).
 */
import type { Remedies } from './errors.ts';
import { bind, check, lastError, lazily, type PointerArgument } from './ffi.ts';
import type { Layout } from './layout.ts';

/** Makes the ioctl numbers of one driver, which its type letter tells apart. */
export function ioctlNumbers(type: number) {
  const number = (direction: 0 | 1 | 2 | 3, nr: number, argument: Layout | number): number => {
    const sizeBytes = typeof argument === 'number' ? argument : argument.size;
    return ((direction << 30) | (sizeBytes << 16) | (type << 8) | nr) >>> 0;
  };
  return {
    /** `_IO`: no argument, or a plain value. */
    io: (nr: number) => number(0, nr, 0),
    /** `_IOW`: the kernel reads the structure. */
    iow: (nr: number, argument: Layout | number) => number(1, nr, argument),
    /** `_IOR`: the kernel writes the structure. */
    ior: (nr: number, argument: Layout | number) => number(2, nr, argument),
    /** `_IOWR`: it does both. */
    iowr: (nr: number, argument: Layout | number) => number(3, nr, argument),
  } as const;
}

// One signature for all requests: three arguments keep the call on Node's short path, and a pointer argument
// takes an address, a view, null, or (as a BigInt) a plain value.
const libc = lazily(() => ({
  ioctl: bind('ioctl', ['int32', 'uint32', 'pointer'], 'int32'),
  close: bind('close', ['int32'], 'int32'),
}));

/** The bound function itself, for those who keep it in a field because they call it often. */
export type IoctlFunction = (fd: number, request: number, argument: PointerArgument) => number;
export function ioctlFunction(): IoctlFunction {
  return libc().ioctl;
}

/**
 * Calls ioctl(2).
 * @param name the request's name, for the error
 */
export function ioctl(
  fd: number,
  request: number,
  argument: PointerArgument,
  name: string,
  remedies?: Remedies,
): number {
  const result = libc().ioctl(fd, request, argument);
  if (result === -1) throw lastError(`ioctl(${name})`, remedies);
  return result;
}

/** Closes a descriptor. */
export function closeFd(fd: number): void {
  check(libc().close(fd), 'close');
}
