/** The routines of the simulator that instructions call: see `Cracker.assist`. Each engine is given an implementation of all. */

export const ASSISTS = [
  'cpuid',
  'rdtsc',
  'divide128',
  'random',
  'crc32',
  'loadSegment',
  'describeSegment',
  'farTransfer',
  'float',
  'fxsave',
  'fxrstor',
  'x87',
  'xsave',
  'xrstor',
  'xinuse',
] as const;
export type AssistName = (typeof ASSISTS)[number];

/** What `describeSegment` is asked of a selector. */
export const DescriptorQuery = { accessRights: 0, limit: 1, isReadable: 2, isWritable: 3 } as const;

/**
 * What `farTransfer` is asked for: CS becomes what a selector stands for. `returnWithStack`: and SS, whose selector is in the
 * upper half. The last argument is the upper half of the offset.
 */
export const FarTransfer = { jump: 0, return: 1, returnWithStack: 2 } as const;

/** What `xsave` is asked for. */
export const XsaveKind = { standard: 0, optimized: 1, compacted: 2 } as const;
/** Where the linear address of the area and EDX:EAX are for `xsave` and `xrstor`: u64 each. */
export const XSAVE_ARGUMENTS = { area: 0, components: 8 } as const;
