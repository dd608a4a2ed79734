/** The routines of the simulator that instructions call: see `Cracker.assist`. Each engine is given an implementation of all. */

export const ASSISTS = ['cpuid', 'rdtsc', 'divide128', 'float', 'fxsave', 'fxrstor', 'x87'] as const;
export type AssistName = (typeof ASSISTS)[number];
