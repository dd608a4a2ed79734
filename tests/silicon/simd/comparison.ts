// Cases of one instruction, compared with silicon in the interpreter and in the translator.

import assert from 'node:assert/strict';
import { Random } from '../../support/random.ts';
import {
  difference,
  EngineProcessor,
  type InstructionCase,
  type MachineState,
  type Silicon,
} from '../../support/silicon.ts';
import { OPERAND_AT } from './cases.ts';

const STATUS_FLAGS = 0x8d5;
/** MXCSR_MASK in FXSAVE's area: AMD's has one bit more. */
const MXCSR_MASK_AT = 28;

function maskOf(state: MachineState): Uint8Array {
  const at = OPERAND_AT + MXCSR_MASK_AT;
  return state.memory.subarray(at, at + 4);
}

/**
 * Nothing but the instruction's outcome differs from the state in front of it: an exception changes nothing.
 * @param ignoresMask the memory operand is an area with MXCSR_MASK, which is the processor's
 * @returns the vectors of the exceptions, −1 where there was none
 */
export function sameAsSilicon(
  silicon: Silicon,
  cases: readonly InstructionCase[],
  ignoresMask = false,
): number[] {
  const expected = silicon.run(cases);
  for (const how of ['interpreted', 'translated'] as const) {
    for (const [n, { vector, state }] of new EngineProcessor(how).run(cases).entries()) {
      const { vector: siliconVector, state: siliconState } = expected[n]!;
      assert.equal(vector, siliconVector, `case ${n}`);
      const other = vector === -1 ? siliconState : cases[n]!.state;
      if (ignoresMask) for (const each of [state, other]) maskOf(each).fill(0);
      assert.equal(difference(state, other, STATUS_FLAGS), undefined, `case ${n}, ${how}`);
    }
  }
  return expected.map(({ vector }) => vector);
}

/** The instruction from several states; the same ones each time. */
export function casesOf(
  code: readonly number[],
  state: (random: Random) => MachineState,
  count = 20,
): InstructionCase[] {
  const random = new Random(code.length);
  return Array.from({ length: count }, () => ({ code: Uint8Array.from(code), state: state(random) }));
}
