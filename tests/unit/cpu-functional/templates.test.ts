// Records by template are those of a decoder: for every instruction that has a template, with other displacements and immediates.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import type { Effects } from '../../../src/arch/x86/isa/effects.ts';
import { InstructionHead } from '../../../src/arch/x86/isa/instruction-head.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { implementedFeatures } from '../../../src/cpu/functional/features.ts';
import { RECORD_BYTES } from '../../../src/cpu/functional/layout.ts';
import { RecordWriter } from '../../../src/cpu/functional/record-writer.ts';
import { shapeNumber } from '../../../src/cpu/functional/shapes.ts';
import { Templates } from '../../../src/cpu/functional/templates.ts';
import { Random } from '../../support/random.ts';

const ROUNDS = 200_000;
const LENGTH = 15;
const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x40, 0x44, 0x48, 0x4f];
const ADDRESSES = [0x40_1000, 0x7fff_ffff_f000, -0x7fff_f000, 0xffff_fff8];

for (const is64 of [true, false])
  test(`a template's record is the decoder's, ${is64 ? '64-bit' : 'compatibility'} mode`, () => {
    const random = new Random(is64 ? 1 : 2);
    const table = new DecodeTable(INSTRUCTIONS, implementedFeatures(INSTRUCTIONS));
    const decoder = new Decoder(table);
    const templates = new Templates(table);
    const head = new InstructionHead(table);
    const [memory, expected] = [new ArrayBuffer(RECORD_BYTES), new ArrayBuffer(RECORD_BYTES)];
    const writer = new RecordWriter(expected);
    const bytes = new Uint8Array(LENGTH);
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < LENGTH; i++) bytes[i] = random.below(256);
      if (random.below(2) === 0) bytes[0] = random.pick(PREFIXES);
      if (random.below(2) === 0) bytes[random.below(2)] = 0x0f;
      for (let again = 0; again < 2; again++) {
        const decoded = decoder.decode(bytes, 0, LENGTH, is64);
        if (typeof decoded === 'string') break;
        const shape = { handler: shapeNumber(decoded) % 2 ** 32, effects: {} as Effects };
        const rip = random.pick(ADDRESSES);
        const words = new Uint32Array(memory).fill(0);
        const found = templates.write(bytes, 0, is64, rip, words, 0);
        if (found === undefined) templates.add(bytes, 0, decoded, shape);
        else {
          new Uint32Array(expected).fill(0);
          writer.write(0, decoded, shape.handler, rip, 0);
          deepEqual(
            new Uint8Array(memory),
            new Uint8Array(expected),
            `${decoded.form.instruction.mnemonic} ${bytes}`,
          );
          deepEqual(templates.lengthBytes, decoded.lengthBytes);
          seen.add(decoded.form.instruction.mnemonic);
        }
        ok(head.scan(bytes, 0, is64) || found === undefined);
        for (let i = head.lengthBytes; i < LENGTH; i++) bytes[i] = random.below(256);
      }
    }
    ok(seen.size > 300, `${seen.size} mnemonics`);
  });

test('a head that is too long for a template leaves those of others alone', () => {
  const table = new DecodeTable(INSTRUCTIONS, implementedFeatures(INSTRUCTIONS));
  const decoder = new Decoder(table);
  const templates = new Templates(table);
  const words = new Uint32Array(RECORD_BYTES / 4);
  const add = (...code: number[]): Uint8Array => {
    const bytes = Uint8Array.from({ length: LENGTH }, (_, i) => code[i] ?? 0);
    const decoded = decoder.decode(bytes, 0, LENGTH, true);
    ok(typeof decoded !== 'string');
    templates.add(bytes, 0, decoded, { handler: code.length, effects: {} as Effects });
    return bytes;
  };
  const jump = add(0xe9, 1, 2, 3, 4);
  // pinsrb xmm8, [eax + ecx + 16], 3: nine bytes of head
  const long = add(0x66, 0x66, 0x67, 0x44, 0x0f, 0x3a, 0x20, 0x44, 0x08, 0x10, 3);
  ok(templates.write(long, 0, true, 0, words, 0) === undefined);
  deepEqual(templates.write(jump, 0, true, 0, words, 0)?.handler, 5);
  deepEqual(templates.lengthBytes, 5);
});

test('heads without end do not take memory without end', () => {
  const table = new DecodeTable(INSTRUCTIONS, implementedFeatures(INSTRUCTIONS));
  const decoder = new Decoder(table);
  const templates = new Templates(table);
  const words = new Uint32Array(RECORD_BYTES / 4);
  const shape = { handler: 1, effects: {} as Effects };
  const bytes = new Uint8Array(LENGTH);
  let most = 0;
  // ADD and seven others with each ModRM and SIB byte.
  for (let head = 0; head < 2 ** 19; head++) {
    bytes.set([(head >>> 16) << 3, (head >>> 8) & 0xff, head & 0xff]);
    const decoded = decoder.decode(bytes, 0, LENGTH, true);
    ok(typeof decoded !== 'string');
    templates.add(bytes, 0, decoded, shape);
    most = Math.max(most, templates.count);
  }
  ok(most <= 2 ** 15 && most > 2 ** 14, `${most}`);
  equal(templates.write(bytes, 0, true, 0x1000, words, 0), shape);
});
