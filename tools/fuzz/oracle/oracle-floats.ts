// The floating-point operations of SSE: always by the exact routines of arch/x86/float. A scalar is the integer of its encoding.
// Raised flags go into MXCSR at once; an unmasked exception is #XM, with the flags set (SDM vol. 1 §11.5.2).

import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { environmentFromMxcsr } from '../../../src/arch/x86/float/environment.ts';
import { FLOAT_ROUTINE_TABLE } from '../../../src/arch/x86/float/sse-routines.ts';
import {
  conversionSide,
  elementBits,
  type FlagComparison,
  type FloatOperation,
  type FloatRoutineName,
  type FloatShape,
  floatRoutineCode,
  type ScalarConversion,
  type VectorConversion,
} from '../../../src/arch/x86/isa/float-ops.ts';
import { Cr4 } from '../../../src/arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { BigIntOps } from './bigint-ops.ts';
import { fromBytes, toBytes } from './bigint-vectors.ts';
import { GuestException } from './guest-exception.ts';

export class OracleFloats extends BigIntOps {
  protected readonly tc: X86ThreadContext;

  constructor(tc: X86ThreadContext) {
    super();
    this.tc = tc;
  }

  float(operation: FloatOperation, shape: FloatShape, a: bigint, b: bigint = a): bigint {
    const result = this.#exact(`${operation}.${shape}`, a, b);
    return shape === 'ps' || shape === 'pd' ? result : BigInt.asUintN(elementBits(shape), result);
  }

  floatFlags(comparison: FlagComparison, a: bigint, b: bigint): bigint {
    return BigInt.asUintN(32, this.#exact(comparison, a, b));
  }

  convertScalar(conversion: ScalarConversion, a: bigint): bigint {
    const { bits } = conversionSide(conversion.split('to')[1]!);
    return BigInt.asUintN(bits, this.#exact(conversion, a, 0n));
  }

  convertVector(conversion: VectorConversion, a: bigint): bigint {
    return this.#exact(conversion, a, 0n);
  }

  #exact(name: FloatRoutineName, a: bigint, b: bigint): bigint {
    const { u32 } = this.tc;
    const at = OFFSET.mxcsr >> 2;
    const env = environmentFromMxcsr(u32[at]!);
    const bytes = Uint8Array.from(toBytes(a));
    const stands = FLOAT_ROUTINE_TABLE[floatRoutineCode(name)]!(bytes, Uint8Array.from(toBytes(b)), env);
    u32[at]! |= env.flags;
    if (stands) return fromBytes([...bytes]);
    const reportsXm = (u32[OFFSET.cr4 >> 2]! & Cr4.OSXMMEXCPT) !== 0;
    throw new GuestException(reportsXm ? Vector.XM : Vector.UD);
  }
}
