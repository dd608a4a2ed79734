// Seeded random states for the property tests of this folder.

import { REGISTERS } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';

/** mulberry32: a small generator of 32-bit words; the same seed gives the same words. */
export function randomWords(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/**
 * A context with random bits in every register, padding zero, and nothing that no processor could hold in
 * x87.
 */
export function randomState(seed: number): X86ThreadContext {
  const next = randomWords(seed);
  const tc = new X86ThreadContext();
  for (const { at, sizeBytes, name } of REGISTERS) {
    const defined = name === 'ftw' ? 1 : sizeBytes;
    for (let i = 0; i < defined; i++) tc.u8[at + i] = next();
  }
  return tc;
}
