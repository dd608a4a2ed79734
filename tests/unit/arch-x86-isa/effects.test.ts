// What the definitions of instructions tell who listens to them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { type Effects, effectsOf } from '../../../src/arch/x86/isa/effects.ts';
import { INTEGER } from '../../../src/arch/x86/isa/integer/index.ts';

function effects(hex: string): Effects {
  const bytes = Buffer.from(hex, 'hex');
  const decoded = new Decoder(new DecodeTable(INTEGER, new Set())).decode(bytes, 0, bytes.length, true);
  assert.ok(typeof decoded !== 'string', hex);
  return effectsOf(decoded);
}

test('reading memory behind a store of its own', () => {
  const reads = (hex: string): boolean => effects(hex).readsBehindStore;
  assert.ok(reads('c8100003'), 'enter 16, 3');
  for (const hex of ['c8100000', 'c8100001', 'ff30', '8f00', 'ff10', '8700', '0fc100', 'a4', 'c9', 'c3'])
    assert.ok(!reads(hex), hex);
});

test('read-modify-write operands', () => {
  for (const hex of ['0100', '8700', '0fc100', '0fb108']) assert.ok(effects(hex).updatesMemory, hex);
  for (const hex of ['8900', '8b00', '0300', '8f00', 'ff30']) assert.ok(!effects(hex).updatesMemory, hex);
});
