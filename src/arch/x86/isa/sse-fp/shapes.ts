/** The four shapes of SSE's floating point, by their mandatory prefixes: most operations have a row for each. */

import { enc, type Form } from '../encoding.ts';
import type { FloatShape } from '../float-ops.ts';
import { type OperandSpec, Vpd, Vps, Vsd, Vss, Wpd, Wps, Wsd, Wss } from '../operands.ts';

export interface ShapeRow {
  readonly shape: FloatShape;
  /** Suffix of the mnemonic. */
  readonly suffix: string;
  readonly reg: OperandSpec;
  readonly rm: OperandSpec;
  /** A row with this shape's prefix. */
  form(opcode: number, ...operands: OperandSpec[]): Form;
}

export const PS: ShapeRow = {
  shape: 'ps',
  suffix: 'PS',
  reg: Vps,
  rm: Wps,
  form: (opcode, ...operands) => enc(opcode, ...operands).np(),
};
export const PD: ShapeRow = {
  shape: 'pd',
  suffix: 'PD',
  reg: Vpd,
  rm: Wpd,
  form: (opcode, ...operands) => enc(opcode, ...operands).p66(),
};
export const SS: ShapeRow = {
  shape: 'ss',
  suffix: 'SS',
  reg: Vss,
  rm: Wss,
  form: (opcode, ...operands) => enc(opcode, ...operands).pf3(),
};
export const SD: ShapeRow = {
  shape: 'sd',
  suffix: 'SD',
  reg: Vsd,
  rm: Wsd,
  form: (opcode, ...operands) => enc(opcode, ...operands).pf2(),
};
export const ALL_SHAPES = [PS, PD, SS, SD] as const;
