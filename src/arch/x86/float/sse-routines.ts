/**
 * The operations of isa/float-ops.ts, computed exactly: what generated code calls when its fast path does not hold, and
 * what an oracle computes with. Operands and results are bytes as in memory.
 */

import {
  FLOAT_ROUTINES,
  type FloatOperation,
  type FloatRoutineName,
  type FloatShape,
  type VectorConversion,
} from '../isa/float-ops.ts';
import { type FloatEnvironment, settleFlags } from './environment.ts';
import { BINARY32, BINARY64 } from './format.ts';
import { sseReciprocal, sseReciprocalRoot } from './reciprocal.ts';
import {
  type SseArithmetic,
  type SseConversion,
  sseArith,
  sseCompare,
  sseCompareFlags,
  sseRound,
  sseSqrt,
} from './sse.ts';
import { packedAddSub, packedConvert, packedElements, readElement, writeElement } from './sse-packed.ts';

/**
 * Computes with the operands `a` and `b` of 16 bytes each and puts the result where `a` was; raised flags are in `env`.
 * @returns false where #XM is due
 */
export type FloatRoutine = (a: Uint8Array, b: Uint8Array, env: FloatEnvironment) => boolean;

const FORMATS = { ss: BINARY32, ps: BINARY32, sd: BINARY64, pd: BINARY64 } as const;
const COUNTS = { ss: 1, sd: 1, ps: 4, pd: 2 } as const;

type Element = (a: bigint, b: bigint, env: FloatEnvironment) => bigint;

function elementOf(operation: FloatOperation, shape: FloatShape): Element {
  const fmt = FORMATS[shape];
  const digits = /\d+$/.exec(operation)?.[0];
  if (digits !== undefined) {
    const immediate = Number(digits);
    return operation.startsWith('cmp')
      ? (a, b, env) => sseCompare(immediate, fmt, a, b, env)
      : (a, _, env) => sseRound(immediate, fmt, a, env);
  }
  switch (operation) {
    case 'sqrt':
      return (a, _, env) => sseSqrt(fmt, a, env);
    case 'rcp':
      return (a) => sseReciprocal(a);
    case 'rsqrt':
      return (a) => sseReciprocalRoot(a);
    default:
      return (a, b, env) => sseArith(operation as SseArithmetic, fmt, a, b, env);
  }
}

function operationRoutine(operation: FloatOperation, shape: FloatShape): FloatRoutine {
  const fmt = FORMATS[shape];
  if (operation === 'addsub') return (a, b, env) => packedAddSub(fmt, a, b, env);
  const element = elementOf(operation, shape);
  const size = fmt.widthBits / 8;
  return (a, b, env) =>
    packedElements(env, a, COUNTS[shape], size, (i) =>
      element(readElement(a, i, size), readElement(b, i, size), env),
    );
}

/** Element, count, and bytes of the result behind which there are zeros. */
const VECTORS: Readonly<
  Record<VectorConversion, readonly [SseConversion, count: number, resultBytes: number]>
> = {
  cvtdq2ps: ['cvtsi32toss', 4, 16],
  cvtdq2pd: ['cvtsi32tosd', 2, 16],
  cvtps2dq: ['cvtsstosi32', 4, 16],
  cvttps2dq: ['cvttsstosi32', 4, 16],
  cvtpd2dq: ['cvtsdtosi32', 2, 8],
  cvttpd2dq: ['cvttsdtosi32', 2, 8],
  cvtps2pd: ['cvtsstosd', 2, 16],
  cvtpd2ps: ['cvtsdtoss', 2, 8],
};

function conversionRoutine(name: Exclude<FloatRoutineName, `${string}.${string}`>): FloatRoutine {
  const vector = VECTORS[name as VectorConversion];
  if (vector === undefined) return (a, _, env) => packedConvert(name as SseConversion, a, a, 1, env);
  const [element, count, resultBytes] = vector;
  return (a, _, env) => {
    const stands = packedConvert(element, a, a, count, env);
    if (stands) a.fill(0, resultBytes, 16);
    return stands;
  };
}

/** The result is the word of flags, 4 bytes. */
function flagsRoutine(signalling: boolean, shape: 'ss' | 'sd'): FloatRoutine {
  const fmt = FORMATS[shape];
  const size = fmt.widthBits / 8;
  return (a, b, env) => {
    const word = sseCompareFlags(signalling, fmt, readElement(a, 0, size), readElement(b, 0, size), env);
    if (settleFlags(env) !== 0) return false;
    writeElement(a, 0, 4, BigInt(word));
    return true;
  };
}

function routineOf(name: FloatRoutineName): FloatRoutine {
  const [operation, shape] = name.split('.') as [FloatOperation, FloatShape | undefined];
  if (shape !== undefined) return operationRoutine(operation, shape);
  const compared = /^(u?)comis([sd])$/.exec(name);
  if (compared !== null) return flagsRoutine(compared[1] === '', compared[2] === 's' ? 'ss' : 'sd');
  return conversionRoutine(name as Exclude<FloatRoutineName, `${string}.${string}`>);
}

/** By code: see `floatRoutineCode`. */
export const FLOAT_ROUTINE_TABLE: readonly FloatRoutine[] = FLOAT_ROUTINES.map(routineOf);
