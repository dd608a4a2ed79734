/** EMMS, MXCSR, and the state of x87 and SSE in memory: FXSAVE, FXRSTOR. SDM vol. 2, by mnemonic; vol. 1 §10.5. */

import { Vector } from '../../exceptions.ts';
import { FXSAVE as AREA, MXCSR_MASK } from '../../fxsave.ts';
import { OFFSET } from '../../state-layout.ts';
import { checkX87, setX87Registers } from '../crack.ts';
import type { Cracker } from '../cracker.ts';
import { type Operand, OperandKind } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { M, Md } from '../operands.ts';
import { areaAt, pointerBits } from '../state-area.ts';
import { series } from './vectors.ts';

export const EMMS = inst('EMMS', {
  forms: [enc(0x0f77).np()],
  unit: 'mmx',
  crack(u) {
    checkX87(u);
    setX87Registers(u, 'empty');
  },
});

export const LDMXCSR = inst('LDMXCSR', {
  forms: [enc(0x0fae, Md).ext(2).np()],
  unit: 'sse',
  crack(u, src) {
    const value = u.read(src);
    checkMxcsr(u, value);
    u.setField(OFFSET.mxcsr, 32, value);
  },
});

export const STMXCSR = inst('STMXCSR', {
  forms: [enc(0x0fae, Md).ext(3).np()],
  unit: 'sse',
  crack(u, dst) {
    u.write(dst, u.field(OFFSET.mxcsr, 32));
  },
});

/** Reserved bits must be zero (SDM vol. 1 §10.2.3). */
function checkMxcsr<V>(u: Cracker<V>, value: V): void {
  const reserved = u.and(32, value, u.int(32, ~MXCSR_MASK));
  u.faultIf(u.ne(32, reserved, u.int(32, 0)), Vector.GP);
}

const LINE_BYTES = 16;
/** Outside 64-bit mode only the first eight registers are there. */
function xmmRegisters<V>(u: Cracker<V>): Operand[] {
  return series(u.is64 ? 16 : 8).map((index) => ({
    kind: OperandKind.xmm,
    bits: 128,
    index,
    value: 0,
    selector: 0,
    memory: undefined,
  }));
}

function lineAt<V>(u: Cracker<V>, area: V, offset: number): V {
  return u.add(64, area, u.int(64, offset));
}

/** The last 48 bytes of the area are left alone, but must be there: of a page fault, their end comes first, as on Zen 4. */
export const FXSAVE = inst('FXSAVE', {
  forms: [enc(0x0fae, M).ext(0).np().mem()],
  unit: 'fxsave',
  crack(u, dst) {
    const area = areaAt(u, dst, LINE_BYTES);
    u.probeStore(8, lineAt(u, area, AREA.sizeBytes - 1));
    u.probeStore(128, area);
    u.assist('fxsave', pointerBits(u));
    for (let at = 0; at < AREA.xmm; at += LINE_BYTES)
      u.store(128, lineAt(u, area, at), u.assistResult(at, 128));
    for (const register of xmmRegisters(u))
      u.store(128, lineAt(u, area, AREA.xmm + register.index * LINE_BYTES), u.readVector(register));
  },
});

/** Nothing is restored before all has been read and MXCSR been checked. */
export const FXRSTOR = inst('FXRSTOR', {
  forms: [enc(0x0fae, M).ext(1).np().mem()],
  unit: 'fxsave',
  crack(u, src) {
    const area = areaAt(u, src, LINE_BYTES);
    u.load(8, lineAt(u, area, AREA.sizeBytes - 1));
    for (let at = 0; at < AREA.xmm; at += LINE_BYTES)
      u.setArgument(at, 128, u.load(128, lineAt(u, area, at)));
    for (const register of xmmRegisters(u))
      u.writeVector(register, u.load(128, lineAt(u, area, AREA.xmm + register.index * LINE_BYTES)));
    checkMxcsr(u, u.assistResult(AREA.mxcsr, 32));
    u.assist('fxrstor', pointerBits(u));
  },
});
