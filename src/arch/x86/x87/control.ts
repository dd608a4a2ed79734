/**
 * x87 control: constants, stack management, control and status words, MMX entry and EMMS. Intel SDM vol. 1
 * §8.1.3 to §8.1.5, §8.3.4, §8.3.12, §9.5; vol. 2A under each name.
 */

import { FloatFlag, Rounding } from '../float/environment.ts';
import { EXTENDED80 } from '../float/format.ts';
import { FCW_INIT, Gpr } from '../registers.ts';
import { OFFSET } from '../state-layout.ts';
import type { X86ThreadContext } from '../thread-context.ts';
import { readBytes, writeBytes } from './memory.ts';
import { Fsw, row, type X87Instruction, type X87Operand, X87Unit } from './unit.ts';

const INDEFINITE = EXTENDED80.defaultNan;

/**
 * The constants truncated to 64 bits, and whether rounding to nearest goes up from there.
 * SDM vol. 2A "FLD1/…/FLDZ": they are rounded as FCW.RC says, without raising PE.
 */
const CONSTANTS: readonly (readonly [
  name: string,
  modrm: number,
  truncated: bigint,
  up: boolean,
  exact: boolean,
])[] = [
  ['FLD1', 0xe8, 0x3fff_8000_0000_0000_0000n, false, true],
  ['FLDL2T', 0xe9, 0x4000_d49a_784b_cd1b_8afen, false, false],
  ['FLDL2E', 0xea, 0x3fff_b8aa_3b29_5c17_f0bbn, true, false],
  ['FLDPI', 0xeb, 0x4000_c90f_daa2_2168_c234n, true, false],
  ['FLDLG2', 0xec, 0x3ffd_9a20_9a84_fbcf_f798n, true, false],
  ['FLDLN2', 0xed, 0x3ffe_b172_17f7_d1cf_79abn, true, false],
  ['FLDZ', 0xee, 0n, false, true],
];

function constantRows(): X87Instruction[] {
  return CONSTANTS.map(([name, modrm, truncated, up, isExact]) =>
    row(name, 0xd9, modrm, (unit) =>
      unit.load(() => {
        const { rounding } = unit.environment();
        const raise = !isExact && (rounding === Rounding.up || (rounding === Rounding.nearest && up));
        return raise ? truncated + 1n : truncated;
      }),
    ),
  );
}

/** Exchanges; an empty register counts as the indefinite value. */
function fxch(unit: X87Unit, { i }: X87Operand): void {
  const there = unit.needs(0, i);
  if (there === false) return;
  if (there === true) unit.setConditions(Fsw.C1, 0);
  const a = unit.isEmpty(0) ? INDEFINITE : unit.st(0);
  const b = unit.isEmpty(i) ? INDEFINITE : unit.st(i);
  unit.setSt(0, b);
  unit.setSt(i, a);
}

function rotate(by: number): X87Instruction['run'] {
  return (unit) => {
    unit.top = unit.top + by;
    unit.setConditions(Fsw.C1, 0);
  };
}

/** FNINIT: the registers keep their contents but are empty. */
export function fninit(unit: X87Unit): void {
  unit.fcw = FCW_INIT;
  unit.fsw = 0;
  unit.ftw = 0;
  unit.tc.u16[OFFSET.fop >> 1] = 0;
  unit.tc.set(OFFSET.fip, 0n);
  unit.tc.set(OFFSET.fdp, 0n);
}

function fnclex(unit: X87Unit): void {
  unit.fsw &= ~(FloatFlag.all | Fsw.SF | Fsw.ES | Fsw.B);
}

function fldcw(unit: X87Unit, { memory }: X87Operand): void {
  unit.fcw = Number(readBytes(memory, 0, 2));
  unit.updateSummary();
}

function storeWord(value: (unit: X87Unit) => number): X87Instruction['run'] {
  return (unit, operand) => {
    writeBytes(operand.memory, 0, 2, BigInt(value(unit)));
    operand.stored = true;
  };
}

function fnstswAx(unit: X87Unit): void {
  unit.tc.u16[(Gpr.RAX * 8) >> 1] = unit.fsw;
}

function ffree(unit: X87Unit, { i }: X87Operand): void {
  unit.free(i);
  unit.setConditions(Fsw.C1, 0);
}

/** Frees ST(i) and pops: ST(0) is empty too. */
function ffreep(unit: X87Unit, operand: X87Operand): void {
  ffree(unit, operand);
  unit.pop();
}

const nothing = (): void => undefined;

/** Neither waits nor leaves a trace in FOP, FIP and FDP. */
const QUIET = { waits: false, pointers: false } as const;
const CONTROL_LOAD = { pointers: false } as const;

export const CONTROL: readonly X87Instruction[] = [
  ...constantRows(),
  row('FXCH ST(i)', 0xd9, 0xc8, fxch),
  row('FXCH4 ST(i)', 0xdd, 0xc8, fxch),
  row('FXCH7 ST(i)', 0xdf, 0xc8, fxch),
  row('FNOP', 0xd9, 0xd0, nothing),
  row('FDECSTP', 0xd9, 0xf6, rotate(-1)),
  row('FINCSTP', 0xd9, 0xf7, rotate(1)),
  row('FFREE ST(i)', 0xdd, 0xc0, ffree),
  row('FFREEP ST(i)', 0xdf, 0xc0, ffreep),
  row('FNENI', 0xdb, 0xe0, nothing, QUIET),
  row('FNDISI', 0xdb, 0xe1, nothing, QUIET),
  row('FNCLEX', 0xdb, 0xe2, fnclex, QUIET),
  row('FNINIT', 0xdb, 0xe3, fninit, QUIET),
  row('FNSETPM', 0xdb, 0xe4, nothing, QUIET),
  row('FLDCW m2byte', 0xd9, 5, fldcw, { sizeBytes: 2, ...CONTROL_LOAD }),
  row(
    'FNSTCW m2byte',
    0xd9,
    7,
    storeWord((unit) => unit.fcw),
    { sizeBytes: 2, stores: true, ...QUIET },
  ),
  row(
    'FNSTSW m2byte',
    0xdd,
    7,
    storeWord((unit) => unit.fsw),
    { sizeBytes: 2, stores: true, ...QUIET },
  ),
  row('FNSTSW AX', 0xdf, 0xe0, fnstswAx, QUIET),
];

/**
 * What every MMX instruction but EMMS does to the x87 state before it: a pending exception is #MF, else TOP
 * becomes 0 and all registers valid. SDM vol. 1 §9.5.1, §9.6.
 */
export function enterMmx(tc: X86ThreadContext): 'none' | 'mf' {
  const unit = new X87Unit(tc);
  if (unit.fsw & Fsw.ES) return 'mf';
  unit.top = 0;
  unit.ftw = 0xff;
  return 'none';
}

/** EMMS: all registers empty. SDM vol. 1 §9.6.3. */
export function emms(tc: X86ThreadContext): 'none' | 'mf' {
  const unit = new X87Unit(tc);
  if (unit.fsw & Fsw.ES) return 'mf';
  unit.ftw = 0;
  unit.top = 0;
  return 'none';
}
