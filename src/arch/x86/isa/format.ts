/** A decoded instruction as text, in Intel's syntax as GNU's disassembler writes it: `add DWORD PTR [rax+rcx*4+0x8],edx`. */

import { GPR_NAMES, SEGMENT_NAMES, Seg } from '../registers.ts';
import {
  BASE_RIP,
  type Bits,
  type Decoded,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from './decoded.ts';
import { Menv, Mstate, type OperandSpec } from './operands.ts';

const SIZES: Readonly<Record<Bits, string>> = {
  0: '',
  8: 'BYTE PTR ',
  16: 'WORD PTR ',
  32: 'DWORD PTR ',
  48: 'FWORD PTR ',
  64: 'QWORD PTR ',
  80: 'TBYTE PTR ',
  128: 'XMMWORD PTR ',
};
const LEGACY_REGISTERS = 8;
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'] as const;
const REPEATS = { none: '', f3: 'rep ', f2: 'repnz ' } as const;

/**
 * @param rip address of the instruction: branch targets and RIP-relative addresses are told as addresses
 */
export function formatInstruction(decoded: Decoded, rip: number): string {
  const { form, operands, isLocked, repeat } = decoded;
  const { instruction } = form;
  const prefix =
    (isLocked ? 'lock ' : '') + (instruction.repeat === undefined ? '' : repeatName(decoded, repeat));
  const next = rip + decoded.lengthBytes;
  const shown = operands
    .filter((_, i) => form.operands[i]!.source !== 'opcodeAndModrm')
    .map((operand) => formatOperand(decoded, operand, next))
    .join(',');
  return `${prefix}${instruction.mnemonic.toLowerCase()}${shown === '' ? '' : ' '}${shown}`;
}

function repeatName({ form }: Decoded, repeat: Decoded['repeat']): string {
  return repeat === 'f3' && form.instruction.repeat === 'repe' ? 'repz ' : REPEATS[repeat];
}

function formatOperand(decoded: Decoded, operand: Operand, next: number): string {
  const { kind, index, bits, value } = operand;
  switch (kind) {
    case OperandKind.gpr:
      return registerName(index, bits);
    case OperandKind.gprHigh:
      return HIGH_BYTES[index]!;
    case OperandKind.memory:
      return `${sizeName(decoded, operand)}${formatAddress(decoded, operand.memory!, next)}`;
    case OperandKind.immediate:
      return unsignedHex(value, bits);
    case OperandKind.xmm:
      return `xmm${index}`;
    case OperandKind.mmx:
      return `mm${index}`;
    case OperandKind.segment:
      return SEGMENT_NAMES[index]!;
    case OperandKind.st:
      return specOf(decoded, operand).source === 'fixed' ? 'st' : `st(${index})`;
    case OperandKind.relative:
      return `0x${BigInt.asUintN(decoded.operandBits, BigInt(next) + BigInt(value)).toString(16)}`;
    default:
      return `0x${operand.selector.toString(16)}:${unsignedHex(value, bits)}`;
  }
}

/** Images of the x87 state have a layout rather than a size. */
function sizeName(decoded: Decoded, operand: Operand): string {
  const spec = specOf(decoded, operand);
  return spec === Menv || spec === Mstate ? '' : SIZES[operand.bits];
}

function specOf({ form, operands }: Decoded, operand: Operand): OperandSpec {
  return form.operands[operands.indexOf(operand)]!;
}

/** A general register by number and bits: `eax`, `r8d`, `sil`. */
export function registerName(index: number, bits: Bits): string {
  const name = GPR_NAMES[index]!;
  if (bits === 64) return name;
  if (index >= LEGACY_REGISTERS) return `${name}${{ 32: 'd', 16: 'w', 8: 'b' }[bits as 32]}`;
  const short = name.slice(1);
  if (bits === 32) return `e${short}`;
  if (bits === 16) return short;
  return short.endsWith('x') ? `${short[0]}l` : `${short}l`;
}

function formatAddress(decoded: Decoded, memory: MemoryOperand, next: number): string {
  const { base, index, scale, displacement, segment } = memory;
  const { addressBits, is64 } = decoded;
  const override =
    segment >= Seg.FS || (!is64 && segment !== defaultSegment(memory)) ? `${SEGMENT_NAMES[segment]}:` : '';
  if (base === BASE_RIP) {
    const target = BigInt.asUintN(64, BigInt(next) + BigInt(displacement));
    return `${override}[rip+${unsignedHex(displacement, 64)}]        # 0x${target.toString(16)}`;
  }
  const parts: string[] = [];
  if (base !== NO_REGISTER) parts.push(registerName(base, addressBits));
  if (index !== NO_REGISTER) parts.push(`${registerName(index, addressBits)}*${1 << scale}`);
  if (parts.length === 0)
    return `${override === '' ? 'ds:' : override}${unsignedHex(displacement, addressBits)}`;
  const offset = Number(displacement);
  const sign = offset < 0 ? '-' : '+';
  const shown = offset === 0 ? '' : `${sign}0x${Math.abs(offset).toString(16)}`;
  return `${override}[${parts.join('+')}${shown}]`;
}

function defaultSegment({ base }: MemoryOperand): number {
  return base === 4 || base === 5 ? Seg.SS : Seg.DS;
}

function unsignedHex(value: number | bigint, bits: Bits): string {
  return `0x${BigInt.asUintN(bits, BigInt(value)).toString(16)}`;
}
