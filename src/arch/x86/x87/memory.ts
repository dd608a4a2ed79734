/**
 * Values in the scratch bytes of a memory operand, and loads and stores of floating-point, integer and
 * packed BCD operands. Intel SDM vol. 1 §4.2, §4.7 (BCD), vol. 2A "FLD", "FST", "FILD", "FIST", "FISTTP",
 * "FBLD", "FBSTP".
 */

import { convert, fromInteger, type IntegerTarget, toInteger } from '../float/convert.ts';
import { environmentFromFcw, type FloatEnvironment, FloatFlag } from '../float/environment.ts';
import { BINARY32, BINARY64, EXTENDED80, FloatClass, type FloatFormat, unpack } from '../float/format.ts';
import { FCW_INIT } from '../registers.ts';
import { Fsw, row, type X87Instruction, type X87Operand, type X87Unit } from './unit.ts';

/** Little-endian value of `sizeBytes` bytes at `at`. */
export function readBytes(memory: Uint8Array, at: number, sizeBytes: number): bigint {
  let value = 0n;
  for (let i = sizeBytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(memory[at + i]!);
  return value;
}

/** Writes what {@link readBytes} reads. */
export function writeBytes(memory: Uint8Array, at: number, sizeBytes: number, value: bigint): void {
  for (let i = 0, rest = value; i < sizeBytes; i++, rest >>= 8n) memory[at + i] = Number(rest & 0xffn);
}

/** A signed integer operand of `sizeBytes` bytes in the extended format, where it is exact. */
export function integerOperand(memory: Uint8Array, sizeBytes: number): bigint {
  const value = BigInt.asIntN(sizeBytes * 8, readBytes(memory, 0, sizeBytes));
  return fromInteger(exactly(), EXTENDED80, value);
}

/** For conversions that are exact and raise nothing. */
const exactly = (): FloatEnvironment => environmentFromFcw(FCW_INIT);

/** A binary32 or binary64 operand in the extended format, without exceptions: SNaNs stay signalling. */
export function widened(fmt: FloatFormat, bits: bigint): bigint {
  const x = unpack(fmt, bits);
  if (x.class === FloatClass.signallingNan) {
    const field = (x.significand << BigInt(EXTENDED80.precision - fmt.precision)) | EXTENDED80.infinity;
    return x.sign ? field | EXTENDED80.signBit : field;
  }
  return convert(exactly(), fmt, EXTENDED80, bits);
}

function loadFloat(fmt: FloatFormat): X87Instruction['run'] {
  return (unit, { memory }) => {
    if (!unit.isEmpty(7)) {
      unit.load(() => 0n);
      return;
    }
    const env = { ...unit.environment(), precisionBits: 64 };
    const value = convert(env, fmt, EXTENDED80, readBytes(memory, 0, fmt.widthBits >> 3));
    // A denormal is pushed even if DE is unmasked: the operand of a load is not needed again.
    if ((unit.settle(env) & FloatFlag.IE) === 0) unit.push(value);
  };
}

/** How a register becomes a memory operand, and what stands for an empty register. */
type Store = {
  readonly sizeBytes: number;
  readonly indefinite: bigint;
  readonly convert: (env: FloatEnvironment, value: bigint) => bigint;
};

function store({ sizeBytes, indefinite, convert: converted }: Store, pops: boolean): X87Instruction['run'] {
  return (unit, operand) => {
    const there = unit.needs(0);
    if (there === false) return;
    let value = indefinite;
    if (there === true) {
      const env = unit.environment();
      value = converted(env, unit.st(0));
      const due = env.flags & ~env.masks & (FloatFlag.OE | FloatFlag.UE);
      if (due !== 0) {
        // Nothing is stored, so nothing was rounded.
        env.flags = due;
        env.roundedUp = false;
      }
      if (unit.settle(env) & ~FloatFlag.PE) return;
    }
    writeBytes(operand.memory, 0, sizeBytes, value);
    operand.stored = true;
    if (pops) unit.pop();
  };
}

const floatStore = (fmt: FloatFormat): Store => ({
  sizeBytes: fmt.widthBits >> 3,
  indefinite: fmt.defaultNan,
  convert: (env, value) => convert(env, EXTENDED80, fmt, value, false),
});

const EXTENDED_STORE: Store = {
  sizeBytes: 10,
  indefinite: EXTENDED80.defaultNan,
  convert: (_, value) => value,
};

function integerStore(sizeBytes: number, truncate: boolean): Store {
  const target: IntegerTarget = { bits: sizeBytes * 8, signed: true, truncate };
  return {
    sizeBytes,
    indefinite: 1n << BigInt(target.bits - 1),
    convert: (env, value) => toInteger(env, EXTENDED80, value, target),
  };
}

/** The packed BCD indefinite. SDM vol. 1 table 4-4. */
const BCD_INDEFINITE = 0xffff_c000_0000_0000_0000n;
const BCD_LIMIT = 10n ** 18n;

const BCD_STORE: Store = {
  sizeBytes: 10,
  indefinite: BCD_INDEFINITE,
  convert: (env, value) => {
    const own = { ...env };
    const integer = BigInt.asIntN(
      64,
      toInteger(own, EXTENDED80, value, { bits: 64, signed: true, truncate: false }),
    );
    const magnitude = integer < 0n ? -integer : integer;
    if (own.flags & FloatFlag.IE || magnitude >= BCD_LIMIT) {
      env.flags |= FloatFlag.IE;
      return BCD_INDEFINITE;
    }
    env.flags |= own.flags;
    env.roundedUp = own.roundedUp;
    const sign = value & EXTENDED80.signBit ? 0x80n << 72n : 0n;
    return sign | BigInt(`0x${magnitude}`);
  },
};

/** Packed BCD: eighteen digits and a sign. Digits above nine count with their value, as processors do. */
function fbld(unit: X87Unit, { memory }: X87Operand): void {
  unit.load(() => {
    let value = 0n;
    for (let i = 8; i >= 0; i--) value = value * 100n + BigInt((memory[i]! >> 4) * 10 + (memory[i]! & 15));
    const bits = fromInteger(exactly(), EXTENDED80, value);
    return memory[9]! & 0x80 ? bits | EXTENDED80.signBit : bits;
  });
}

function fldRegister(unit: X87Unit, { i }: X87Operand): void {
  if (!unit.isEmpty(i)) {
    const value = unit.st(i);
    unit.load(() => value);
    return;
  }
  if (unit.stackFault(false)) unit.push(EXTENDED80.defaultNan);
}

function storeRegister(pops: boolean): X87Instruction['run'] {
  return (unit, { i }) => {
    const there = unit.needs(0);
    if (there === false) return;
    if (there === true) unit.setConditions(Fsw.C1, 0);
    unit.setSt(i, there === true ? unit.st(0) : EXTENDED80.defaultNan);
    if (pops) unit.pop();
  };
}

/** The undocumented D9 D8+i: as FSTP, but an empty ST(0) is popped without a fault and not copied. */
function fstpnce(unit: X87Unit, { i }: X87Operand): void {
  if (!unit.isEmpty(0)) unit.setSt(i, unit.st(0));
  unit.setConditions(Fsw.C1, 0);
  unit.pop();
}

function storeRow(name: string, opcode: number, digit: number, how: Store, pops: boolean): X87Instruction {
  return row(name, opcode, digit, store(how, pops), { sizeBytes: how.sizeBytes, stores: true });
}

function loadRow(
  name: string,
  opcode: number,
  digit: number,
  sizeBytes: number,
  run: X87Instruction['run'],
): X87Instruction {
  return row(name, opcode, digit, run, { sizeBytes });
}

const loadInteger = (sizeBytes: number): X87Instruction['run'] => {
  return (unit, { memory }) => unit.load(() => integerOperand(memory, sizeBytes));
};

export const LOADS_AND_STORES: readonly X87Instruction[] = [
  loadRow('FLD m32fp', 0xd9, 0, 4, loadFloat(BINARY32)),
  loadRow('FLD m64fp', 0xdd, 0, 8, loadFloat(BINARY64)),
  loadRow('FLD m80fp', 0xdb, 5, 10, (unit, { memory }) => unit.load(() => readBytes(memory, 0, 10))),
  row('FLD ST(i)', 0xd9, 0xc0, fldRegister),
  storeRow('FST m32fp', 0xd9, 2, floatStore(BINARY32), false),
  storeRow('FSTP m32fp', 0xd9, 3, floatStore(BINARY32), true),
  storeRow('FST m64fp', 0xdd, 2, floatStore(BINARY64), false),
  storeRow('FSTP m64fp', 0xdd, 3, floatStore(BINARY64), true),
  storeRow('FSTP m80fp', 0xdb, 7, EXTENDED_STORE, true),
  row('FST ST(i)', 0xdd, 0xd0, storeRegister(false)),
  row('FSTP ST(i)', 0xdd, 0xd8, storeRegister(true)),
  row('FSTP8 ST(i)', 0xdf, 0xd0, storeRegister(true)),
  row('FSTP9 ST(i)', 0xdf, 0xd8, storeRegister(true)),
  row('FSTPNCE ST(i)', 0xd9, 0xd8, fstpnce),
  loadRow('FILD m16int', 0xdf, 0, 2, loadInteger(2)),
  loadRow('FILD m32int', 0xdb, 0, 4, loadInteger(4)),
  loadRow('FILD m64int', 0xdf, 5, 8, loadInteger(8)),
  storeRow('FIST m16int', 0xdf, 2, integerStore(2, false), false),
  storeRow('FISTP m16int', 0xdf, 3, integerStore(2, false), true),
  storeRow('FISTTP m16int', 0xdf, 1, integerStore(2, true), true),
  storeRow('FIST m32int', 0xdb, 2, integerStore(4, false), false),
  storeRow('FISTP m32int', 0xdb, 3, integerStore(4, false), true),
  storeRow('FISTTP m32int', 0xdb, 1, integerStore(4, true), true),
  storeRow('FISTP m64int', 0xdf, 7, integerStore(8, false), true),
  storeRow('FISTTP m64int', 0xdd, 1, integerStore(8, true), true),
  loadRow('FBLD m80bcd', 0xdf, 4, 10, fbld),
  storeRow('FBSTP m80bcd', 0xdf, 6, BCD_STORE, true),
];
