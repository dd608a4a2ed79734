/** Arithmetic across elements: SSE3's horizontal and alternating sums, and SSE4.1's dot products. SDM vol. 2, by mnemonic. */

import type { Cracker } from '../cracker.ts';
import { enc } from '../encoding.ts';
import { elementBits, type FloatShape } from '../float-ops.ts';
import { inst } from '../instruction.ts';
import { Ib, Vpd, Vps, Wpd, Wps } from '../operands.ts';

/** The packed shapes; those of doubles have the prefix 66, those of singles F2. */
const SHAPES = [
  { shape: 'pd', suffix: 'PD' },
  { shape: 'ps', suffix: 'PS' },
] as const;

function form(opcode: number, shape: 'ps' | 'pd') {
  return shape === 'pd' ? enc(opcode, Vpd, Wpd).p66() : enc(opcode, Vps, Wps).pf2();
}

/** A vector of elements of `a` and, from the number of elements on, of `b`. */
function pick<V>(u: Cracker<V>, shape: FloatShape, a: V, b: V, elements: readonly number[]): V {
  const size = elementBits(shape) / 8;
  return u.shuffle(
    a,
    b,
    elements.flatMap((element) => Array.from({ length: size }, (_, i) => size * element + i)),
  );
}

const EVEN = { ps: [0, 2, 4, 6], pd: [0, 2] } as const;
const ODD = { ps: [1, 3, 5, 7], pd: [1, 3] } as const;

function horizontal(mnemonic: string, opcode: number, operation: 'add' | 'sub') {
  return SHAPES.map(({ shape, suffix }) =>
    inst(`${mnemonic}${suffix}`, {
      feature: 'pni',
      forms: [form(opcode, shape)],
      crack(u, dst, src) {
        const a = u.read(dst);
        const b = u.read(src);
        u.write(
          dst,
          u.float(operation, shape, pick(u, shape, a, b, EVEN[shape]), pick(u, shape, a, b, ODD[shape])),
        );
      },
    }),
  );
}

export const HADD = horizontal('HADD', 0x0f7c, 'add');
export const HSUB = horizontal('HSUB', 0x0f7d, 'sub');

export const ADDSUB = SHAPES.map(({ shape, suffix }) =>
  inst(`ADDSUB${suffix}`, {
    feature: 'pni',
    forms: [form(0x0fd0, shape)],
    crack(u, dst, src) {
      u.write(dst, u.float('addsub', shape, u.read(dst), u.read(src)));
    },
  }),
);

/** All ones in the elements of which the mask has a bit. */
function elementMask<V>(u: Cracker<V>, shape: FloatShape, mask: number): V {
  const size = elementBits(shape) / 8;
  return u.vector(Array.from({ length: 16 }, (_, i) => ((mask >> Math.floor(i / size)) & 1) * 0xff));
}

/**
 * Products that the high half of the immediate does not choose are not computed: a chosen element, whose exceptions are due
 * anyway, is computed in their place, and +0 taken.
 */
function products<V>(u: Cracker<V>, shape: 'ps' | 'pd', immediate: number, a: V, b: V): V {
  const count = shape === 'ps' ? 4 : 2;
  const chosen = (immediate >> 4) & (2 ** count - 1);
  if (chosen === 0) return u.vector(Array.from({ length: 16 }, () => 0));
  const first = 31 - Math.clz32(chosen & -chosen);
  const elements = Array.from({ length: count }, (_, i) => ((chosen >> i) & 1 ? i : first));
  const product = u.float('mul', shape, pick(u, shape, a, a, elements), pick(u, shape, b, b, elements));
  return u.vector2('v128.and', product, elementMask(u, shape, chosen));
}

/** Sums of neighbours, then of these: each step settles its exceptions. The low half of the immediate says where the sum goes. */
export const DPPS = inst('DPPS', {
  feature: 'sse4_1',
  literal: true,
  forms: [enc(0x0f3a40, Vps, Wps, Ib).p66()],
  crack(u, dst, src, imm) {
    const immediate = u.constant(imm)!;
    const p = products(u, 'ps', immediate, u.read(dst), u.read(src));
    const pairs = u.float('add', 'ps', pick(u, 'ps', p, p, [0, 2, 0, 2]), pick(u, 'ps', p, p, [1, 3, 1, 3]));
    const sum = u.float(
      'add',
      'ps',
      pick(u, 'ps', pairs, pairs, [0, 0, 0, 0]),
      pick(u, 'ps', pairs, pairs, [1, 1, 1, 1]),
    );
    u.write(dst, u.vector2('v128.and', sum, elementMask(u, 'ps', immediate)));
  },
});

export const DPPD = inst('DPPD', {
  feature: 'sse4_1',
  literal: true,
  forms: [enc(0x0f3a41, Vpd, Wpd, Ib).p66()],
  crack(u, dst, src, imm) {
    const immediate = u.constant(imm)!;
    const p = products(u, 'pd', immediate, u.read(dst), u.read(src));
    const sum = u.float('add', 'pd', pick(u, 'pd', p, p, [0, 0]), pick(u, 'pd', p, p, [1, 1]));
    u.write(dst, u.vector2('v128.and', sum, elementMask(u, 'pd', immediate)));
  },
});
