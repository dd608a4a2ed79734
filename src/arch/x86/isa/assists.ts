/** The routines of the simulator that instructions call: see `Cracker.assist`. Each engine is given an implementation of all. */

export const ASSISTS = ['cpuid', 'rdtsc', 'divide128', 'fxsave', 'fxrstor', 'float'] as const;
export type AssistName = (typeof ASSISTS)[number];
