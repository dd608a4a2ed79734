/** Addresses of memory operands, from a thread context: for what happens rarely. SDM vol. 1 §3.7.5. */

import { Seg } from '../registers.ts';
import type { X86ThreadContext } from '../thread-context.ts';
import { BASE_RIP, type Decoded, type MemoryOperand, NO_REGISTER } from './decoded.ts';

/** The linear address of an operand that ModRM names, of the instruction at RIP; segments are flat but for FS and GS. */
export function linearAddressOf(
  { addressBits, is64, lengthBytes }: Decoded,
  { base, index, scale, displacement, segment }: MemoryOperand,
  tc: X86ThreadContext,
): bigint {
  let offset = BigInt(displacement);
  if (base === BASE_RIP) offset += tc.rip + BigInt(lengthBytes);
  else if (base !== NO_REGISTER) offset += tc.gpr(base);
  if (index !== NO_REGISTER) offset += tc.gpr(index) << BigInt(scale);
  const segmentBase = segment >= Seg.FS ? tc.segmentBase(segment) : 0n;
  return BigInt.asUintN(is64 ? 64 : 32, BigInt.asUintN(addressBits, offset) + segmentBase);
}
