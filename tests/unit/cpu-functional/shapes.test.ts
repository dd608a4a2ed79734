// Shapes: what is kept for a shape must hold for each instruction that has it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { type Effects, effectsOf } from '../../../src/arch/x86/isa/effects.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { shapeNumber } from '../../../src/cpu/functional/shapes.ts';
import { ALL_FEATURES } from '../../../tools/fuzz/functional-executor.ts';
import { encodeVariant } from '../../../tools/fuzz/row-source.ts';
import { allVariants } from '../../../tools/fuzz/variants.ts';
import { Random } from '../../support/random.ts';

const EACH = 12;
/** Counts of shifts and rotations that are 0 when masked, for some operand sizes. */
const COUNTS = [0, 0x20, 0x40, 0x80, 1, 7];

test('instructions of one shape read and write the same flags, and may do the same', () => {
  const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, ALL_FEATURES));
  const random = new Random(11);
  const context = { random, pointers: [3], alignedPointers: [], code: 0x40_0000, caseNumber: 0, position: 0 };
  const byShape = new Map<number, { readonly effects: Effects; readonly of: string }>();
  for (const variant of allVariants()) {
    const hasCount = variant.form.operands.at(-1)?.source === 'immediate';
    for (let i = 0; i < EACH; i++) {
      const bytes = encodeVariant(variant, context);
      if (hasCount && i < COUNTS.length) bytes[bytes.length - 1] = COUNTS[i]!;
      const decoded = decoder.decode(bytes, 0, bytes.length, true);
      assert.ok(typeof decoded !== 'string');
      const effects = effectsOf(decoded);
      const of = Buffer.from(bytes).toString('hex');
      const known = byShape.get(shapeNumber(decoded));
      if (known === undefined) byShape.set(shapeNumber(decoded), { effects, of });
      else assert.deepEqual(effects, known.effects, `${of} has the shape of ${known.of}`);
    }
  }
});

test('the frame size of ENTER makes no shape of its own, the nesting level does', () => {
  const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, ALL_FEATURES));
  const shapeOf = (...bytes: number[]): number => {
    const decoded = decoder.decode(Uint8Array.from(bytes), 0, bytes.length, true);
    assert.ok(typeof decoded !== 'string');
    return shapeNumber(decoded);
  };
  const shape = shapeOf(0xc8, 0x10, 0, 3);
  assert.equal(shapeOf(0xc8, 0x20, 0x12, 3), shape);
  assert.notEqual(shapeOf(0xc8, 0x10, 0, 4), shape);
});
