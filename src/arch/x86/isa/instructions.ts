/** The instruction set: every instruction that is defined. */

import type { Instruction } from './instruction.ts';
import { INTEGER } from './integer/index.ts';
import { SIMD } from './simd/index.ts';
import { SSE_FP } from './sse-fp/index.ts';
import { X87 } from './x87/index.ts';

export const INSTRUCTIONS: readonly Instruction[] = [...INTEGER, ...SIMD, ...SSE_FP, ...X87];
