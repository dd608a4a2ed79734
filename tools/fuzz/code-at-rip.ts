// The instruction at which a case ended, as far as rules about single instructions need it: prefixes and opcode.

import { type SplitCode, splitPrefixes } from '../../src/arch/x86/isa/missing.ts';
import { areaOffset, areaPatches, CODE_BYTES, INT3 } from './address-space.ts';
import type { Outcome, Sequence } from './sequence.ts';

const MAX_LENGTH_BYTES = 15;
/** What stands at RIP when a case has ended: code may have changed itself. */
export function codeAtRip(sequence: Sequence, { state, memory }: Outcome): SplitCode {
  const offset = areaOffset(state.ripNumber);
  const length = offset < 0 ? 0 : Math.min(MAX_LENGTH_BYTES, CODE_BYTES - offset);
  if (length <= 0) return { prefixes: [], opcode: new Uint8Array() };
  const bytes = new Uint8Array(length).fill(INT3);
  for (const piece of [...areaPatches(sequence), ...memory]) {
    const at = areaOffset(piece.address) - offset;
    for (let i = Math.max(0, -at); i < piece.bytes.length && at + i < length; i++)
      bytes[at + i] = piece.bytes[i]!;
  }
  return splitPrefixes(bytes);
}

/** Whether an opcode begins with these bytes. */
export function beginsWith({ opcode }: SplitCode, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => opcode[i] === byte);
}
