/** Placeholder. */
import type { X87Instruction } from './unit.ts';
export const TRANSCENDENTALS: readonly X87Instruction[] = [];
