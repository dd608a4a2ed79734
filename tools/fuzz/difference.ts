// How two outcomes of one case differ: a quick answer for the many that do not, and names and values for the others.

import { describeVector } from '../../src/arch/x86/exceptions.ts';
import { GPR_NAMES, Rflags } from '../../src/arch/x86/registers.ts';
import type { RegisterDescription } from '../../src/arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import type { Ending, MemoryBytes, Outcome } from './sequence.ts';
import { hexBytes } from './sequence-text.ts';
import { sameUserState, USER_REGISTERS } from './user-state.ts';

/** What may differ without being an error. */
export interface Tolerance {
  /** Registers by their names in arch/x86/state-layout.ts. */
  readonly registers?: ReadonlySet<string>;
  /** Bits of RFLAGS that the manual leaves undefined after this case. */
  readonly flags?: number;
  /** x87 registers may differ by one unit in the last place, and the status word in C1, which tells the direction of rounding. */
  readonly isInexact?: boolean;
}

/**
 * Where the last x87 instruction and its operand were: processors differ in which instructions set these (SDM vol. 1
 * §8.1.8, §8.1.9; AMD's APM vol. 2 §11.4.4), and in whether they are saved without an exception.
 */
export const X87_POINTERS: ReadonlySet<string> = new Set(['fop', 'fip', 'fdp']);

const EXACT: Tolerance = {};

/** Whether two outcomes of a case are the same. Quick where they are the same to the bit. */
export function sameOutcome(one: Outcome, other: Outcome, tolerance: Tolerance = EXACT): boolean {
  if (!sameEnding(one.ending, other.ending)) return false;
  if (!tellsState(one.ending) || !tellsState(other.ending)) return true;
  if (!sameMemory(one.memory, other.memory)) return false;
  return sameUserState(one.state, other.state) || differingRegisters(one, other, tolerance).length === 0;
}

/**
 * What differs, one line each: `rax: kvm 0x…, atomic 0x…`. Empty if nothing does.
 * @param names of what has executed the case
 */
export function describeDifference(
  one: Outcome,
  other: Outcome,
  names: readonly [one: string, other: string],
  tolerance: Tolerance = EXACT,
): string[] {
  const both = (a: string, b: string): string => `${names[0]} ${a}, ${names[1]} ${b}`;
  const lines: string[] = [];
  if (!sameEnding(one.ending, other.ending))
    lines.push(`ending: ${both(describeEnding(one.ending), describeEnding(other.ending))}`);
  if (!tellsState(one.ending) || !tellsState(other.ending)) return lines;
  for (const register of differingRegisters(one, other, tolerance)) {
    const [a, b] = [one.state, other.state].map((state) => shown(state, register)) as [string, string];
    lines.push(`${register.name}: ${both(a, b)}${flagNames(register, one.state, other.state)}`);
  }
  lines.push(...memoryLines(one.memory, other.memory, both));
  return lines;
}

/** An ending in words. */
export function describeEnding(ending: Ending): string {
  switch (ending.kind) {
    case 'exception': {
      const address = ending.vector === 14 ? `, address 0x${ending.address.toString(16)}` : '';
      return `${describeVector(ending.vector)}, error code 0x${ending.errorCode.toString(16)}${address}`;
    }
    case 'refused':
      return `refused: ${ending.reason}`;
    default:
      return ending.kind;
  }
}

/** Whether an outcome with this ending has a state. */
export function tellsState({ kind }: Ending): boolean {
  return kind !== 'timeout' && kind !== 'refused';
}

/** An executor that cannot tell contradicts nobody. */
function sameEnding(one: Ending, other: Ending): boolean {
  if (one.kind === 'refused' || other.kind === 'refused') return true;
  if (one.kind !== 'exception' || other.kind !== 'exception') return one.kind === other.kind;
  return one.vector === other.vector && one.errorCode === other.errorCode && one.address === other.address;
}

function sameMemory(one: readonly MemoryBytes[], other: readonly MemoryBytes[]): boolean {
  if (one.length !== other.length) return false;
  return one.every(({ address, bytes }, i) => {
    const { address: otherAddress, bytes: otherBytes } = other[i]!;
    if (address !== otherAddress || bytes.length !== otherBytes.length) return false;
    return bytes.every((byte, j) => byte === otherBytes[j]);
  });
}

function differingRegisters(
  one: Outcome,
  other: Outcome,
  { registers, flags = 0, isInexact = false }: Tolerance,
): RegisterDescription[] {
  return USER_REGISTERS.filter(({ name, at, sizeBytes }) => {
    if (registers?.has(name)) return false;
    if (name === 'rflags') return ((one.state.rflags ^ other.state.rflags) & ~flags) !== 0;
    if (isInexact && name === 'fsw')
      return ((one.state.u16[at >> 1]! ^ other.state.u16[at >> 1]!) & ~FSW_C1) !== 0;
    if (isInexact && name.startsWith('x87.r') && areNeighbours(one.state, other.state, at)) return false;
    for (let i = at; i < at + sizeBytes; i++) if (one.state.u8[i] !== other.state.u8[i]) return true;
    return false;
  });
}

const FSW_C1 = 0x0200;

/** Whether two numbers in double extended precision differ by one unit in the last place at most. */
function areNeighbours(one: X86ThreadContext, other: X86ThreadContext, at: number): boolean {
  const [a, b] = [one, other].map((state) => {
    const signExponent = state.u16[(at + 8) >> 1]!;
    const magnitude = (BigInt(signExponent & 0x7fff) << 63n) | BigInt.asUintN(63, state.get(at));
    return (signExponent & 0x8000) === 0 ? magnitude : -magnitude;
  }) as [bigint, bigint];
  return a - b >= -1n && a - b <= 1n;
}

/** A register in hexadecimal; of the others than general ones without leading zeros. */
function shown(state: X86ThreadContext, register: RegisterDescription): string {
  const value = state.hex(register);
  const isGeneral = (GPR_NAMES as readonly string[]).includes(register.name);
  return isGeneral ? value : value.replace(/^0x0*(?=.)/, '0x');
}

/** ` (CF ZF)`: the flags that differ. */
function flagNames({ name }: RegisterDescription, one: X86ThreadContext, other: X86ThreadContext): string {
  if (name !== 'rflags') return '';
  const changed = Object.entries(Rflags).filter(([, bit]) => (one.rflags ^ other.rflags) & bit);
  return ` (${changed.map(([flag]) => flag).join(' ')})`;
}

function memoryLines(
  one: readonly MemoryBytes[],
  other: readonly MemoryBytes[],
  both: (a: string, b: string) => string,
): string[] {
  const byAddress = (changes: readonly MemoryBytes[]): Map<number, string> =>
    new Map(changes.map(({ address, bytes }) => [address, hexBytes(bytes)]));
  const [a, b] = [byAddress(one), byAddress(other)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .sort((x, y) => x - y)
    .filter((address) => a.get(address) !== b.get(address))
    .map((address) => {
      const [mine, theirs] = [a, b].map((changes) => shortened(changes.get(address) ?? 'unchanged'));
      return `memory 0x${address.toString(16)}: ${both(mine!, theirs!)}`;
    });
}

const MOST_DIGITS = 128;

function shortened(hex: string): string {
  return hex.length <= MOST_DIGITS ? hex : `${hex.slice(0, MOST_DIGITS)}… (${hex.length / 2} bytes)`;
}
