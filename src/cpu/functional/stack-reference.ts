/**
 * What instructions have to do with SS: which segment an access went through, found out behind it, since only the exception for a
 * bad address depends on it; and loads of SS.
 */

import { type Decoded, OperandKind } from '../../arch/x86/isa/decoded.ts';
import { linearAddressOf } from '../../arch/x86/isa/effective-address.ts';
import { Seg } from '../../arch/x86/registers.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { sourceOf } from './operand-places.ts';

/** FXSAVE and XSAVE look at the end of their areas first. XSAVE's are the largest: SDM vol. 1 §13.4. */
const LARGEST_AREA_BYTES = 4096n;

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
  const isOperand = BigInt.asUintN(64, address - linearAddressOf(decoded, memory, tc)) < LARGEST_AREA_BYTES;
  // Elsewhere only BT reaches, which has two operands; PUSH, POP and CALL, which access the stack besides, have one.
  return isOperand || decoded.operands.length > 1 ? memory.segment === Seg.SS : true;
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
