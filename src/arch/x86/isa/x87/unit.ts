/**
 * How x87 instructions are defined: rows, and what all of them have in common. What they do to the register stack is
 * arch/x86/x87's and is called as an assist; said here is what comes before and after (SDM vol. 1 §8.1.8, §8.6; vol. 3
 * §2.5): #NM, #MF for an exception that is pending, the memory operand, FOP, FIP and FDP.
 *
 * Nothing of an instruction takes effect if its memory operand faults: what is to be stored is probed before the assist.
 */

import { panic } from '../../../../sim/trouble.ts';
import { Vector } from '../../exceptions.ts';
import { Cr0 } from '../../registers.ts';
import { OFFSET } from '../../state-layout.ts';
import { x87Instruction } from '../../x87/instructions.ts';
import { Fsw, type X87Instruction } from '../../x87/unit.ts';
import type { Cracker } from '../cracker.ts';
import { type Bits, type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Fop, type OperandSpec } from '../operands.ts';

/** A row: its last operand is what FOP becomes, by which the assist knows the instruction. */
export function row(opcode: number, ...operands: OperandSpec[]): Form {
  return enc(opcode, ...operands, Fop);
}

/** The arithmetic unit's instruction of a row. */
export function unitInstruction(form: Form): X87Instruction {
  const { opcode, extension = 0, rmExtension = 0, modrmKind } = form;
  const mod = modrmKind === 'register' ? 0xc0 : 0;
  return x87Instruction(opcode, mod | (extension << 3) | rmExtension) ?? panic('x87', `no ${form}`);
}

/** How RFLAGS are involved. */
export interface FlagUse {
  /** Gives the status flags that the instruction goes by. */
  readonly given?: <V>(u: Cracker<V>) => V;
  /** Takes the status flags that it leaves. */
  readonly taken?: <V>(u: Cracker<V>, flags: V) => void;
}

/** Defines an instruction that the assist executes. All of its rows wait or none does, and so on. */
export function x87(mnemonic: string, forms: readonly Form[], flags: FlagUse = {}): Instruction {
  const first = unitInstruction(forms[0]!);
  const { waits, pointers } = first;
  const stores = forms.some((form) => unitInstruction(form).stores);
  return inst(mnemonic, {
    forms,
    crack(u, ...operands) {
      checkAvailable(u, Cr0.EM | Cr0.TS);
      if (waits) checkPending(u);
      const fop = u.read(operands.at(-1)!);
      const memory = operands.find(({ kind }) => kind === OperandKind.memory);
      const parts = memory === undefined ? [] : partsOf(u, memory, first);
      if (memory !== undefined) (stores ? probeOperand : loadOperand)(u, memory, parts);
      const given = flags.given?.(u) ?? u.int(32, 0);
      const answer = u.assist('x87', u.zext(16, 32, fop), given, u.int(32, u.operandBits));
      flags.taken?.(u, answer);
      if (pointers) setPointers(u, fop, memory);
      if (memory === undefined || !stores) return;
      u.when(u.shr(32, answer, u.int(32, 31)), () => storeOperand(u, memory, parts));
    },
  });
}

/** CR0: #NM (SDM vol. 3 table 2-2). */
export function checkAvailable<V>(u: Cracker<V>, bits: number): void {
  u.faultIf(u.ne(32, u.and(32, u.field(OFFSET.cr0, 32), u.int(32, bits)), u.int(32, 0)), Vector.NM);
}

/** An unmasked exception is pending: #MF (SDM vol. 1 §8.6). */
export function checkPending<V>(u: Cracker<V>): void {
  const pending = u.and(16, u.field(OFFSET.fsw, 16), u.int(16, Fsw.ES));
  u.faultIf(u.ne(16, pending, u.int(16, 0)), Vector.MF);
}

/** FOP, FIP, and FDP if there is a memory operand. */
function setPointers<V>(u: Cracker<V>, fop: V, memory: Operand | undefined): void {
  u.setField(OFFSET.fop, 16, u.and(16, fop, u.int(16, 0x7ff)));
  u.setField(OFFSET.fip, 64, u.rip());
  if (memory === undefined) return;
  u.setField(OFFSET.fdp, 64, u.zext(u.addressBits, 64, u.effectiveAddress(memory)));
}

/** The parts in which a memory operand is accessed: each is checked for itself. */
type Parts = readonly (readonly [offset: number, bits: Bits])[];

const EXTENDED_PARTS: Parts = [
  [0, 64],
  [8, 16],
];

function partsOf<V>(u: Cracker<V>, { bits }: Operand, { sizeBytes, sizeBytes16 }: X87Instruction): Parts {
  if (bits === 80) return EXTENDED_PARTS;
  if (sizeBytes <= 8) return [[0, bits]];
  const imageBytes = u.operandBits === 16 ? sizeBytes16 : sizeBytes;
  const words = Array.from({ length: imageBytes >> 2 }, (_, i) => [4 * i, 32] as const);
  return (imageBytes & 2) === 0 ? words : [...words, [imageBytes - 2, 16]];
}

function addressOf<V>(u: Cracker<V>, memory: Operand, offset: number): V {
  const linear = u.linearAddress(memory);
  if (offset === 0) return linear;
  const sum = u.add(64, linear, u.int(64, offset));
  return u.is64 ? sum : u.zext(32, 64, u.zext(64, 32, sum));
}

/** Brings what is loaded to where the assist finds it. */
function loadOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): void {
  for (const [offset, bits] of parts) u.setArgument(offset, bits, u.load(bits, addressOf(u, memory, offset)));
}

/** Makes sure that nothing behind the assist faults. */
function probeOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): void {
  for (const [offset, bits] of parts) u.probeStore(bits, addressOf(u, memory, offset));
}

function storeOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): void {
  for (const [offset, bits] of parts)
    u.store(bits, addressOf(u, memory, offset), u.assistResult(offset, bits));
}
