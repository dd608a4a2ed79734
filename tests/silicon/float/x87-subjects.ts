// x87 instructions compared with silicon: cases with random registers, stack, control word and memory
// operand, and what X87Unit makes of them.

import { BINARY32, BINARY64, EXTENDED80 } from '../../../src/arch/x86/float/format.ts';
import { FXSAVE, readX87, writeX87 } from '../../../src/arch/x86/fxsave.ts';
import { Cr0, Gpr } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { readBytes, writeBytes } from '../../../src/arch/x86/x87/memory.ts';
import { type X87Instruction, type X87Operand, X87Unit } from '../../../src/arch/x86/x87/unit.ts';
import type { Operands } from './operands.ts';
import { SiliconCase } from './silicon.ts';

/** RFLAGS that x87 instructions read and write: OF SF ZF AF PF CF. */
const ARITHMETIC_RFLAGS = 0x8d5;

export type X87CaseOptions = {
  /** The formats of 16-bit operand size. */
  readonly operandSize16?: boolean;
  /** ST(0) and ST(1), where random ones would seldom be interesting. */
  readonly operands?: (random: Operands) => readonly bigint[];
};

function randomFcw(random: Operands): number {
  const masks = random.oneIn(4) ? random.below(64) : 63;
  return 0x40 | masks | (random.oneIn(3) ? random.below(4) << 8 : 0x300) | (random.below(4) << 10);
}

/** TOP and conditions, in one case of ten with flags from before; ES and B as the control word has them. */
function randomFsw(random: Operands, top: number, fcw: number): number {
  const flags = random.oneIn(10) ? random.below(128) & random.below(128) : 0;
  const summary = flags & ~fcw & 63 ? 0x8080 : 0;
  return flags | summary | (top << 11) | (random.below(8) << 8) | (random.below(2) << 14);
}

/** Which of ST(0) to ST(7) hold something: usually all but the last. */
function randomStack(random: Operands): number {
  if (random.oneIn(12)) return random.below(256);
  return random.oneIn(12) ? 0xff : 0x7f;
}

function memoryOperand(it: SiliconCase, instruction: X87Instruction, random: Operands, st0: bigint): void {
  const { name, sizeBytes } = instruction;
  for (let i = 0; i < 128; i++) it.memory[i] = random.below(256);
  if (name.includes('m32fp')) writeBytes(it.memory, 0, 4, random.float(BINARY32));
  else if (name.includes('m64fp')) writeBytes(it.memory, 0, 8, random.float(BINARY64));
  else if (name.includes('m80fp')) writeBytes(it.memory, 0, 10, random.float(EXTENDED80));
  else if (name.includes('int')) writeBytes(it.memory, 0, sizeBytes, random.integer(sizeBytes * 8));
  else if (name.includes('bcd')) {
    for (let i = 0; i < 9; i++) it.memory[i] = random.below(10) * 16 + random.below(10);
    if (random.oneIn(8)) it.memory[random.below(9)] = random.below(256);
  } else if (name.includes('/')) {
    for (let i = 0; i < 8; i++) writeBytes(it.memory, 28 + 10 * i, 10, random.beside(EXTENDED80, st0));
  }
}

/** Values on both sides of where integer conversions and stores of narrower formats end. */
function storable(random: Operands, instruction: X87Instruction): bigint {
  const fmt = instruction.name.includes('m32fp') ? BINARY32 : BINARY64;
  const exponents = instruction.name.includes('fp')
    ? [fmt.minExponent - random.below(fmt.precision + 3), fmt.maxExponent + random.below(2), random.below(20)]
    : [random.below(70) - 3];
  const exponent = BigInt(random.pick(exponents) + EXTENDED80.bias);
  const field = random.float(EXTENDED80) & EXTENDED80.fieldMask & ~EXTENDED80.integerBit;
  const sign = random.oneIn(2) ? EXTENDED80.signBit : 0n;
  return sign | (exponent << 64n) | EXTENDED80.integerBit | field;
}

/** A case of `instruction` with random state. */
export function x87Case(
  instruction: X87Instruction,
  random: Operands,
  options: X87CaseOptions = {},
): SiliconCase {
  const i = random.below(instruction.registers);
  const prefix = options.operandSize16 === true ? [0x66] : [];
  const modrm = instruction.modrm < 8 ? (instruction.modrm << 3) | 7 : instruction.modrm + i;
  const it = SiliconCase.of([...prefix, instruction.opcode, modrm]);
  const present = randomStack(random);
  const top = random.below(8);
  const fcw = randomFcw(random);
  it.view.setUint16(0x200 + FXSAVE.fcw, fcw, true);
  it.view.setUint16(0x200 + FXSAVE.fsw, randomFsw(random, top, fcw), true);
  it.fxsave[FXSAVE.ftw] = ((present << top) | (present >> (8 - top))) & 0xff;
  const chosen = options.operands?.(random) ?? [];
  const st0 =
    chosen[0] ??
    (instruction.stores && random.oneIn(2) ? storable(random, instruction) : random.float(EXTENDED80));
  for (let k = 0; k < 8; k++) {
    const value = k === 0 ? st0 : (chosen[k] ?? random.beside(EXTENDED80, st0));
    writeBytes(it.fxsave, FXSAVE.st + 16 * k, 10, value);
  }
  memoryOperand(it, instruction, random, st0);
  it.rax = random.bits(64);
  it.rflags = 0x202 | (random.below(0x1000) & ARITHMETIC_RFLAGS);
  return it;
}

const modrmOf = (it: SiliconCase): number => it.bytes[it.bytes[0x10]! - 1]!;

/** What the simulator makes of the case. */
export function modelledX87(instruction: X87Instruction, it: SiliconCase): SiliconCase {
  const copy = new SiliconCase(it.bytes.slice());
  const tc = new X86ThreadContext();
  readX87(copy.fxsave, tc);
  tc.set(OFFSET.cr0, BigInt(Cr0.PE));
  tc.rflags = copy.rflags;
  tc.setGpr(Gpr.RAX, copy.rax);
  const memory = copy.memory.slice();
  const modrm = modrmOf(copy);
  const operand: X87Operand = {
    memory,
    i: modrm & 7,
    opcode: ((instruction.opcode & 7) << 8) | modrm,
    fip: 0n,
    fdp: 0n,
    operandSize16: copy.bytes[0] === 0x66,
    stored: false,
  };
  const outcome = new X87Unit(tc).execute(instruction, operand);
  if (operand.stored) copy.memory.set(memory);
  writeX87(tc, copy.fxsave);
  copy.rflags = tc.rflags;
  copy.rax = tc.gpr(Gpr.RAX);
  copy.view.setUint32(0x14, outcome === 'mf' ? 8 : 0, true);
  return copy;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');

/** The memory operand without the pointers of an environment image, which other tests compare. */
function comparedMemory(it: SiliconCase): Uint8Array {
  const memory = it.memory.slice(0, 128);
  const modrm = modrmOf(it);
  if (modrm < 0xc0 && ((modrm >> 3) & 7) === 6) {
    if (it.bytes[0] === 0x66) memory.fill(0, 6, 14);
    else memory.fill(0, 12, 28);
  }
  return memory;
}

/** What must agree, as text: all that is not a pointer. */
export function shownX87(it: SiliconCase): string {
  const word = (at: number): string =>
    it.view
      .getUint16(0x200 + at, true)
      .toString(16)
      .padStart(4, '0');
  const st = Array.from({ length: 8 }, (_, i) => hex(it.fxsave.subarray(32 + 16 * i, 42 + 16 * i)));
  return [
    `fcw=${word(0)} fsw=${word(2)} ftw=${word(4)} rax=${it.rax.toString(16)}`,
    `rflags=${(it.rflags & ARITHMETIC_RFLAGS).toString(16)} signal=${it.signal} mem=${hex(comparedMemory(it))} st=${st.join(' ')}`,
  ].join(' ');
}

/** The registers, and apart from them the rest without C1, which says how the last bit was rounded. */
export function x87Outcome(it: SiliconCase): { readonly st: readonly bigint[]; readonly state: string } {
  const st = Array.from({ length: 8 }, (_, i) => readBytes(it.fxsave, FXSAVE.st + 16 * i, 10));
  const copy = new SiliconCase(it.bytes.slice());
  copy.fxsave.fill(0, FXSAVE.st, FXSAVE.xmm);
  copy.fxsave[FXSAVE.fsw + 1]! &= ~2;
  return { st, state: shownX87(copy) };
}
