/** x87 loads, stores, constants and moves. SDM vol. 1 §8.3.3, §8.3.4; vol. 2A, by mnemonic. */

import { type Condition, FLAG_BITS } from '../conditions.ts';
import { Md, Mq, Mt, Mw, ST0, STi } from '../operands.ts';
import {
  FAST_EXCHANGE,
  FAST_LOAD,
  FAST_LOAD_INTEGER,
  fastConstant,
  fastStore,
  fastStoreInteger,
} from './fast-transfer.ts';
import { row, type X87Options, x87 } from './unit.ts';

export const FLD = x87(
  'FLD',
  [row(0xd9, Md).ext(0), row(0xdd, Mq).ext(0), row(0xdb, Mt).ext(5), row(0xd9, STi).ext(0)],
  FAST_LOAD,
);

export const FST = x87(
  'FST',
  [row(0xd9, Md).ext(2), row(0xdd, Mq).ext(2), row(0xdd, STi).ext(2)],
  fastStore(0),
);

export const FSTP = x87(
  'FSTP',
  [row(0xd9, Md).ext(3), row(0xdd, Mq).ext(3), row(0xdb, Mt).ext(7), row(0xdd, STi).ext(3)],
  fastStore(1),
);

/** The manual has no names for these (SDM vol. 2D table ): D9 D8+i does not fault on an empty register. */
export const FSTPNCE = x87('FSTPNCE', [row(0xd9, STi).ext(3)]);
export const FSTP8 = x87('FSTP8', [row(0xdf, STi).ext(2)], fastStore(1));
export const FSTP9 = x87('FSTP9', [row(0xdf, STi).ext(3)], fastStore(1));

export const FILD = x87(
  'FILD',
  [row(0xdf, Mw).ext(0), row(0xdb, Md).ext(0), row(0xdf, Mq).ext(5)],
  FAST_LOAD_INTEGER,
);

export const FIST = x87('FIST', [row(0xdf, Mw).ext(2), row(0xdb, Md).ext(2)], fastStoreInteger(0));

export const FISTP = x87(
  'FISTP',
  [row(0xdf, Mw).ext(3), row(0xdb, Md).ext(3), row(0xdf, Mq).ext(7)],
  fastStoreInteger(1),
);

export const FISTTP = x87(
  'FISTTP',
  [row(0xdf, Mw).ext(1), row(0xdb, Md).ext(1), row(0xdd, Mq).ext(1)],
  fastStoreInteger(1, true),
);

export const FBLD = x87('FBLD', [row(0xdf, Mt).ext(4)]);

export const FBSTP = x87('FBSTP', [row(0xdf, Mt).ext(6)]);

export const FXCH = x87('FXCH', [row(0xd9, STi).ext(1)], FAST_EXCHANGE);
/** FXCH by other opcodes. */
export const FXCH4 = x87('FXCH4', [row(0xdd, STi).ext(1)], FAST_EXCHANGE);
export const FXCH7 = x87('FXCH7', [row(0xdf, STi).ext(1)], FAST_EXCHANGE);

const FAST_CONSTANTS: Readonly<Record<string, X87Options>> = { FLD1: fastConstant(1), FLDZ: fastConstant(0) };
export const CONSTANTS = ['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ'].map(
  (mnemonic, i) => x87(mnemonic, [row(0xd9).ext(5).rm(i)], FAST_CONSTANTS[mnemonic]),
);

const ALL_FLAGS = FLAG_BITS.cf | FLAG_BITS.zf | FLAG_BITS.pf;
const MOVES: readonly (readonly [suffix: string, opcode: number, extension: number, condition: Condition])[] =
  [
    ['B', 0xda, 0, 'B'],
    ['E', 0xda, 1, 'E'],
    ['BE', 0xda, 2, 'BE'],
    ['U', 0xda, 3, 'P'],
    ['NB', 0xdb, 0, 'B'],
    ['NE', 0xdb, 1, 'E'],
    ['NBE', 0xdb, 2, 'BE'],
    ['NU', 0xdb, 3, 'P'],
  ];

/** The assist looks at the flags of the condition: it is given all of them as the condition is, before FCMOVN… negates it. */
export const FCMOVCC = MOVES.map(([suffix, opcode, extension, condition]) =>
  x87(`FCMOV${suffix}`, [row(opcode, ST0, STi).ext(extension)], {
    given: (u) => u.select(u.condition(condition), u.int(32, ALL_FLAGS), u.int(32, 0)),
  }),
);
