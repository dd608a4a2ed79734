// SSE arithmetic, comparison, conversion and rounding against this machine's processor, bit for bit with
// flags and #XM, on random operands from a fixed seed that dwell on the formats' edges.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { environmentFromMxcsr, FloatFlag } from '../../../src/arch/x86/float/environment.ts';
import { BINARY64 } from '../../../src/arch/x86/float/format.ts';
import { sseReciprocal, sseReciprocalRoot } from '../../../src/arch/x86/float/reciprocal.ts';
import { COMPARE_PREDICATES, sseArith } from '../../../src/arch/x86/float/sse.ts';
import { Operands } from './operands.ts';
import { noSilicon, otherVendor, runOnSilicon, type SiliconCase } from './silicon.ts';
import { modelled, SSE_SUBJECTS, shown, sseCase } from './sse-subjects.ts';

const CASES = 120;

describe('SSE floating point', { skip: noSilicon() }, () => {
  const all: SiliconCase[] = [];
  before(() => {
    runOnSilicon(all);
  });

  for (const subject of SSE_SUBJECTS) {
    const skip = noSilicon(subject.feature) || (subject.vendor === true && otherVendor());
    const random = new Operands(1985);
    const cases = skip === false ? Array.from({ length: CASES }, () => sseCase(subject, random)) : [];
    const inputs = cases.map(shown);
    const expected = cases.map((one) => shown(modelled(subject, one)));
    all.push(...cases);
    test(`${subject.name} gives the result and the flags of the processor`, { skip }, () => {
      for (const [i, one] of cases.entries())
        assert.equal(expected[i], shown(one), `case ${i}: ${inputs[i]}`);
    });
  }
});

// APM vol. 4 "RCPPS" and "RSQRTPS": the relative error is at most 1.5 × 2^−12.
test('approximate reciprocals and roots keep within the bound of the manual', () => {
  const numberOf = (bits: bigint): number => new Float32Array(new Uint32Array([Number(bits)]).buffer)[0]!;
  for (let i = 0; i < 0x100_0000; i += 0x7ff) {
    const x = BigInt(0x3f80_0000 + i);
    assert.ok(Math.abs(numberOf(sseReciprocal(x)) * numberOf(x) - 1) <= 1.5 * 2 ** -12);
    assert.ok(Math.abs(numberOf(sseReciprocalRoot(x)) * Math.sqrt(numberOf(x)) - 1) <= 1.5 * 2 ** -12);
  }
});

// SDM vol. 2A "CMPPD", table 3-1: which of the 32 predicates raise IE for a QNaN.
test('predicates 1, 2, 5, 6, 9, 10, 13, 14 signal, and from 16 on the others', () => {
  const signalling = COMPARE_PREDICATES.flatMap((predicate, i) => (predicate.signalling ? [i] : []));
  assert.deepEqual(signalling, [1, 2, 5, 6, 9, 10, 13, 14, 16, 19, 20, 23, 24, 27, 28, 31]);
});

// SDM vol. 1 §4.9.1.5.
test('a result is tiny if it is below the normal numbers once rounded without bounds of the exponent', () => {
  const smallestNormal = 0x0010_0000_0000_0000n;
  const tiny = environmentFromMxcsr(0x1f80);
  const product = sseArith('mul', BINARY64, smallestNormal, 0x3fef_ffff_ffff_ffffn, tiny);
  assert.equal(product, smallestNormal);
  assert.equal(tiny.flags, FloatFlag.UE | FloatFlag.PE);
  const normal = environmentFromMxcsr(0x1f80);
  const upward = sseArith('mul', BINARY64, 0x000f_ffff_ffff_ffffn, 0x3ff0_0000_0000_0001n, normal);
  assert.equal(upward, smallestNormal);
  assert.equal(normal.flags, FloatFlag.DE | FloatFlag.PE);
});
