// Names of instructions that are not defined: by the opcode maps of SDM vol. 2D appendix A and APM vol. 3 appendix A.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { missingInstruction, splitPrefixes } from '../../../src/arch/x86/isa/missing.ts';
import { chooseFeatures, implementedFeatures } from '../../../src/cpu/functional/features.ts';
import { undefinedInstruction } from '../../../src/cpu/functional/user-faults.ts';

const IMPLEMENTED = implementedFeatures(INSTRUCTIONS);

const parse = (text: string): Uint8Array =>
  Uint8Array.from(text.split(' '), (byte) => Number.parseInt(byte, 16));

/** Bytes, name, feature. What is implemented one day moves to the decoder's tests. */
const NAMED: readonly (readonly [code: string, name: string, feature: string])[] = [
  ['0f 34', 'SYSENTER', 'sep'],
  ['48 0f 35', 'SYSEXIT', 'sep'],
  ['0f 01 fc', 'CLZERO', 'clzero'],
  ['f3 0f c7 f8', '', ''],
  ['f3 0f 2b 07', 'MOVNTSS', 'sse4a'],
  ['f2 44 0f 79 c1', 'INSERTQ', 'sse4a'],
  ['66 0f 38 cf c1', 'GF2P8MULB', 'gfni'],
  ['f3 0f ae f0', 'UMONITOR', 'waitpkg'],
  ['c4 c1 78 ae 5f fc', 'VSTMXCSR', 'avx'],
  ['c5 f8 58 c1', 'VADDPS', 'avx'],
  ['c4 e2 79 00 c1', 'VPSHUFB', 'avx'],
  ['c4 e3 79 0f c1 03', 'VPALIGNR', 'avx'],
  ['c4 e2 71 98 c2', 'an instruction with VEX', 'avx'],
  ['c5 f8 92 c8', 'an instruction with VEX', 'avx'],
  ['62 f1 7c 48 58 c1', 'an instruction with EVEX', 'avx512f'],
  ['8f e9 78 81 c0', 'an instruction with XOP', 'xop'],
  ['0f 04', '', ''],
  ['8f e0', '', ''],
];

describe('an instruction that is not defined', () => {
  for (const [code, name, feature] of NAMED)
    test(`${code} is ${name === '' ? 'none' : name}`, () => {
      const expected = name === '' ? undefined : { name, feature };
      const found = missingInstruction(parse(code));
      assert.deepEqual(found && { name: found.name, feature: found.feature }, expected);
    });

  test('is none of those that are', () => {
    const all = new Set([...IMPLEMENTED, ...chooseFeatures('cpu', 'max', IMPLEMENTED).forDecoder]);
    const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, all));
    for (const [text, name] of NAMED) {
      if (name === '') continue;
      const code = Uint8Array.from([...parse(text), 0, 0, 0, 0, 0, 0]);
      assert.equal(decoder.decode(code, 0, code.length, true), 'undefined', text);
    }
  });

  test('has its prefixes in front', () => {
    assert.deepEqual(splitPrefixes(parse('66 48 0f 34')), { prefixes: [0x66, 0x48], opcode: parse('0f 34') });
    assert.deepEqual(splitPrefixes(parse('66 66')), { prefixes: [0x66, 0x66], opcode: new Uint8Array() });
  });
});

describe('what is made of it', () => {
  const verdict = (code: string) =>
    undefinedInstruction(
      parse(code),
      { rip: 0x1000n, in64BitMode: true },
      chooseFeatures('cpu', 'x86-64-v2', IMPLEMENTED),
    );

  test('the simulator cannot go on where the processor has it', () => {
    const note = 'SYSENTER is not implemented: the instruction at 0x1000: 0f 34';
    assert.deepEqual(verdict('0f 34'), { isMissing: true, note });
  });

  test('it is #UD where the features do not contain it, where LOCK forbids it, and where there is none', () => {
    for (const [code, note] of [
      ['c5 f8 58 c1', 'VADDPS needs the feature avx'],
      ['c4 e2 68 f2 c3', 'ANDN needs the feature bmi1'],
      ['f0 0f 34', 'SYSENTER raised #UD'],
      ['0f 04', 'does not know'],
    ] as const) {
      const found = verdict(code)!;
      assert.equal(found.isMissing, false);
      assert.ok(found.note.startsWith(note), found.note);
    }
    assert.equal(verdict('0f 0b'), undefined);
  });
});
