// The instruction at which a case ended, as far as rules about single instructions need it: prefixes and opcode.

import { areaOffset, areaPatches, CODE_BYTES, INT3 } from './address-space.ts';
import type { Outcome, Sequence } from './sequence.ts';

const MAX_LENGTH_BYTES = 15;
const LEGACY_PREFIXES: ReadonlySet<number> = new Set([
  0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
]);

export interface CodeAtRip {
  /** Those in front, REX included. */
  readonly prefixes: readonly number[];
  /** What follows, from the first byte of the opcode on; empty where there is no code. */
  readonly opcode: Uint8Array;
}

/** What stands at RIP when a case has ended: code may have changed itself. */
export function codeAtRip(sequence: Sequence, { state, memory }: Outcome): CodeAtRip {
  const offset = areaOffset(state.ripNumber);
  const length = offset < 0 ? 0 : Math.min(MAX_LENGTH_BYTES, CODE_BYTES - offset);
  if (length <= 0) return { prefixes: [], opcode: new Uint8Array() };
  const bytes = new Uint8Array(length).fill(INT3);
  for (const piece of [...areaPatches(sequence), ...memory]) {
    const at = areaOffset(piece.address) - offset;
    for (let i = Math.max(0, -at); i < piece.bytes.length && at + i < length; i++)
      bytes[at + i] = piece.bytes[i]!;
  }
  const isPrefix = (byte: number) => LEGACY_PREFIXES.has(byte) || (byte & 0xf0) === 0x40;
  const start = bytes.findIndex((byte) => !isPrefix(byte));
  return start < 0
    ? { prefixes: [...bytes], opcode: new Uint8Array() }
    : { prefixes: [...bytes.subarray(0, start)], opcode: bytes.subarray(start) };
}

/** Whether an opcode begins with these bytes. */
export function beginsWith({ opcode }: CodeAtRip, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => opcode[i] === byte);
}
