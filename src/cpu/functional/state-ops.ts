/**
 * What instructions do besides computing and accessing memory: raise exceptions, use fields of the thread context, and call
 * routines of the simulator.
 */

import { ASSISTS, type AssistName } from '../../arch/x86/isa/assists.ts';
import type { Bits } from '../../arch/x86/isa/decoded.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { ENGINE } from './core-functions.ts';
import { emitLoad, emitStore } from './core-module.ts';
import { CELL, CONTEXT_AT } from './layout.ts';
import { MemoryOps, typeOf } from './memory-ops.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import type { Value } from './wasm-ops.ts';

export abstract class StateOps extends MemoryOps {
  fault(vector: number, errorCode = 0): void {
    if (this.leaveInstruction()) return;
    this.setFault(vector, errorCode);
    this.f.branch(this.faultLabel());
  }

  faultIf(condition: Value, vector: number, errorCode = 0): void {
    this.put(condition);
    this.f.if(undefined, false);
    this.fault(vector, errorCode);
    this.f.end();
  }

  protected setFault(vector: number, errorCode: number): void {
    this.setFaultCells(this.int(32, vector), this.int(32, errorCode));
  }

  protected setFaultCells(vector: Value, errorCode: Value): void {
    const { code } = this.f;
    for (const [cell, value] of [
      [CELL.faultVector, vector],
      [CELL.faultCode, errorCode],
    ] as const) {
      code.i32(0);
      this.put(value);
      code.memory(Op.i32_store, ENGINE, cell);
    }
    code.i32(0);
    code.i64(0);
    code.memory(Op.i64_store, ENGINE, CELL.faultAddress);
  }

  field(offset: number, z: Width, at?: Value): Value {
    this.put(at ?? this.int(32, 0));
    emitLoad(this.f, z / 8, ENGINE, CONTEXT_AT + offset);
    return this.take(z === 64 ? ValueType.i64 : ValueType.i32);
  }

  assist(name: AssistName, ...values: Value[]): Value {
    const { code } = this.f;
    if (name === 'rdtsc') this.beforeClock();
    code.i32(ASSISTS.indexOf(name));
    for (let i = 0; i < 3; i++) this.put(values[i] ?? this.int(32, 0));
    code.opIndex(Op.call, this.core.assist);
    const answer = this.take(ValueType.i32);
    this.branchIfFaulted();
    return answer;
  }

  setArgument(offset: number, bits: Bits, value: Value): void {
    this.f.code.i32(0);
    this.put(value);
    emitStore(this.f, bits / 8, ENGINE, CELL.scratch + offset);
  }

  assistResult(offset: number, bits: Bits): Value {
    this.f.code.i32(0);
    emitLoad(this.f, bits / 8, ENGINE, CELL.scratch + offset);
    return this.take(typeOf(bits));
  }

  /** An assist will ask for the time: CELL.budget is to be the instructions not executed yet, this one included. */
  protected abstract beforeClock(): void;
}
