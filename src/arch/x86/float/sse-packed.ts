/**
 * Packed SSE operations on byte arrays: all elements are computed first, and only if no unmasked exception
 * is left does the destination change. Intel SDM vol. 1 §11.5.2, §11.5.3; vol. 2 "HADDPS", "ADDSUBPS",
 * "DPPS", "DPPD".
 *
 * Every function gives true where the result was written and false where #XM is due; either way `env.flags`
 * then holds what goes into MXCSR.
 */

import { add, mul, sub } from './arithmetic.ts';
import { type FloatEnvironment, settleFlags } from './environment.ts';
import type { BINARY32, BINARY64, FloatFormat } from './format.ts';
import { conversion, type SseArithmetic, type SseConversion, sideBits, sseArith, sseConvert } from './sse.ts';

/** Little-endian element `index` of `sizeBytes` bytes. */
export function readElement(bytes: Uint8Array, index: number, sizeBytes: number): bigint {
  let value = 0n;
  for (let i = sizeBytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[index * sizeBytes + i]!);
  return value;
}

/** Writes what {@link readElement} reads. */
export function writeElement(bytes: Uint8Array, index: number, sizeBytes: number, value: bigint): void {
  for (let i = 0, rest = value; i < sizeBytes; i++, rest >>= 8n) {
    bytes[index * sizeBytes + i] = Number(rest & 0xffn);
  }
}

/**
 * Computes `count` elements of `sizeBytes` bytes and writes them to the start of `destination` unless an
 * unmasked exception is left. Sources may overlap the destination.
 */
export function packedElements(
  env: FloatEnvironment,
  destination: Uint8Array,
  count: number,
  sizeBytes: number,
  compute: (index: number) => bigint,
): boolean {
  const results = Array.from({ length: count }, (_, i) => compute(i));
  if (settleFlags(env) !== 0) return false;
  for (const [i, result] of results.entries()) writeElement(destination, i, sizeBytes, result);
  return true;
}

/** ADDPS…MAXPD and, with `count` 1, their scalar forms: `destination` and `source` element by element. */
export function packedArith(
  op: SseArithmetic,
  fmt: FloatFormat,
  destination: Uint8Array,
  source: Uint8Array,
  count: number,
  env: FloatEnvironment,
): boolean {
  const size = fmt.widthBits >> 3;
  return packedElements(env, destination, count, size, (i) =>
    sseArith(op, fmt, readElement(destination, i, size), readElement(source, i, size), env),
  );
}

/** CVTDQ2PS and its like: `count` elements of `source`, from its start. The caller clears what is above. */
export function packedConvert(
  name: SseConversion,
  destination: Uint8Array,
  source: Uint8Array,
  count: number,
  env: FloatEnvironment,
): boolean {
  const { from, to } = conversion(name);
  const fromSize = sideBits(from) >> 3;
  return packedElements(env, destination, count, sideBits(to) >> 3, (i) =>
    sseConvert(name, readElement(source, i, fromSize), env),
  );
}

/** HADDPS, HADDPD, HSUBPS, HSUBPD on 16 bytes: pairs of the destination, then pairs of the source. */
export function packedHorizontal(
  op: 'add' | 'sub',
  fmt: FloatFormat,
  destination: Uint8Array,
  source: Uint8Array,
  env: FloatEnvironment,
): boolean {
  const size = fmt.widthBits >> 3;
  const count = 16 / size;
  return packedElements(env, destination, count, size, (i) => {
    const from = i < count / 2 ? destination : source;
    const pair = (2 * i) % count;
    return sseArith(op, fmt, readElement(from, pair, size), readElement(from, pair + 1, size), env);
  });
}

/** ADDSUBPS and ADDSUBPD on 16 bytes: even elements are subtracted, odd ones added. */
export function packedAddSub(
  fmt: FloatFormat,
  destination: Uint8Array,
  source: Uint8Array,
  env: FloatEnvironment,
): boolean {
  const size = fmt.widthBits >> 3;
  return packedElements(env, destination, 16 / size, size, (i) =>
    (i & 1 ? add : sub)(env, fmt, readElement(destination, i, size), readElement(source, i, size)),
  );
}

/** One step of several: its own exceptions decide; those of the steps before stay raised. */
function step(env: FloatEnvironment, compute: (env: FloatEnvironment) => bigint[]): bigint[] | undefined {
  const own = { ...env, flags: 0 };
  const results = compute(own);
  const unmasked = settleFlags(own);
  env.flags |= own.flags;
  return unmasked === 0 ? results : undefined;
}

/** Sums neighbours until one element is left; stops where an unmasked exception is due. */
function pairwiseSum(env: FloatEnvironment, fmt: FloatFormat, terms: readonly bigint[]): bigint | undefined {
  if (terms.length === 1) return terms[0]!;
  const sums = step(env, (own) =>
    Array.from({ length: terms.length / 2 }, (_, i) => add(own, fmt, terms[2 * i]!, terms[2 * i + 1]!)),
  );
  return sums && pairwiseSum(env, fmt, sums);
}

/**
 * DPPS and DPPD on 16 bytes. Products not chosen by the high half of `imm8` are +0, the sum goes to the
 * elements that its low half chooses, the others become +0. Products first, then sums of neighbours, each
 * step with its own exceptions.
 */
export function packedDotProduct(
  fmt: typeof BINARY32 | typeof BINARY64,
  imm8: number,
  destination: Uint8Array,
  source: Uint8Array,
  env: FloatEnvironment,
): boolean {
  const size = fmt.widthBits >> 3;
  const count = 16 / size;
  const products = step(env, (own) =>
    Array.from({ length: count }, (_, i) =>
      (imm8 >> 4) & (1 << i)
        ? mul(own, fmt, readElement(destination, i, size), readElement(source, i, size))
        : 0n,
    ),
  );
  const sum = products && pairwiseSum(env, fmt, products);
  if (sum === undefined) return false;
  for (let i = 0; i < count; i++) {
    writeElement(destination, i, size, imm8 & (1 << i) ? sum : 0n);
  }
  return true;
}
