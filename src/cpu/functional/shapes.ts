/**
 * Shapes of instructions: what handlers of the interpreter are told apart by. Of all instructions of one shape, effects.ts says
 * the same, too.
 */

import { type Decoded, isLiteral, NO_REGISTER, OperandKind } from '../../arch/x86/isa/decoded.ts';
import type { Effects } from '../../arch/x86/isa/effects.ts';
import type { Form } from '../../arch/x86/isa/encoding.ts';
import { Seg } from '../../arch/x86/registers.ts';
import { isRepeated } from './operand-places.ts';

/** An instruction's shape: its handler's place in the table of code, and what it does to flags, memory and control. */
export interface Shape {
  readonly handler: number;
  readonly effects: Effects;
}

const SIZE_CODES = { 16: 0, 32: 1, 64: 2 } as const;
const REPEAT_CODES = { none: 0, f3: 1, f2: 2 } as const;
/** A literal has 8 bits. */
const LITERALS = 2 ** 8;

/**
 * A number for the form, the sizes, memory or register, the parts of the address that are there, and the value of a literal.
 * Below 2^53. Hot path.
 */
export function shapeNumber(decoded: Decoded): number {
  const { form, operands, operandBits, addressBits, is64 } = decoded;
  let shape = form.id * 3 + SIZE_CODES[operandBits];
  shape = (shape * 3 + SIZE_CODES[addressBits]) * 2 + (is64 ? 1 : 0);
  shape = shape * 3 + (isRepeated(decoded) ? REPEAT_CODES[decoded.repeat] : 0);
  let address = 0;
  let literal = 0;
  for (const operand of operands) {
    const { kind, bits, memory, value } = operand;
    if (memory !== undefined)
      address |= 1 | (memory.index === NO_REGISTER ? 0 : 2) | (memory.segment >= Seg.FS ? 4 : 0);
    else if (kind !== OperandKind.immediate) continue;
    else if (isLiteral(decoded, operand)) literal = Number(value) & (LITERALS - 1);
    else if (bits === 8) literal = countClass(Number(value));
  }
  return (shape * 8 + address) * LITERALS + literal;
}

/** Whether instructions that differ in the immediate alone may have different shapes: told apart by {@link immediateClass}. */
export function shapeDependsOnImmediate({ form, operands }: Decoded): boolean {
  return operands.some(
    ({ kind, bits }) => kind === OperandKind.immediate && (bits === 8 || form.instruction.literal === true),
  );
}

/** Of two instructions with the same class of their immediates of 8 bits, and else alike, the shape is the same. */
export function immediateClass({ instruction }: Form, value: number): number {
  return instruction.literal ? value & 0xff : countClass(value);
}

/** A shift or rotation by an immediate leaves the flags alone if its masked count is 0: of 5 or 6 bits, by the operand's size. */
function countClass(value: number): number {
  if ((value & 0x1f) !== 0) return 0;
  return (value & 0x3f) !== 0 ? 1 : 2;
}
