// Instructions for the fuzzer's random code, as opcode bytes with operands to be chosen: a few dozen common ones, to try the
// machinery. SDM vol. 2. Flags that the manual leaves undefined are given with them.

import { Rflags } from '../../src/arch/x86/registers.ts';

/** What follows the opcode as ModRM. */
export type Operand =
  /** Any register and any register or memory. */
  | 'rm'
  /** As before, the second one a register. */
  | 'rr'
  /** As before, the second one memory. */
  | 'm'
  | 'none';

export interface CodePattern {
  readonly name: string;
  /** Mandatory prefix: 0x66, 0xf2 or 0xf3. */
  readonly prefix?: number;
  readonly opcode: readonly number[];
  readonly operand: Operand;
  /** Opcode extension in the `reg` field of ModRM. */
  readonly extension?: number;
  /** Bytes of immediate; 'z': 2 with the prefix 0x66, else 4; 'v': 2, 4, or with REX.W 8. */
  readonly immediate?: number | 'z' | 'v';
  /** Whether the operand size can be 16 or 64 bits too. */
  readonly sized?: boolean;
  /** Low three bits of the opcode choose a register. */
  readonly plusRegister?: boolean;
  readonly undefinedFlags?: number;
}

const ARITHMETIC = ['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP'] as const;
const SHIFTS = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', '', 'SAR'] as const;
const { CF, PF, AF, ZF, SF, OF } = Rflags;

/** ADD … CMP: two directions, two sizes, immediates. AF is undefined after the logical ones. */
function arithmetic(): CodePattern[] {
  return ARITHMETIC.flatMap((name, i): CodePattern[] => {
    const undefinedFlags = name === 'AND' || name === 'OR' || name === 'XOR' ? AF : 0;
    return [
      { name, opcode: [8 * i], operand: 'rm', undefinedFlags },
      { name, opcode: [8 * i + 1], operand: 'rm', sized: true, undefinedFlags },
      { name, opcode: [8 * i + 3], operand: 'rm', sized: true, undefinedFlags },
      { name, opcode: [0x81], operand: 'rm', extension: i, immediate: 'z', sized: true, undefinedFlags },
      { name, opcode: [0x83], operand: 'rm', extension: i, immediate: 1, sized: true, undefinedFlags },
    ];
  });
}

/** Shifts and rotations by 1, CL and an immediate. OF is defined for a count of 1 only, CF not for one above the size. */
function shifts(): CodePattern[] {
  return SHIFTS.flatMap((name, extension): CodePattern[] => {
    if (name === '') return [];
    const rotates = name.startsWith('R');
    const undefinedFlags = rotates ? OF : OF | AF | CF;
    return [
      { name, opcode: [0xd1], operand: 'rm', extension, sized: true, undefinedFlags: rotates ? 0 : AF },
      { name, opcode: [0xd3], operand: 'rm', extension, sized: true, undefinedFlags },
      { name, opcode: [0xc1], operand: 'rm', extension, immediate: 1, sized: true, undefinedFlags },
      { name, opcode: [0xc0], operand: 'rm', extension, immediate: 1, undefinedFlags },
    ];
  });
}

const MUL_FLAGS = SF | ZF | AF | PF;
const DIV_FLAGS = CF | OF | MUL_FLAGS;

const INTEGER: readonly CodePattern[] = [
  { name: 'MOV', opcode: [0x88], operand: 'rm' },
  { name: 'MOV', opcode: [0x89], operand: 'rm', sized: true },
  { name: 'MOV', opcode: [0x8b], operand: 'rm', sized: true },
  { name: 'MOV', opcode: [0xb8], operand: 'none', plusRegister: true, immediate: 'v', sized: true },
  { name: 'MOV', opcode: [0xc7], operand: 'rm', extension: 0, immediate: 'z', sized: true },
  { name: 'MOVZX', opcode: [0x0f, 0xb6], operand: 'rm', sized: true },
  { name: 'MOVSX', opcode: [0x0f, 0xbf], operand: 'rm', sized: true },
  { name: 'MOVSXD', opcode: [0x63], operand: 'rm', sized: true },
  { name: 'LEA', opcode: [0x8d], operand: 'm', sized: true },
  { name: 'XCHG', opcode: [0x87], operand: 'rm', sized: true },
  { name: 'XADD', opcode: [0x0f, 0xc1], operand: 'rm', sized: true },
  { name: 'CMPXCHG', opcode: [0x0f, 0xb1], operand: 'rm', sized: true },
  { name: 'INC', opcode: [0xff], operand: 'rm', extension: 0, sized: true },
  { name: 'DEC', opcode: [0xff], operand: 'rm', extension: 1, sized: true },
  { name: 'NOT', opcode: [0xf7], operand: 'rm', extension: 2, sized: true },
  { name: 'NEG', opcode: [0xf7], operand: 'rm', extension: 3, sized: true },
  { name: 'TEST', opcode: [0x85], operand: 'rm', sized: true, undefinedFlags: AF },
  { name: 'MUL', opcode: [0xf7], operand: 'rm', extension: 4, sized: true, undefinedFlags: MUL_FLAGS },
  { name: 'IMUL', opcode: [0x0f, 0xaf], operand: 'rm', sized: true, undefinedFlags: MUL_FLAGS },
  { name: 'DIV', opcode: [0xf7], operand: 'rm', extension: 6, sized: true, undefinedFlags: DIV_FLAGS },
  { name: 'IDIV', opcode: [0xf6], operand: 'rm', extension: 7, undefinedFlags: DIV_FLAGS },
  { name: 'PUSH', opcode: [0x50], operand: 'none', plusRegister: true },
  { name: 'POP', opcode: [0x58], operand: 'none', plusRegister: true },
  { name: 'PUSH', opcode: [0x68], operand: 'none', immediate: 4 },
  { name: 'BSWAP', opcode: [0x0f, 0xc8], operand: 'none', plusRegister: true },
  { name: 'BT', opcode: [0x0f, 0xa3], operand: 'rm', sized: true, undefinedFlags: OF | SF | AF | PF },
  { name: 'BSF', opcode: [0x0f, 0xbc], operand: 'rm', sized: true, undefinedFlags: DIV_FLAGS & ~ZF },
  { name: 'SETcc', opcode: [0x0f, 0x94], operand: 'rm', extension: 0 },
  { name: 'CMOVcc', opcode: [0x0f, 0x4c], operand: 'rm', sized: true },
  { name: 'Jcc', opcode: [0x72], operand: 'none', immediate: 1 },
  { name: 'Jcc', opcode: [0x7e], operand: 'none', immediate: 1 },
  { name: 'CDQ', opcode: [0x99], operand: 'none', sized: true },
  { name: 'PUSHF', opcode: [0x9c], operand: 'none' },
  { name: 'CLC', opcode: [0xf8], operand: 'none' },
  { name: 'STD', opcode: [0xfd], operand: 'none' },
  { name: 'MOVS', opcode: [0xa5], operand: 'none', sized: true },
  { name: 'REP STOS', prefix: 0xf3, opcode: [0xaa], operand: 'none' },
  { name: 'REPNE SCAS', prefix: 0xf2, opcode: [0xae], operand: 'none' },
];

const VECTOR: readonly CodePattern[] = [
  { name: 'MOVAPS', opcode: [0x0f, 0x28], operand: 'rm' },
  { name: 'MOVUPS', opcode: [0x0f, 0x11], operand: 'rm' },
  { name: 'ADDPS', opcode: [0x0f, 0x58], operand: 'rm' },
  { name: 'MULSD', prefix: 0xf2, opcode: [0x0f, 0x59], operand: 'rm' },
  { name: 'DIVSS', prefix: 0xf3, opcode: [0x0f, 0x5e], operand: 'rm' },
  { name: 'SQRTPD', prefix: 0x66, opcode: [0x0f, 0x51], operand: 'rm' },
  { name: 'MINPS', opcode: [0x0f, 0x5d], operand: 'rm' },
  { name: 'UCOMISD', prefix: 0x66, opcode: [0x0f, 0x2e], operand: 'rm' },
  { name: 'CVTSD2SI', prefix: 0xf2, opcode: [0x0f, 0x2d], operand: 'rm' },
  { name: 'CVTPS2PD', opcode: [0x0f, 0x5a], operand: 'rm' },
  { name: 'PADDB', prefix: 0x66, opcode: [0x0f, 0xfc], operand: 'rm' },
  { name: 'PXOR', prefix: 0x66, opcode: [0x0f, 0xef], operand: 'rm' },
  { name: 'PSHUFD', prefix: 0x66, opcode: [0x0f, 0x70], operand: 'rm', immediate: 1 },
  { name: 'PMULLW', opcode: [0x0f, 0xd5], operand: 'rm' },
  { name: 'PSHUFB', prefix: 0x66, opcode: [0x0f, 0x38, 0x00], operand: 'rm' },
];

const X87: readonly CodePattern[] = [
  { name: 'FADD', opcode: [0xd8], operand: 'rm', extension: 0 },
  { name: 'FDIV', opcode: [0xdc], operand: 'rm', extension: 6 },
  { name: 'FLD', opcode: [0xd9], operand: 'rm', extension: 0 },
  { name: 'FST', opcode: [0xdd], operand: 'rm', extension: 2 },
  { name: 'FSTP', opcode: [0xdb], operand: 'm', extension: 7 },
  { name: 'FILD', opcode: [0xdb], operand: 'm', extension: 0 },
  { name: 'FSQRT', opcode: [0xd9, 0xfa], operand: 'none' },
  { name: 'FCHS', opcode: [0xd9, 0xe0], operand: 'none' },
  { name: 'FLD1', opcode: [0xd9, 0xe8], operand: 'none' },
];

/** All of them. */
export const CODE_PATTERNS: readonly CodePattern[] = [
  ...arithmetic(),
  ...shifts(),
  ...INTEGER,
  ...VECTOR,
  ...X87,
];
