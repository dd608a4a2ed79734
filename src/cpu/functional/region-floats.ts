/**
 * Floating point in a translated region: what the fast paths of float-scalars.ts and float-vectors.ts need is kept in locals, and
 * what they do not do is left to the interpreter.
 */

import type { AssistName } from '../../arch/x86/isa/assists.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import { ENGINE } from './core-functions.ts';
import { type Holds, MXCSR_COMMON, MXCSR_MODE } from './float-scalars.ts';
import { CONTEXT_AT } from './layout.ts';
import { type FloatConstant, floatConstantBytes, type Lanes } from './vector-checks.ts';
import type { CodeWriter } from './wasm/code.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import { VectorOp } from './wasm/vector-opcodes.ts';
import { WasmCracker } from './wasm-cracker.ts';
import type { Value } from './wasm-ops.ts';

const { i32, v128 } = ValueType;

export abstract class RegionFloats extends WasmCracker {
  /** MXCSR's mode less its common state: 0 where fast paths hold. Read at the entry, if anybody asks. */
  #modeLocal = 0;
  #usesMode = false;
  /** Whether it is taken to be common, and whether it has been found to be so at this place. */
  #isCommon = false;
  #isKnownCommon = false;
  /** Constants of fast paths, set at the entry. */
  readonly #constants = new Map<string, { readonly local: number; readonly bytes: readonly number[] }>();

  /** @param isCommon whether MXCSR is in its common state now */
  protected beginFloats(isCommon: boolean): void {
    this.#isCommon = isCommon;
    this.#modeLocal = this.f.local(i32);
    this.#usesMode = false;
    this.#constants.clear();
  }

  /** MXCSR's mode has not been looked at on the way here. */
  forgetMode(): void {
    this.#isKnownCommon = false;
  }

  /**
   * What the fast path does not do is left to the interpreter: a call would cost all that is kept in registers around it. But
   * where MXCSR has been uncommon so far, it may stay so, and the exact routines are called.
   */
  protected override guarded(result: Value, conditions: (holds: Holds) => void, exact: () => void): Value {
    if (!this.#isCommon) return super.guarded(result, conditions, exact);
    conditions((condition, orElse) => {
      this.put(this.fails(condition));
      this.f.if(undefined, false);
      if (orElse !== undefined) {
        this.put(this.fails(orElse()));
        this.f.if(undefined, false);
      }
      this.leaveInstruction();
      if (orElse !== undefined) this.f.end();
      this.f.end();
    });
    return result;
  }

  /** Once per block is enough. */
  protected override holdsInCommonMode(holds: Holds): void {
    if (this.#isKnownCommon) return;
    holds(this.mxcsrIsCommon());
    this.#isKnownCommon = this.#isCommon;
  }

  protected override holdsIfExact(holds: Holds, isExact: () => Value): void {
    if (this.#isCommon) this.holdsInCommonMode(holds);
    else super.holdsIfExact(holds, isExact);
  }

  protected override mxcsrIsCommon(): Value {
    this.#usesMode = true;
    return this.isZero(32, this.ofLocal(this.#modeLocal, i32));
  }

  #readMode(code: CodeWriter): void {
    this.#isKnownCommon = false;
    code.i32(0);
    code.memory(Op.i32_load, ENGINE, CONTEXT_AT + OFFSET.mxcsr);
    code.i32(MXCSR_MODE);
    code.op(Op.i32_and);
    code.i32(MXCSR_COMMON);
    code.op(Op.i32_xor);
    code.set(this.#modeLocal);
  }

  /** LDMXCSR: what is pending first takes effect last. */
  override setField(offset: number, z: Width, value: Value, at?: Value): void {
    if (offset === OFFSET.mxcsr) {
      this.pend(this.int(32, 0), () => {
        this.f.code.op(Op.drop);
        this.#readMode(this.f.code);
      });
    }
    super.setField(offset, z, value, at);
  }

  override assist(name: AssistName, ...values: Value[]): Value {
    const answer = super.assist(name, ...values);
    if (name === 'fxrstor') this.#readMode(this.f.code);
    return answer;
  }

  protected override floatConstant(lanes: Lanes, name: FloatConstant): Value {
    const key = `${lanes} ${name}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return this.ofLocal(known.local, v128);
    const local = this.f.local(v128);
    this.#constants.set(key, { local, bytes: floatConstantBytes(lanes, name) });
    return this.ofLocal(local, v128);
  }

  /** Appends what floating point needs to the code at the entry. */
  writeFloatPrologue(code: CodeWriter): void {
    if (this.#usesMode) this.#readMode(code);
    for (const { local, bytes } of this.#constants.values()) {
      code.vector(VectorOp.const);
      for (const byte of bytes) code.byte(byte);
      code.set(local);
    }
  }
}
