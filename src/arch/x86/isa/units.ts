/**
 * The units that an operating system can switch off: which exception an instruction of theirs then raises. SDM vol. 3
 * §2.5 (CR0.EM, TS, MP; tables 2-2 and 2-3), §13.1 (CR4.OSFXSR). Instructions are looked up for one state of these
 * bits: decoding gives one that raises the exception, so that nothing is checked when it is executed.
 */

import { Vector } from '../exceptions.ts';
import { Cr0, Cr4 } from '../registers.ts';
import { Form } from './encoding.ts';
import { inst } from './instruction.ts';
import type { OperandSpec } from './operands.ts';

/** `wait` is FWAIT; `fxsave` are FXSAVE and FXRSTOR; `xsave` are XSAVE, XRSTOR and their variants. */
export type Unit = 'x87' | 'wait' | 'mmx' | 'sse' | 'fxsave' | 'xsave';

/** The bits of CR0 and CR4 that decide: no bit of one is a bit of the other. */
export type UnitState = number;

/** All units may be used. */
export const ALL_UNITS: UnitState = Cr4.OSFXSR;

export function unitState(cr0: number, cr4: number): UnitState {
  return (cr0 & (Cr0.MP | Cr0.EM | Cr0.TS)) | (cr4 & Cr4.OSFXSR);
}

/** The unit to which an instruction with such operands belongs. */
export function unitOf(operands: readonly OperandSpec[]): Unit | undefined {
  const uses = (file: OperandSpec['file']): boolean => operands.some((operand) => operand.file === file);
  if (uses('xmm')) return 'sse';
  if (uses('mmx')) return 'mmx';
  return uses('st') ? 'x87' : undefined;
}

/** The vector that an instruction of the unit raises; undefined: it may be executed. */
export function unavailable(unit: Unit, state: UnitState): number | undefined {
  const emulated = (state & Cr0.EM) !== 0;
  const switched = (state & Cr0.TS) !== 0;
  switch (unit) {
    case 'wait':
      return switched && (state & Cr0.MP) !== 0 ? Vector.NM : undefined;
    case 'x87':
    case 'fxsave':
      return emulated || switched ? Vector.NM : undefined;
    case 'xsave':
      return switched ? Vector.NM : undefined;
    case 'sse':
      if (emulated || (state & Cr4.OSFXSR) === 0) return Vector.UD;
      return switched ? Vector.NM : undefined;
    default:
      if (emulated) return Vector.UD;
      return switched ? Vector.NM : undefined;
  }
}

function raising(vector: number): Form {
  const form = new Form(0, []);
  inst('(unavailable)', {
    forms: [form],
    crack(u) {
      u.fault(vector);
    },
  });
  return form;
}

/** What stands for an instruction that raises an exception, whatever it is. No bytes encode them. */
export const RAISING: ReadonlyMap<number, Form> = new Map(
  [Vector.UD, Vector.NM].map((vector) => [vector, raising(vector)]),
);
