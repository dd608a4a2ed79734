/**
 * What a decoded instruction does, completely: its own definition, and what all instructions with an operand in an MMX
 * register do besides. SDM vol. 1 §9.5.1, vol. 3 §12.5: they wait for a pending x87 exception (#MF), and leave TOP 0 and
 * all registers tagged as valid.
 */

import { Vector } from '../exceptions.ts';
import { OFFSET } from '../state-layout.ts';
import type { Cracker } from './cracker.ts';
import { type Decoded, OperandKind } from './decoded.ts';

/** Control, status and tag word in the u64 at `fcw`: 16 bits each, the tag abridged to one bit per register. */
const ERROR_SUMMARY = 0x80n << 16n;
const TOP = 0x3800n << 16n;
const TAGS = 0xffffn << 32n;
const ALL_VALID = 0xffn << 32n;

/** Tells a cracker what the instruction does. */
export function crackDecoded<V>(u: Cracker<V>, { form, operands }: Decoded): void {
  const usesMmx = operands.some(({ kind }) => kind === OperandKind.mmx);
  if (usesMmx) checkX87(u);
  form.instruction.crack(u, ...operands);
  if (usesMmx) setX87Registers(u, 'valid');
}

/** Raises #MF where an unmasked x87 exception is pending. */
export function checkX87<V>(u: Cracker<V>): void {
  const pending = u.and(64, u.field(OFFSET.fcw, 64), u.int(64, ERROR_SUMMARY));
  u.faultIf(u.ne(64, pending, u.int(64, 0)), Vector.MF);
}

/** TOP 0, and all registers valid or empty. */
export function setX87Registers<V>(u: Cracker<V>, tags: 'valid' | 'empty'): void {
  const kept = u.and(64, u.field(OFFSET.fcw, 64), u.int(64, BigInt.asIntN(64, ~(TOP | TAGS))));
  u.setField(OFFSET.fcw, 64, tags === 'empty' ? kept : u.or(64, kept, u.int(64, ALL_VALID)));
}
