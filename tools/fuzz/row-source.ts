// Random instructions out of the encoding rows themselves: every form, operand kind and prefix that the decoder knows, and
// some prefixes that mean nothing. SDM vol. 2A chapter 2.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import type { OperandBits, OperandSpec } from '../../src/arch/x86/isa/operands.ts';
import { Random } from '../../tests/support/random.ts';
import { isInexact, needsMasks, undefinedFlagsOf } from './masks.ts';
import { type CodeContext, type CodeSource, type EncodedOperand, randomMemory } from './random-sequence.ts';
import type { Size, Variant } from './variants.ts';

const PREFIX_BYTES = { lock: 0xf0, f3: 0xf3, f2: 0xf2, '67': 0x67, fs: 0x64, gs: 0x65 } as const;
const OPERAND_SIZE = 0x66;
/** XCHG of rAX with itself; with REX.B it is one with R8. */
const NOP = 0x90;
/** Prefixes without effect in 64-bit mode: segments, as branch hints or by themselves. */
const IDLE_PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e];
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
/** VEX.pp. */
const VEX_PREFIXES = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 } as const;

/**
 * Instructions out of these variants. The first ones of successive cases go through all of them in a random order, so that
 * each gets its turn where nothing can fault in front of it; the others are drawn.
 * @param masks whether flags may differ that the manual leaves undefined
 */
export function rowSource(variants: readonly Variant[], masks = needsMasks()): CodeSource {
  const turns = shuffled([...variants, ...variants.filter(needsLuck)]);
  return (context) => {
    const { random, caseNumber, position } = context;
    const variant = position === 0 ? turns[caseNumber % turns.length]! : random.pick(variants);
    return {
      bytes: encodeVariant(variant, context),
      undefinedFlags: masks ? undefinedFlagsOf(variant.form) : 0,
      isInexact: isInexact(variant.form),
      variant,
    };
  };
}

/** Whether a variant often faults, because of an address that is not aligned, a segment or reserved bits: it gets two turns. */
function needsLuck({ form, place }: Variant): boolean {
  const { instruction, operands } = form;
  return (
    (place === 'memory' && isVectorAccess(form)) ||
    operands.some(({ source }) => source === 'maskStore') ||
    instruction.mnemonic === 'LDMXCSR'
  );
}

/** The same order each time. */
function shuffled<T>(items: readonly T[]): T[] {
  const random = new Random(0);
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

/** Encodes a variant with random operands. */
export function encodeVariant(variant: Variant, context: CodeContext): Uint8Array {
  const { form, size, place, prefix } = variant;
  const { random } = context;
  const isWide = form.rexW === 1 || (size === 64 && form.hasOperandSize && form.defaultSize === 32);
  let rex = (isWide ? 8 : 0) | (form.rexB === 1 ? 1 : 0);
  let opcode = form.opcode;
  if (form.operands.some(({ source }) => source === 'opcode')) {
    opcode |= random.below(8);
    if (random.oneIn(2) || opcode === NOP) rex |= 1;
  }
  const prefixes: number[] = prefix === 'none' ? [] : [PREFIX_BYTES[prefix]];
  const tail: number[] = [];
  if (form.hasModrm) {
    // Address size and segment are those of the variant; where it has another prefix, now and then some.
    const isPlain = prefix === 'lock' || prefix === 'f3' || prefix === 'f2';
    const encoded =
      place === 'memory'
        ? randomMemory(context, isPlain, isVectorAccess(form))
        : registerOperand(form, random);
    prefixes.push(...encoded.prefixes);
    rex |= encoded.rex & 7;
    const reg = form.operands.find(({ source }) => source === 'reg');
    encoded.bytes[0]! |= regField(form, reg, random) << 3;
    if (reg !== undefined && random.oneIn(2)) rex |= 4;
    tail.push(...encoded.bytes);
  }
  for (const operand of form.operands) tail.push(...immediateBytes(operand, variant, random));
  if (random.oneIn(24)) prefixes.unshift(random.pick(IDLE_PREFIXES));
  const head = form.vexL === undefined ? legacyHead(variant, rex, random) : vexHead(form, rex, random);
  return Uint8Array.from([...prefixes, ...head, opcode, ...tail]);
}

/** Of operands that most instructions want aligned: 16 bytes, and areas (FXSAVE). */
const ALIGNED_BITS: ReadonlySet<OperandBits> = new Set([0, 128]);

/** Whether a memory operand should be aligned. */
function isVectorAccess({ operands }: Form): boolean {
  return operands.some(({ source, memoryBits }) => source === 'rm' && ALIGNED_BITS.has(memoryBits));
}

/** Mandatory prefix and operand size, REX, escape bytes. */
function legacyHead({ form, size }: Variant, rex: number, random: Random): number[] {
  const prefixes: number[] = [];
  if (form.prefix === '66' || (size === 16 && form.hasOperandSize)) prefixes.push(OPERAND_SIZE);
  if (form.prefix === 'f3' || form.prefix === 'f2') prefixes.push(PREFIX_BYTES[form.prefix]);
  const hasRex = rex !== 0 || random.oneIn(8);
  return [...prefixes, ...(hasRex ? [0x40 | rex] : []), ...ESCAPES[form.map]!];
}

/** VEX with two or three bytes (SDM vol. 2A §2.3.5). R, X, B and vvvv are stored inverted. */
function vexHead(form: Form, rex: number, random: Random): number[] {
  const vvvv = form.operands.some(({ source }) => source === 'vvvv') ? random.below(16) : 0;
  const l = form.vexL === 'any' ? random.below(2) : form.vexL!;
  const last = ((~vvvv & 0xf) << 3) | (l << 2) | VEX_PREFIXES[form.prefix];
  if (form.map === 1 && (rex & 0xb) === 0 && random.oneIn(2)) return [0xc5, ((~rex & 4) << 5) | last];
  return [0xc4, ((~rex & 7) << 5) | form.map, ((rex & 8) << 4) | last];
}

function registerOperand(form: Form, random: Random): EncodedOperand {
  const rm = form.rmExtension ?? random.below(8);
  return { prefixes: [], rex: form.rmExtension === undefined && random.oneIn(2) ? 1 : 0, bytes: [0xc0 | rm] };
}

function regField(form: Form, reg: OperandSpec | undefined, random: Random): number {
  if (form.extension !== undefined) return form.extension;
  return reg?.file === 'segment' ? random.below(6) : random.below(8);
}

/** Immediates, displacements of jumps (forward, over little code) and addresses. */
function immediateBytes(spec: OperandSpec, { size, prefix }: Variant, random: Random): number[] {
  switch (spec.source) {
    case 'immediate':
      return randomBytes(bytesOf(spec.encodedBits ?? spec.bits, size), random);
    case 'relative':
      return littleEndian(random.below(12), bytesOf(spec.bits, size));
    case 'offset':
      return littleEndian(0x50_0000 + random.below(0x2000), prefix === '67' ? 4 : 8);
    default:
      return [];
  }
}

function bytesOf(bits: OperandBits, size: Size): number {
  if (bits === 'v') return size / 8;
  if (bits === 'z') return size === 16 ? 2 : 4;
  if (bits === 'y') return size === 64 ? 8 : 4;
  return bits / 8;
}

function randomBytes(length: number, random: Random): number[] {
  if (random.oneIn(2)) return littleEndian(random.below(256) - 128, length);
  return Array.from({ length }, () => random.below(256));
}

/** Two's complement, sign-extended. */
function littleEndian(value: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (value >> Math.min(8 * i, 31)) & 0xff);
}
