// Random cases of the fuzzer: the frame around a source of instructions. The same seed and source give the same cases.

import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import type { Random } from '../../tests/support/random.ts';
import {
  CODE_ADDRESS,
  CODE_BYTES,
  CODE_SLOTS,
  DATA_ADDRESS,
  ISLAND_ADDRESS,
  SLOT_BYTES,
} from './address-space.ts';
import { CODE_PATTERNS, type CodePattern } from './code-patterns.ts';
import { randomState } from './random-state.ts';
import type { MemoryBytes, Sequence } from './sequence.ts';
import type { StateSource } from './user-state.ts';
import type { Variant } from './variants.ts';

/** What a source of instructions may go by. */
export interface CodeContext {
  readonly random: Random;
  /** General registers that point to pages of the case when it begins. */
  readonly pointers: readonly number[];
  /** Those of them that point to multiples of 16. */
  readonly alignedPointers: readonly number[];
  /** Where the code pages of the case begin. */
  readonly code: number;
  /** Number of the case among all of a campaign, and of the instruction in the case. */
  readonly caseNumber: number;
  readonly position: number;
}

/** An instruction of random code. */
export interface RandomInstruction {
  readonly bytes: Uint8Array;
  /** Bits of RFLAGS that the manual leaves undefined after it. */
  readonly undefinedFlags: number;
  /** Whether its result is exact to the last place only nearly: nothing follows it. */
  readonly isInexact?: boolean;
  /** What it is a variant of, where coverage is counted. */
  readonly variant?: Variant;
}

/** Gives the next instruction. */
export type CodeSource = (context: CodeContext) => RandomInstruction;

export interface RandomSequenceOptions {
  readonly source?: CodeSource;
  /** At most so many instructions. */
  readonly maxInstructions?: number;
  /** State components beside x87 and SSE: a mask of `Xcr0`. */
  readonly components?: number;
  /** Where initial states are kept; each for itself without it. */
  readonly states?: StateSource;
  /** Number of the case: it has its code in the slots (address-space.ts) in turn. */
  readonly caseNumber?: number;
}

/** A random case, and the bits of RFLAGS that may differ after it. */
export interface RandomCase {
  readonly sequence: Sequence;
  readonly undefinedFlags: number;
  /** Whether x87 registers may differ in the last place, and C1. */
  readonly isInexact?: boolean;
  /** What the instructions are variants of. */
  readonly variants?: readonly (Variant | undefined)[];
}

const MAX_CODE_BYTES = 64;
const LONGEST_INSTRUCTION = 15;
/** Few different backgrounds: each is made once. */
const FILLS = 16;

export function randomSequence(
  random: Random,
  {
    source = patternSource,
    maxInstructions = 5,
    components = 0,
    states,
    caseNumber = 0,
  }: RandomSequenceOptions = {},
): RandomCase {
  const code = CODE_ADDRESS + (caseNumber % CODE_SLOTS) * SLOT_BYTES;
  const { state, pointers, alignedPointers } = randomState(random, components, states, code);
  const instructions: Uint8Array[] = [];
  const variants: (Variant | undefined)[] = [];
  let undefinedFlags = 0;
  let isInexact = false;
  let size = 0;
  for (let left = 1 + random.below(maxInstructions); left > 0 && !isInexact; left--) {
    if (size + LONGEST_INSTRUCTION > MAX_CODE_BYTES) break;
    const position = instructions.length;
    const instruction = source({ random, pointers, alignedPointers, code, caseNumber, position });
    instructions.push(instruction.bytes);
    variants.push(instruction.variant);
    size += instruction.bytes.length;
    // Too many rather than too few: a later instruction may define them again, or never be reached.
    undefinedFlags |= instruction.undefinedFlags;
    isInexact = instruction.isInexact === true;
  }
  const codeAddress = code + randomPlace(random, size);
  state.ripNumber = codeAddress;
  const fill = random.oneIn(4) ? 0 : random.below(FILLS);
  const sequence = { codeAddress, instructions, state, fill, data: randomData(random) };
  return { sequence, undefinedFlags, isInexact, variants };
}

/** Of the code in its pages: anywhere; now and then across the two pages, or up to the last byte of the second. */
function randomPlace(random: Random, size: number): number {
  if (random.oneIn(16)) return PAGE_SIZE - 1 - random.below(size);
  if (random.oneIn(32)) return CODE_BYTES - size;
  return random.below(64);
}

/** A few bytes at the ends of pages, over the background. */
function randomData(random: Random): MemoryBytes[] {
  if (!random.oneIn(4)) return [];
  const address = random.pick([DATA_ADDRESS, DATA_ADDRESS + PAGE_SIZE - 16, ISLAND_ADDRESS + PAGE_SIZE - 16]);
  return [{ address, bytes: Uint8Array.from({ length: 16 }, () => random.u32()) }];
}

/** Instructions of code-patterns.ts. */
export const patternSource: CodeSource = (context) => {
  const pattern = context.random.pick(CODE_PATTERNS);
  return {
    bytes: encode(pattern, context),
    undefinedFlags: pattern.undefinedFlags ?? 0,
  };
};

const REX = 0x40;
const REX_W = 0x48;
const REX_R = 0x44;
const REX_X = 0x42;
const REX_B = 0x41;
const OPERAND_SIZE = 0x66;
const ADDRESS_SIZE = 0x67;
const SEGMENT_PREFIXES: readonly number[] = [0x64, 0x65];

function encode(pattern: CodePattern, context: CodeContext): Uint8Array {
  const { random } = context;
  const { operand, opcode, prefix, plusRegister, sized = false } = pattern;
  const size = sized ? random.pick([32, 32, 64, 64, 16]) : 32;
  let rex = size === 64 ? REX_W : 0;
  const prefixes: number[] = prefix === undefined ? [] : [prefix];
  if (size === 16) prefixes.push(OPERAND_SIZE);
  const tail: number[] = [];
  const opcodeBytes = [...opcode];
  if (plusRegister) {
    if (random.oneIn(2)) rex |= REX_B;
    opcodeBytes[opcodeBytes.length - 1]! |= random.below(8);
  }
  if (operand !== 'none') {
    const reg = pattern.extension ?? random.below(16);
    if (reg >= 8) rex |= REX_R;
    const isMemory = operand === 'm' || (operand === 'rm' && random.oneIn(2));
    const place = isMemory ? randomMemory(context) : randomRegister(random);
    prefixes.push(...place.prefixes);
    rex |= place.rex;
    place.bytes[0]! |= (reg & 7) << 3;
    tail.push(...place.bytes);
  }
  tail.push(...randomImmediate(pattern, size, random));
  if (rex === 0 && random.oneIn(8)) rex = REX;
  return Uint8Array.from([...prefixes, ...(rex === 0 ? [] : [rex]), ...opcodeBytes, ...tail]);
}

/** ModRM, SIB and displacement of an operand, with what has to stand in front of the opcode. */
export interface EncodedOperand {
  readonly prefixes: readonly number[];
  readonly rex: number;
  /** ModRM first; its `reg` field is zero. */
  readonly bytes: number[];
}

function randomRegister(random: Random): EncodedOperand {
  return { prefixes: [], rex: random.oneIn(2) ? REX_B : 0, bytes: [0xc0 | random.below(8)] };
}

/**
 * A memory operand in any form of addressing (SDM vol. 2A §2.1.5), mostly to where there is something.
 * @param hasPrefixes whether there may be prefixes for address size and segment
 * @param isVector whether it should be a multiple of 16, mostly
 */
export function randomMemory(
  { random, pointers: all, alignedPointers, code }: CodeContext,
  hasPrefixes = true,
  isVector = false,
): EncodedOperand {
  const isAligned = isVector && !random.oneIn(4);
  const pointers = isAligned && alignedPointers.length > 0 ? alignedPointers : all;
  const prefixes: number[] = [];
  if (hasPrefixes && random.oneIn(16)) prefixes.push(ADDRESS_SIZE);
  if (hasPrefixes && random.oneIn(16)) prefixes.push(random.pick(SEGMENT_PREFIXES));
  const base = pointers.length > 0 && !random.oneIn(8) ? random.pick(pointers) : random.below(16);
  const near = isAligned ? 16 * (random.below(5) - 2) : random.below(33) - 16;
  if (random.oneIn(12)) {
    // Absolute: ModRM with SIB, no base, no index.
    return {
      prefixes,
      rex: 0,
      bytes: [
        0x04,
        0x25,
        ...bytesOf(DATA_ADDRESS + (random.below(2 * PAGE_SIZE) & (isAligned ? -16 : -1)), 4),
      ],
    };
  }
  if (random.oneIn(12)) {
    // Relative to RIP, into the data or nearly so.
    const distance = DATA_ADDRESS - code + random.below(2 * PAGE_SIZE);
    return { prefixes, rex: 0, bytes: [0x05, ...bytesOf(distance, 4)] };
  }
  const rex = base >= 8 ? REX_B : 0;
  const [mode, displacement] = random.pick([
    [0x40, bytesOf(near, 1)],
    [0x40, bytesOf(near, 1)],
    [0x80, bytesOf(near, 4)],
    // Without displacement the encodings of RBP and R13 mean something else.
    (base & 7) === 5 ? [0x40, [0]] : [0x00, []],
  ] as readonly (readonly [number, readonly number[]])[]);
  const RSP = 4;
  if ((base & 7) === RSP || random.oneIn(6)) {
    const index = random.oneIn(3) ? random.below(16) : RSP; // RSP: none
    const sib = (random.below(4) << 6) | ((index & 7) << 3) | (base & 7);
    return { prefixes, rex: rex | (index >= 8 ? REX_X : 0), bytes: [mode | RSP, sib, ...displacement] };
  }
  return { prefixes, rex, bytes: [mode | (base & 7), ...displacement] };
}

function randomImmediate({ immediate, name }: CodePattern, size: number, random: Random): number[] {
  // Jumps: forward, over the next instructions or into the middle of one.
  if (name === 'Jcc') return [random.below(12)];
  if (immediate === undefined) return [];
  let length = immediate === 'z' || immediate === 'v' ? (size === 16 ? 2 : 4) : immediate;
  if (immediate === 'v' && size === 64) length = 8;
  if (random.oneIn(2)) return bytesOf(random.below(256) - 128, length);
  return Array.from({ length }, () => random.below(256));
}

/** Two's complement, least significant byte first, sign-extended. */
function bytesOf(value: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (value >> Math.min(8 * i, 31)) & 0xff);
}
