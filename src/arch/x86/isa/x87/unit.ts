/**
 * How x87 instructions are defined: rows, and what all of them have in common. What they do to the register stack is
 * arch/x86/x87's and is called as an assist; said here is what comes before and after (SDM vol. 1 §8.1.8, §8.6; vol. 3
 * §2.5): #NM, #MF for an exception that is pending, the memory operand, FOP, FIP and FDP.
 *
 * Nothing of an instruction takes effect if its memory operand faults: what is to be stored is probed before the assist.
 */

import { panic } from '../../../../sim/trouble.ts';
import { OFFSET } from '../../state-layout.ts';
import { x87Instruction } from '../../x87/instructions.ts';
import type { X87Instruction } from '../../x87/unit.ts';
import { STATUS_FLAGS } from '../conditions.ts';
import { checkX87 } from '../crack.ts';
import type { Cracker } from '../cracker.ts';
import { type Bits, type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Fop, type OperandSpec } from '../operands.ts';
import { type Place, Stack } from './stack.ts';

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

/** What a fast path may look at: nothing has been changed yet, and what is loaded has been. */
export interface Source<V> {
  readonly stack: Stack<V>;
  /** The register that ST(i) names. */
  readonly register: Place<V>;
  /** The memory operand, and the parts that have been loaded of it; undefined: there is none. */
  readonly memory: Operand | undefined;
  readonly loaded: readonly V[];
}

/** The operands and the machine's state are so ordinary that the effect is all there is to do: no exception but inexactness. */
export interface FastPath<V> {
  /** A condition. */
  readonly holds: V;
  readonly effect: () => void;
}

export interface X87Options {
  /** Gives the status flags that the instruction goes by. */
  readonly given?: <V>(u: Cracker<V>) => V;
  /** It leaves the status flags of a comparison. */
  readonly setsFlags?: boolean;
  readonly fast?: <V>(u: Cracker<V>, source: Source<V>) => FastPath<V>;
}

/**
 * Defines an instruction that the assist executes, unless its fast path does. All of its rows wait or none does, and so on.
 */
export function x87(mnemonic: string, forms: readonly Form[], options: X87Options = {}): Instruction {
  const first = unitInstruction(forms[0]!);
  const stores = forms.some((form) => unitInstruction(form).stores);
  return inst(mnemonic, {
    forms,
    unit: 'x87',
    crack(u, ...operands) {
      if (first.waits) checkX87(u);
      const fop = u.read(operands.at(-1)!);
      const memory = operands.find(({ kind }) => kind === OperandKind.memory);
      const parts = memory === undefined ? [] : partsOf(u, memory, first);
      // Both ways need it: it is computed in front of them.
      if (memory !== undefined) u.linearAddress(memory);
      const loaded = memory === undefined || stores ? [] : loadOperand(u, memory, parts);
      const pointers = () => {
        if (first.pointers) setPointers(u, fop, memory);
      };
      const slow = () => {
        for (const [i, value] of loaded.entries()) u.setArgument(parts[i]![0], parts[i]![1], value);
        if (memory !== undefined && stores) probeOperand(u, memory, parts);
        const answer = callAssist(u, fop, options);
        pointers();
        if (memory === undefined || !stores) return;
        u.when(u.shr(32, answer, u.int(32, 31)), () => storeOperand(u, memory, parts));
      };
      if (options.fast === undefined) {
        slow();
        return;
      }
      const stack = new Stack(u, fop);
      const index = u.and(32, u.zext(16, 32, fop), u.int(32, 7));
      const { holds, effect } = options.fast(u, { stack, register: stack.stAt(index), memory, loaded });
      const fast = () => {
        effect();
        pointers();
      };
      u.shortcut(holds, fast, slow);
    },
  });
}

function callAssist<V>(u: Cracker<V>, fop: V, { given, setsFlags = false }: X87Options): V {
  const flags = given?.(u) ?? u.int(32, 0);
  const answer = u.assist('x87', u.zext(16, 32, fop), flags, u.int(32, u.operandBits));
  if (setsFlags) u.setRflags(STATUS_FLAGS, answer);
  return answer;
}

/** FOP, FIP, and FDP if there is a memory operand. A fast path's stack writes FOP with the other words. */
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
  const word = u.operandBits === 16 ? 16 : 32;
  const words = Array.from({ length: (imageBytes * 8) / word }, (_, i) => [(i * word) / 8, word] as const);
  // Zen 4 looks at both ends first, and CR2 says which of them it was.
  return [words[0]!, [imageBytes - 1, 8], ...words.slice(1)];
}

export function addressOf<V>(u: Cracker<V>, memory: Operand, offset: number): V {
  const linear = u.linearAddress(memory);
  if (offset === 0) return linear;
  const sum = u.add(64, linear, u.int(64, offset));
  return u.is64 ? sum : u.zext(32, 64, u.zext(64, 32, sum));
}

function loadOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): V[] {
  return parts.map(([offset, bits]) => u.load(bits, addressOf(u, memory, offset)));
}

/** Makes sure that nothing behind the assist faults. */
function probeOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): void {
  for (const [offset, bits] of parts) u.probeStore(bits, addressOf(u, memory, offset));
}

function storeOperand<V>(u: Cracker<V>, memory: Operand, parts: Parts): void {
  for (const [offset, bits] of parts)
    u.store(bits, addressOf(u, memory, offset), u.assistResult(offset, bits));
}
