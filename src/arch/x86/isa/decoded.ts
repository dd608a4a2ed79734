/** A decoded instruction: the form that was recognized, its operands as the instruction's bytes name them, and its prefixes. */

import type { Form } from './encoding.ts';

/** Bits of an operand: 8 to 64 for integers and scalars, 80 for x87, 128 for vectors; 0 for memory of no size (LEA). */
export type Bits = 0 | 8 | 16 | 32 | 48 | 64 | 80 | 128;

export const OperandKind = {
  gpr: 0,
  /** AH, CH, DH, BH: `index` is that of AX…BX. */
  gprHigh: 1,
  memory: 2,
  immediate: 3,
  xmm: 4,
  mmx: 5,
  segment: 6,
  st: 7,
  /** A branch target relative to the next instruction. */
  relative: 8,
  farPointer: 9,
} as const;
export type OperandKind = (typeof OperandKind)[keyof typeof OperandKind];

/** No base, no index. */
export const NO_REGISTER = -1;
/** The base of RIP-relative addresses. */
export const BASE_RIP = 16;

/** How the address of a memory operand is put together (SDM vol. 1 §3.7.5). */
export interface MemoryOperand {
  /** General register, {@link BASE_RIP} or {@link NO_REGISTER}. */
  readonly base: number;
  readonly index: number;
  /** 0 to 3: the index is shifted by so many bits. */
  readonly scale: number;
  readonly displacement: number | bigint;
  /** Index of `Seg`: the prefix's, or the default of the base. */
  readonly segment: number;
}

export interface Operand {
  readonly kind: OperandKind;
  readonly bits: Bits;
  /** Register number; 0 for other kinds. */
  readonly index: number;
  /** Immediate (sign-extended), displacement of a branch, offset of a far pointer. */
  readonly value: number | bigint;
  /** Selector of a far pointer. */
  readonly selector: number;
  readonly memory: MemoryOperand | undefined;
}

/** Whether a memory operand must lie at a multiple of its size, or #GP(0): all of 128 bits, but for some instructions. */
export function mustBeAligned({ form }: Decoded, { bits }: Operand): boolean {
  return bits === 128 && form.instruction.unaligned !== true;
}

/** Whether an immediate chooses what the instruction does: see `literal` of its definition. */
export function isLiteral({ form, operands }: Decoded, operand: Operand): boolean {
  return form.instruction.literal === true && operand === operands.at(-1);
}

export type RepeatPrefix = 'none' | 'f3' | 'f2';

export interface Decoded {
  readonly form: Form;
  readonly operands: readonly Operand[];
  readonly lengthBytes: number;
  readonly operandBits: 16 | 32 | 64;
  readonly addressBits: 16 | 32 | 64;
  readonly repeat: RepeatPrefix;
  readonly isLocked: boolean;
  /** In 64-bit mode; otherwise in compatibility mode. */
  readonly is64: boolean;
}
