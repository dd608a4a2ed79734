/**
 * Which NaN an operation with NaN operands gives. Intel SDM vol. 1 §4.8.3.5 and table 4-7; for x87 also
 * §8.5.1.2. Unsupported encodings of the extended format are invalid operands.
 */

import { type FloatEnvironment, FloatFlag } from './environment.ts';
import { FloatClass, type FloatFormat, isNan, type Unpacked, zero } from './format.ts';

/** The encoding of a NaN made quiet, payload and sign kept. */
export function quieted(fmt: FloatFormat, nan: Unpacked): bigint {
  return zero(fmt, nan.sign) | fmt.infinity | (nan.significand & fmt.fieldMask) | fmt.quietBit;
}

/** Raises IE and gives the default NaN. */
export function invalid(env: FloatEnvironment, fmt: FloatFormat): bigint {
  env.flags |= FloatFlag.IE;
  env.roundedUp = false;
  return fmt.defaultNan;
}

/**
 * The result of an operation at least one of whose operands is a NaN or unsupported; raises IE for SNaNs
 * and unsupported encodings.
 */
export function propagateNan(env: FloatEnvironment, fmt: FloatFormat, operands: readonly Unpacked[]): bigint {
  env.roundedUp = false;
  if (operands.some((x) => x.class === FloatClass.unsupported)) return invalid(env, fmt);
  if (operands.some((x) => x.class === FloatClass.signallingNan)) env.flags |= FloatFlag.IE;
  const nans = operands.filter(isNan);
  return quieted(fmt, env.rules === 'x87' ? x87Choice(nans) : nans[0]!);
}

/** x87: a QNaN before an SNaN, then the larger significand, then the positive one. */
function x87Choice(nans: readonly Unpacked[]): Unpacked {
  const [a, b] = nans as [Unpacked, Unpacked?];
  if (b === undefined) return a;
  if (a.class !== b.class) return a.class === FloatClass.quietNan ? a : b;
  if (a.significand !== b.significand) return a.significand > b.significand ? a : b;
  return a.sign <= b.sign ? a : b;
}
