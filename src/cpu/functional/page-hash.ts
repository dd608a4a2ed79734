/**
 * A hash of one page of guest RAM, for the core module: 64 bits of four lanes, each of which takes every fourth word by xor,
 * a multiplication with an odd number, and a rotation. Each step can be undone, so that pages that differ in one word never
 * have the same hash; others have with a probability of 2^-64.
 */

import { RAM } from './core-functions.ts';
import { PAGE_SHIFT } from './layout.ts';
import type { FunctionWriter } from './wasm/function.ts';
import { Op, ValueType } from './wasm/opcodes.ts';

const LANES = 4;
const WORD_BYTES = 8;
/** The integer next to 2^64 / φ (Knuth, The Art of Computer Programming, vol. 3, §6.4). */
const MULTIPLIER = -0x61c8_8646_80b5_83ebn;
const ROTATION = 29;

/** Local 0 is the offset of the page; the hash stays on the stack. */
export function writePageHash(f: FunctionWriter): void {
  const end = f.local(ValueType.i32);
  const lanes = Array.from({ length: LANES }, () => f.local(ValueType.i64));
  f.code.get(0);
  f.code.i32(1 << PAGE_SHIFT);
  f.code.op(Op.i32_add);
  f.code.set(end);
  const next = f.loop();
  for (const [i, lane] of lanes.entries()) {
    f.code.get(lane);
    f.code.get(0);
    f.code.memory(Op.i64_load, RAM, i * WORD_BYTES);
    mix(f);
    f.code.set(lane);
  }
  f.code.get(0);
  f.code.i32(LANES * WORD_BYTES);
  f.code.op(Op.i32_add);
  f.code.set(0);
  f.code.get(0);
  f.code.get(end);
  f.code.op(Op.i32_ne);
  f.branchIf(next);
  f.end();
  f.code.get(lanes[0]!);
  for (const lane of lanes.slice(1)) {
    f.code.get(lane);
    mix(f);
  }
}

/** Of a lane and a word, both on the stack, the new lane. */
function mix(f: FunctionWriter): void {
  f.code.op(Op.i64_xor);
  f.code.i64(MULTIPLIER);
  f.code.op(Op.i64_mul);
  f.code.i64(ROTATION);
  f.code.op(Op.i64_rotl);
}
