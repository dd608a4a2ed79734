// Every encoding row of MMX and SSE for integers and data movement: what the decoder makes of its bytes is the row, and what
// objdump calls them, with which operands, is what the row says.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { type Decoded, type Operand, OperandKind } from '../../../src/arch/x86/isa/decoded.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { SIMD } from '../../../src/arch/x86/isa/simd/index.ts';
import { encodeForm } from '../../support/encode-form.ts';
import { hasWide, placesOf } from './cases.ts';

/** Every row with registers and memory, low and high register numbers, with and without REX.W. */
function samples(): { readonly form: Form; readonly bytes: Uint8Array }[] {
  return SIMD.flatMap(({ forms }) => forms).flatMap((form) =>
    placesOf(form).flatMap((place) =>
      [false, true].flatMap((rexW) =>
        rexW && !hasWide(form)
          ? []
          : [1, 10].map((reg) => {
              const rm = place === 'register' ? reg + 2 : { displacement: 0x1234 };
              // Some immediates of PCLMULQDQ have names of their own.
              return { form, bytes: encodeForm(form, { reg, rm, immediate: 5, rexW }) };
            }),
      ),
    ),
  );
}

/** Instructions as objdump prints them, in Intel's syntax. */
function disassembled(code: Uint8Array): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'encodings-'));
  const file = join(directory, 'code');
  writeFileSync(file, code);
  const { stdout } = spawnSync(
    'objdump',
    ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '--insn-width=15', file],
    { encoding: 'utf8' },
  );
  rmSync(directory, { recursive: true });
  return [...stdout.matchAll(/^ *[0-9a-f]+:\t[^\t]*\t(.*)$/gm)].map(([, text]) => normalized(text!));
}

function normalized(text: string): string {
  const oneSpace = text.replace(/#.*$/, '').replace(/\s+/, ' ').trim();
  // The only one of whose memory operand it does not say the size.
  return oneSpace.replace(/^(lddqu .*,)\[/, '$1XMMWORD PTR [');
}

const GPR = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const SIZES: Readonly<Record<number, string>> = {
  0: '',
  8: 'BYTE PTR ',
  16: 'WORD PTR ',
  32: 'DWORD PTR ',
  64: 'QWORD PTR ',
  128: 'XMMWORD PTR ',
};

function gprName(index: number, bits: number): string {
  if (index >= 8) return `r${index}${bits === 64 ? '' : 'd'}`;
  return `${bits === 64 ? 'r' : 'e'}${GPR[index]}`;
}

function operandText({ kind, bits, index, value, memory }: Operand): string {
  switch (kind) {
    case OperandKind.xmm:
      return `xmm${index}`;
    case OperandKind.mmx:
      return `mm${index}`;
    case OperandKind.gpr:
      return gprName(index, bits);
    case OperandKind.immediate:
      return `0x${value.toString(16)}`;
    default:
      return `${SIZES[bits]}[rsi+0x${memory!.displacement.toString(16)}]`;
  }
}

/** With 64 bits, these have names of their own. */
const WIDE_NAMES: Readonly<Record<string, string>> = { MOVD: 'MOVQ', PEXTRD: 'PEXTRQ', PINSRD: 'PINSRQ' };

function textOf({ form, operands, operandBits }: Decoded): string {
  const { mnemonic } = form.instruction;
  const name = operandBits === 64 ? (WIDE_NAMES[mnemonic] ?? mnemonic) : mnemonic;
  // objdump leaves out the memory operand that MASKMOVQ implies.
  const explicit = operands.filter((_, i) => form.operands[i]!.source !== 'maskStore');
  return `${name.toLowerCase()} ${explicit.map(operandText).join(',')}`.trim();
}

const decoder = new Decoder(
  new DecodeTable(INSTRUCTIONS, new Proxy(new Set<string>(), { get: () => () => true })),
);

test('each row is decoded as itself', () => {
  for (const { form, bytes } of samples()) {
    const decoded = decoder.decode(bytes, 0, bytes.length, true);
    assert.ok(typeof decoded !== 'string', `${form.instruction.mnemonic} ${form}: ${String(decoded)}`);
    assert.equal(decoded.form, form, `${form.instruction.mnemonic} ${form}`);
    assert.equal(decoded.lengthBytes, bytes.length);
  }
});

test('each row is what objdump says', {
  skip: spawnSync('objdump', ['--version']).status !== 0 && 'objdump',
}, () => {
  const rows = samples();
  const texts = disassembled(Uint8Array.from(rows.flatMap(({ bytes }) => [...bytes])));
  const own = rows.map(({ bytes }) => textOf(decoder.decode(bytes, 0, bytes.length, true) as Decoded));
  assert.deepEqual(own, texts);
});
