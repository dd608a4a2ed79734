/** The routines of the simulator that instructions call: see `Cracker.assist`. Each engine is given an implementation of all. */

export const ASSISTS = [
  'cpuid',
  'rdtsc',
  'divide128',
  'random',
  'crc32',
  'loadSegment',
  'describeSegment',
  'float',
  'fxsave',
  'fxrstor',
  'x87',
] as const;
export type AssistName = (typeof ASSISTS)[number];

/** What `describeSegment` is asked of a selector. */
export const DescriptorQuery = { accessRights: 0, limit: 1, isReadable: 2, isWritable: 3 } as const;
