/**
 * An instruction, defined once: its mnemonic, its encoding rows, and what it does, said to a `Cracker`. The
 * interpreter, the translator, the timing models and the oracle all read this definition.
 */

import type { Cracker } from './cracker.ts';
import type { Operand } from './decoded.ts';
import type { Form } from './encoding.ts';
import type { Unit } from './units.ts';

/** Says what the instruction does with these operands, the explicit and implied ones in the order of the row. */
export type Crack = <V>(u: Cracker<V>, ...operands: Operand[]) => void;

export interface InstructionDefinition {
  readonly forms: readonly Form[];
  readonly crack: Crack;
  /** CPUID feature, by its name in /proc/cpuinfo; absent: every x86-64 processor has it. */
  readonly feature?: string;
  /** LOCK is legal with a memory destination. */
  readonly lock?: boolean;
  /** F3 and F2 repeat the instruction: `rep` counts only, `repe` also looks at ZF. */
  readonly repeat?: 'rep' | 'repe';
  /** The last immediate chooses what is done, as with a shuffle: to engines each of its values is an instruction of its own. */
  readonly literal?: boolean;
  /** The unit that must be on, where it does not follow from the operands (MMX, SSE and x87 registers). */
  readonly unit?: Unit;
  /** Memory operands of 128 bits need not be aligned: those of all other instructions must, or #GP(0) (SDM vol. 2A §2.4). */
  readonly unaligned?: boolean;
  /** It reads or writes registers behind the Cracker's back, by an assist: only the interpreter executes it. */
  readonly interpreted?: boolean;
  /** Only at privilege level 0: elsewhere #GP. */
  readonly privileged?: boolean;
}

export interface Instruction extends InstructionDefinition {
  readonly mnemonic: string;
}

/** Defines an instruction. */
export function inst(mnemonic: string, definition: InstructionDefinition): Instruction {
  const instruction = { mnemonic, ...definition };
  for (const form of definition.forms) form.instruction = instruction;
  return instruction;
}

/** The instructions that the module of a family exports. */
export function familyOf(
  family: Readonly<Record<string, Instruction | readonly Instruction[]>>,
): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}
