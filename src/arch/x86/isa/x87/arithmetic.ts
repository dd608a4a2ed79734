/** x87 arithmetic and functions. SDM vol. 1 §8.3.5, §8.3.7 to §8.3.9; vol. 2A, by mnemonic. */

import type { Instruction } from '../instruction.ts';
import { Md, Mq, Mw, ST0, STi } from '../operands.ts';
import { FAST_OPERATIONS, intoRegister, intoTop } from './fast-arithmetic.ts';
import { fastSign } from './fast-transfer.ts';
import { row, type X87Options, x87 } from './unit.ts';

/** Mnemonic and digit. DC and DE swap the digits of FSUB and FSUBR, of FDIV and FDIVR. */
const OPERATIONS: readonly (readonly [name: string, digit: number, swapped: number])[] = [
  ['ADD', 0, 0],
  ['MUL', 1, 1],
  ['SUB', 4, 5],
  ['SUBR', 5, 4],
  ['DIV', 6, 7],
  ['DIVR', 7, 6],
];

export const OPERATIONS_OF_TWO: readonly Instruction[] = OPERATIONS.flatMap(([name, digit, swapped]) => {
  const operation = FAST_OPERATIONS[name]!;
  return [
    x87(
      `F${name}`,
      [row(0xd8, Md).ext(digit), row(0xdc, Mq).ext(digit), row(0xd8, ST0, STi).ext(digit)],
      intoTop(operation),
    ),
    x87(`F${name}`, [row(0xdc, STi, ST0).ext(swapped)], intoRegister(operation, 0)),
    x87(`F${name}P`, [row(0xde, STi, ST0).ext(swapped)], intoRegister(operation, 1)),
    x87(`FI${name}`, [row(0xda, Md).ext(digit), row(0xde, Mw).ext(digit)]),
  ];
});

const FAST_FUNCTIONS: Readonly<Record<string, X87Options>> = {
  FCHS: fastSign('negate'),
  FABS: fastSign('clear'),
};

/** Without operands: D9 E0 to E1, F0 to FF. */
const FUNCTIONS: readonly (readonly [mnemonic: string, modrm: number])[] = [
  ['FCHS', 0xe0],
  ['FABS', 0xe1],
  ['F2XM1', 0xf0],
  ['FYL2X', 0xf1],
  ['FPTAN', 0xf2],
  ['FPATAN', 0xf3],
  ['FXTRACT', 0xf4],
  ['FPREM1', 0xf5],
  ['FPREM', 0xf8],
  ['FYL2XP1', 0xf9],
  ['FSQRT', 0xfa],
  ['FSINCOS', 0xfb],
  ['FRNDINT', 0xfc],
  ['FSCALE', 0xfd],
  ['FSIN', 0xfe],
  ['FCOS', 0xff],
];

export const OPERATIONS_OF_STACK: readonly Instruction[] = FUNCTIONS.map(([mnemonic, modrm]) =>
  x87(
    mnemonic,
    [
      row(0xd9)
        .ext((modrm >> 3) & 7)
        .rm(modrm & 7),
    ],
    FAST_FUNCTIONS[mnemonic],
  ),
);
