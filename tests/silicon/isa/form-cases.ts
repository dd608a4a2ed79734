// Makes pieces of code out of encoding rows: every form of an instruction, in every operand size, with register and memory
// operands, over values at the edges of the number ranges.

import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import type { OperandSpec } from '../../../src/arch/x86/isa/operands.ts';
import { DATA } from '../../support/functional-machine.ts';
import { MEMORY_BYTES, type Piece } from './silicon.ts';

/** Where memory operands lie, and the stack, in the data area. */
export const OPERAND = DATA + 0x100;
export const STACK = DATA + 0x180;
const ALL_STATUS_FLAGS = 0x8d5;
const CLEAN_FLAGS = 0x202;

const RAX = 0;
const RDX = 2;
const RBX = 3;
const RSI = 6;
const RDI = 7;

export interface Encoding {
  readonly form: Form;
  readonly is32: boolean;
  readonly operandBits: 16 | 32 | 64;
  /** What ModRM.rm names: memory at rDI, or a register. */
  readonly rm: 'memory' | number;
  readonly reg: number;
  readonly immediate: bigint;
  /** More prefixes: F0, F2, F3, 67. */
  readonly prefixes: readonly number[];
}

/** The bytes of an encoding. */
export function encode(encoding: Encoding): number[] {
  const { form, is32, operandBits, rm, reg, prefixes } = encoding;
  const rmNumber = rm === 'memory' ? RDI : rm;
  const bytes = [...prefixes];
  const usesVex = form.vexL !== undefined;
  const w = form.rexW ?? (operandBits === 64 && form.defaultSize === 32 && !is32 ? 1 : 0);
  const rexBits = (w << 3) | (reg >= 8 ? 4 : 0) | (rmNumber >= 8 || form.rexB === 1 ? 1 : 0);
  if (usesVex) bytes.push(...vexPrefix(form, rexBits));
  else {
    const has66 =
      form.prefix === '66' ||
      (operandBits === 16 && form.prefix !== 'any' ? form.hasOperandSize : operandBits === 16);
    if (has66) bytes.push(0x66);
    if (form.prefix === 'f3') bytes.push(0xf3);
    if (form.prefix === 'f2') bytes.push(0xf2);
    if (rexBits !== 0) bytes.push(0x40 | rexBits);
    bytes.push(...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][form.map]!);
  }
  const inOpcode = form.operands.some(({ source }) => source === 'opcode');
  bytes.push(form.opcode + (inOpcode ? rmNumber & 7 : 0));
  if (form.hasModrm) {
    const mod = rm === 'memory' ? 0 : 0xc0;
    bytes.push(mod | (((form.extension ?? reg) & 7) << 3) | (form.rmExtension ?? rmNumber & 7));
  }
  for (const operand of form.operands) bytes.push(...immediateBytes(operand, encoding));
  return bytes;
}

function vexPrefix(form: Form, rexBits: number): number[] {
  const pp = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 }[form.prefix];
  const l = form.vexL === 1 ? 4 : 0;
  const vvvv = form.operands.some(({ source }) => source === 'vvvv') ? RDX : 0;
  return [0xc4, ((~rexBits & 7) << 5) | form.map, ((rexBits & 8) << 4) | ((~vvvv & 0xf) << 3) | l | pp];
}

function immediateBytes(
  { source, bits, encodedBits }: OperandSpec,
  { operandBits, immediate, is32 }: Encoding,
): number[] {
  const inBits = (spec: OperandSpec['bits']): number => {
    if (spec === 'v') return operandBits;
    if (spec === 'z') return Math.min(operandBits, 32);
    return spec as number;
  };
  switch (source) {
    case 'immediate':
      return littleEndian(immediate, inBits(encodedBits ?? bits));
    case 'relative':
      return littleEndian(SKIPPED_BYTES, inBits(bits));
    case 'offset':
      return littleEndian(BigInt(OPERAND), is32 ? 32 : 64);
    default:
      return [];
  }
}

function littleEndian(value: bigint, bits: number): number[] {
  return Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** Branches that are taken leave out an INC of a register that nothing else uses. */
const SKIPPED_BYTES = 3n;
export const SKIPPED: readonly number[] = [0x41, 0xff, 0xc7]; // inc r15d
export const SKIPPED_32: readonly number[] = [0x83, 0xc5, 0x01]; // add ebp, 1

/** All encodings of a form that are worth trying. */
export function encodingsOf(form: Form, is32: boolean): Encoding[] {
  const found: Encoding[] = [];
  for (const operandBits of sizesOf(form, is32)) {
    for (const [rm, reg] of placesOf(form, is32)) {
      for (const immediate of immediatesOf(form))
        found.push({ form, is32, operandBits, rm, reg, immediate, prefixes: [] });
    }
  }
  return found;
}

function sizesOf(form: Form, is32: boolean): (16 | 32 | 64)[] {
  if (form.rexW !== undefined) return [form.rexW === 1 && !is32 ? 64 : 32];
  const own = is32 || form.defaultSize === 32 ? 32 : 64;
  if (!form.hasOperandSize) return [own];
  const no16 = form.prefix === '66' || form.vexL !== undefined;
  const sizes: (16 | 32 | 64)[] = no16 ? [own] : [16, own];
  return is32 || own === 64 ? sizes : [...sizes, 64];
}

/** ModRM.rm and ModRM.reg: memory, two registers, twice the same, upper halves of bytes, and the further eight. */
function placesOf(form: Form, is32: boolean): (readonly ['memory' | number, number])[] {
  const places: (readonly ['memory' | number, number])[] = [];
  const isRm = form.operands.some(({ source }) => source === 'rm');
  const inOpcode = form.operands.some(({ source }) => source === 'opcode');
  if (!isRm && !inOpcode) return [[form.modrmKind === 'memory' ? 'memory' : RBX, RSI]];
  if (isRm && form.modrmKind !== 'register') places.push(['memory', RSI]);
  if (form.modrmKind === 'memory') return places;
  places.push([RBX, RSI], [RAX, RAX], [RDX, RAX]);
  if (form.rexB !== undefined) return [[RBX, RSI]];
  // Without REX these are AH and DH.
  if (form.operands.some(({ bits }) => bits === 8)) places.push([4, RSI]);
  if (!is32) places.push([9, 12]);
  return places;
}

const BYTES = [0n, 1n, 7n, 0x1fn, 0x85n];
const WORDS = [1n, 0x8000n, 0x12345678n, 0x80000000n, 0xffffffffn];

function immediatesOf(form: Form): readonly bigint[] {
  const spec = form.operands.find(({ source }) => source === 'immediate');
  if (spec === undefined) return [0n];
  return (spec.encodedBits ?? spec.bits) === 8 ? BYTES : WORDS;
}

/** Edges of all widths, and numbers without a pattern. */
const EDGES = [
  0n,
  1n,
  2n,
  5n,
  0xfn,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xffff_ffff_8000_0000n,
  0x0123_4567_89ab_cdefn,
  0xdead_beef_cafe_babcn,
  0x5555_aaaa_3333_cc99n,
];

/** A generator of numbers that gives the same in every run. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((this.#state >>> 0) / 2 ** 32) * limit);
  }

  edge(): bigint {
    return EDGES[this.below(EDGES.length)]!;
  }
}

/** Registers and memory full of edges; rDI and rSP point into the data area. */
export function pieceOf(code: readonly number[], is32: boolean, dice: Dice): Piece {
  const gpr = Array.from({ length: 16 }, () => dice.edge());
  if (dice.below(4) === 0) gpr.fill(dice.edge());
  gpr[4] = BigInt(STACK);
  gpr[RDI] = BigInt(OPERAND);
  // Counts of shifts, and offsets of bits that are still in the data area.
  if (dice.below(2) === 0) gpr[1] = BigInt(dice.below(72));
  if (dice.below(2) === 0) gpr[RSI] = BigInt(dice.below(1024) - 512) & 0xffff_ffff_ffff_ffffn;
  const memory = new Uint8Array(MEMORY_BYTES);
  const view = new DataView(memory.buffer);
  const same = dice.below(4) === 0 ? gpr[RAX]! : undefined;
  for (let at = 0; at < MEMORY_BYTES; at += 8) view.setBigUint64(at, same ?? dice.edge(), true);
  if (is32) for (let i = 0; i < 16; i++) gpr[i] = i < 8 ? gpr[i]! & 0xffff_ffffn : 0n;
  return { code, gpr, rflags: CLEAN_FLAGS | (dice.below(2) === 0 ? 0 : ALL_STATUS_FLAGS), memory, is32 };
}
