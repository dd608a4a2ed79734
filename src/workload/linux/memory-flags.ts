/**
 * Argument values of the memory calls on x86-64. Source: include/uapi/asm-generic/mman-common.h and mman.h,
 * and include/uapi/linux/mman.h of the Linux kernel.
 */

export const Prot = { none: 0, read: 1, write: 2, exec: 4, growsDown: 0x0100_0000 } as const;

export const MapFlag = {
  shared: 0x01,
  private: 0x02,
  sharedValidate: 0x03,
  fixed: 0x10,
  anonymous: 0x20,
  /** In the first 2 GiB, so that pointers fit 31 bits. x86-64 only. */
  below2GiB: 0x40,
  growsDown: 0x100,
  denyWrite: 0x800,
  executable: 0x1000,
  locked: 0x2000,
  noReserve: 0x4000,
  populate: 0x8000,
  nonBlock: 0x1_0000,
  stack: 0x2_0000,
  hugeTlb: 0x4_0000,
  sync: 0x8_0000,
  fixedNoReplace: 0x10_0000,
} as const;

export const MremapFlag = { mayMove: 1, fixed: 2, dontUnmap: 4 } as const;

export const MsyncFlag = { async: 1, invalidate: 2, sync: 4 } as const;

export const Advice = {
  normal: 0,
  random: 1,
  sequential: 2,
  willNeed: 3,
  dontNeed: 4,
  free: 8,
  remove: 9,
  dontFork: 10,
  doFork: 11,
  mergeable: 12,
  unmergeable: 13,
  hugePage: 14,
  noHugePage: 15,
  dontDump: 16,
  doDump: 17,
  wipeOnFork: 18,
  keepOnFork: 19,
  cold: 20,
  pageOut: 21,
  populateRead: 22,
  populateWrite: 23,
} as const;
