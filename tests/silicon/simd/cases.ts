// Cases for MMX and SSE instructions: which forms there are, with registers and memory, and values at which they are likely to
// go wrong.

import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import type { Instruction } from '../../../src/arch/x86/isa/instruction.ts';
import { DATA } from '../../support/functional-machine.ts';
import type { Random } from '../../support/random.ts';
import { MachineState } from '../../support/silicon.ts';

/** The state's memory begins here, and operands in memory somewhat above. */
export const MEMORY = DATA + 0x1000;
export const OPERAND_AT = 64;
const EDGES: Readonly<Record<number, readonly bigint[]>> = {
  1: [0n, 1n, 0x7fn, 0x80n, 0x81n, 0xfen, 0xffn, 0x0fn, 0x10n],
  2: [0n, 1n, 0x7fffn, 0x8000n, 0x8001n, 0xfffen, 0xffffn, 0xffn, 0x100n],
  4: [0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0x8000_0001n, 0xffff_fffen, 0xffff_ffffn, 0xffffn, 0x1_0000n],
  8: [0n, 1n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0xffff_ffffn],
};

/** A vector of 16 bytes: random, of edge values of one width, or a small number (a count). */
export function vectorValue(random: Random): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 16; i += 4) view.setUint32(i, random.u32(), true);
  const mode = random.below(8);
  if (mode < 3) return bytes;
  if (mode === 3) {
    view.setBigUint64(0, BigInt(random.below(70)), true);
    return bytes;
  }
  const size = 2 ** (mode - 4);
  for (let at = 0; at < 16; at += size) {
    const value = random.pick(EDGES[size]!);
    for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  return bytes;
}

/** Registers and memory of such values; elements of one register often are those of another. */
export function randomState(random: Random): MachineState {
  const state = new MachineState();
  for (let i = 0; i < 16; i++) state.setGpr(i, (BigInt(random.u32()) << 32n) | BigInt(random.u32()));
  state.setGpr(6, BigInt(MEMORY));
  state.setGpr(7, BigInt(MEMORY + OPERAND_AT + random.below(32)));
  state.rflags = 0x202 | (random.u32() & 0x8d5);
  state.memoryAt = MEMORY;
  const { fx, memory } = state;
  const view = new DataView(fx.buffer, fx.byteOffset, fx.length);
  view.setUint16(0, 0x37f, true);
  view.setUint16(2, random.u32() & 0x3800, true);
  view.setUint8(4, random.u32());
  view.setUint32(24, 0x1f80, true);
  for (let i = 0; i < 8; i++) {
    fx.set(vectorValue(random).subarray(0, 8), 32 + 16 * i);
    view.setUint16(40 + 16 * i, random.u32(), true);
  }
  for (let i = 0; i < 16; i++) fx.set(vectorValue(random), 160 + 16 * i);
  for (let at = 0; at < 2 * OPERAND_AT + 32; at += 16) memory.set(vectorValue(random), at);
  if (random.oneIn(4)) mix(random, fx.subarray(160), 16);
  return state;
}

/** Neighbouring registers become equal but for some bytes. */
function mix(random: Random, bytes: Uint8Array, stride: number): void {
  for (let i = 0; i < 256 - stride; i++) if (!random.oneIn(3)) bytes[i + stride] = bytes[i]!;
}

/** Whether ModRM.rm may name a register, or memory. */
export function placesOf(form: Form): ('register' | 'memory')[] {
  if (form.modrmKind !== undefined) return [form.modrmKind];
  return form.operands.some(({ source }) => source === 'rm') ? ['register', 'memory'] : ['register'];
}

/** Whether REX.W makes a difference to an operand. */
export function hasWide(form: Form): boolean {
  return form.operands.some(({ bits }) => bits === 'y');
}

/** Instructions whose every bit of the immediate counts, in most of its combinations. */
const ALL_IMMEDIATES = /^(PCMP[EI]STR.|PALIGNR|SHUFPS|PSHUF.*|INSERTPS|BLENDPS|PBLENDW|AESKEYGENASSIST)$/;
/** Counts, element numbers and selectors around every power of two. */
const SOME = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 0xaa, 0xf0, 255];

/** Values of the immediate with which a form is to be tested. */
export function immediatesOf(form: Form): readonly number[] {
  if (!form.operands.some(({ source }) => source === 'immediate')) return [0];
  return ALL_IMMEDIATES.test(form.instruction.mnemonic) ? Array.from({ length: 256 }, (_, i) => i) : SOME;
}

export function featuresOf({ feature, forms }: Instruction): string[] {
  const names = [feature, ...forms.map(({ formFeature }) => formFeature)];
  return names.filter((name) => name !== undefined);
}
