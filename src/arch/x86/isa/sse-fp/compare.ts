/** Comparisons: into masks (CMP, the eight predicates of SSE) and into flags. SDM vol. 2A "CMPPD", "COMISD", "UCOMISD". */

import { STATUS_FLAGS } from '../conditions.ts';
import { enc } from '../encoding.ts';
import type { FlagComparison, FloatOperation } from '../float-ops.ts';
import { inst } from '../instruction.ts';
import { Ib, Vsd, Vss, Wsd, Wss } from '../operands.ts';
import { ALL_SHAPES } from './shapes.ts';

/** Bits 7:3 of the immediate are ignored. */
export const CMP = ALL_SHAPES.map(({ shape, suffix, reg, rm, form }) =>
  inst(`CMP${suffix}`, {
    literal: true,
    forms: [form(0x0fc2, reg, rm, Ib)],
    crack(u, dst, src, imm) {
      const operation = `cmp${u.constant(imm)! & 7}` as FloatOperation;
      u.writeFloat(dst, u.float(operation, shape, u.readFloat(dst), u.readFloat(src)));
    },
  }),
);

function flags(mnemonic: string, opcode: number, comparison: 'comis' | 'ucomis') {
  return [
    { suffix: 'SS', form: enc(opcode, Vss, Wss).np(), name: `${comparison}s` },
    { suffix: 'SD', form: enc(opcode, Vsd, Wsd).p66(), name: `${comparison}d` },
  ].map(({ suffix, form, name }) =>
    inst(`${mnemonic}${suffix}`, {
      forms: [form],
      crack(u, first, second) {
        const word = u.floatFlags(name as FlagComparison, u.readFloat(first), u.readFloat(second));
        u.setRflags(STATUS_FLAGS, word);
      },
    }),
  );
}

export const UCOMI = flags('UCOMI', 0x0f2e, 'ucomis');
export const COMI = flags('COMI', 0x0f2f, 'comis');
