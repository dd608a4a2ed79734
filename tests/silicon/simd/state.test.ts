// MXCSR, EMMS, and the state of x87 and SSE in memory, compared with silicon where it tells.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { FunctionalMachine } from '../../support/functional-machine.ts';
import type { Random } from '../../support/random.ts';
import { type InstructionCase, type MachineState, Silicon, whyNoSilicon } from '../../support/silicon.ts';
import { MEMORY, OPERAND_AT, randomState } from './cases.ts';
import { casesOf, sameAsSilicon } from './comparison.ts';

const FXSAVE = [0x0f, 0xae, 0x46, OPERAND_AT];
const FXSAVE64 = [0x48, ...FXSAVE];
const FXRSTOR = [0x0f, 0xae, 0x4e, OPERAND_AT];
const FXRSTOR64 = [0x48, ...FXRSTOR];
const LDMXCSR = [0x0f, 0xae, 0x56, OPERAND_AT];
const EMMS = [0x0f, 0x77];
const MXCSR_AT = 24;

/** A state with the image of another one in memory. */
function withImage(random: Random): MachineState {
  const state = randomState(random);
  state.memory.set(randomState(random).fx, OPERAND_AT);
  return state;
}

function withWord(random: Random, value: number): MachineState {
  const state = randomState(random);
  new DataView(state.memory.buffer, state.memory.byteOffset).setUint32(OPERAND_AT, value, true);
  return state;
}

describe('as on silicon', { skip: whyNoSilicon() }, () => {
  const silicon = whyNoSilicon() === false ? new Silicon() : undefined;
  after(() => silicon?.dispose());

  const same = (cases: readonly InstructionCase[], ignoresMask = false) =>
    sameAsSilicon(silicon!, cases, ignoresMask);

  test('EMMS empties all registers and leaves what is in them', () => {
    same(casesOf(EMMS, randomState));
  });

  test('LDMXCSR takes every value without reserved bits', () => {
    const vectors = same(casesOf(LDMXCSR, (random) => withWord(random, random.u32() & 0xffff)));
    assert.ok(vectors.every((vector) => vector === -1));
  });

  test('LDMXCSR with a reserved bit raises #GP and changes nothing', () => {
    // Bit 17 is AMD's (misaligned operands), and this processor may know it.
    const reserved = [16, 18, 19, 20, 24, 30, 31];
    const vectors = same(
      casesOf(LDMXCSR, (random) => withWord(random, 0x1f80 | (1 << random.pick(reserved)))),
    );
    assert.ok(vectors.every((vector) => vector === Vector.GP));
  });

  for (const [name, code] of [
    ['FXSAVE', FXSAVE],
    ['FXSAVE64', FXSAVE64],
  ] as const) {
    test(`${name} writes the image and leaves its end alone`, () => {
      same(casesOf(code, randomState), true);
    });
  }

  for (const [name, code] of [
    ['FXRSTOR', FXRSTOR],
    ['FXRSTOR64', FXRSTOR64],
  ] as const) {
    test(`${name} takes an image over`, () => {
      same(casesOf(code, withImage));
    });

    test(`${name} of a reserved bit of MXCSR raises #GP and changes nothing`, () => {
      const vectors = same(
        casesOf(code, (random) => {
          const state = withImage(random);
          state.memory[OPERAND_AT + MXCSR_AT + 3] = 0x80;
          return state;
        }),
      );
      assert.ok(vectors.every((vector) => vector === Vector.GP));
    });
  }
});

describe('instruction and data pointers', () => {
  const POINTER = 0x7654_3210_fedc_ba98n;

  function saved(code: readonly number[]): bigint {
    const machine = new FunctionalMachine();
    machine.load(code);
    machine.tc.setGpr(6, BigInt(MEMORY));
    machine.tc.set(OFFSET.fip, POINTER);
    machine.engine.run(1);
    return new DataView(machine.read(MEMORY + OPERAND_AT + 8, 8).buffer).getBigUint64(0, true);
  }

  test('FXSAVE64 saves 64 bits', () => assert.equal(saved(FXSAVE64), POINTER));
  test('FXSAVE saves 32, and no selector', () => assert.equal(saved(FXSAVE), POINTER & 0xffff_ffffn));
});
