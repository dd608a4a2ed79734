/**
 * Images of the x87 environment and state: FLDENV, FNSTENV, FRSTOR, FNSAVE. Intel SDM vol. 1 §8.1.10 and
 * figures 8-9 to 8-12: 28 bytes or, with 16-bit operand size, 14; in protected mode with offsets and
 * selectors, in real-address and virtual-8086 mode with linear addresses; the state's registers follow.
 */

import { FloatFlag } from '../float/environment.ts';
import { abridgeTagWord, fullTagWord } from '../fxsave.ts';
import { Cr0, Rflags, Seg } from '../registers.ts';
import { OFFSET } from '../state-layout.ts';
import type { X86ThreadContext } from '../thread-context.ts';
import { fninit } from './control.ts';
import { readBytes, writeBytes } from './memory.ts';
import { row, type X87Instruction, type X87Operand, type X87Unit } from './unit.ts';

const ENVIRONMENT = { sizeBytes: 28, sizeBytes16: 14 } as const;
const STATE = { sizeBytes: 108, sizeBytes16: 94 } as const;
const REGISTER_BYTES = 10;

/** Whether images hold linear addresses instead of selectors. */
function hasLinearPointers(tc: X86ThreadContext): boolean {
  return (tc.get(OFFSET.cr0) & BigInt(Cr0.PE)) === 0n || (tc.rflags & Rflags.VM) !== 0;
}

/**
 * The selector that goes with a pointer. The thread context keeps offsets alone, so the present one stands
 * in, as long as some instruction has left its pointers.
 */
function selectorOf(tc: X86ThreadContext, segment: number): bigint {
  const none = tc.u16[OFFSET.fop >> 1] === 0 && tc.get(OFFSET.fip) === 0n;
  return none ? 0n : BigInt(tc.segment(segment).selector & 0xffff);
}

/** The four words or double words of the pointers, the opcode above the second of them. */
function pointerWords(tc: X86ThreadContext, operandSize16: boolean): bigint[] {
  const fop = BigInt(tc.u16[OFFSET.fop >> 1]!);
  const [fip, fdp] = [tc.get(OFFSET.fip), tc.get(OFFSET.fdp)];
  const [fcs, fds] = [selectorOf(tc, Seg.CS), selectorOf(tc, Seg.DS)];
  if (!hasLinearPointers(tc)) {
    return operandSize16 ? [fip, fcs, fdp, fds] : [fip, fcs | (fop << 16n), fdp, fds | 0xffff_0000n];
  }
  const [code, data] = [fip + (fcs << 4n), fdp + (fds << 4n)];
  if (operandSize16) return [code, ((code >> 4n) & 0xf000n) | fop, data, (data >> 4n) & 0xf000n];
  const upper = (linear: bigint): bigint => ((linear >> 16n) & 0xffffn) << 12n;
  const low = (linear: bigint): bigint => (linear & 0xffffn) | 0xffff_0000n;
  return [low(code), upper(code) | fop, low(data), upper(data)];
}

/** Writes an environment image; gives its size. */
function storeEnvironment(unit: X87Unit, { memory, operandSize16 }: X87Operand): number {
  const step = operandSize16 ? 2 : 4;
  const unused = operandSize16 ? 0n : 0xffff_0000n;
  const words = [unit.fcw, unit.fsw, fullTagWord(unit.tc)].map((word) => BigInt(word) | unused);
  for (const [i, word] of [...words, ...pointerWords(unit.tc, operandSize16)].entries()) {
    writeBytes(memory, step * i, step, word);
  }
  return 7 * step;
}

/** Takes FIP, FDP and FOP from an image. */
function loadPointers(tc: X86ThreadContext, { memory, operandSize16 }: X87Operand): void {
  const step = operandSize16 ? 2 : 4;
  const word = (i: number): bigint => readBytes(memory, (3 + i) * step, step);
  if (!hasLinearPointers(tc)) {
    tc.set(OFFSET.fip, word(0));
    tc.set(OFFSET.fdp, word(2));
    tc.u16[OFFSET.fop >> 1] = operandSize16 ? 0 : Number(word(1) >> 16n) & 0x7ff;
    return;
  }
  const linear = (i: number): bigint =>
    (word(i) & 0xffffn) | (((word(i + 1) >> 12n) & (operandSize16 ? 0xfn : 0xffffn)) << 16n);
  const offset = (address: bigint, segment: number): bigint =>
    BigInt.asUintN(32, address - BigInt((tc.segment(segment).selector & 0xffff) << 4));
  tc.set(OFFSET.fip, offset(linear(0), Seg.CS));
  tc.set(OFFSET.fdp, offset(linear(2), Seg.DS));
  tc.u16[OFFSET.fop >> 1] = Number(word(1) & 0x7ffn);
}

/** Loads an environment image; gives its size. */
function loadEnvironment(unit: X87Unit, operand: X87Operand): number {
  const step = operand.operandSize16 ? 2 : 4;
  const word = (i: number): number => Number(readBytes(operand.memory, i * step, 2));
  unit.fcw = word(0);
  unit.fsw = word(1);
  unit.ftw = abridgeTagWord(word(2));
  unit.updateSummary();
  loadPointers(unit.tc, operand);
  return 7 * step;
}

/** Stores the environment and then masks every exception. */
function fnstenv(unit: X87Unit, operand: X87Operand): void {
  storeEnvironment(unit, operand);
  operand.stored = true;
  unit.fcw |= FloatFlag.all;
  unit.updateSummary();
}

/** Stores the state and then does what FNINIT does. */
function fnsave(unit: X87Unit, operand: X87Operand): void {
  const at = storeEnvironment(unit, operand);
  for (let i = 0; i < 8; i++) {
    writeBytes(operand.memory, at + REGISTER_BYTES * i, REGISTER_BYTES, unit.st(i));
  }
  operand.stored = true;
  fninit(unit);
}

function frstor(unit: X87Unit, operand: X87Operand): void {
  const at = loadEnvironment(unit, operand);
  const { ftw } = unit;
  for (let i = 0; i < 8; i++) {
    unit.setSt(i, readBytes(operand.memory, at + REGISTER_BYTES * i, REGISTER_BYTES));
  }
  unit.ftw = ftw;
}

const LOADS = { pointers: false } as const;
const STORES = { pointers: false, waits: false, stores: true } as const;

export const IMAGES: readonly X87Instruction[] = [
  row('FLDENV m14/28byte', 0xd9, 4, loadEnvironment, { ...ENVIRONMENT, ...LOADS }),
  row('FNSTENV m14/28byte', 0xd9, 6, fnstenv, { ...ENVIRONMENT, ...STORES }),
  row('FRSTOR m94/108byte', 0xdd, 4, frstor, { ...STATE, ...LOADS }),
  row('FNSAVE m94/108byte', 0xdd, 6, fnsave, { ...STATE, ...STORES }),
];
