/**
 * What an instruction does to flags and memory, found out by listening to its definition: no second table says it.
 * The translator drops flags that nobody reads with it, and finds read-modify-write operands once instead of twice.
 */

import { panic } from '../../../sim/trouble.ts';
import {
  CONDITIONS,
  type Condition,
  FLAG_BITS,
  FLAG_NAMES,
  type FlagName,
  STATUS_FLAGS,
} from './conditions.ts';
import { crackDecoded } from './crack.ts';
import type { Cracker, FlagValues } from './cracker.ts';
import { type Decoded, type Operand, OperandKind } from './decoded.ts';

export interface Effects {
  /** Status flags that it reads, and that it certainly writes: masks of RFLAGS. */
  readonly flagsRead: number;
  readonly flagsWritten: number;
  /** It reads a memory operand and writes it back. */
  readonly updatesMemory: boolean;
  /** It goes elsewhere than to the next instruction, or may. */
  readonly endsBlock: boolean;
  /** It may also go on to the next instruction. */
  readonly isConditional: boolean;
  /** It hands over to the simulator, or raises an exception in any case. */
  readonly leaves: boolean;
}

/** A value of which nothing is known. */
const SOMETHING = Symbol('value');
type Something = typeof SOMETHING;

class Listener {
  flagsRead = 0;
  flagsWritten = 0;
  updatesMemory = false;
  endsBlock = false;
  isConditional = false;
  leaves = false;
  readonly #read = new Set<Operand>();
  /** Inside `when`: what happens there may not happen. */
  #depth = 0;

  constructor(readonly: Decoded) {
    const { operandBits, addressBits, is64, isLocked } = readonly;
    Object.assign(this, { operandBits, addressBits, is64, isLocked });
  }

  read(operand: Operand): Something {
    this.#read.add(operand);
    return SOMETHING;
  }

  readVector(operand: Operand): Something {
    return this.read(operand);
  }

  write(operand: Operand): void {
    if (operand.kind === OperandKind.memory && this.#read.has(operand)) this.updatesMemory = true;
  }

  writeVector(operand: Operand): void {
    this.write(operand);
  }

  constant(operand: Operand): number | undefined {
    return operand.kind === OperandKind.immediate ? Number(operand.value) : undefined;
  }

  flagsAdd(): void {
    this.#writes(STATUS_FLAGS);
  }

  flagsSub(): void {
    this.#writes(STATUS_FLAGS);
  }

  flagsLogic(): void {
    this.#writes(STATUS_FLAGS);
  }

  setFlags(values: FlagValues<Something>): void {
    const own = FLAG_NAMES.filter((name) => values[name] !== undefined);
    const ofResult = values.result === undefined ? 0 : FLAG_BITS.zf | FLAG_BITS.sf | FLAG_BITS.pf;
    this.#writes(own.reduce((mask, name) => mask | FLAG_BITS[name], ofResult));
  }

  setRflags(mask: number): void {
    this.#writes(mask & STATUS_FLAGS);
  }

  flag(name: FlagName): Something {
    this.flagsRead |= FLAG_BITS[name] & ~this.flagsWritten;
    return SOMETHING;
  }

  rflags(): Something {
    this.flagsRead |= STATUS_FLAGS & ~this.flagsWritten;
    return SOMETHING;
  }

  condition(condition: Condition): Something {
    const half = CONDITIONS.indexOf(condition) >> 1;
    for (const name of FLAGS_OF_CONDITION[half]!) this.flag(name);
    return SOMETHING;
  }

  when(_condition: Something, body: () => void): void {
    this.#depth++;
    body();
    this.#depth--;
  }

  jump(): void {
    this.endsBlock = true;
  }

  jumpTo(): void {
    this.endsBlock = true;
  }

  jumpIf(): void {
    this.endsBlock = true;
    this.isConditional = true;
  }

  leave(): void {
    this.endsBlock = true;
    this.leaves = true;
  }

  trap(): void {
    this.endsBlock = true;
    this.leaves = true;
  }

  trapIf(): void {
    this.trap();
  }

  fault(): void {
    if (this.#depth > 0) return;
    this.endsBlock = true;
    this.leaves = true;
  }

  #writes(mask: number): void {
    if (this.#depth === 0) this.flagsWritten |= mask;
  }
}

/** In the order of the encoding, without the lowest bit: O, B, E, BE, S, P, L, LE. */
const FLAGS_OF_CONDITION: readonly (readonly FlagName[])[] = [
  ['of'],
  ['cf'],
  ['zf'],
  ['cf', 'zf'],
  ['sf'],
  ['pf'],
  ['sf', 'of'],
  ['sf', 'of', 'zf'],
];

/** Listens to the definition of a decoded instruction. */
export function effectsOf(decoded: Decoded): Effects {
  const listener = new Listener(decoded);
  // Operations that change nothing give a value of which nothing is known.
  const cracker = new Proxy(listener, {
    get: (target, name) => {
      const own: unknown = Reflect.get(target, name);
      if (typeof own === 'function') return own.bind(target);
      if (own !== undefined) return own;
      return typeof name === 'string' ? () => SOMETHING : panic('effects', 'asked for a symbol');
    },
  }) as unknown as Cracker<Something>;
  crackDecoded(cracker, decoded);
  const { flagsRead, flagsWritten, updatesMemory, endsBlock, isConditional, leaves } = listener;
  return { flagsRead, flagsWritten, updatesMemory, endsBlock, isConditional, leaves };
}
