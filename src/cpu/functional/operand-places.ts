/** What handlers, records and regions have to know of a decoded instruction: where its operands are in the engine's memory. */

import { type Decoded, type Operand, OperandKind } from '../../arch/x86/isa/decoded.ts';
import type { OperandSource } from '../../arch/x86/isa/operands.ts';
import { OFFSET, SEGMENT, STRIDE } from '../../arch/x86/state-layout.ts';
import { CONTEXT_AT } from './layout.ts';

/** F3 or F2 in front of a string instruction. */
export function isRepeated({ form, repeat }: Decoded): boolean {
  return form.instruction.repeat !== undefined && repeat !== 'none';
}

/** Returns find where they lead by the calls of a region. */
export function isReturn({ form }: Decoded): boolean {
  return form.instruction.mnemonic === 'RET';
}

/** The register operands of an instruction: those that have a place in its record. */
export function registerOperands({ operands }: Decoded): readonly Operand[] {
  return operands.filter(({ kind }) => REGISTER_KINDS.has(kind));
}

const REGISTER_KINDS: ReadonlySet<OperandKind> = new Set([
  OperandKind.gpr,
  OperandKind.gprHigh,
  OperandKind.xmm,
  OperandKind.mmx,
  OperandKind.segment,
]);

/** Offset in the engine's memory of the bytes of a register operand. */
export function registerAt({ kind, index }: Operand): number {
  switch (kind) {
    case OperandKind.gprHigh:
      return gprAt(index) + 1;
    case OperandKind.xmm:
      return CONTEXT_AT + OFFSET.zmm + index * STRIDE.zmm;
    case OperandKind.mmx:
      return CONTEXT_AT + OFFSET.st + index * STRIDE.st;
    case OperandKind.segment:
      return CONTEXT_AT + OFFSET.segments + index * STRIDE.segment + SEGMENT.selector;
    default:
      return gprAt(index);
  }
}

export function gprAt(index: number): number {
  return CONTEXT_AT + OFFSET.gpr + index * STRIDE.gpr;
}

export function segmentBaseAt(segment: number): number {
  return OFFSET.segments + segment * STRIDE.segment + SEGMENT.base;
}

/** Where a memory operand's address comes from. */
export function sourceOf({ form, operands }: Decoded, operand: Operand): OperandSource {
  return form.operands[operands.indexOf(operand)]!.source;
}
