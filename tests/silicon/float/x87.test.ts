// Every x87 instruction against this machine's processor: the whole x87 state, memory, RFLAGS, AX and #MF
// after it, on random state from a fixed seed. What the manuals leave undefined is compared too, so the
// comparison needs the processor whose answers were taken.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { IMAGES } from '../../../src/arch/x86/x87/images.ts';
import { X87_INSTRUCTIONS } from '../../../src/arch/x86/x87/instructions.ts';
import { LOGARITHMS } from '../../../src/arch/x86/x87/logarithm.ts';
import { TRIGONOMETRY } from '../../../src/arch/x86/x87/trigonometry.ts';
import type { X87Instruction } from '../../../src/arch/x86/x87/unit.ts';
import { Operands } from './operands.ts';
import { otherVendor, runOnSilicon, type SiliconCase } from './silicon.ts';
import { modelledX87, shownX87, type X87CaseOptions, x87Case, x87Outcome } from './x87-subjects.ts';

const CASES = 60;
const TRANSCENDENTALS: readonly X87Instruction[] = [...LOGARITHMS, ...TRIGONOMETRY];

/** Cases of one instruction with what the simulator makes of them; run on the processor before the tests. */
class Comparison {
  readonly cases: readonly SiliconCase[];
  readonly expected: readonly SiliconCase[];

  constructor(instruction: X87Instruction, options: X87CaseOptions = {}) {
    const random = new Operands(754);
    this.cases = Array.from({ length: CASES }, () => x87Case(instruction, random, options));
    this.expected = this.cases.map((one) => modelledX87(instruction, one));
  }

  assertSame(): void {
    for (const [i, one] of this.cases.entries()) assert.equal(shownX87(this.expected[i]!), shownX87(one));
  }

  assertWithinOneUnit(): void {
    for (const [i, one] of this.cases.entries()) {
      const mine = x87Outcome(this.expected[i]!);
      const theirs = x87Outcome(one);
      assert.equal(mine.state, theirs.state);
      for (const [k, value] of theirs.st.entries()) {
        const distance = ordinal(mine.st[k]!) - ordinal(value);
        assert.ok(distance >= -1n && distance <= 1n, `ST(${k}) is off by ${distance}, case ${i}`);
      }
    }
  }
}

/** A number that grows by one from each magnitude of the extended format to the next. */
function ordinal(bits: bigint): bigint {
  return ((bits >> 64n) << 63n) | (bits & ((1n << 63n) - 1n));
}

describe('x87 instructions', { skip: otherVendor() }, () => {
  const comparisons: Comparison[] = [];
  const planned = (instruction: X87Instruction, options?: X87CaseOptions): Comparison => {
    const comparison = new Comparison(instruction, options);
    comparisons.push(comparison);
    return comparison;
  };
  before(() => {
    runOnSilicon(comparisons.flatMap(({ cases }) => cases));
  });
  // Nothing is made where the tests are skipped.
  const instructions = otherVendor() === false ? X87_INSTRUCTIONS : [];

  for (const instruction of instructions.filter((one) => !TRANSCENDENTALS.includes(one))) {
    const comparison = planned(instruction);
    test(`${instruction.name} leaves the state that the processor leaves`, () => comparison.assertSame());
  }

  for (const instruction of instructions.filter((one) => IMAGES.includes(one))) {
    const comparison = planned(instruction, { operandSize16: true });
    test(`${instruction.name} has the shorter format with 16-bit operand size`, () =>
      comparison.assertSame());
  }

  for (const instruction of instructions.filter((one) => TRANSCENDENTALS.includes(one))) {
    const typical = planned(instruction, { operands: (random) => typicalOperands(instruction, random) });
    const edge = planned(instruction);
    test(`${instruction.name} is within one unit in the last place of the processor`, () =>
      typical.assertWithinOneUnit());
    test(`${instruction.name} is within one unit in the last place where operands are extreme`, () =>
      edge.assertWithinOneUnit());
  }
});

/** Operands within the ranges that the manuals define. */
function typicalOperands(instruction: X87Instruction, random: Operands): readonly bigint[] {
  const make = (exponent: number, sign = random.oneIn(2)): bigint => {
    const biased = BigInt(exponent + 16383 + (sign ? 0x8000 : 0));
    return (biased << 64n) | (1n << 63n) | random.bits(63);
  };
  const factor = make(random.below(10) - 5);
  switch (instruction.name) {
    case 'F2XM1':
      return [make(-1 - random.below(12))];
    case 'FYL2X':
      return [make(random.below(40) - 20, false), factor];
    case 'FYL2XP1':
      return [make(-3 - random.below(20)), factor];
    case 'FPATAN':
      return [make(random.below(10) - 5), factor];
    default:
      return [make(random.below(random.oneIn(2) ? 63 : 6) - 3)];
  }
}
