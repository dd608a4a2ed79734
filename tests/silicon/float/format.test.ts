// Formats taken apart and put together again. SDM vol. 1 §4.2.2 and tables 4-3, 8-3.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BINARY16,
  BINARY32,
  BINARY64,
  bitLength,
  EXTENDED80,
  FloatClass,
  infinity,
  largestFinite,
  pack,
  unpack,
} from '../../../src/arch/x86/float/format.ts';
import { Operands } from './operands.ts';

test('the length of a number is that of its binary digits, around every power of two', () => {
  for (let power = 0; power < 1200; power++) {
    for (const n of [(1n << BigInt(power)) - 1n, 1n << BigInt(power), (1n << BigInt(power)) + 1n]) {
      assert.equal(bitLength(n), n === 0n ? 0 : n.toString(2).length);
    }
  }
});

test('finite values put together give the encodings that they were taken from', () => {
  const random = new Operands(7);
  for (const fmt of [BINARY16, BINARY32, BINARY64, EXTENDED80]) {
    for (let i = 0; i < 500; i++) {
      const bits = random.float(fmt);
      const x = unpack(fmt, bits);
      // A pseudo-denormal has the same value as a normal number, and that is what it is put together as.
      const pseudo = x.class === FloatClass.denormal && (x.significand & fmt.integerBit) !== 0n;
      if (x.class > FloatClass.normal || pseudo) continue;
      assert.equal(pack(fmt, x.sign, x.significand, x.exponent + fmt.precision - 1), bits);
    }
  }
});

test('classes of the extended format follow the explicit integer bit', () => {
  const classes: readonly (readonly [bigint, number])[] = [
    [0x0000_8000_0000_0000_0000n, FloatClass.denormal],
    [0x0001_4000_0000_0000_0000n, FloatClass.unsupported],
    [0x7fff_0000_0000_0000_0000n, FloatClass.unsupported],
    [0x7fff_8000_0000_0000_0000n, FloatClass.infinity],
    [0x7fff_8000_0000_0000_0001n, FloatClass.signallingNan],
    [0xffff_c000_0000_0000_0000n, FloatClass.quietNan],
  ];
  for (const [bits, expected] of classes) assert.equal(unpack(EXTENDED80, bits).class, expected);
});

test('the limits of the formats are those of the manual', () => {
  assert.equal(largestFinite(BINARY16, 0), 0x7bffn);
  assert.equal(largestFinite(BINARY64, 1), 0xffef_ffff_ffff_ffffn);
  assert.equal(largestFinite(EXTENDED80, 0, 24), 0x7ffe_ffff_ff00_0000_0000n);
  assert.equal(infinity(EXTENDED80, 1), 0xffff_8000_0000_0000_0000n);
  assert.equal(BINARY32.defaultNan, 0xffc0_0000n);
});
