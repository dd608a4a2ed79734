/**
 * The x87 instructions by name and by opcode: escape bytes D8 to DF. Intel SDM vol. 2D appendix A, tables
 * the aliases without a name there (FCOM2, FXCH4, FSTP8 and so on) as processors execute them.
 */

import { ARITHMETIC } from './arithmetic.ts';
import { COMPARISONS } from './compare.ts';
import { CONTROL } from './control.ts';
import { IMAGES } from './images.ts';
import { LOGARITHMS } from './logarithm.ts';
import { LOADS_AND_STORES } from './memory.ts';
import { TRIGONOMETRY } from './trigonometry.ts';
import type { X87Instruction } from './unit.ts';

/** All instructions, each form on its own. */
export const X87_INSTRUCTIONS: readonly X87Instruction[] = [
  ...LOADS_AND_STORES,
  ...ARITHMETIC,
  ...COMPARISONS,
  ...CONTROL,
  ...IMAGES,
  ...LOGARITHMS,
  ...TRIGONOMETRY,
];

/** By name, such as `FADD m32fp`. */
export const X87_BY_NAME: ReadonlyMap<string, X87Instruction> = new Map(
  X87_INSTRUCTIONS.map((instruction) => [instruction.name, instruction]),
);

const MEMORY_FORMS = 8;

/** Slots of one escape byte: the memory forms by reg field, then the register forms by ModRM byte. */
function slotOf(opcode: number, modrm: number): number {
  const slot = modrm >= 0xc0 ? MEMORY_FORMS + (modrm - 0xc0) : (modrm >> 3) & 7;
  return (opcode - 0xd8) * (MEMORY_FORMS + 64) + slot;
}

function byOpcode(): (X87Instruction | undefined)[] {
  const slots = new Array<X87Instruction | undefined>(8 * (MEMORY_FORMS + 64)).fill(undefined);
  for (const instruction of X87_INSTRUCTIONS) {
    const modrm = instruction.modrm < 8 ? instruction.modrm << 3 : instruction.modrm;
    for (let i = 0; i < instruction.registers; i++) {
      slots[slotOf(instruction.opcode, modrm + i)] = instruction;
    }
  }
  return slots;
}

const BY_OPCODE = byOpcode();

/**
 * The instruction of escape byte `opcode` (0xD8 to 0xDF) and a ModRM byte; undefined where there is none
 * (#UD). For ST(i) forms i is the ModRM byte's low three bits.
 */
export function x87Instruction(opcode: number, modrm: number): X87Instruction | undefined {
  return BY_OPCODE[slotOf(opcode, modrm)];
}
