/** Arithmetic of SSE and SSE2, packed and scalar. SDM vol. 2, by mnemonic. */

import type { FloatOperation } from '../float-ops.ts';
import { type Instruction, inst } from '../instruction.ts';
import { ALL_SHAPES, PS, type ShapeRow, SS } from './shapes.ts';

/** Of destination and source. */
function binary(mnemonic: string, opcode: number, operation: FloatOperation): Instruction[] {
  return ALL_SHAPES.map(({ shape, suffix, reg, rm, form }) =>
    inst(`${mnemonic}${suffix}`, {
      forms: [form(opcode, reg, rm)],
      crack(u, dst, src) {
        u.writeFloat(dst, u.float(operation, shape, u.readFloat(dst), u.readFloat(src)));
      },
    }),
  );
}

/** Of the source alone. */
function unary(
  mnemonic: string,
  opcode: number,
  operation: FloatOperation,
  shapes: readonly ShapeRow[],
): Instruction[] {
  return shapes.map(({ shape, suffix, reg, rm, form }) =>
    inst(`${mnemonic}${suffix}`, {
      forms: [form(opcode, reg, rm)],
      crack(u, dst, src) {
        u.writeFloat(dst, u.float(operation, shape, u.readFloat(src)));
      },
    }),
  );
}

export const ADD = binary('ADD', 0x0f58, 'add');
export const MUL = binary('MUL', 0x0f59, 'mul');
export const SUB = binary('SUB', 0x0f5c, 'sub');
export const MIN = binary('MIN', 0x0f5d, 'min');
export const DIV = binary('DIV', 0x0f5e, 'div');
export const MAX = binary('MAX', 0x0f5f, 'max');
export const SQRT = unary('SQRT', 0x0f51, 'sqrt', ALL_SHAPES);
/** Approximations: 12 bits, no exceptions, independent of MXCSR; the bits are those of AMD's processors. */
export const RSQRT = unary('RSQRT', 0x0f52, 'rsqrt', [PS, SS]);
export const RCP = unary('RCP', 0x0f53, 'rcp', [PS, SS]);
