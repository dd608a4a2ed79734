/**
 * x87 comparisons, FXAM, FTST and the conditional moves. Intel SDM vol. 1 §8.3.6, §8.3.7, tables 8-6 to
 * 8-8; vol. 2A under each name.
 */

import { compare } from '../float/compare.ts';
import { FloatFlag, settleFlags } from '../float/environment.ts';
import {
  BINARY32,
  BINARY64,
  EXTENDED80,
  FloatClass,
  type FloatFormat,
  isNan,
  unpack,
} from '../float/format.ts';
import { Rflags } from '../registers.ts';
import { integerOperand, readBytes, widened } from './memory.ts';
import { Fsw, row, type X87Instruction, type X87Unit } from './unit.ts';

/** C3, C2, C0 by relation: less, equal, greater, unordered. */
const CONDITIONS = [Fsw.C0, Fsw.C3, 0, Fsw.C3 | Fsw.C2 | Fsw.C0] as const;
/** ZF, PF, CF by relation. */
const COMPARE_RFLAGS = [Rflags.CF, Rflags.ZF, 0, Rflags.ZF | Rflags.PF | Rflags.CF] as const;
const UNORDERED = 3;
const ALL_CONDITIONS = Fsw.C0 | Fsw.C1 | Fsw.C2 | Fsw.C3;
const COMPARED_RFLAGS = Rflags.CF | Rflags.PF | Rflags.AF | Rflags.ZF | Rflags.SF | Rflags.OF;

/** What comparing ends in: conditions or RFLAGS, then pops. */
type Compared = (unit: X87Unit, relation: number) => void;

const intoConditions: Compared = (unit, relation) =>
  unit.setConditions(ALL_CONDITIONS, CONDITIONS[relation]!);
const intoRflags: Compared = (unit, relation) => {
  unit.tc.rflags = (unit.tc.rflags & ~COMPARED_RFLAGS) | COMPARE_RFLAGS[relation]!;
};

/** Compares ST(0) with a value; `denormal`: it was one before it was widened. */
function compareWith(
  unit: X87Unit,
  value: bigint,
  signalling: boolean,
  into: Compared,
  denormal = false,
): boolean {
  const env = unit.environment();
  const relation = compare(env, EXTENDED80, unit.st(0), value, signalling);
  if (denormal && !isNan(unpack(EXTENDED80, unit.st(0)))) env.flags |= FloatFlag.DE;
  const unmasked = settleFlags(env);
  unit.signal(env.flags);
  into(unit, relation);
  return unmasked === 0;
}

/** Compares ST(0) with ST(i) and pops if no unmasked exception came of it. */
function registerCompare(
  signalling: boolean,
  into: Compared,
  pops: number,
): (unit: X87Unit, i: number) => void {
  return (unit, i) => {
    const there = unit.needs(0, i);
    if (there !== true) into(unit, UNORDERED);
    const done = there === true ? compareWith(unit, unit.st(i), signalling, into) : there === 'masked';
    for (let left = done ? pops : 0; left > 0; left--) unit.pop();
  };
}

function memoryCompare(
  operand: (memory: Uint8Array) => bigint,
  pops: boolean,
  fmt?: FloatFormat,
): X87Instruction['run'] {
  return (unit, { memory }) => {
    const there = unit.needs(0);
    if (there !== true) intoConditions(unit, UNORDERED);
    const denormal =
      fmt !== undefined &&
      unpack(fmt, readBytes(memory, 0, fmt.widthBits >> 3)).class === FloatClass.denormal;
    const done =
      there === true
        ? compareWith(unit, operand(memory), true, intoConditions, denormal)
        : there === 'masked';
    if (done && pops) unit.pop();
  };
}

function memoryRows(): X87Instruction[] {
  return [false, true].flatMap((pops) => {
    const digit = pops ? 3 : 2;
    const p = pops ? 'P' : '';
    const float = (fmt: FloatFormat): X87Instruction['run'] =>
      memoryCompare((memory) => widened(fmt, readBytes(memory, 0, fmt.widthBits >> 3)), pops, fmt);
    const integer = (sizeBytes: number): X87Instruction['run'] =>
      memoryCompare((memory) => integerOperand(memory, sizeBytes), pops);
    return [
      row(`FCOM${p} m32fp`, 0xd8, digit, float(BINARY32), { sizeBytes: 4 }),
      row(`FCOM${p} m64fp`, 0xdc, digit, float(BINARY64), { sizeBytes: 8 }),
      row(`FICOM${p} m32int`, 0xda, digit, integer(4), { sizeBytes: 4 }),
      row(`FICOM${p} m16int`, 0xde, digit, integer(2), { sizeBytes: 2 }),
    ];
  });
}

function registerRow(
  name: string,
  opcode: number,
  modrm: number,
  run: (unit: X87Unit, i: number) => void,
): X87Instruction {
  return row(name, opcode, modrm, (unit, { i }) => run(unit, i));
}

function ftst(unit: X87Unit): void {
  if (unit.needs(0) === true) compareWith(unit, 0n, true, intoConditions);
  else intoConditions(unit, UNORDERED);
}

/** C3, C2, C0 of FXAM by class. SDM vol. 2A "FXAM". */
const EXAMINED: Readonly<Record<number, number>> = {
  [FloatClass.unsupported]: 0,
  [FloatClass.quietNan]: Fsw.C0,
  [FloatClass.signallingNan]: Fsw.C0,
  [FloatClass.normal]: Fsw.C2,
  [FloatClass.infinity]: Fsw.C2 | Fsw.C0,
  [FloatClass.zero]: Fsw.C3,
  [FloatClass.denormal]: Fsw.C3 | Fsw.C2,
};

function fxam(unit: X87Unit): void {
  const x = unpack(EXTENDED80, unit.st(0));
  const kind = unit.isEmpty(0) ? Fsw.C3 | Fsw.C0 : EXAMINED[x.class]!;
  unit.setConditions(ALL_CONDITIONS, kind | (x.sign ? Fsw.C1 : 0));
}

function conditionalMove(mask: number, wanted: boolean): X87Instruction['run'] {
  return (unit, { i }) => {
    const there = unit.needs(0, i);
    if (there === false) return;
    if (there === 'masked') unit.setSt(0, EXTENDED80.defaultNan);
    else if (((unit.tc.rflags & mask) !== 0) === wanted) unit.setSt(0, unit.st(i));
  };
}

function moveRows(): X87Instruction[] {
  const conditions: readonly (readonly [name: string, mask: number])[] = [
    ['B', Rflags.CF],
    ['E', Rflags.ZF],
    ['BE', Rflags.CF | Rflags.ZF],
    ['U', Rflags.PF],
  ];
  return conditions.flatMap(([name, mask], k) => [
    row(`FCMOV${name} ST(0),ST(i)`, 0xda, 0xc0 + 8 * k, conditionalMove(mask, true)),
    row(`FCMOVN${name} ST(0),ST(i)`, 0xdb, 0xc0 + 8 * k, conditionalMove(mask, false)),
  ]);
}

export const COMPARISONS: readonly X87Instruction[] = [
  ...memoryRows(),
  registerRow('FCOM ST(i)', 0xd8, 0xd0, registerCompare(true, intoConditions, 0)),
  registerRow('FCOM2 ST(i)', 0xdc, 0xd0, registerCompare(true, intoConditions, 0)),
  registerRow('FCOMP ST(i)', 0xd8, 0xd8, registerCompare(true, intoConditions, 1)),
  registerRow('FCOMP3 ST(i)', 0xdc, 0xd8, registerCompare(true, intoConditions, 1)),
  registerRow('FCOMP5 ST(i)', 0xde, 0xd0, registerCompare(true, intoConditions, 1)),
  registerRow('FUCOM ST(i)', 0xdd, 0xe0, registerCompare(false, intoConditions, 0)),
  registerRow('FUCOMP ST(i)', 0xdd, 0xe8, registerCompare(false, intoConditions, 1)),
  registerRow('FCOMI ST(0),ST(i)', 0xdb, 0xf0, registerCompare(true, intoRflags, 0)),
  registerRow('FCOMIP ST(0),ST(i)', 0xdf, 0xf0, registerCompare(true, intoRflags, 1)),
  registerRow('FUCOMI ST(0),ST(i)', 0xdb, 0xe8, registerCompare(false, intoRflags, 0)),
  registerRow('FUCOMIP ST(0),ST(i)', 0xdf, 0xe8, registerCompare(false, intoRflags, 1)),
  row('FCOMPP', 0xde, 0xd9, (unit) => registerCompare(true, intoConditions, 2)(unit, 1)),
  row('FUCOMPP', 0xda, 0xe9, (unit) => registerCompare(false, intoConditions, 2)(unit, 1)),
  row('FTST', 0xd9, 0xe4, ftst),
  row('FXAM', 0xd9, 0xe5, fxam),
  ...moveRows(),
];
