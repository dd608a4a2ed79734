/**
 * Instructions that there are and that are not defined here, by their opcodes: SDM vol. 2D appendix A, APM vol. 3 appendix A. A
 * processor whose CPUID does not have the feature raises #UD, and all that is wanted is the name; where it has, the simulator
 * cannot go on.
 */

import { DecodeTable } from './decode-table.ts';
import { Decoder } from './decoder.ts';
import { INSTRUCTIONS } from './instructions.ts';

export interface MissingInstruction {
  readonly name: string;
  /** CPUID feature, by its name in /proc/cpuinfo. */
  readonly feature: string;
}

interface Row extends MissingInstruction {
  /** What the opcode begins with, its escape bytes included. */
  readonly opcode: readonly number[];
  /** ModRM.reg; of instructions that ModRM as a whole selects, the byte is a part of the opcode. */
  readonly reg?: number;
  /** The mandatory prefix: 66, F3 or F2; without it, any. */
  readonly prefix?: number;
}

const row = (opcode: readonly number[], name: string, feature: string, more: Partial<Row> = {}): Row => ({
  opcode,
  name,
  feature,
  ...more,
});

const REPNE = 0xf2;
const REP = 0xf3;
const OPERAND_SIZE = 0x66;

/** The first that matches holds. */
const ROWS: readonly Row[] = [
  row([0x0f, 0x01, 0xc0], 'ENCLV', 'sgx'),
  row([0x0f, 0x01, 0xc1], 'VMCALL', 'vmx'),
  row([0x0f, 0x01, 0xc5], 'PCONFIG', 'pconfig'),
  row([0x0f, 0x01, 0xc8], 'MONITOR', 'monitor'),
  row([0x0f, 0x01, 0xc9], 'MWAIT', 'monitor'),
  row([0x0f, 0x01, 0xca], 'CLAC', 'smap'),
  row([0x0f, 0x01, 0xcb], 'STAC', 'smap'),
  row([0x0f, 0x01, 0xcf], 'ENCLS', 'sgx'),
  row([0x0f, 0x01, 0xd4], 'VMFUNC', 'vmx'),
  row([0x0f, 0x01, 0xd5], 'XEND', 'rtm'),
  row([0x0f, 0x01, 0xd6], 'XTEST', 'rtm'),
  row([0x0f, 0x01, 0xd7], 'ENCLU', 'sgx'),
  row([0x0f, 0x01, 0xd8], 'VMRUN', 'svm'),
  row([0x0f, 0x01, 0xd9], 'VMMCALL', 'svm'),
  row([0x0f, 0x01, 0xe8], 'SERIALIZE', 'serialize'),
  row([0x0f, 0x01, 0xee], 'RDPKRU', 'pku'),
  row([0x0f, 0x01, 0xef], 'WRPKRU', 'pku'),
  row([0x0f, 0x01, 0xfa], 'MONITORX', 'mwaitx'),
  row([0x0f, 0x01, 0xfb], 'MWAITX', 'mwaitx'),
  row([0x0f, 0x01, 0xfc], 'CLZERO', 'clzero'),
  row([0x0f, 0x01, 0xfd], 'RDPRU', 'rdpru'),
  row([0x0f, 0x0e], 'FEMMS', '3dnow'),
  row([0x0f, 0x0f], 'an instruction of 3DNow!', '3dnow'),
  row([0x0f, 0x2b], 'MOVNTSS', 'sse4a', { prefix: REP }),
  row([0x0f, 0x2b], 'MOVNTSD', 'sse4a', { prefix: REPNE }),
  row([0x0f, 0x34], 'SYSENTER', 'sep'),
  row([0x0f, 0x35], 'SYSEXIT', 'sep'),
  row([0x0f, 0x37], 'GETSEC', 'smx'),
  row([0x0f, 0x38, 0x80], 'INVEPT', 'vmx', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x38, 0x81], 'INVVPID', 'vmx', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x38, 0xcf], 'GF2P8MULB', 'gfni', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x38, 0xf5], 'WRUSS', 'user_shstk', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x38, 0xf6], 'WRSS', 'user_shstk'),
  row([0x0f, 0x38, 0xf8], 'MOVDIR64B', 'movdir64b', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x38, 0xf8], 'ENQCMD', 'enqcmd'),
  row([0x0f, 0x38, 0xf9], 'MOVDIRI', 'movdiri'),
  row([0x0f, 0x3a, 0xce], 'GF2P8AFFINEQB', 'gfni', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x3a, 0xcf], 'GF2P8AFFINEINVQB', 'gfni', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x78], 'EXTRQ', 'sse4a', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x78], 'INSERTQ', 'sse4a', { prefix: REPNE }),
  row([0x0f, 0x78], 'VMREAD', 'vmx'),
  row([0x0f, 0x79], 'EXTRQ', 'sse4a', { prefix: OPERAND_SIZE }),
  row([0x0f, 0x79], 'INSERTQ', 'sse4a', { prefix: REPNE }),
  row([0x0f, 0x79], 'VMWRITE', 'vmx'),
  row([0x0f, 0xae], 'PTWRITE', 'intel_pt', { prefix: REP, reg: 4 }),
  row([0x0f, 0xae], 'INCSSP', 'user_shstk', { prefix: REP, reg: 5 }),
  row([0x0f, 0xae], 'UMONITOR', 'waitpkg', { prefix: REP, reg: 6 }),
  row([0x0f, 0xae], 'UMWAIT', 'waitpkg', { prefix: REPNE, reg: 6 }),
  row([0x0f, 0xae], 'TPAUSE', 'waitpkg', { prefix: OPERAND_SIZE, reg: 6 }),
  row([0xc6, 0xf8], 'XABORT', 'rtm'),
  row([0xc7, 0xf8], 'XBEGIN', 'rtm'),
  row([0x62], 'an instruction with EVEX', 'avx512f'),
  row([0x8f], 'an instruction with XOP', 'xop'),
];

/** Legacy prefixes and REX: those in front of an opcode. */
export const isPrefix = (byte: number): boolean => LEGACY_PREFIXES.has(byte) || (byte & 0xf0) === 0x40;
const LEGACY_PREFIXES: ReadonlySet<number> = new Set([
  0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
]);

/** An instruction of 64-bit mode, its prefixes apart. */
export interface SplitCode {
  /** Those in front, REX included. */
  readonly prefixes: readonly number[];
  /** What follows, from the first byte of the opcode on; empty where there is none. */
  readonly opcode: Uint8Array;
}

export function splitPrefixes(code: Uint8Array): SplitCode {
  const start = code.findIndex((byte) => !isPrefix(byte));
  const end = start < 0 ? code.length : start;
  return { prefixes: [...code.subarray(0, end)], opcode: code.subarray(end) };
}

/** The missing instruction that these bytes of 64-bit mode, which the decoder does not know, stand for, if any. */
export function missingInstruction(code: Uint8Array): MissingInstruction | undefined {
  const { prefixes, opcode } = splitPrefixes(code);
  if (opcode[0] === 0xc4 || opcode[0] === 0xc5) return withVex(opcode);
  return ROWS.find(({ opcode: begin, reg, prefix }) => {
    const modrm = opcode[begin.length] ?? 0;
    return (
      begin.every((byte, i) => opcode[i] === byte) &&
      (prefix === undefined || prefixes.includes(prefix)) &&
      (reg === undefined || reg === ((modrm >>> 3) & 7)) &&
      // POP, in which ModRM.reg is 0.
      (begin[0] !== 0x8f || (modrm & 0x1f) >= 8)
    );
  });
}

/** The mandatory prefix that VEX.pp stands for, and the escape bytes that VEX.mmmmm does. SDM vol. 2A §2.3.6. */
const VEX_PREFIXES: readonly (readonly number[])[] = [[], [0x66], [0xf3], [0xf2]];
const VEX_ESCAPES: readonly (readonly number[] | undefined)[] = [
  undefined,
  [0x0f],
  [0x0f, 0x38],
  [0x0f, 0x3a],
];

/** Most of AVX is what SSE has, by the same opcode: the name with V. */
function withVex(code: Uint8Array): MissingInstruction {
  const isShort = code[0] === 0xc5;
  const escapeBytes = VEX_ESCAPES[isShort ? 1 : code[1]! & 0x1f] ?? [];
  const last = code[isShort ? 1 : 2] ?? 0;
  const legacy = [...VEX_PREFIXES[last & 3]!, ...escapeBytes, ...code.subarray(isShort ? 2 : 3)];
  const decoded = new Decoder(new DecodeTable(INSTRUCTIONS, ALL_FEATURES)).decode(
    Uint8Array.from(legacy),
    0,
    legacy.length,
    true,
  );
  if (typeof decoded === 'string') return WITH_VEX;
  const { operands, instruction } = decoded.form;
  const isVector = operands.some(({ file }) => file === 'xmm') || instruction.unit === 'sse';
  return isVector ? { name: `V${instruction.mnemonic}`, feature: 'avx' } : WITH_VEX;
}

const WITH_VEX: MissingInstruction = { name: 'an instruction with VEX', feature: 'avx' };
const ALL_FEATURES: ReadonlySet<string> = new Set(
  INSTRUCTIONS.flatMap(({ feature, forms }) =>
    [feature ?? [], ...forms.map((form) => form.formFeature ?? [])].flat(),
  ),
);
