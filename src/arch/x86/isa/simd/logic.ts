/** Bitwise operations, and PTEST. SDM vol. 2, by mnemonic. */

import { enc } from '../encoding.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Vdq, Vpd, Vps, Wdq, Wpd, Wps } from '../operands.ts';
import { combining, elementwise, mmxAndSse } from './vectors.ts';

/** The forms for packed floating point do the same to the same bits. */
function floatForms(opcode: number): readonly [ps: ReturnType<typeof enc>[], pd: ReturnType<typeof enc>[]] {
  return [[enc(opcode, Vps, Wps).np()], [enc(opcode, Vpd, Wpd).p66()]];
}

const [ANDPS, ANDPD] = floatForms(0x0f54);
const [ANDNPS, ANDNPD] = floatForms(0x0f55);
const [ORPS, ORPD] = floatForms(0x0f56);
const [XORPS, XORPD] = floatForms(0x0f57);

export const BITWISE: readonly Instruction[] = [
  elementwise('PAND', mmxAndSse(0x0fdb), 'v128.and'),
  elementwise('POR', mmxAndSse(0x0feb), 'v128.or'),
  elementwise('PXOR', mmxAndSse(0x0fef), 'v128.xor'),
  elementwise('ANDPS', ANDPS, 'v128.and'),
  elementwise('ANDPD', ANDPD, 'v128.and'),
  elementwise('ORPS', ORPS, 'v128.or'),
  elementwise('ORPD', ORPD, 'v128.or'),
  elementwise('XORPS', XORPS, 'v128.xor'),
  elementwise('XORPD', XORPD, 'v128.xor'),
];

/** The first operand is the one that is inverted: WebAssembly inverts the second. */
export const BITWISE_NOT: readonly Instruction[] = [
  combining('PANDN', mmxAndSse(0x0fdf), (u, a, b) => u.vector2('v128.andnot', b, a)),
  combining('ANDNPS', ANDNPS, (u, a, b) => u.vector2('v128.andnot', b, a)),
  combining('ANDNPD', ANDNPD, (u, a, b) => u.vector2('v128.andnot', b, a)),
];

/** ZF: no bit is set in both; CF: all bits of the second are set in the first. */
export const PTEST = inst('PTEST', {
  forms: [enc(0x0f3817, Vdq, Wdq).p66()],
  feature: 'sse4_1',
  crack(u, first, second) {
    const a = u.readVector(first);
    const b = u.readVector(second);
    const clear = u.int(32, 0);
    u.setFlags({
      zf: u.isZero(32, u.anyTrue(u.vector2('v128.and', a, b))),
      cf: u.isZero(32, u.anyTrue(u.vector2('v128.andnot', b, a))),
      pf: clear,
      af: clear,
      sf: clear,
      of: clear,
    });
  },
});
