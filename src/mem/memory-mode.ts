/**
 * How the CPUs of a system access memory (gem5's enums::MemoryMode): by which kind of port access, and whether caches
 * are passed by. The two are independent. CPUs that do not model the memory system, KVM's above all, need a mode in
 * which nothing is cached: what they write is in RAM at once.
 */

export const MEMORY_MODES = ['atomic', 'atomicNoncaching', 'timing', 'timingNoncaching'] as const;
export type MemoryMode = (typeof MEMORY_MODES)[number];

/** Whether accesses are timing requests that are answered later, not atomic ones. */
export function isTiming(mode: MemoryMode): boolean {
  return mode === 'timing' || mode === 'timingNoncaching';
}

/** Whether caches are passed by. */
export function bypassesCaches(mode: MemoryMode): boolean {
  return mode === 'atomicNoncaching' || mode === 'timingNoncaching';
}
