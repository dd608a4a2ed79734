/**
 * What instructions have to do with SS: which segment an access went through, found out behind it, since only the exception for a
 * bad address depends on it; and loads of SS.
 */

import { type Decoded, OperandKind } from '../../arch/x86/isa/decoded.ts';
import { linearAddressOf } from '../../arch/x86/isa/effective-address.ts';
import { effectsOf } from '../../arch/x86/isa/effects.ts';
import { Gpr, Seg } from '../../arch/x86/registers.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { sourceOf } from './operand-places.ts';

/** An operand of an instruction that accesses the stack besides: a far pointer is the largest. */
const LARGEST_OPERAND_BYTES = 10n;
const LARGEST_POP_BYTES = 8n;

/**
 * Whether an instruction that accessed this linear address did so through SS: by a memory operand with that segment, or as
 * PUSH, POP, CALL and their like do. The registers are still those before the instruction.
 */
export function isStackReference(decoded: Decoded, address: bigint, tc: X86ThreadContext): boolean {
  const operand = decoded.operands.find(
    (candidate) => candidate.kind === OperandKind.memory && sourceOf(decoded, candidate) === 'rm',
  );
  const memory = operand?.memory;
  // String operands and the like are never on the stack; without any, the access was an implied one.
  if (memory === undefined) return decoded.operands.every(({ kind }) => kind !== OperandKind.memory);
  const accessesStackBesides = (effectsOf(decoded).registersWritten & (1 << Gpr.RSP)) !== 0;
  if (!accessesStackBesides) return memory.segment === Seg.SS;
  const isWithin = (start: bigint, sizeBytes: bigint): boolean =>
    BigInt.asUintN(64, address - start) < sizeBytes;
  // POP reads the stack before it writes its operand; PUSH and CALL read their operand first.
  if (decoded.form.isAfterPop && isWithin(tc.gpr(Gpr.RSP), LARGEST_POP_BYTES)) return true;
  const isOperand = isWithin(linearAddressOf(decoded, memory, tc), LARGEST_OPERAND_BYTES);
  return isOperand ? memory.segment === Seg.SS : true;
}

/**
 * MOV to SS and POP SS: no single-step trap comes between such an instruction and the next, which sets the stack pointer (SDM
 * vol. 3 §6.8.3). LSS sets both and holds nothing back.
 */
export function holdsTrapsBack(decoded: Decoded | undefined): boolean {
  const destination = decoded?.operands[0];
  const mnemonic = decoded?.form.instruction.mnemonic;
  const isSs = destination?.kind === OperandKind.segment && destination.index === Seg.SS;
  return isSs && (mnemonic === 'MOV' || mnemonic === 'POP');
}
