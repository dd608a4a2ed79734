// The decoder: which instruction bytes are, with which operands, and where they are none. Expected values are those of the
// manual's opcode tables (SDM vol. 2D, appendix A) and of its chapter on formats (vol. 2A, chapter 2).

import { deepEqual, equal } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import {
  BASE_RIP,
  type Decoded,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  OperandKind,
} from '../../../src/arch/x86/isa/decoded.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { INTEGER } from '../../../src/arch/x86/isa/integer/index.ts';
import { GPR_NAMES, SEGMENT_NAMES } from '../../../src/arch/x86/registers.ts';

const EVERYTHING = new Set(
  INTEGER.flatMap(({ feature, forms }) => [feature, ...forms.map((f) => f.formFeature)]),
);
const FEATURES = new Set([...EVERYTHING].filter((name) => name !== undefined));

function decode(
  text: string,
  is64 = true,
  features: ReadonlySet<string> = FEATURES,
): ReturnType<Decoder['decode']> {
  const bytes = Uint8Array.from(text.split(' '), (byte) => Number.parseInt(byte, 16));
  return new Decoder(new DecodeTable(INTEGER, features)).decode(bytes, 0, bytes.length, is64);
}

/** "ADD rax:32, [rbx + rcx*4 + 10]:32 fs" and the like; registers by their full names with the bits that count. */
function textOf(decoded: ReturnType<Decoder['decode']>): string {
  if (typeof decoded === 'string') return decoded;
  const operands = decoded.operands.map((operand) => operandText(decoded, operand));
  return `${decoded.form.instruction.mnemonic} ${operands.join(', ')}`.trim();
}

function operandText({ is64 }: Decoded, { kind, bits, index, value, selector, memory }: Operand): string {
  switch (kind) {
    case OperandKind.gpr:
      return `${GPR_NAMES[index]}:${bits}`;
    case OperandKind.gprHigh:
      return `${['ah', 'ch', 'dh', 'bh'][index]}`;
    case OperandKind.segment:
      return SEGMENT_NAMES[index]!;
    case OperandKind.memory:
      return `${memoryText(memory!, is64)}:${bits}`;
    case OperandKind.farPointer:
      return `${selector.toString(16)}:${value.toString(16)}`;
    case OperandKind.relative:
      return `+${value.toString(16)}`;
    default:
      return `${value.toString(16)}`;
  }
}

function memoryText({ base, index, scale, displacement, segment }: MemoryOperand, is64: boolean): string {
  const parts: string[] = [];
  if (base === BASE_RIP) parts.push('rip');
  else if (base !== NO_REGISTER) parts.push(GPR_NAMES[base]!);
  if (index !== NO_REGISTER) parts.push(`${GPR_NAMES[index]}*${1 << scale}`);
  if (displacement !== 0 || parts.length === 0) parts.push(displacement.toString(16));
  const isShown = is64 ? segment >= 4 : segment !== 3;
  return `${isShown ? `${SEGMENT_NAMES[segment]}:` : ''}[${parts.join(' + ')}]`;
}

function expectAll(is64: boolean, table: string): void {
  for (const line of table.trim().split('\n')) {
    const [bytes, text] = line.split('|').map((part) => part.trim());
    equal(textOf(decode(bytes!, is64)), text, bytes);
  }
}

describe('decoder', () => {
  test('operands and sizes of 64-bit mode', () => {
    expectAll(
      true,
      `
      01 d8                         | ADD rax:32, rbx:32
      48 01 d8                      | ADD rax:64, rbx:64
      66 01 d8                      | ADD rax:16, rbx:16
      00 e0                         | ADD rax:8, ah
      40 00 e0                      | ADD rax:8, rsp:8
      4d 01 c8                      | ADD r8:64, r9:64
      83 c0 ff                      | ADD rax:32, -1
      48 81 c0 00 00 00 80          | ADD rax:64, -80000000
      48 b8 ef cd ab 89 67 45 23 01 | MOV rax:64, 123456789abcdef
      8a 00                         | MOV rax:8, [rax]:8
      8b 04 8b                      | MOV rax:32, [rbx + rcx*4]:32
      43 8b 44 a5 10                | MOV rax:32, [r13 + r12*4 + 10]:32
      8b 04 24                      | MOV rax:32, [rsp]:32
      8b 04 25 00 00 00 80          | MOV rax:32, [-80000000]:32
      8b 05 10 00 00 00             | MOV rax:32, [rip + 10]:32
      8b 04 2d 00 00 00 00          | MOV rax:32, [rbp*1]:32
      8b 45 f0                      | MOV rax:32, [rbp + -10]:32
      64 8b 00                      | MOV rax:32, fs:[rax]:32
      2e 36 8b 00                   | MOV rax:32, [rax]:32
      2e 65 8b 00                   | MOV rax:32, gs:[rax]:32
      a1 ff ff ff ff ff ff ff 7f    | MOV rax:32, [7fffffffffffffff]:32
      67 a1 00 00 00 80             | MOV rax:32, [-80000000]:32
      50                            | PUSH rax:64
      66 50                         | PUSH rax:16
      6a ff                         | PUSH -1
      41 57                         | PUSH r15:64
      8f 44 24 10                   | POP [rsp + 18]:64
      66 8f 04 24                   | POP [rsp + 2]:16
      ff 10                         | CALL [rax]:64
      e8 f0 ff ff ff                | CALL +-10
      66 e8 f0 ff                   | CALL +-10
      66 48 e8 f0 ff ff ff          | CALL +-10
      66 ff 10                      | CALL [rax]:16
      66 70 10                      | JO +10
      0f b6 c4                      | MOVZX rax:32, ah
      48 63 c8                      | MOVSXD rcx:64, rax:32
      f3 a4                         | MOVS [rdi]:8, [rsi]:8
      48 a5                         | MOVS [rdi]:64, [rsi]:64
      64 ad                         | LODS rax:32, fs:[rsi]:32
      8c d8                         | MOV rax:32, ds
      8e e8                         | MOV gs, rax:16
      c8 10 00 02                   | ENTER 10, 2
      f2 48 0f 38 f1 c8             | CRC32 rcx:64, rax:64
      66 f2 0f 38 f1 c8             | CRC32 rcx:32, rax:16
      f2 0f 38 f0 c8                | CRC32 rcx:32, rax:8
      48 0f c7 0f                   | CMPXCHG16B [rdi]:128
      0f c7 0f                      | CMPXCHG8B [rdi]:64
    `,
    );
  });

  test('opcodes that a prefix changes', () => {
    expectAll(
      true,
      `
      90             | NOP
      48 90          | NOP
      41 90          | XCHG r8:32, rax:32
      f3 90          | PAUSE
      f3 41 90       | XCHG r8:32, rax:32
      0f bc c1       | BSF rax:32, rcx:32
      f3 0f bc c1    | TZCNT rax:32, rcx:32
      66 f3 0f bc c1 | TZCNT rax:16, rcx:16
      f2 0f bc c1    | BSF rax:32, rcx:32
      f3 0f b8 c1    | POPCNT rax:32, rcx:32
      0f b8 c1       | undefined
      0f 38 f0 00    | MOVBE rax:32, [rax]:32
      f2 0f 38 f0 c0 | CRC32 rax:32, rax:8
      f3 0f 1e fa    | ENDBR64
      0f 1e fa       | NOP rdx:32
      0f ae f0       | MFENCE
      66 0f ae 38    | CLFLUSH [rax]:8
      0f 01 f9       | RDTSCP
      0f 01 38       | INVLPG [rax]:0
    `,
    );
  });

  test('VEX: registers, sizes, and what must not be there', () => {
    expectAll(
      true,
      `
      c4 e2 68 f2 c3       | ANDN rax:32, rdx:32, rbx:32
      c4 e2 e8 f2 c3       | ANDN rax:64, rdx:64, rbx:64
      c4 42 30 f2 c3       | ANDN r8:32, r9:32, r11:32
      c4 a2 68 f2 04 08    | ANDN rax:32, rdx:32, [rax + r9*1]:32
      c4 e2 68 f3 cb       | BLSR rdx:32, rbx:32
      c4 e3 fb f0 c3 05    | RORX rax:64, rbx:64, 5
      c4 e2 6b f6 c3       | MULX rax:32, rdx:32, rbx:32
      c4 e3 eb f0 c3 05    | undefined
      c4 e2 6c f2 c3       | undefined
      66 c4 e2 68 f2 c3    | undefined
      48 c4 e2 68 f2 c3    | undefined
      c4 e4 68 f2 c3       | undefined
      c5 e8 f2 c3          | undefined
    `,
    );
  });

  test('compatibility mode', () => {
    expectAll(
      false,
      `
      48                | DEC rax:32
      66 40             | INC rax:16
      8b 05 10 00 00 00 | MOV rax:32, [10]:32
      67 8b 00          | MOV rax:32, [rbx + rsi*1]:32
      67 8b 46 10       | MOV rax:32, ss:[rbp + 10]:32
      67 8b 06 34 12    | MOV rax:32, [1234]:32
      26 8b 00          | MOV rax:32, es:[rax]:32
      50                | PUSH rax:32
      c5 00             | LDS rax:32, [rax]:32, ds
      c4 e2 68 f2 c3    | ANDN rax:32, rdx:32, rbx:32
      c4 e2 e8 f2 c3    | ANDN rax:32, rdx:32, rbx:32
      63 d8             | ARPL rax:16, rbx:16
      37                | AAA rax:16
      26 a5             | MOVS es:[rdi]:32, es:[rsi]:32
    `,
    );
  });

  test('REX counts only directly in front of the opcode', () => {
    expectAll(
      true,
      '48 66 01 d8 | ADD rax:16, rbx:16\n66 48 01 d8 | ADD rax:64, rbx:64\n48 40 01 d8 | ADD rax:32, rbx:32',
    );
  });

  test('LOCK needs an instruction that knows it, and memory as its destination', () => {
    expectAll(
      true,
      `
      f0 01 00    | ADD [rax]:32, rax:32
      f0 01 c0    | undefined
      f0 03 00    | undefined
      f0 39 00    | undefined
      f0 0f a3 00 | undefined
      f0 0f ab 00 | BTS [rax]:32, rax:32
      f0 8b 00    | undefined
      f0 87 00    | XCHG [rax]:32, rax:32
    `,
    );
  });

  test('what 64-bit mode does not have', () => {
    for (const byte of [
      '06',
      '0e',
      '16',
      '1e',
      '07',
      '17',
      '1f',
      '27',
      '2f',
      '37',
      '3f',
      '60',
      '61',
      '62',
      '82',
      'ce',
      'd4',
      'd5',
      'd6',
    ])
      equal(textOf(decode(`${byte} 00 00`)), 'undefined', byte);
  });

  test('an instruction may have 15 bytes', () => {
    const padded = (prefixes: number) => `${'66 '.repeat(prefixes)}90`;
    deepEqual(
      [padded(14), padded(15), '66 '.repeat(15).trim()].map((text) => textOf(decode(text))),
      ['NOP', 'tooLong', 'tooLong'],
    );
    equal((decode(padded(14)) as Decoded).lengthBytes, 15);
  });

  test('bytes that end too early are incomplete, whatever is missing', () => {
    for (const text of [
      '66',
      '48',
      '0f',
      '0f 38',
      '01',
      '8b 04',
      '8b 05 00 00',
      'b8 00 00 00',
      'c4',
      'c4 e2 68',
      'e8 00',
    ])
      equal(textOf(decode(text)), 'incomplete', text);
  });

  test('without its feature an encoding is what it was before', () => {
    equal(textOf(decode('f3 0f bc c1', true, new Set())), 'BSF rax:32, rcx:32');
    equal(textOf(decode('f3 0f b8 c1', true, new Set())), 'undefined');
    equal(textOf(decode('c4 e2 68 f2 c3', true, new Set())), 'undefined');
  });
});
