// Every MMX and SSE instruction for integers and data movement: the engine does what this processor does, with registers and
// memory, for all immediates that matter, interpreted and translated. RFLAGS are compared as a whole: none of these
// instructions leaves a flag undefined. What is special about some is in state.test.ts and faults.test.ts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import type { Instruction } from '../../../src/arch/x86/isa/instruction.ts';
import { SIMD } from '../../../src/arch/x86/isa/simd/index.ts';
import { type Choice, encodeForm } from '../../support/encode-form.ts';
import { Random } from '../../support/random.ts';
import {
  difference,
  EngineProcessor,
  hostFeatures,
  type InstructionCase,
  type Outcome,
  Silicon,
  whyNoSilicon,
} from '../../support/silicon.ts';
import { featuresOf, hasWide, immediatesOf, OPERAND_AT, placesOf, randomState } from './cases.ts';

const STATUS_FLAGS = 0x8d5;
/** Cases of a form that has no immediate. */
const ROUNDS = 16;
/** Of so many cases one is executed as translated code, too. */
const TRANSLATED = 16;
/** Registers: none that holds an address. */
const NUMBERS = [0, 1, 2, 3, 8, 13, 15];
/** Their operand must be an image, or a value with reserved bits zero. */
const SPECIAL = new Set(['FXSAVE', 'FXRSTOR', 'LDMXCSR']);

function randomChoice(random: Random, form: Form, place: string, immediate: number): Choice {
  return {
    reg: random.pick(NUMBERS),
    rm: place === 'register' ? random.pick(NUMBERS) : { displacement: OPERAND_AT + 16 * random.below(4) },
    immediate,
    rexW: hasWide(form) && random.oneIn(2),
  };
}

function casesOf(random: Random, { forms }: Instruction): InstructionCase[] {
  const cases: InstructionCase[] = [];
  for (const form of forms) {
    if (form.formFeature !== undefined && !hostFeatures().has(form.formFeature)) continue;
    const places = placesOf(form);
    const immediates = immediatesOf(form);
    for (const immediate of immediates) {
      // Where there are many values, each is tried with a register or memory.
      for (const place of immediates.length > 100 ? [random.pick(places)] : places) {
        const code = encodeForm(form, randomChoice(random, form, place, immediate));
        const rounds = immediates.length === 1 ? ROUNDS : 1;
        for (let i = 0; i < rounds; i++) cases.push({ code, state: randomState(random) });
      }
    }
  }
  return cases;
}

function check(
  cases: readonly InstructionCase[],
  own: readonly Outcome[],
  silicon: readonly Outcome[],
): void {
  for (const [n, { vector, state }] of own.entries()) {
    const where = `case ${n}, ${Buffer.from(cases[n]!.code).toString('hex')}`;
    assert.equal(silicon[n]!.vector, -1, `${where}: executed by silicon`);
    assert.equal(vector, -1, `${where}: executed`);
    assert.equal(difference(state, silicon[n]!.state, STATUS_FLAGS), undefined, where);
  }
}

/** What there is to execute: all in one run of the program, since starting it costs more than the cases. */
const batches = SIMD.filter(({ mnemonic }) => !SPECIAL.has(mnemonic)).map((instruction, i) => {
  const skipped = whyNoSilicon(featuresOf(instruction));
  return { instruction, skipped, cases: skipped === false ? casesOf(new Random(i), instruction) : [] };
});

function runOnSilicon(): Outcome[] {
  const silicon = new Silicon();
  const outcomes = silicon.run(batches.flatMap(({ cases }) => cases));
  silicon.dispose();
  return outcomes;
}

describe('MMX and SSE as on silicon', { skip: whyNoSilicon() }, () => {
  const silicon = whyNoSilicon() === false ? runOnSilicon() : [];
  const interpreted = new EngineProcessor('interpreted');
  const translated = new EngineProcessor('translated');
  let first = 0;
  for (const { instruction, skipped, cases } of batches) {
    const expected = silicon.slice(first, first + cases.length);
    first += cases.length;
    test(`${instruction.mnemonic} (${instruction.forms[0]})`, { skip: skipped }, () => {
      check(cases, interpreted.run(cases), expected);
      const some = (_: unknown, n: number): boolean => n % TRANSLATED === 0;
      const fewer = cases.filter(some);
      check(fewer, translated.run(fewer), expected.filter(some));
    });
  }
});
