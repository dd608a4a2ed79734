// Random operands that dwell on the edges of a format: where exponents, rounding and NaNs change.

import type { FloatFormat } from '../../../src/arch/x86/float/format.ts';
import { Random } from '../../support/random.ts';

export class Operands extends Random {
  bits(width: number): bigint {
    let value = 0n;
    for (let i = 0; i < width; i += 32) value = (value << 32n) | BigInt(this.u32());
    return BigInt.asUintN(width, value);
  }

  /** An exponent field. */
  #exponent(fmt: FloatFormat): number {
    const top = fmt.exponentMax;
    switch (this.below(8)) {
      case 0:
        return this.pick([0, 0, 1, 2, top, top, top - 1, top - 2]);
      case 1:
        return this.below(fmt.precision + 4);
      case 2:
        return top - this.below(fmt.precision + 4);
      case 3:
        return this.below(top + 1);
      case 4:
        return (fmt.bias >> 1) + this.below(fmt.precision + 4);
      default:
        return Math.min(top, fmt.bias - 3 - (fmt.precision >> 1) + this.below(fmt.precision + 70));
    }
  }

  #fraction(width: number): bigint {
    const all = (1n << BigInt(width)) - 1n;
    const some = BigInt(this.below(width));
    switch (this.below(8)) {
      case 0:
        return 0n;
      case 1:
        return this.pick([1n, all, all - 1n, (all >> 1n) + 1n, all >> 1n, 3n << BigInt(width - 2)]);
      case 2:
        return 1n << some;
      case 3:
        return (all << some) & all;
      case 4:
        return (this.bits(width) << some) & all;
      case 5:
        return (all >> some) ^ BigInt(this.below(2));
      default:
        return this.bits(width);
    }
  }

  /** An encoding of the format; one in eight of the extended format is one that no operation makes. */
  float(fmt: FloatFormat): bigint {
    const sign = this.oneIn(2) ? fmt.signBit : 0n;
    const exponent = this.#exponent(fmt);
    let field = this.#fraction(fmt.precision - 1);
    if (fmt.explicitInteger && (exponent !== 0) !== this.oneIn(8)) field |= fmt.integerBit;
    return sign | (BigInt(exponent) << BigInt(fmt.fieldBits)) | field;
  }

  /** A second operand: often one that cancels, ties with or equals the first. */
  beside(fmt: FloatFormat, a: bigint): bigint {
    const mask = (1n << BigInt(fmt.widthBits)) - 1n;
    switch (this.below(8)) {
      case 0:
        return a;
      case 1:
        return a ^ fmt.signBit;
      case 2:
        return (a + BigInt(this.below(8)) - 4n) & mask;
      case 3:
        return a ^ fmt.signBit ^ BigInt(this.below(16));
      default:
        return this.float(fmt);
    }
  }

  /** An integer of `width` bits: small, near a power of two, or any. */
  integer(width: number): bigint {
    const power = 1n << BigInt(this.below(width));
    const near = BigInt.asUintN(width, power + BigInt(this.below(5)) - 2n);
    const value = this.pick([
      near,
      BigInt.asUintN(width, -near),
      this.bits(width),
      this.bits(width) >> BigInt(this.below(width)),
    ]);
    return value;
  }

  /** MXCSR without flags: three in four with all exceptions masked. */
  mxcsr(): number {
    const masks = this.oneIn(4) ? this.below(64) : 63;
    return (masks << 7) | (this.below(4) << 13) | (this.oneIn(4) ? 0x40 : 0) | (this.oneIn(4) ? 0x8000 : 0);
  }
}
