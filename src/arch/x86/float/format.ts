/**
 * The binary formats of x86 and the taking apart of their encodings: IEEE binary16, binary32 and binary64,
 * and the 80-bit extended format of x87 with its explicit integer bit. Intel SDM vol. 1 §4.2.2, §4.8.3 and
 * table 8-3 (unsupported encodings). An encoding is a non-negative bigint of `widthBits` bits.
 */

/** Shape of a format, and the encodings that operations need from it. */
export type FloatFormat = {
  readonly name: string;
  readonly widthBits: number;
  /** Significand bits with the integer bit. */
  readonly precision: number;
  /** Bits of the significand field: `precision`, less one where the integer bit is implied. */
  readonly fieldBits: number;
  readonly explicitInteger: boolean;
  readonly bias: number;
  /** The exponent field of infinities and NaNs. */
  readonly exponentMax: number;
  /** Exponents of the smallest and the largest normal number, as in 2^e. */
  readonly minExponent: number;
  readonly maxExponent: number;
  /** Mask of the significand field. */
  readonly fieldMask: bigint;
  readonly integerBit: bigint;
  readonly quietBit: bigint;
  readonly signBit: bigint;
  /** Positive infinity. */
  readonly infinity: bigint;
  /** The QNaN floating-point indefinite: negative, quiet, payload zero. SDM vol. 1 §4.8.3.7. */
  readonly defaultNan: bigint;
};

function format(
  name: string,
  exponentBits: number,
  precision: number,
  explicitInteger: boolean,
): FloatFormat {
  const fieldBits = explicitInteger ? precision : precision - 1;
  const widthBits = 1 + exponentBits + fieldBits;
  const exponentMax = 2 ** exponentBits - 1;
  const bias = exponentMax >> 1;
  const integerBit = 1n << BigInt(precision - 1);
  const quietBit = integerBit >> 1n;
  const signBit = 1n << BigInt(widthBits - 1);
  const infinity = (BigInt(exponentMax) << BigInt(fieldBits)) | (explicitInteger ? integerBit : 0n);
  return {
    name,
    widthBits,
    precision,
    fieldBits,
    explicitInteger,
    bias,
    exponentMax,
    minExponent: 1 - bias,
    maxExponent: bias,
    fieldMask: (1n << BigInt(fieldBits)) - 1n,
    integerBit,
    quietBit,
    signBit,
    infinity,
    defaultNan: signBit | infinity | quietBit,
  };
}

export const BINARY16 = format('binary16', 5, 11, false);
export const BINARY32 = format('binary32', 8, 24, false);
export const BINARY64 = format('binary64', 11, 53, false);
/** x87's double extended precision. */
export const EXTENDED80 = format('extended80', 15, 64, true);

/** What kind of value an encoding stands for. From `quietNan` on there is no numeric value. */
export const FloatClass = {
  zero: 0,
  denormal: 1,
  normal: 2,
  infinity: 3,
  quietNan: 4,
  signallingNan: 5,
  /** Pseudo-infinities, pseudo-NaNs and unnormals of the extended format. SDM vol. 1 table 8-3. */
  unsupported: 6,
} as const;

/** An encoding taken apart. A finite value is (−1)^sign × significand × 2^exponent. */
export type Unpacked = {
  readonly class: number;
  readonly sign: number;
  readonly exponent: number;
  /** For NaNs the significand field, integer bit included. */
  readonly significand: bigint;
};

function classOf(fmt: FloatFormat, exponent: number, field: bigint): number {
  if (exponent === 0) return field === 0n ? FloatClass.zero : FloatClass.denormal;
  if (fmt.explicitInteger && !(field & fmt.integerBit)) return FloatClass.unsupported;
  if (exponent !== fmt.exponentMax) return FloatClass.normal;
  if ((field & ~fmt.integerBit) === 0n) return FloatClass.infinity;
  return field & fmt.quietBit ? FloatClass.quietNan : FloatClass.signallingNan;
}

/**
 * Takes an encoding apart. Pseudo-denormals are denormals whose value their integer bit counts towards.
 * @param daz take denormals as zeros of the same sign (SDM vol. 1 §10.2.3.4)
 */
export function unpack(fmt: FloatFormat, bits: bigint, daz = false): Unpacked {
  const sign = bits & fmt.signBit ? 1 : 0;
  const field = bits & fmt.fieldMask;
  const exponent = Number(bits >> BigInt(fmt.fieldBits)) & fmt.exponentMax;
  const kind = classOf(fmt, exponent, field);
  if (kind === FloatClass.denormal && daz) {
    return { class: FloatClass.zero, sign, exponent: 0, significand: 0n };
  }
  const implied = exponent !== 0 && !fmt.explicitInteger ? fmt.integerBit : 0n;
  return {
    class: kind,
    sign,
    exponent: Math.max(exponent, 1) - fmt.bias - (fmt.precision - 1),
    significand: field | implied,
  };
}

/** Whether the value is a NaN or an unsupported encoding. */
export function isNan(value: Unpacked): boolean {
  return value.class >= FloatClass.quietNan;
}

/** Zero with the given sign. */
export function zero(fmt: FloatFormat, sign: number): bigint {
  return sign ? fmt.signBit : 0n;
}

/** Infinity with the given sign. */
export function infinity(fmt: FloatFormat, sign: number): bigint {
  return sign ? fmt.signBit | fmt.infinity : fmt.infinity;
}

/** The finite value of largest magnitude whose significand has `precisionBits` bits. */
export function largestFinite(fmt: FloatFormat, sign: number, precisionBits = fmt.precision): bigint {
  const unused = (1n << BigInt(fmt.precision - precisionBits)) - 1n;
  const field = fmt.fieldMask & ~unused;
  return zero(fmt, sign) | (BigInt(fmt.exponentMax - 1) << BigInt(fmt.fieldBits)) | field;
}

/**
 * Puts a finite value together: significand × 2^(exponent − precision + 1), where the significand has its
 * integer bit unless it is denormal, and then the exponent is the smallest.
 */
export function pack(fmt: FloatFormat, sign: number, significand: bigint, exponent: number): bigint {
  const biased = significand & fmt.integerBit ? exponent + fmt.bias : 0;
  return zero(fmt, sign) | (BigInt(biased) << BigInt(fmt.fieldBits)) | (significand & fmt.fieldMask);
}

/** Bits up to the highest one that is set; 0 for zero. */
export function bitLength(n: bigint): number {
  if (n <= 0xffff_ffffn) return 32 - Math.clz32(Number(n));
  // As a Number the logarithm may round across a power of two: one shift settles it.
  const estimate = Math.floor(Math.log2(Number(n)));
  if (estimate < MAX_NUMBER_EXPONENT) {
    const top = n >> BigInt(estimate);
    return estimate + (top === 0n ? 0 : top === 1n ? 1 : 2);
  }
  const digits = n.toString(16);
  return digits.length * 4 - (Math.clz32(Number.parseInt(digits[0]!, 16)) - 28);
}

/** Bigints below two to this power are finite Numbers. */
const MAX_NUMBER_EXPONENT = 1023;
