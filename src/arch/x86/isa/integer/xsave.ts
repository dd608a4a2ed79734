/**
 * XSAVE, XRSTOR, their variants, and XGETBV. SDM vol. 1 chapter 13; vol. 2, by mnemonic. What they do to memory and registers
 * is in arch/x86/xsave-instructions.ts.
 */

import { Vector } from '../../exceptions.ts';
import { Cr4, Gpr } from '../../registers.ts';
import { OFFSET } from '../../state-layout.ts';
import { XSAVE_ARGUMENTS, XsaveKind } from '../assists.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { M } from '../operands.ts';
import { areaAt, pointerBits } from '../state-area.ts';
import { lacksCr4 } from './privilege.ts';
import { getLow, setLow } from './registers.ts';

const AREA_ALIGNMENT = 64;

function saving(mnemonic: string, feature: string, kind: number, form: Form) {
  return inst(mnemonic, {
    feature,
    forms: [form],
    unit: 'xsave',
    interpreted: true,
    crack(u, area) {
      prepare(u, area);
      u.assist('xsave', u.int(32, kind), pointerBits(u), u.int(32, u.is64 ? 1 : 0));
    },
  });
}

export const XSAVE = saving('XSAVE', 'xsave', XsaveKind.standard, enc(0x0fae, M).ext(4).np());
export const XSAVEOPT = saving('XSAVEOPT', 'xsaveopt', XsaveKind.optimized, enc(0x0fae, M).ext(6).np());
export const XSAVEC = saving('XSAVEC', 'xsavec', XsaveKind.compacted, enc(0x0fc7, M).ext(4).np());

export const XRSTOR = inst('XRSTOR', {
  feature: 'xsave',
  forms: [enc(0x0fae, M).ext(5).np()],
  unit: 'xsave',
  interpreted: true,
  crack(u, area) {
    prepare(u, area);
    u.assist('xrstor', pointerBits(u), u.int(32, u.is64 ? 1 : 0));
  },
});

/** Checks what can be checked without memory, and passes address and components on. */
function prepare<V>(u: Cracker<V>, area: Operand): void {
  u.faultIf(lacksCr4(u, Cr4.OSXSAVE), Vector.UD);
  u.setArgument(XSAVE_ARGUMENTS.area, 64, areaAt(u, area, AREA_ALIGNMENT));
  u.setArgument(XSAVE_ARGUMENTS.components, 32, getLow(u, 32, Gpr.RAX));
  u.setArgument(XSAVE_ARGUMENTS.components + 4, 32, getLow(u, 32, Gpr.RDX));
}

/** XCR0; with ECX = 1, where the processor has that, its components that are not in their initial state. */
export const XGETBV = inst('XGETBV', {
  feature: 'xsave',
  forms: [enc(0x0f01).ext(2).rm(0).np()],
  interpreted: true,
  crack(u) {
    u.faultIf(lacksCr4(u, Cr4.OSXSAVE), Vector.UD);
    const zero = u.int(32, 0);
    const index = getLow(u, 32, Gpr.RCX);
    const enabled = u.field(OFFSET.xcr0, 32);
    setLow(u, 32, Gpr.RAX, u.select(u.isZero(32, index), enabled, u.assist('xinuse', index)));
    setLow(u, 32, Gpr.RDX, u.select(u.isZero(32, index), u.field(OFFSET.xcr0 + 4, 32), zero));
  },
});
