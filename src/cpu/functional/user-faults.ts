/** Exceptions of user code as text, above all of instructions that the functional CPU does not know. */

import { describeVector, Vector } from '../../arch/x86/exceptions.ts';
import { DecodeTable } from '../../arch/x86/isa/decode-table.ts';
import { Decoder } from '../../arch/x86/isa/decoder.ts';
import { INSTRUCTIONS } from '../../arch/x86/isa/instructions.ts';
import type { UserException } from '../user-mode-os.ts';
import { FeatureSet, implementedFeatures } from './features.ts';

/** UD0, UD1 and UD2 are undefined for good: SDM vol. 2B "UD". Second byte, behind 0F. */
const UNDEFINED_FOR_GOOD: readonly number[] = [0xff, 0xb9, 0x0b];

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

/** What is to be said of an instruction that cannot be decoded; undefined of those that are there for that. */
export function undefinedNote(code: Uint8Array, rip: bigint, features: FeatureSet): string | undefined {
  if (code[0] === 0x0f && UNDEFINED_FOR_GOOD.includes(code[1] ?? -1)) return undefined;
  const known = decodedWithAll(code);
  const what = `the instruction at 0x${rip.toString(16)}: ${hexOf(code)}`;
  if (known === undefined) return `does not know ${what}`;
  const { mnemonic, feature } = known;
  const why =
    feature === undefined || features.forDecoder.has(feature) ? 'raised #UD' : `needs the feature ${feature}`;
  return `${mnemonic} ${why}: ${what}`;
}

/** The instruction on a processor that has all that is implemented. */
function decodedWithAll(code: Uint8Array): { mnemonic: string; feature: string | undefined } | undefined {
  const all = new FeatureSet(implementedFeatures(INSTRUCTIONS));
  const decoded = new Decoder(new DecodeTable(INSTRUCTIONS, all.forDecoder)).decode(
    code,
    0,
    code.length,
    true,
  );
  if (typeof decoded === 'string') return undefined;
  const { instruction, formFeature } = decoded.form;
  return { mnemonic: instruction.mnemonic, feature: formFeature ?? instruction.feature };
}

function hexOf(code: Uint8Array): string {
  return Array.from(code, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
