/**
 * What an instruction does to flags and memory, found out by listening to its definition: no second table says it.
 * The translator drops flags that nobody reads with it, and finds read-modify-write operands once instead of twice.
 */

import { panic } from '../../../sim/trouble.ts';
import { Gpr } from '../registers.ts';
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
import type { Ops } from './ops.ts';

export interface Effects {
  /** Status flags that it reads, and that it certainly writes: masks of RFLAGS. */
  readonly flagsRead: number;
  readonly flagsWritten: number;
  /** General registers that it may write besides its operands, and the operands that it may write: bits by number. */
  readonly registersWritten: number;
  readonly operandsWritten: number;
  /** It reads a memory operand and writes it back. */
  readonly updatesMemory: boolean;
  /** It reads memory behind a store of its own: begun anew, after a fault, it may see what it has stored itself. */
  readonly readsBehindStore: boolean;
  /** It may raise an exception: then the flags in front of it are seen. */
  readonly mayFault: boolean;
  /** It goes elsewhere than to the next instruction, or may. */
  readonly endsBlock: boolean;
  /** It goes to an address that is computed: a return, or a jump or call through a register or memory. */
  readonly isIndirect: boolean;
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
  registersWritten = 0;
  operandsWritten = 0;
  updatesMemory = false;
  readsBehindStore = false;
  mayFault = false;
  endsBlock = false;
  isIndirect = false;
  isConditional = false;
  leaves = false;
  readonly #read = new Set<Operand>();
  #hasStored = false;
  /** Inside `when`: what happens there may not happen. */
  #depth = 0;

  readonly #operands: readonly Operand[];

  constructor({ operands, operandBits, addressBits, is64, isLocked }: Decoded) {
    this.#operands = operands;
    Object.assign(this, { operandBits, addressBits, is64, isLocked });
  }

  read(operand: Operand): Something {
    this.#read.add(operand);
    return operand.kind === OperandKind.memory ? this.load() : SOMETHING;
  }

  readVector(operand: Operand): Something {
    return this.read(operand);
  }

  write(operand: Operand): void {
    const position = this.#operands.indexOf(operand);
    this.operandsWritten |= position < 0 ? -1 : 1 << position;
    if (operand.kind !== OperandKind.memory) return;
    this.store();
    if (this.#read.has(operand)) this.updatesMemory = true;
  }

  writeVector(operand: Operand): void {
    this.write(operand);
  }

  setGpr(index: number): void {
    this.registersWritten |= 1 << index;
  }

  load(): Something {
    this.mayFault = true;
    if (this.#hasStored) this.readsBehindStore = true;
    return SOMETHING;
  }

  store(): void {
    this.mayFault = true;
    this.#hasStored = true;
  }

  push(): void {
    this.setGpr(Gpr.RSP);
    this.store();
  }

  pop(): Something {
    this.setGpr(Gpr.RSP);
    return this.load();
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
    this.#listenTo(values);
    const own = FLAG_NAMES.filter((name) => values[name] !== undefined);
    const ofResult = values.result === undefined ? 0 : FLAG_BITS.zf | FLAG_BITS.sf | FLAG_BITS.pf;
    this.#writes(own.reduce((mask, name) => mask | FLAG_BITS[name], ofResult));
  }

  setFlagsIf(_condition: Something, values: FlagValues<Something>): void {
    this.#listenTo(values);
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

  when(_condition: Something, ...bodies: (() => void)[]): void {
    this.#depth++;
    for (const body of bodies) body();
    this.#depth--;
  }

  shortcut(condition: Something, fast: () => void, exact: () => void): void {
    this.when(condition, fast, exact);
  }

  /** A target that is not canonical faults. */
  jump(): void {
    this.endsBlock = true;
    this.isIndirect = true;
    this.mayFault = true;
  }

  jumpTo(): void {
    this.endsBlock = true;
  }

  jumpFar(): void {
    this.leave();
    this.mayFault = true;
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
    this.mayFault = true;
    if (this.#depth > 0) return;
    this.endsBlock = true;
    this.leaves = true;
  }

  /** Values that are computed only if somebody wants them may read flags. */
  #listenTo(values: FlagValues<Something>): void {
    for (const name of FLAG_NAMES) {
      const value = values[name];
      if (typeof value === 'function') value();
    }
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

/** Operations that never fault and have nothing to do with flags. */
const HARMLESS: ReadonlySet<string> = new Set<keyof Cracker<unknown>>([
  'gpr',
  'effectiveAddress',
  'linearAddress',
  'displace',
  'rip',
  'nextRip',
  'field',
  'setField',
  'setArgument',
  'assistResult',
  ...((
    'int add sub mul mulHighU mulHighS divU divS remU remS and or xor not neg shl shr sar rotl rotr clz ctz popcnt eq ne ' +
    'ltU ltS leU leS isZero select zext sext vector vector1 vector2 vectorShift bitselect shuffle lane withLane splat ' +
    'bitmask anyTrue'
  ).split(' ') as (keyof Ops<unknown>)[]),
]);

/** Listens to the definition of a decoded instruction. */
export function effectsOf(decoded: Decoded): Effects {
  const listener = new Listener(decoded);
  // Operations give a value of which nothing is known. What is neither listened to nor harmless may fault.
  const cracker = new Proxy(listener, {
    get: (target, name) => {
      const own: unknown = Reflect.get(target, name);
      if (typeof own === 'function') return own.bind(target);
      if (own !== undefined) return own;
      if (typeof name !== 'string') return panic('effects', 'asked for a symbol');
      if (!HARMLESS.has(name)) target.mayFault = true;
      return () => SOMETHING;
    },
  }) as unknown as Cracker<Something>;
  crackDecoded(cracker, decoded);
  const isPrivileged = decoded.form.instruction.privileged === true;
  return {
    flagsRead: listener.flagsRead,
    flagsWritten: listener.flagsWritten,
    registersWritten: listener.registersWritten,
    operandsWritten: listener.operandsWritten,
    updatesMemory: listener.updatesMemory,
    readsBehindStore: listener.readsBehindStore,
    mayFault: listener.mayFault || isPrivileged,
    endsBlock: listener.endsBlock,
    isIndirect: listener.isIndirect,
    isConditional: listener.isConditional,
    leaves: listener.leaves,
  };
}
