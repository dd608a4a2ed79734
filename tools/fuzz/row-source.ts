// Random instructions out of the encoding rows themselves: every form, operand kind and prefix that the decoder knows, and
// some prefixes that mean nothing. What has been generated is counted by kind, for the coverage report.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import type { OperandBits, OperandSpec } from '../../src/arch/x86/isa/operands.ts';
import type { Random } from '../../tests/support/random.ts';
import type { Coverage } from './coverage.ts';
import { undefinedFlagsOf } from './masks.ts';
import {
  type CodeContext,
  type CodeSource,
  type EncodedOperand,
  type RandomInstruction,
  randomMemory,
} from './random-sequence.ts';

const LOCK = 0xf0;
const OPERAND_SIZE = 0x66;
const REPEAT = { f3: 0xf3, f2: 0xf2 } as const;
/** Prefixes without effect in 64-bit mode: segments, as branch hints or by themselves. */
const IDLE_PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e];
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

type Size = 16 | 32 | 64;

/** One way to encode a form: what the coverage report counts. */
export interface Variant {
  readonly form: Form;
  readonly size: Size;
  readonly place: 'memory' | 'register' | 'none';
  readonly prefix: 'none' | 'lock' | 'f3' | 'f2';
}

/** All variants of a form that are legal in 64-bit mode. */
export function variantsOf(form: Form): Variant[] {
  const { instruction, modrmKind, operands } = form;
  const hasRm = operands.some(({ source }) => source === 'rm') || modrmKind !== undefined;
  const places = !hasRm
    ? (['none'] as const)
    : modrmKind === undefined
      ? (['memory', 'register'] as const)
      : [modrmKind];
  return sizesOf(form).flatMap((size) =>
    places.flatMap((place) => {
      const isDestination = operands[0]?.source === 'rm';
      const locks = instruction.lock === true && place === 'memory' && isDestination;
      const repeats = instruction.repeat !== undefined;
      const prefixes = [
        'none',
        ...(locks ? ['lock'] : []),
        ...(repeats ? ['f3', 'f2'] : []),
      ] as Variant['prefix'][];
      return prefixes.map((prefix) => ({ form, size, place, prefix }));
    }),
  );
}

/** `ADD 01 memory 32 lock`: names a variant. */
export function variantName({ form, size, place, prefix }: Variant): string {
  const operands = form.operands.map(({ name }) => name).join(',');
  return `${form.instruction.mnemonic}\t${form}\t${operands}\t${place}\t${form.hasOperandSize ? size : '-'}\t${prefix}`;
}

function sizesOf(form: Form): Size[] {
  if (form.rexW === 1 || form.defaultSize === 'always64') return [64];
  if (!form.hasOperandSize) return [32];
  const has66 = form.prefix !== '66' && (form.prefix !== 'np' || form.sizedBy66);
  if (form.defaultSize === 64) return has66 ? [16, 64] : [64];
  if (form.rexW === 0) return has66 ? [16, 32] : [32];
  return has66 ? [16, 32, 64] : [32, 64];
}

/** Instructions out of these variants, each as likely as any other. */
export function rowSource(variants: readonly Variant[], coverage: Coverage): CodeSource {
  return (context) => {
    const variant = context.random.pick(variants);
    coverage.count(variant);
    return encodeVariant(variant, context);
  };
}

/** Encodes a variant with random operands. */
export function encodeVariant(variant: Variant, { random, pointers }: CodeContext): RandomInstruction {
  const { form, size, place } = variant;
  const prefixes = prefixesOf(variant, random);
  let rex = form.rexW === 1 || (size === 64 && form.hasOperandSize && form.defaultSize === 32) ? 8 : 0;
  if (form.rexB === 1) rex |= 1;
  let opcode = form.opcode;
  const reg = form.operands.find(({ source }) => source === 'reg');
  if (form.operands.some(({ source }) => source === 'opcode')) {
    opcode |= random.below(8);
    if (random.oneIn(2) && form.rexB === undefined) rex |= 1;
  }
  const tail: number[] = [];
  if (form.hasModrm) {
    const encoded = place === 'memory' ? randomMemory(random, pointers) : registerOperand(form, random);
    prefixes.push(...encoded.prefixes);
    rex |= encoded.rex & 7;
    encoded.bytes[0]! |= regField(form, reg, random) << 3;
    if (reg !== undefined && random.oneIn(2)) rex |= 4;
    tail.push(...encoded.bytes);
  }
  for (const operand of form.operands) tail.push(...immediateBytes(operand, size, random));
  const hasRex = rex !== 0 || random.oneIn(8);
  const bytes = [...prefixes, ...(hasRex ? [0x40 | rex] : []), ...ESCAPES[form.map]!, opcode, ...tail];
  return { bytes: Uint8Array.from(bytes), undefinedFlags: undefinedFlagsOf(form) };
}

function prefixesOf({ form, size, prefix }: Variant, random: Random): number[] {
  const prefixes: number[] = [];
  if (form.prefix === '66' || (size === 16 && form.hasOperandSize)) prefixes.push(OPERAND_SIZE);
  if (form.prefix === 'f3' || form.prefix === 'f2') prefixes.push(REPEAT[form.prefix]);
  if (prefix === 'lock') prefixes.push(LOCK);
  else if (prefix !== 'none') prefixes.push(REPEAT[prefix]);
  if (random.oneIn(24)) prefixes.unshift(random.pick(IDLE_PREFIXES));
  return prefixes;
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
function immediateBytes(spec: OperandSpec, size: Size, random: Random): number[] {
  switch (spec.source) {
    case 'immediate':
      return randomBytes(bytesOf(spec.encodedBits ?? spec.bits, size), random);
    case 'relative':
      return littleEndian(random.below(12), bytesOf(spec.bits, size));
    case 'offset':
      return littleEndian(0x50_0000 + random.below(0x2000), 8);
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
