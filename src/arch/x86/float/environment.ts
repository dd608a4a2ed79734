/**
 * What a floating-point operation depends on besides its operands, and what it leaves behind besides its
 * result: MXCSR and the x87 control and status words in one form. Intel SDM vol. 1 §4.8.4 (rounding), §4.9
 * (exceptions), §8.1.5 (x87 control word), §10.2.3 (MXCSR).
 */

/** Exception flags in the bit order of MXCSR and of the x87 status word; masks use the same bits. */
export const FloatFlag = {
  /** Invalid operation. */
  IE: 0x01,
  /** Denormal operand. */
  DE: 0x02,
  /** Division by zero. */
  ZE: 0x04,
  /** Numeric overflow. */
  OE: 0x08,
  /** Numeric underflow. */
  UE: 0x10,
  /** Inexact result. */
  PE: 0x20,
  /** Those found before the operation is computed: unmasked, they keep it from being computed. */
  preComputation: 0x07,
  /** Those found from the result. */
  postComputation: 0x38,
  all: 0x3f,
} as const;

/** Rounding control as MXCSR.RC and FCW.RC encode it. SDM vol. 1 table 4-8. */
export const Rounding = { nearest: 0, down: 1, up: 2, towardZero: 3 } as const;

/** Modes and flags of one operation, or of the elements of one packed operation. */
export type FloatEnvironment = {
  /** A value of `Rounding`. */
  rounding: number;
  /** Bits of `FloatFlag`; set: the exception is masked. */
  masks: number;
  /** Denormals-are-zeros: SSE only. */
  daz: boolean;
  /** Flush-to-zero: SSE only, and without effect while underflow is unmasked. */
  ftz: boolean;
  /** Significand bits to which results in the extended format are rounded: 24, 53 or 64. */
  precisionBits: number;
  /** Whose rules hold for NaN operands and for unmasked overflow and underflow. */
  rules: 'sse' | 'x87';
  /** Exceptions raised so far, bits of `FloatFlag`. */
  flags: number;
  /** Whether the last rounding made the magnitude larger: x87's C1. */
  roundedUp: boolean;
};

const MXCSR_DAZ = 0x40;
const MXCSR_FTZ = 0x8000;

/** The environment that MXCSR says, with no flag raised. SDM vol. 1 §10.2.3. */
export function environmentFromMxcsr(mxcsr: number): FloatEnvironment {
  return {
    rounding: (mxcsr >>> 13) & 3,
    masks: (mxcsr >>> 7) & FloatFlag.all,
    daz: (mxcsr & MXCSR_DAZ) !== 0,
    ftz: (mxcsr & MXCSR_FTZ) !== 0,
    precisionBits: 64,
    rules: 'sse',
    flags: 0,
    roundedUp: false,
  };
}

/**
 * Significand bits of FCW.PC. Encoding 1 is reserved; processors treat it as 64 bits. SDM vol. 1 table 8-2.
 */
const PRECISION_BITS = [24, 64, 53, 64] as const;

/** The environment that the x87 control word says, with no flag raised. SDM vol. 1 §8.1.5. */
export function environmentFromFcw(fcw: number): FloatEnvironment {
  return {
    rounding: (fcw >>> 10) & 3,
    masks: fcw & FloatFlag.all,
    daz: false,
    ftz: false,
    precisionBits: PRECISION_BITS[(fcw >>> 8) & 3]!,
    rules: 'x87',
    flags: 0,
    roundedUp: false,
  };
}

/**
 * Settles the flags of an operation all of whose elements are computed: an unmasked exception found before
 * computing suppresses those that only the result would show (SDM vol. 1 §11.5.3).
 * @returns the unmasked exceptions that are left, 0 where the result stands
 */
export function settleFlags(env: FloatEnvironment): number {
  const unmasked = env.flags & ~env.masks;
  if (unmasked & FloatFlag.preComputation) env.flags &= FloatFlag.preComputation;
  return env.flags & ~env.masks;
}
