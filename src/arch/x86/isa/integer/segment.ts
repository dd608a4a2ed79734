/**
 * Segment registers and descriptors. SDM vol. 2, by mnemonic. What a selector stands for is known to the simulator: loads
 * go through it, and are the last thing an instruction does.
 */

import { Vector } from '../../exceptions.ts';
import { Cr4, Seg } from '../../registers.ts';
import { OFFSET, SEGMENT, segmentOffset } from '../../state-layout.ts';
import { DescriptorQuery } from '../assists.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { CS, DS, ES, Ew, FS, GS, Gv, Gw, Mp, RvMw, Ry, SS, Sw } from '../operands.ts';
import type { Width } from '../ops.ts';
import { lacksCr4, privilegeLevel } from './privilege.ts';

/** A segment register, which the form names, becomes what a selector of width 16 stands for. */
function loadSegment<V>(u: Cracker<V>, segment: Operand, selector: V): void {
  u.assist('loadSegment', u.int(32, segment.index), u.zext(16, 32, selector));
}

/** Of a wider register, the rest becomes zero; memory has 16 bits. */
export const MOV_FROM_SEGMENT = inst('MOV', {
  forms: [enc(0x8c, RvMw, Sw)],
  crack(u, dst, src) {
    u.write(dst, u.zext(16, dst.bits as Width, u.read(src)));
  },
});

export const MOV_TO_SEGMENT = inst('MOV', {
  forms: [ES, SS, DS, FS, GS].map((segment) => enc(0x8e, segment, Ew).ext(segment.index!)),
  crack(u, dst, src) {
    loadSegment(u, dst, u.read(src));
  },
});

export const PUSH_SEGMENT = inst('PUSH', {
  forms: [
    enc(0x06, ES).i64(),
    enc(0x0e, CS).i64(),
    enc(0x16, SS).i64(),
    enc(0x1e, DS).i64(),
    enc(0x0fa0, FS).d64(),
    enc(0x0fa8, GS).d64(),
  ],
  crack(u, src) {
    u.push(u.operandBits, u.zext(16, u.operandBits, u.read(src)));
  },
});

export const POP_SEGMENT = inst('POP', {
  forms: [
    enc(0x07, ES).i64(),
    enc(0x17, SS).i64(),
    enc(0x1f, DS).i64(),
    enc(0x0fa1, FS).d64(),
    enc(0x0fa9, GS).d64(),
  ],
  crack(u, dst) {
    loadSegment(u, dst, u.zext(u.operandBits, 16, u.pop(u.operandBits)));
  },
});

/** LES, LDS, LSS, LFS, LGS: a far pointer in memory, its offset into a general register. */
export const LOAD_FAR_POINTER = inst('LDS', {
  forms: [
    enc(0xc4, Gv, Mp, ES).i64(),
    enc(0xc5, Gv, Mp, DS).i64(),
    enc(0x0fb2, Gv, Mp, SS),
    enc(0x0fb4, Gv, Mp, FS),
    enc(0x0fb5, Gv, Mp, GS),
  ],
  crack(u, dst, src, segment) {
    const z = dst.bits as Width;
    const at = u.linearAddress(src);
    const behind = u.add(64, at, u.int(64, z / 8));
    const offset = u.load(z, at);
    const selector = u.load(16, u.is64 ? behind : u.zext(32, 64, u.zext(64, 32, behind)));
    u.write(dst, offset);
    loadSegment(u, segment, selector);
  },
});

// ---- questions about descriptors: ZF says whether there is an answer ----

export const LAR = inst('LAR', {
  forms: [enc(0x0f02, Gv, Ew)],
  crack(u, dst, selector) {
    ask(u, DescriptorQuery.accessRights, selector, dst);
  },
});

export const LSL = inst('LSL', {
  forms: [enc(0x0f03, Gv, Ew)],
  crack(u, dst, selector) {
    ask(u, DescriptorQuery.limit, selector, dst);
  },
});

export const VERR = inst('VERR', {
  forms: [enc(0x0f00, Ew).ext(4)],
  crack(u, selector) {
    ask(u, DescriptorQuery.isReadable, selector);
  },
});

export const VERW = inst('VERW', {
  forms: [enc(0x0f00, Ew).ext(5)],
  crack(u, selector) {
    ask(u, DescriptorQuery.isWritable, selector);
  },
});

function ask<V>(u: Cracker<V>, query: number, selector: Operand, dst?: Operand): void {
  const answers = u.assist('describeSegment', u.zext(16, 32, u.read(selector)), u.int(32, query));
  u.setFlags({ zf: answers });
  if (dst === undefined) return;
  const z = dst.bits as Width;
  u.when(answers, () => {
    const answer = u.assistResult(0, 32);
    u.write(dst, z === 64 ? u.zext(32, 64, answer) : u.zext(32, z, answer));
  });
}

/** The requested privilege level of the first selector becomes at least that of the second. */
export const ARPL = inst('ARPL', {
  forms: [enc(0x63, Ew, Gw).i64()],
  crack(u, dst, src) {
    const a = u.read(dst);
    const level = u.and(16, u.read(src), u.int(16, 3));
    const isBelow = u.ltU(16, u.and(16, a, u.int(16, 3)), level);
    u.write(dst, u.select(isBelow, u.or(16, u.and(16, a, u.int(16, 0xfffc)), level), a));
    u.setFlags({ zf: isBelow });
  },
});

// ---- FS and GS bases: #UD unless the operating system allows them ----

function baseForm(digit: number): Form {
  return enc(0x0fae, Ry).ext(digit).pf3().o64();
}

function readBase<V>(u: Cracker<V>, segment: number, dst: Operand): void {
  u.faultIf(lacksCr4(u, Cr4.FSGSBASE), Vector.UD);
  u.write(dst, u.zext(64, dst.bits as Width, u.field(segmentOffset(segment) + SEGMENT.base, 64)));
}

function writeBase<V>(u: Cracker<V>, segment: number, src: Operand): void {
  u.faultIf(lacksCr4(u, Cr4.FSGSBASE), Vector.UD);
  const base = u.zext(src.bits as Width, 64, u.read(src));
  if (src.bits === 64) u.faultIf(isNotCanonical(u, base), Vector.GP);
  u.setField(segmentOffset(segment) + SEGMENT.base, 64, base);
}

/** Bits 63 to 47 differ; with CR4.LA57, bits 63 to 56. */
function isNotCanonical<V>(u: Cracker<V>, address: V): V {
  const unused = u.select(lacksCr4(u, Cr4.LA57), u.int(32, 16), u.int(32, 7));
  const extended = u.sar(64, u.shl(64, address, unused), unused);
  return u.ne(64, extended, address);
}

export const RDFSBASE = inst('RDFSBASE', {
  feature: 'fsgsbase',
  forms: [baseForm(0)],
  crack: (u, dst) => readBase(u, Seg.FS, dst),
});

export const RDGSBASE = inst('RDGSBASE', {
  feature: 'fsgsbase',
  forms: [baseForm(1)],
  crack: (u, dst) => readBase(u, Seg.GS, dst),
});

export const WRFSBASE = inst('WRFSBASE', {
  feature: 'fsgsbase',
  forms: [baseForm(2)],
  crack: (u, src) => writeBase(u, Seg.FS, src),
});

export const WRGSBASE = inst('WRGSBASE', {
  feature: 'fsgsbase',
  forms: [baseForm(3)],
  crack: (u, src) => writeBase(u, Seg.GS, src),
});

// ---- system registers that programs may see unless CR4.UMIP is set ----

export const SYSTEM_SELECTORS = (
  [
    ['SLDT', 0, Seg.LDTR],
    ['STR', 1, Seg.TR],
  ] as const
).map(([name, digit, segment]) =>
  inst(name, {
    forms: [enc(0x0f00, RvMw).ext(digit)],
    crack(u, dst) {
      forbidInUserMode(u);
      u.write(dst, u.zext(16, dst.bits as Width, u.field(segmentOffset(segment) + SEGMENT.selector, 16)));
    },
  }),
);

export const SYSTEM_TABLES = (
  [
    ['SGDT', 0, OFFSET.gdtr],
    ['SIDT', 1, OFFSET.idtr],
  ] as const
).map(([name, digit, at]) =>
  inst(name, {
    forms: [enc(0x0f01, Mp).ext(digit)],
    crack(u, dst) {
      forbidInUserMode(u);
      const linear = u.linearAddress(dst);
      const behind = u.add(64, linear, u.int(64, 2));
      u.store(16, linear, u.field(at + SEGMENT.tableLimit, 16));
      if (u.is64) u.store(64, behind, u.field(at, 64));
      else u.store(32, u.zext(32, 64, u.zext(64, 32, behind)), u.field(at, 32));
    },
  }),
);

export const SMSW = inst('SMSW', {
  forms: [enc(0x0f01, RvMw).ext(4)],
  crack(u, dst) {
    forbidInUserMode(u);
    u.write(dst, u.zext(64, dst.bits as Width, u.field(OFFSET.cr0, 64)));
  },
});

function forbidInUserMode<V>(u: Cracker<V>): void {
  const isUser = u.ne(32, privilegeLevel(u), u.int(32, 0));
  u.faultIf(u.and(32, isUser, u.isZero(32, lacksCr4(u, Cr4.UMIP))), Vector.GP);
}
