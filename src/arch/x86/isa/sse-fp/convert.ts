/** Conversions between floating-point formats and integers. SDM vol. 2A "CVT…". */

import { OFFSET } from '../../state-layout.ts';
import { setX87Registers } from '../crack.ts';
import type { Cracker } from '../cracker.ts';
import { type Operand, OperandKind } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import type { ScalarConversion, VectorConversion } from '../float-ops.ts';
import { type Instruction, inst } from '../instruction.ts';
import { Ey, Gy, Pq, Qq, Vdq, Vpd, Vps, Vq, Vsd, Vss, Wdq, Wpd, Wps, Wq, Wsd, Wss } from '../operands.ts';

/** In MXCSR: an exception whose bit is set is masked. */
const EXCEPTION_MASKS = 0x1f80;

// ---- scalars ----

export const CVTSI2 = (['SS', 'SD'] as const).map((suffix) =>
  inst(`CVTSI2${suffix}`, {
    forms: [suffix === 'SS' ? enc(0x0f2a, Vss, Ey).pf3() : enc(0x0f2a, Vsd, Ey).pf2()],
    crack(u, dst, src) {
      const name = `cvtsi${src.bits}to${suffix.toLowerCase()}` as ScalarConversion;
      u.writeFloat(dst, u.convertScalar(name, u.read(src)));
    },
  }),
);

function toInteger(mnemonic: string, opcode: number, prefix: 'cvt' | 'cvtt'): Instruction[] {
  return (['SS', 'SD'] as const).map((suffix) =>
    inst(`${mnemonic}${suffix}2SI`, {
      forms: [suffix === 'SS' ? enc(opcode, Gy, Wss).pf3() : enc(opcode, Gy, Wsd).pf2()],
      crack(u, dst, src) {
        const name = `${prefix}${suffix.toLowerCase()}tosi${dst.bits}` as ScalarConversion;
        u.write(dst, u.convertScalar(name, u.readFloat(src)));
      },
    }),
  );
}

export const CVTT2SI = toInteger('CVTT', 0x0f2c, 'cvtt');
export const CVT2SI = toInteger('CVT', 0x0f2d, 'cvt');

export const CVTSS2SD = inst('CVTSS2SD', {
  forms: [enc(0x0f5a, Vsd, Wss).pf3()],
  crack(u, dst, src) {
    u.writeFloat(dst, u.convertScalar('cvtsstosd', u.readFloat(src)));
  },
});

export const CVTSD2SS = inst('CVTSD2SS', {
  forms: [enc(0x0f5a, Vss, Wsd).pf2()],
  crack(u, dst, src) {
    u.writeFloat(dst, u.convertScalar('cvtsdtoss', u.readFloat(src)));
  },
});

// ---- vectors ----

function packed(mnemonic: string, form: Form, conversion: VectorConversion): Instruction {
  return inst(mnemonic, {
    forms: [form],
    crack(u, dst, src) {
      convertVector(u, dst, src, conversion);
    },
  });
}

function convertVector<V>(u: Cracker<V>, dst: Operand, src: Operand, conversion: VectorConversion): void {
  u.writeVector(dst, u.convertVector(conversion, u.readVector(src)));
}

export const CVTPS2PD = packed('CVTPS2PD', enc(0x0f5a, Vpd, Wq).np(), 'cvtps2pd');
export const CVTPD2PS = packed('CVTPD2PS', enc(0x0f5a, Vps, Wpd).p66(), 'cvtpd2ps');
export const CVTDQ2PS = packed('CVTDQ2PS', enc(0x0f5b, Vps, Wdq).np(), 'cvtdq2ps');
export const CVTPS2DQ = packed('CVTPS2DQ', enc(0x0f5b, Vdq, Wps).p66(), 'cvtps2dq');
export const CVTTPS2DQ = packed('CVTTPS2DQ', enc(0x0f5b, Vdq, Wps).pf3(), 'cvttps2dq');
export const CVTTPD2DQ = packed('CVTTPD2DQ', enc(0x0fe6, Vdq, Wpd).p66(), 'cvttpd2dq');
export const CVTDQ2PD = packed('CVTDQ2PD', enc(0x0fe6, Vpd, Wq).pf3(), 'cvtdq2pd');
export const CVTPD2DQ = packed('CVTPD2DQ', enc(0x0fe6, Vdq, Wpd).pf2(), 'cvtpd2dq');

// ---- with MMX registers: the low halves of what is done to SSE's. Zeros in the upper half raise nothing. ----

/** Entering the MMX state, if an operand is in a register, comes before an exception of the conversion. */
function packedMmx(mnemonic: string, form: Form, conversion: VectorConversion): Instruction {
  return inst(mnemonic, {
    forms: [form],
    crack(u, dst, src) {
      const value = u.readVector(src);
      if (dst.kind === OperandKind.mmx || src.kind === OperandKind.mmx) {
        const masks = u.and(32, u.field(OFFSET.mxcsr, 32), u.int(32, EXCEPTION_MASKS));
        u.when(u.ne(32, masks, u.int(32, EXCEPTION_MASKS)), () => setX87Registers(u, 'valid'));
      }
      u.writeVector(dst, u.convertVector(conversion, value));
    },
  });
}

export const CVTPI2PS = packedMmx('CVTPI2PS', enc(0x0f2a, Vq, Qq).np(), 'cvtdq2ps');
export const CVTPI2PD = packed('CVTPI2PD', enc(0x0f2a, Vpd, Qq).p66(), 'cvtdq2pd');
export const CVTTPS2PI = packedMmx('CVTTPS2PI', enc(0x0f2c, Pq, Wq).np(), 'cvttps2dq');
export const CVTTPD2PI = packedMmx('CVTTPD2PI', enc(0x0f2c, Pq, Wpd).p66(), 'cvttpd2dq');
export const CVTPS2PI = packedMmx('CVTPS2PI', enc(0x0f2d, Pq, Wq).np(), 'cvtps2dq');
export const CVTPD2PI = packedMmx('CVTPD2PI', enc(0x0f2d, Pq, Wpd).p66(), 'cvtpd2dq');
