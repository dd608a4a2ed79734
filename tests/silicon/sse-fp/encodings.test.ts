// Every encoding row of the floating-point instructions, with registers and with memory, is what binutils take it for.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import { formatInstruction } from '../../../src/arch/x86/isa/format.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { SSE_FP } from '../../../src/arch/x86/isa/sse-fp/index.ts';

/** No predicate of CMP: those that have one get a mnemonic of their own. */
const IMMEDIATE = 0x4b;

/** ModRM.reg, and ModRM.rm as a register or [RSI + displacement]. */
interface Choice {
  readonly reg: number;
  readonly rm: number | { readonly displacement: number };
  readonly rexW: boolean;
}

const CHOICES: readonly Choice[] = [
  { reg: 1, rm: 2 },
  { reg: 9, rm: 6 },
  { reg: 3, rm: 15 },
  { reg: 13, rm: { displacement: 0x12340 } },
].flatMap((choice) => [false, true].map((rexW) => ({ ...choice, rexW })));

/** The row's bytes. MMX has eight registers: its numbers stay below. */
function encodeForm({ map, opcode, prefix, operands }: Form, { reg, rm, rexW }: Choice): Uint8Array {
  const number = (source: 'reg' | 'rm', value: number) =>
    operands.some((operand) => operand.source === source && operand.file === 'mmx') ? value & 7 : value;
  const regNumber = number('reg', reg);
  const rmNumber = typeof rm === 'number' ? number('rm', rm) : RSI;
  const rex = 0x40 | (rexW ? 8 : 0) | ((regNumber >> 3) << 2) | (rmNumber >> 3);
  const middle = (regNumber & 7) << 3;
  const modrm =
    typeof rm === 'number'
      ? [0xc0 | middle | (rmNumber & 7)]
      : [0x80 | middle | RSI, ...[0, 8, 16, 24].map((shift) => (rm.displacement >> shift) & 0xff)];
  return Uint8Array.from([
    ...{ any: [], np: [], '66': [0x66], f3: [0xf3], f2: [0xf2] }[prefix],
    ...(rex === 0x40 ? [] : [rex]),
    ...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][map]!,
    opcode,
    ...modrm,
    ...(operands.some(({ source }) => source === 'immediate') ? [IMMEDIATE] : []),
  ]);
}

const RSI = 6;

function disassembled(code: Uint8Array): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'encodings-'));
  try {
    const file = join(directory, 'code');
    writeFileSync(file, code);
    const options = ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '--no-show-raw-insn'];
    const { stdout } = spawnSync('objdump', [...options, file], { encoding: 'utf8' });
    return [...stdout.matchAll(/^ +([0-9a-f]+):\t(.*?)\s*$/gm)].map(
      ([, at, text]) => `${at}: ${text!.replace(/ +/g, ' ')}`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const noObjdump = spawnSync('objdump', ['--version']).status === 0 ? false : 'no objdump';

test('binutils know the floating-point instructions by the same names', { skip: noObjdump }, () => {
  const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, new Set(['pni', 'sse4_1'])));
  const ours: string[] = [];
  const code: number[] = [];
  for (const form of SSE_FP.flatMap(({ forms }) => forms)) {
    for (const choice of CHOICES) {
      const bytes = encodeForm(form, choice);
      const decoded = decoder.decode(bytes, 0, bytes.length, true);
      assert(typeof decoded !== 'string', `${form}: ${decoded}`);
      assert.equal(decoded.form, form);
      assert.equal(decoded.lengthBytes, bytes.length);
      // REX.W without meaning is told as a prefix.
      const hasW = form.operands.some(({ bits }) => bits === 'y');
      if (choice.rexW === true && !hasW) continue;
      ours.push(`${code.length.toString(16)}: ${formatInstruction(decoded, 0)}`);
      code.push(...bytes);
    }
  }
  assert.deepEqual(disassembled(Uint8Array.from(code)), ours);
  assert(ours.length > 300);
});
