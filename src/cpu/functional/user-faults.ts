/** Exceptions of user code as text, above all of instructions that the functional CPU does not know. */

import { describeVector, Vector } from '../../arch/x86/exceptions.ts';
import { DecodeTable } from '../../arch/x86/isa/decode-table.ts';
import { Decoder } from '../../arch/x86/isa/decoder.ts';
import { INSTRUCTIONS } from '../../arch/x86/isa/instructions.ts';
import { missingInstruction, splitPrefixes } from '../../arch/x86/isa/missing.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { UserException } from '../user-mode-os.ts';
import { FeatureSet, implementedFeatures } from './features.ts';

/** UD0, UD1 and UD2 are undefined for good: SDM vol. 2B "UD". Second byte, behind 0F. */
const UNDEFINED_FOR_GOOD: readonly number[] = [0xff, 0xb9, 0x0b];
const LOCK = 0xf0;

/** A trace line. `code`: the bytes of the instruction, of #UD. */
export function exceptionText(
  { vector, errorCode, address }: UserException,
  rip: bigint,
  code: Uint8Array | undefined,
): string {
  const at = `at 0x${rip.toString(16)}`;
  if (code !== undefined) return `#UD ${at}: ${hexOf(code)}`;
  const on = vector === Vector.PF ? ` on 0x${address.toString(16)}` : '';
  return `${describeVector(vector)} ${at}${on}, error code ${errorCode}`;
}

/** What is to be made of an instruction that raised #UD. */
export interface UndefinedInstruction {
  /** The processor has it by its CPUID, but the simulator does not: it cannot go on. */
  readonly isMissing: boolean;
  /** What is to be said of it. */
  readonly note: string;
}

/** Looks at the bytes of an instruction that raised #UD; undefined: it is there for that. */
export function undefinedInstruction(
  code: Uint8Array,
  { rip, in64BitMode }: Pick<X86ThreadContext, 'rip' | 'in64BitMode'>,
  features: FeatureSet,
): UndefinedInstruction | undefined {
  if (code[0] === 0x0f && UNDEFINED_FOR_GOOD.includes(code[1] ?? -1)) return undefined;
  const what = `the instruction at 0x${rip.toString(16)}: ${hexOf(code)}`;
  const known = decodedWithAll(code, in64BitMode);
  if (known === undefined) return notDefined(code, what, features);
  const { name, feature } = known;
  const isHere = feature === undefined || features.forDecoder.has(feature);
  return {
    isMissing: false,
    note: `${name} ${isHere ? 'raised #UD' : `needs the feature ${feature}`}: ${what}`,
  };
}

function notDefined(code: Uint8Array, what: string, features: FeatureSet): UndefinedInstruction {
  const missing = missingInstruction(code);
  if (missing === undefined) return { isMissing: false, note: `does not know ${what}` };
  const { name, feature } = missing;
  const isHere = features.forDecoder.has(feature);
  if (!isHere) return { isMissing: false, note: `${name} needs the feature ${feature}: ${what}` };
  // With LOCK it is #UD in any case.
  const isMissing = !splitPrefixes(code).prefixes.includes(LOCK);
  return { isMissing, note: `${name} ${isMissing ? 'is not implemented' : 'raised #UD'}: ${what}` };
}

/** The instruction on a processor that has all that is implemented. */
function decodedWithAll(
  code: Uint8Array,
  is64: boolean,
): { name: string; feature: string | undefined } | undefined {
  const all = new FeatureSet(implementedFeatures(INSTRUCTIONS));
  const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, all.forDecoder));
  const decoded = decoder.decode(code, 0, code.length, is64);
  if (typeof decoded === 'string') return undefined;
  const { instruction, formFeature } = decoded.form;
  return { name: instruction.mnemonic, feature: formFeature ?? instruction.feature };
}

function hexOf(code: Uint8Array): string {
  return Array.from(code, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
