/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import * as alu from './integer/alu.ts';
import * as control from './integer/control.ts';
import * as move from './integer/move.ts';
import * as simdAes from './simd/aes.ts';
import * as simdArithmetic from './simd/arithmetic.ts';
import * as simdClmul from './simd/clmul.ts';
import * as simdInsert from './simd/insert.ts';
import * as simdLogic from './simd/logic.ts';
import * as simdMove from './simd/move.ts';
import * as simdMovePartial from './simd/move-partial.ts';
import * as simdMultiply from './simd/multiply.ts';
import * as simdPack from './simd/pack.ts';
import * as simdSha from './simd/sha.ts';
import * as simdShift from './simd/shift.ts';
import * as simdShuffle from './simd/shuffle.ts';
import * as simdState from './simd/state.ts';
import * as simdStrings from './simd/strings.ts';
import * as sseArithmetic from './sse-fp/arithmetic.ts';
import * as sseCompare from './sse-fp/compare.ts';
import * as sseConvert from './sse-fp/convert.ts';
import * as sseHorizontal from './sse-fp/horizontal.ts';
import * as sseRound from './sse-fp/round.ts';

function all(family: Readonly<Record<string, Instruction | readonly Instruction[]>>): readonly Instruction[] {
  return Object.values(family).flat() as readonly Instruction[];
}

const INTEGER = [alu, control, move];
/** Floating point of SSE to SSE4.1. */
export const SSE_FP: readonly Instruction[] = [
  sseArithmetic,
  sseCompare,
  sseConvert,
  sseHorizontal,
  sseRound,
].flatMap((family) => all(family));
/** MMX and SSE: integers and data movement. */
export const SIMD: readonly Instruction[] = [
  simdAes,
  simdArithmetic,
  simdClmul,
  simdInsert,
  simdLogic,
  simdMove,
  simdMovePartial,
  simdMultiply,
  simdPack,
  simdSha,
  simdShift,
  simdShuffle,
  simdState,
  simdStrings,
].flatMap((family) => all(family));

export const INSTRUCTIONS: readonly Instruction[] = [
  ...INTEGER.flatMap((family) => all(family)),
  ...SIMD,
  ...SSE_FP,
];
