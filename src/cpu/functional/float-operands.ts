/** Scalar floats as operands of instructions in generated code, and MXCSR, on which the fast paths depend. */

import { type Operand, OperandKind } from '../../arch/x86/isa/decoded.ts';
import type { FloatOps } from '../../arch/x86/isa/float-ops.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { DOUBLE, SINGLE } from './float-checks.ts';
import { FloatVectors } from './float-vectors.ts';
import { Op } from './wasm/opcodes.ts';
import type { Value } from './wasm-ops.ts';

export abstract class FloatOperands extends FloatVectors implements FloatOps<Value> {
  abstract read(operand: Operand): Value;
  abstract write(operand: Operand, value: Value): void;
  abstract linearAddress(operand: Operand): Value;
  protected abstract readRegister(operand: Operand): Value;
  protected abstract writeRegister(operand: Operand): void;
  /** A write at the end of the instruction, of the value that is on the stack then. */
  protected abstract pend(value: Value, write: () => void): void;

  readFloat(operand: Operand): Value {
    const { bits } = operand;
    if (bits === 128) return this.read(operand);
    if (operand.kind !== OperandKind.memory) return this.readFloatRegister(operand);
    return this.loadFloat(bits as 32 | 64, this.linearAddress(operand));
  }

  writeFloat(operand: Operand, value: Value): void {
    if (operand.bits === 128) this.write(operand, value);
    else this.pend(value, () => this.writeFloatRegister(operand));
  }

  /** A scalar float in an SSE register; and the write of the one that is on the stack. */
  protected readFloatRegister(operand: Operand): Value {
    return this.checks.ofBits(operand.bits === 64 ? DOUBLE : SINGLE, this.readRegister(operand));
  }

  protected writeFloatRegister(operand: Operand): void {
    this.f.code.op(operand.bits === 64 ? Op.i64_reinterpret_f64 : Op.i32_reinterpret_f32);
    this.writeRegister(operand);
  }

  /** MXCSR, width 32: read anew whenever it is needed, unless an engine keeps it. */
  protected mxcsr(): Value {
    return this.field(OFFSET.mxcsr, 32);
  }

  protected mxcsrChanged(): void {
    // Nobody keeps it.
  }
}
