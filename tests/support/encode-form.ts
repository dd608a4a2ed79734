// Bytes for encoding rows, in 64-bit mode: what a decoder is to recognize, and another disassembler to call by the same name.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import type { OperandSpec } from '../../src/arch/x86/isa/operands.ts';

/** Register numbers of ModRM.reg and ModRM.rm; or memory at [RSI + displacement] instead of the latter. */
export interface Choice {
  readonly reg: number;
  readonly rm: number | { readonly displacement: number };
  readonly immediate?: number;
  readonly rexW?: boolean;
}

const RSI = 6;
const MANDATORY = { any: [], np: [], '66': [0x66], f3: [0xf3], f2: [0xf2] } as const;
const ESCAPES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]] as const;

/** The instruction's bytes. Registers of files with eight take the low three bits of their number. */
export function encodeForm(form: Form, choice: Choice): Uint8Array {
  const { reg, rm } = choice;
  const regNumber = form.extension ?? numberIn(form, 'reg', reg);
  const rmNumber = typeof rm === 'number' ? numberIn(form, 'rm', rm) : RSI;
  const w = form.rexW ?? (choice.rexW === true ? 1 : 0);
  const rex = 0x40 | (w << 3) | ((regNumber >> 3) << 2) | (rmNumber >> 3);
  return Uint8Array.from([
    ...MANDATORY[form.prefix],
    ...(rex === 0x40 ? [] : [rex]),
    ...ESCAPES[form.map],
    form.opcode,
    ...(form.hasModrm ? modrm(regNumber, rm, rmNumber) : []),
    ...immediate(form, choice.immediate ?? 0),
  ]);
}

function numberIn(form: Form, source: OperandSpec['source'], number: number): number {
  const file = form.operands.find((operand) => operand.source === source)?.file;
  return file === 'gpr' || file === 'xmm' ? number & 15 : number & 7;
}

function modrm(reg: number, rm: Choice['rm'], rmNumber: number): number[] {
  const middle = (reg & 7) << 3;
  if (typeof rm === 'number') return [0xc0 | middle | (rmNumber & 7)];
  const { displacement } = rm;
  const bytes = [0, 8, 16, 24].map((shift) => (displacement >> shift) & 0xff);
  return [0x80 | middle | RSI, ...bytes];
}

function immediate(form: Form, value: number): number[] {
  return form.operands.some(({ source }) => source === 'immediate') ? [value & 0xff] : [];
}
