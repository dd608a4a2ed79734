// The instruction at which a case ended, as far as rules about single instructions need it: prefixes and opcode.

import { type SplitCode, splitPrefixes } from '../../src/arch/x86/isa/missing.ts';
import { AREA_BYTES, areaOffset, initialArea } from './address-space.ts';
import type { Outcome, Sequence } from './sequence.ts';

const MAX_LENGTH_BYTES = 15;
/** What stands at RIP when a case has ended: code may have changed itself. */
export function codeAtRip(sequence: Sequence, { state, memory }: Outcome): SplitCode {
  const offset = areaOffset(state.ripNumber);
  if (offset < 0) return { prefixes: [], opcode: new Uint8Array() };
  const area = initialArea(sequence);
  for (const { address, bytes } of memory) area.set(bytes, areaOffset(address));
  const bytes = area.subarray(offset, Math.min(offset + MAX_LENGTH_BYTES, AREA_BYTES));
  return splitPrefixes(bytes);
}

/** Whether an opcode begins with these bytes. */
export function beginsWith({ opcode }: SplitCode, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => opcode[i] === byte);
}
