// SSE arithmetic, comparison, conversion and rounding against this machine's processor, bit for bit with
// flags and #XM, on random operands from a fixed seed that dwell on the formats' edges.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { environmentFromMxcsr, FloatFlag } from '../../../src/arch/x86/float/environment.ts';
import { BINARY64 } from '../../../src/arch/x86/float/format.ts';
import { COMPARE_PREDICATES, sseArith } from '../../../src/arch/x86/float/sse.ts';
import { Operands } from './operands.ts';
import { noSilicon, otherVendor, Silicon, SiliconCase } from './silicon.ts';
import { modelled, SSE_SUBJECTS, shown, sseCase } from './sse-subjects.ts';

const CASES = 150;

describe('SSE floating point', { skip: noSilicon() }, () => {
  let silicon: Silicon | undefined;
  after(() => silicon?.close());

  for (const subject of SSE_SUBJECTS) {
    const skip = noSilicon(subject.feature) || (subject.vendor === true && otherVendor());
    test(`${subject.name} gives the result and the flags of the processor`, { skip }, () => {
      silicon ??= new Silicon();
      const random = new Operands(1985);
      const cases = Array.from({ length: CASES }, () => sseCase(subject, random));
      const expected = cases.map((one) => shown(modelled(subject, one)));
      const inputs = cases.map((one) => shown(new SiliconCase(one.bytes.slice())));
      silicon.run(cases);
      for (const [i, one] of cases.entries()) {
        assert.equal(expected[i], shown(one), `case ${i}: ${inputs[i]}`);
      }
    });
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
