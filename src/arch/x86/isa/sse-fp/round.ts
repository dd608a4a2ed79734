/** Rounding to integral values, SSE4.1. SDM vol. 2B "ROUNDPD". */

import { enc } from '../encoding.ts';
import type { FloatOperation } from '../float-ops.ts';
import { inst } from '../instruction.ts';
import { Ib } from '../operands.ts';
import { PD, PS, SD, SS } from './shapes.ts';

/** All four have the prefix 66. Bits 7:4 of the immediate are ignored. */
export const ROUND = [PS, PD, SS, SD].map(({ shape, suffix, reg, rm }, i) =>
  inst(`ROUND${suffix}`, {
    feature: 'sse4_1',
    literal: true,
    forms: [enc(0x0f3a08 + i, reg, rm, Ib).p66()],
    crack(u, dst, src, imm) {
      const operation = `round${u.constant(imm)! & 15}` as FloatOperation;
      u.writeFloat(dst, u.float(operation, shape, u.readFloat(src)));
    },
  }),
);
