// The routines of the simulator that instructions call. Integer arithmetic is computed here anew; the x87 unit, the areas of
// FXSAVE and XSAVE, and segment descriptors are those of the functional CPU.

import type { AssistName } from '../../../src/arch/x86/isa/assists.ts';
import type { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { XsaveFormat } from '../../../src/arch/x86/xsave.ts';
import { ASSIST_ROUTINES, type AssistContext } from '../../../src/cpu/functional/assists.ts';
import { linuxDescriptor } from '../../../src/cpu/functional/segment-assists.ts';
import { X87Assist } from '../../../src/cpu/functional/x87-assist.ts';
import { XsaveAssist, type XsaveMemory } from '../../../src/cpu/functional/xsave-assist.ts';
import { GuestException } from './guest-exception.ts';

const SCRATCH_BYTES = 512;
/** CRC-32C: x^32 and these powers of x, the lowest in bit 0. SDM vol. 2A "CRC32". */
const POLYNOMIAL = 0x1_1edc_6f41n;

export class OracleAssists {
  readonly #scratch = new DataView(new ArrayBuffer(SCRATCH_BYTES));
  readonly #context: AssistContext;

  /**
   * @param ram physical memory from address 0
   * @param place where bytes of one page lie in it
   */
  constructor(
    tc: X86ThreadContext,
    ram: Uint8Array,
    place: (linear: bigint, sizeBytes: number, kind: 'read' | 'write') => number,
  ) {
    const raise = (vector: number, errorCode: number): never => {
      throw new GuestException(vector, errorCode);
    };
    const xsaveMemory: XsaveMemory = {
      ram,
      place: (lo, hi, sizeBytes, isWrite) => {
        const linear = BigInt.asUintN(64, (BigInt(hi) << 32n) | BigInt(lo >>> 0));
        return place(linear, sizeBytes, isWrite ? 'write' : 'read');
      },
      setFault: raise,
    };
    this.#context = {
      tc,
      scratch: this.#scratch,
      x87: new X87Assist(tc, this.#scratch),
      xsave: new XsaveAssist(tc, new XsaveFormat([]), true, xsaveMemory),
      raise,
      readTsc: () => [0, 0],
      cpuid: () => [0, 0, 0, 0],
      random: () => 0,
      descriptor: linuxDescriptor,
    };
  }

  /** @param values signed, of 32 bits; so is the result */
  call(name: AssistName, [a = 0, b = 0, c = 0]: readonly number[]): number {
    if (name === 'divide128') return this.#divide128(a !== 0);
    if (name === 'crc32') return crc32(a, b, c);
    return ASSIST_ROUTINES[name](this.#context, a, b, c);
  }

  bytes(at: number, count: number): bigint {
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#scratch.getUint8(at + i));
    return value;
  }

  setBytes(at: number, count: number, value: bigint): void {
    for (let i = 0; i < count; i++) this.#scratch.setUint8(at + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }

  /** SDM vol. 2A "DIV", "IDIV". @returns 1 if the quotient does not fit */
  #divide128(isSigned: boolean): number {
    const of = (z: number, value: bigint): bigint => (isSigned ? BigInt.asIntN(z, value) : value);
    const dividend = of(128, this.bytes(0, 16));
    const divisor = of(64, this.bytes(16, 8));
    const quotient = dividend / divisor;
    if (of(64, BigInt.asUintN(64, quotient)) !== quotient) return 1;
    this.setBytes(0, 8, BigInt.asUintN(64, quotient));
    this.setBytes(8, 8, BigInt.asUintN(64, dividend % divisor));
    return 0;
  }
}

/**
 * As the manual writes it: bits reversed, a division of polynomials modulo 2, and the rest reversed again. The low `bits` of
 * the data count.
 */
function crc32(crc: number, data: number, bits: number): number {
  const message = reversed(BigInt.asUintN(bits, BigInt(data)), bits) << 32n;
  let rest = message ^ (reversed(BigInt.asUintN(32, BigInt(crc)), 32) << BigInt(bits));
  for (let i = bits + 31; i >= 32; i--)
    if (((rest >> BigInt(i)) & 1n) !== 0n) rest ^= POLYNOMIAL << BigInt(i - 32);
  return Number(BigInt.asIntN(32, reversed(rest, 32)));
}

function reversed(value: bigint, bits: number): bigint {
  return BigInt(`0b${[...value.toString(2).padStart(bits, '0')].reverse().join('')}`);
}
