// The SSE instructions that are compared with silicon: machine code on xmm0, xmm1 and rax beside what the
// simulator's functions make of the same operands.

import { fma } from '../../../src/arch/x86/float/arithmetic.ts';
import {
  environmentFromMxcsr,
  type FloatEnvironment,
  settleFlags,
} from '../../../src/arch/x86/float/environment.ts';
import { BINARY16, BINARY32, BINARY64, type FloatFormat } from '../../../src/arch/x86/float/format.ts';
import { sseReciprocal, sseReciprocalRoot } from '../../../src/arch/x86/float/reciprocal.ts';
import {
  halfToSingle,
  type SseArithmetic,
  type SseConversion,
  singleToHalf,
  sseCompare,
  sseCompareFlags,
  sseConvert,
  sseRound,
  sseSqrt,
} from '../../../src/arch/x86/float/sse.ts';
import {
  packedAddSub,
  packedArith,
  packedConvert,
  packedDotProduct,
  packedElements,
  packedHorizontal,
  readElement,
  writeElement,
} from '../../../src/arch/x86/float/sse-packed.ts';
import type { Operands } from './operands.ts';
import { SiliconCase } from './silicon.ts';

export type SseSubject = {
  readonly name: string;
  readonly feature?: string;
  /** Bits that differ between makers. */
  readonly vendor?: boolean;
  /** Format of the operands in xmm0…xmm2, or the width of integers there. */
  readonly operands: FloatFormat | number;
  readonly code: (random: Operands) => number[];
  /** Changes xmm0, rax and rflags of the case as the instruction does; false where #XM is due. */
  readonly model: (it: SiliconCase, env: FloatEnvironment) => boolean;
};

const SCALAR_PREFIX = { ss: [0xf3], sd: [0xf2], ps: [], pd: [0x66] } as const;
const SHAPES = [
  { suffix: 'ss', fmt: BINARY32, count: 1 },
  { suffix: 'sd', fmt: BINARY64, count: 1 },
  { suffix: 'ps', fmt: BINARY32, count: 4 },
  { suffix: 'pd', fmt: BINARY64, count: 2 },
] as const;

const imm = (it: SiliconCase): number => it.bytes[it.bytes[0x10]! - 1]!;

function elementwise(
  name: string,
  fmt: FloatFormat,
  count: number,
  code: SseSubject['code'],
  compute: (a: bigint, b: bigint, env: FloatEnvironment, it: SiliconCase) => bigint,
  more: Partial<SseSubject> = {},
): SseSubject {
  const size = fmt.widthBits >> 3;
  const model: SseSubject['model'] = (it, env) =>
    packedElements(env, it.xmm(0), count, size, (i) =>
      compute(readElement(it.xmm(0), i, size), readElement(it.xmm(1), i, size), env, it),
    );
  return { name, operands: fmt, code, model, ...more };
}

function arithmetic(): SseSubject[] {
  const opcodes: [SseArithmetic, number][] = [
    ['add', 0x58],
    ['mul', 0x59],
    ['sub', 0x5c],
    ['min', 0x5d],
    ['div', 0x5e],
    ['max', 0x5f],
  ];
  return SHAPES.flatMap(({ suffix, fmt, count }) => {
    const prefix = SCALAR_PREFIX[suffix];
    const vex = { ss: 0xfa, sd: 0xfb, ps: 0xf8, pd: 0xf9 }[suffix];
    const round = { ps: 8, pd: 9, ss: 10, sd: 11 }[suffix];
    return [
      ...opcodes.map(
        ([op, opcode]): SseSubject => ({
          name: op + suffix,
          operands: fmt,
          code: () => [...prefix, 0x0f, opcode, 0xc1],
          model: (it, env) => packedArith(op, fmt, it.xmm(0), it.xmm(1), count, env),
        }),
      ),
      elementwise(
        `sqrt${suffix}`,
        fmt,
        count,
        () => [...prefix, 0x0f, 0x51, 0xc1],
        (_, b, env) => sseSqrt(fmt, b, env),
      ),
      elementwise(
        `cmp${suffix}`,
        fmt,
        count,
        (random) => [...prefix, 0x0f, 0xc2, 0xc1, random.below(8)],
        (a, b, env, it) => sseCompare(imm(it), fmt, a, b, env),
      ),
      elementwise(
        `vcmp${suffix}`,
        fmt,
        count,
        (random) => [0xc5, vex, 0xc2, 0xc1, random.below(32)],
        (a, b, env, it) => sseCompare(imm(it), fmt, a, b, env),
        { feature: 'avx' },
      ),
      elementwise(
        `round${suffix}`,
        fmt,
        count,
        (random) => [0x66, 0x0f, 0x3a, round, 0xc1, random.below(16)],
        (_, b, env, it) => sseRound(imm(it), fmt, b, env),
      ),
    ];
  });
}

function comparisons(): SseSubject[] {
  return [BINARY32, BINARY64].flatMap((fmt) =>
    [false, true].map(
      (signalling): SseSubject => ({
        name: `${signalling ? '' : 'u'}comi ${fmt.name}`,
        operands: fmt,
        code: () => [...(fmt === BINARY64 ? [0x66] : []), 0x0f, signalling ? 0x2f : 0x2e, 0xc1],
        model: (it, env) => {
          const size = fmt.widthBits >> 3;
          const a = readElement(it.xmm(0), 0, size);
          const flags = sseCompareFlags(signalling, fmt, a, readElement(it.xmm(1), 0, size), env);
          if (settleFlags(env)) return false;
          it.rflags = (it.rflags & ~0x8d5) | flags;
          return true;
        },
      }),
    ),
  );
}

/** Scalar conversions between xmm0 and rax or xmm0 and xmm1. */
function scalarConversions(): SseSubject[] {
  const all: SseSubject[] = [];
  for (const [float, fmt, prefix, pp] of [
    ['ss', BINARY32, 0xf3, 2],
    ['sd', BINARY64, 0xf2, 3],
  ] as const) {
    const size = fmt.widthBits >> 3;
    for (const bits of [32, 64] as const) {
      const rex = bits === 64 ? [0x48] : [];
      const evex = [0x62, 0xf1, (bits === 64 ? 0xfc : 0x7c) | pp, 0x08];
      for (const kind of ['si', 'usi'] as const) {
        const start = (opcode: number): number[] =>
          kind === 'si' ? [prefix, ...rex, 0x0f, opcode, 0xc0] : [...evex, opcode, 0xc0];
        const feature = kind === 'usi' ? { feature: 'avx512f' } : {};
        const toInteger = (name: SseConversion, opcode: number): SseSubject => ({
          name,
          operands: fmt,
          ...feature,
          code: () => start(opcode),
          model: (it, env) => {
            const result = sseConvert(name, readElement(it.xmm(0), 0, size), env);
            if (settleFlags(env)) return false;
            it.rax = result;
            return true;
          },
        });
        const fromInteger: SseConversion = `cvt${kind}${bits}to${float}`;
        all.push(
          toInteger(`cvt${float}to${kind}${bits}`, kind === 'si' ? 0x2d : 0x79),
          toInteger(`cvtt${float}to${kind}${bits}`, kind === 'si' ? 0x2c : 0x78),
          {
            name: fromInteger,
            operands: bits,
            ...feature,
            code: () => start(kind === 'si' ? 0x2a : 0x7b),
            model: (it, env) =>
              packedElements(env, it.xmm(0), 1, size, () =>
                sseConvert(fromInteger, BigInt.asUintN(bits, it.rax), env),
              ),
          },
        );
      }
    }
  }
  return all;
}

function packedConversions(): SseSubject[] {
  const rows: [string, SseConversion, FloatFormat | number, number, number[], number?][] = [
    ['cvtss2sd', 'cvtsstosd', BINARY32, 1, [0xf3, 0x0f, 0x5a, 0xc1], 8],
    ['cvtsd2ss', 'cvtsdtoss', BINARY64, 1, [0xf2, 0x0f, 0x5a, 0xc1], 4],
    ['cvtps2pd', 'cvtsstosd', BINARY32, 2, [0x0f, 0x5a, 0xc1]],
    ['cvtpd2ps', 'cvtsdtoss', BINARY64, 2, [0x66, 0x0f, 0x5a, 0xc1]],
    ['cvtdq2ps', 'cvtsi32toss', 32, 4, [0x0f, 0x5b, 0xc1]],
    ['cvtps2dq', 'cvtsstosi32', BINARY32, 4, [0x66, 0x0f, 0x5b, 0xc1]],
    ['cvttps2dq', 'cvttsstosi32', BINARY32, 4, [0xf3, 0x0f, 0x5b, 0xc1]],
    ['cvtdq2pd', 'cvtsi32tosd', 32, 2, [0xf3, 0x0f, 0xe6, 0xc1]],
    ['cvtpd2dq', 'cvtsdtosi32', BINARY64, 2, [0xf2, 0x0f, 0xe6, 0xc1]],
    ['cvttpd2dq', 'cvttsdtosi32', BINARY64, 2, [0x66, 0x0f, 0xe6, 0xc1]],
  ];
  return rows.map(([name, conversion, operands, count, code, scalarBytes]) => ({
    name,
    operands,
    code: () => code,
    model: (it, env) => {
      const narrowing = name === 'cvtpd2ps' || name.endsWith('pd2dq');
      const done = packedConvert(conversion, it.xmm(0), it.xmm(1), count, env);
      if (done && scalarBytes === undefined && narrowing) it.xmm(0).fill(0, 8);
      return done;
    },
  }));
}

function horizontals(): SseSubject[] {
  return (
    [
      ['ps', BINARY32, 0xf2, 0x40],
      ['pd', BINARY64, 0x66, 0x41],
    ] as const
  ).flatMap(([suffix, fmt, prefix, dot]): SseSubject[] => [
    {
      name: `hadd${suffix}`,
      operands: fmt,
      code: () => [prefix, 0x0f, 0x7c, 0xc1],
      model: (it, env) => packedHorizontal('add', fmt, it.xmm(0), it.xmm(1), env),
    },
    {
      name: `hsub${suffix}`,
      operands: fmt,
      code: () => [prefix, 0x0f, 0x7d, 0xc1],
      model: (it, env) => packedHorizontal('sub', fmt, it.xmm(0), it.xmm(1), env),
    },
    {
      name: `addsub${suffix}`,
      operands: fmt,
      code: () => [prefix, 0x0f, 0xd0, 0xc1],
      model: (it, env) => packedAddSub(fmt, it.xmm(0), it.xmm(1), env),
    },
    {
      name: `dp${suffix}`,
      operands: fmt,
      code: (random) => [0x66, 0x0f, 0x3a, dot, 0xc1, random.below(256)],
      model: (it, env) => packedDotProduct(fmt, imm(it), it.xmm(0), it.xmm(1), env),
    },
  ]);
}

/** VFMADD231 of all shapes, and VCVTPH2PS, VCVTPS2PH: for the parts that SSE does not reach. */
function vexForms(): SseSubject[] {
  const multiplyAdd = SHAPES.map(({ suffix, fmt, count }): SseSubject => {
    const size = fmt.widthBits >> 3;
    return {
      name: `vfmadd231${suffix}`,
      operands: fmt,
      feature: 'fma',
      code: () => [0xc4, 0xe2, fmt === BINARY64 ? 0xf1 : 0x71, count === 1 ? 0xb9 : 0xb8, 0xc2],
      model: (it, env) => {
        const read = (register: number, i: number): bigint => readElement(it.xmm(register), i, size);
        return packedElements(env, it.xmm(0), count, size, (i) =>
          fma(env, fmt, read(1, i), read(2, i), read(0, i)),
        );
      },
    };
  });
  const halves: SseSubject[] = [
    {
      name: 'vcvtph2ps',
      operands: BINARY16,
      feature: 'f16c',
      code: () => [0xc4, 0xe2, 0x79, 0x13, 0xc1],
      model: (it, env) =>
        packedElements(env, it.xmm(0), 4, 4, (i) => halfToSingle(readElement(it.xmm(1), i, 2), env)),
    },
    {
      name: 'vcvtps2ph',
      operands: BINARY32,
      feature: 'f16c',
      code: (random) => [0xc4, 0xe3, 0x79, 0x1d, 0xc8, random.below(8)],
      model: (it, env) => {
        const element = (i: number): bigint => singleToHalf(imm(it), readElement(it.xmm(1), i, 4), env);
        const done = packedElements(env, it.xmm(0), 4, 2, element);
        if (done) it.xmm(0).fill(0, 8);
        return done;
      },
    },
  ];
  return [...multiplyAdd, ...halves];
}

function approximations(): SseSubject[] {
  return (
    [
      [1, [0xf3]],
      [4, []],
    ] as const
  ).flatMap(([count, prefix]) => [
    elementwise(
      `rcp${count}`,
      BINARY32,
      count,
      () => [...prefix, 0x0f, 0x53, 0xc1],
      (_, b) => sseReciprocal(b),
      { vendor: true },
    ),
    elementwise(
      `rsqrt${count}`,
      BINARY32,
      count,
      () => [...prefix, 0x0f, 0x52, 0xc1],
      (_, b) => sseReciprocalRoot(b),
      { vendor: true },
    ),
  ]);
}

export const SSE_SUBJECTS: readonly SseSubject[] = [
  ...arithmetic(),
  ...comparisons(),
  ...scalarConversions(),
  ...packedConversions(),
  ...horizontals(),
  ...vexForms(),
  ...approximations(),
];

/** A case of `subject` with random operands and MXCSR. */
export function sseCase(subject: SseSubject, random: Operands): SiliconCase {
  const it = SiliconCase.of(subject.code(random));
  it.mxcsr = random.mxcsr();
  it.rax = typeof subject.operands === 'number' ? random.integer(subject.operands) : random.bits(64);
  const bits = typeof subject.operands === 'number' ? subject.operands : subject.operands.widthBits;
  const count = 128 / bits;
  for (let i = 0; i < count; i++) {
    const make = (beside?: bigint): bigint => {
      if (typeof subject.operands === 'number') return random.integer(subject.operands);
      return beside === undefined ? random.float(subject.operands) : random.beside(subject.operands, beside);
    };
    const a = make();
    for (const [register, value] of [a, make(a), make(a)].entries())
      writeElement(it.xmm(register), i, bits >> 3, value);
  }
  return it;
}

/** What the simulator's functions make of the case. */
export function modelled(subject: SseSubject, it: SiliconCase): SiliconCase {
  const copy = new SiliconCase(it.bytes.slice());
  const env = environmentFromMxcsr(it.mxcsr);
  const before = it.rax;
  const done = subject.model(copy, env);
  copy.mxcsr |= env.flags;
  copy.view.setUint32(0x14, done ? 0 : 8, true);
  // A 32-bit integer result clears the upper half; an instruction without one leaves the register alone.
  if (!done) copy.rax = before;
  return copy;
}

/** What must agree, as text. */
export function shown(it: SiliconCase): string {
  const xmm0 = Buffer.from(it.xmm(0)).reverse().toString('hex');
  return `xmm0=${xmm0} rax=${it.rax.toString(16)} rflags=${(it.rflags & 0x8d5).toString(16)} mxcsr=${it.mxcsr.toString(16)} signal=${it.signal}`;
}
