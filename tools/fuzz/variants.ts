// The ways to encode each form of each instruction in 64-bit mode: form, operand size, memory or register, and one legal prefix.
// They are what random cases are made of, and what the coverage report counts.

import type { Form } from '../../src/arch/x86/isa/encoding.ts';
import { INSTRUCTIONS } from '../../src/arch/x86/isa/instructions.ts';
import type { OperandSource } from '../../src/arch/x86/isa/operands.ts';
import { excludedFromFuzzing, hasSegmentRegister } from './excluded.ts';

export type Size = 16 | 32 | 64;

export interface Variant {
  readonly form: Form;
  readonly size: Size;
  readonly place: 'memory' | 'register' | 'none';
  /** LOCK, REP or REPNE, address size, segment. The operand size and mandatory prefixes belong to size and form. */
  readonly prefix: 'none' | 'lock' | 'f3' | 'f2' | '67' | 'fs' | 'gs';
}

/** Operands in memory that no ModRM byte names. */
const IMPLIED_MEMORY: ReadonlySet<OperandSource> = new Set([
  'offset',
  'stringSource',
  'stringDestination',
  'xlat',
  'maskStore',
]);

/** What is fuzzed unless somebody asks for something else. */
export function allVariants(): Variant[] {
  return INSTRUCTIONS.filter((instruction) => excludedFromFuzzing(instruction) === undefined)
    .flatMap(({ forms }) => forms)
    .filter((form) => form.in64 && !hasSegmentRegister(form))
    .flatMap((form) => variantsOf(form));
}

/** All variants of a form that are legal in 64-bit mode. */
export function variantsOf(form: Form): Variant[] {
  const { modrmKind, operands } = form;
  const hasRm = operands.some(({ source }) => source === 'rm') || modrmKind !== undefined;
  const places = !hasRm
    ? (['none'] as const)
    : modrmKind === undefined
      ? (['memory', 'register'] as const)
      : [modrmKind];
  return sizesOf(form).flatMap((size) =>
    places.flatMap((place) => prefixesOf(form, place).map((prefix) => ({ form, size, place, prefix }))),
  );
}

/** `ADD 01 Ev,Gv memory 32 lock`, separated by tabs: names a variant. */
export function variantName({ form, size, place, prefix }: Variant): string {
  const operands = form.operands.map(({ name }) => name).join(',');
  return `${form.instruction.mnemonic}\t${form}\t${operands}\t${place}\t${form.hasOperandSize ? size : '-'}\t${prefix}`;
}

function prefixesOf({ instruction, operands }: Form, place: Variant['place']): Variant['prefix'][] {
  const locks = instruction.lock === true && place === 'memory' && operands[0]?.source === 'rm';
  const accesses = place === 'memory' || operands.some(({ source }) => IMPLIED_MEMORY.has(source));
  return [
    'none',
    ...(locks ? (['lock'] as const) : []),
    ...(instruction.repeat !== undefined ? (['f3', 'f2'] as const) : []),
    ...(accesses ? (['67', 'fs', 'gs'] as const) : []),
  ];
}

function sizesOf(form: Form): Size[] {
  if (form.rexW === 1) return [64];
  if (!form.hasOperandSize) return [32];
  const has66 = form.vexL === undefined && form.prefix !== '66' && (form.prefix !== 'np' || form.sizedBy66);
  if (form.defaultSize === 64) return has66 ? [16, 64] : [64];
  if (form.rexW === 0) return has66 ? [16, 32] : [32];
  return has66 ? [16, 32, 64] : [32, 64];
}
