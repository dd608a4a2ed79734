// The floating-point instructions of SSE to SSE4.1, as machine code on fixed registers, and what their operands are.

import type { ElementKind } from './edges.ts';

export interface FpSubject {
  readonly name: string;
  /** The instruction without ModRM and immediate. */
  readonly opcode: readonly number[];
  /** ModRM.reg and ModRM.rm of the form with registers: XMM0, MM0 or RAX, and XMM1, MM1 or RBX. */
  readonly modrm: number;
  readonly immediates: readonly number[];
  readonly destination: ElementKind;
  readonly source: ElementKind;
  /** Where the source is, if it is no SSE register. */
  readonly sourceFile: 'xmm' | 'mmx' | 'gpr';
  /** Bits differ between makers. */
  readonly vendor: boolean;
}

const PREFIX = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] } as const;
const XMM0_XMM1 = 0xc1;
const XMM0_RBX = 0xc3;

function subject(
  name: string,
  opcode: readonly number[],
  kinds: string,
  more: Partial<FpSubject> = {},
): FpSubject {
  const [destination, source = destination] = kinds.split(' ') as [ElementKind, ElementKind | undefined];
  return {
    name,
    opcode,
    modrm: XMM0_XMM1,
    immediates: [],
    destination,
    source,
    sourceFile: 'xmm',
    vendor: false,
    ...more,
  };
}

function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

function arithmetic(): FpSubject[] {
  const names = { sqrt: 0x51, add: 0x58, mul: 0x59, sub: 0x5c, min: 0x5d, div: 0x5e, max: 0x5f };
  return (['ps', 'pd', 'ss', 'sd'] as const).flatMap((shape, i) => {
    const kind = shape.endsWith('s') ? 'f32' : 'f64';
    const round = 0x08 + i;
    return [
      ...Object.entries(names).map(([name, opcode]) =>
        subject(`${name}${shape}`, [...PREFIX[shape], 0x0f, opcode], kind),
      ),
      subject(`cmp${shape}`, [...PREFIX[shape], 0x0f, 0xc2], kind, { immediates: range(8) }),
      subject(`round${shape}`, [0x66, 0x0f, 0x3a, round], kind, { immediates: range(16) }),
    ];
  });
}

function approximations(): FpSubject[] {
  return (['ps', 'ss'] as const).flatMap((shape) =>
    Object.entries({ rsqrt: 0x52, rcp: 0x53 }).map(([name, opcode]) =>
      subject(`${name}${shape}`, [...PREFIX[shape], 0x0f, opcode], 'f32', { vendor: true }),
    ),
  );
}

function acrossElements(): FpSubject[] {
  return (['ps', 'pd'] as const).flatMap((shape) => {
    const prefix = shape === 'ps' ? 0xf2 : 0x66;
    const kind = shape === 'ps' ? 'f32' : 'f64';
    const immediates = [0xff, 0x7f, 0x71, 0x31, 0x5a, 0x11, 0x88, 0x0f, 0xf0, 0x33];
    return [
      ...Object.entries({ hadd: 0x7c, hsub: 0x7d, addsub: 0xd0 }).map(([name, opcode]) =>
        subject(`${name}${shape}`, [prefix, 0x0f, opcode], kind),
      ),
      subject(`dp${shape}`, [0x66, 0x0f, 0x3a, shape === 'ps' ? 0x40 : 0x41], kind, { immediates }),
    ];
  });
}

function comparisons(): FpSubject[] {
  return Object.entries({ ucomis: 0x2e, comis: 0x2f }).flatMap(([name, opcode]) => [
    subject(`${name}s`, [0x0f, opcode], 'f32'),
    subject(`${name}d`, [0x66, 0x0f, opcode], 'f64'),
  ]);
}

function scalarConversions(): FpSubject[] {
  return (['ss', 'sd'] as const).flatMap((shape) => {
    const kind = shape === 'ss' ? 'f32' : 'f64';
    const prefix = PREFIX[shape];
    return [
      subject(`cvtsi2${shape}`, [...prefix, 0x0f, 0x2a], `${kind} i32`, {
        modrm: XMM0_RBX,
        sourceFile: 'gpr',
      }),
      subject(`cvtsi2${shape} r64`, [...prefix, 0x48, 0x0f, 0x2a], `${kind} i64`, {
        modrm: XMM0_RBX,
        sourceFile: 'gpr',
      }),
      ...Object.entries({ cvtt: 0x2c, cvt: 0x2d }).flatMap(([name, opcode]) => [
        subject(`${name}${shape}2si`, [...prefix, 0x0f, opcode], kind),
        subject(`${name}${shape}2si r64`, [...prefix, 0x48, 0x0f, opcode], kind),
      ]),
      subject(`cvt${shape}2${shape === 'ss' ? 'sd' : 'ss'}`, [...prefix, 0x0f, 0x5a], kind),
    ];
  });
}

function packedConversions(): FpSubject[] {
  const mmx = { sourceFile: 'mmx' } as const;
  return [
    subject('cvtps2pd', [0x0f, 0x5a], 'f64 f32'),
    subject('cvtpd2ps', [0x66, 0x0f, 0x5a], 'f32 f64'),
    subject('cvtdq2ps', [0x0f, 0x5b], 'f32 i32'),
    subject('cvtps2dq', [0x66, 0x0f, 0x5b], 'i32 f32'),
    subject('cvttps2dq', [0xf3, 0x0f, 0x5b], 'i32 f32'),
    subject('cvttpd2dq', [0x66, 0x0f, 0xe6], 'i32 f64'),
    subject('cvtdq2pd', [0xf3, 0x0f, 0xe6], 'f64 i32'),
    subject('cvtpd2dq', [0xf2, 0x0f, 0xe6], 'i32 f64'),
    subject('cvtpi2ps', [0x0f, 0x2a], 'f32 i32', mmx),
    subject('cvtpi2pd', [0x66, 0x0f, 0x2a], 'f64 i32', mmx),
    subject('cvttps2pi', [0x0f, 0x2c], 'i32 f32'),
    subject('cvttpd2pi', [0x66, 0x0f, 0x2c], 'i32 f64'),
    subject('cvtps2pi', [0x0f, 0x2d], 'i32 f32'),
    subject('cvtpd2pi', [0x66, 0x0f, 0x2d], 'i32 f64'),
  ];
}

export const FP_SUBJECTS: readonly FpSubject[] = [
  ...arithmetic(),
  ...approximations(),
  ...acrossElements(),
  ...comparisons(),
  ...scalarConversions(),
  ...packedConversions(),
];

/** Machine code: with registers, or with the source in memory at RDI. */
export function codesOf({
  opcode,
  modrm,
  immediates,
}: FpSubject): readonly { code: number[]; inMemory: boolean }[] {
  const forms = immediates.length === 0 ? [[]] : immediates.map((immediate) => [immediate]);
  return forms.flatMap((immediate) => [
    { code: [...opcode, modrm, ...immediate], inMemory: false },
    { code: [...opcode, 0x07, ...immediate], inMemory: true },
  ]);
}
