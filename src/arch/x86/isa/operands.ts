/**
 * What an encoding row says of its operands, in the notation of the opcode map: a letter for where the operand is found,
 * then its size (SDM vol. 2D, appendix A.2). `Ev` is a register or memory operand chosen by ModRM.rm, of the operand size.
 *
 * A register operand of an SSE register may be narrower than the register: `Wsd` is 64 bits of memory or the low 64 of XMM.
 */

/** Bits of an operand, or how they follow from the operand size (16, 32, 64): v the same, z at most 32, y at least 32. */
export type OperandBits = 0 | 8 | 16 | 32 | 48 | 64 | 80 | 128 | 'v' | 'z' | 'y';

/** Which registers the number selects. */
export type RegisterFile = 'gpr' | 'xmm' | 'mmx' | 'segment' | 'st';

/** Where the operand is found. */
export type OperandSource =
  /** ModRM.rm: a register, or memory. */
  | 'rm'
  /** ModRM.reg. */
  | 'reg'
  /** VEX.vvvv: a register. */
  | 'vvvv'
  /** The low three bits of the opcode. */
  | 'opcode'
  /** An immediate behind the instruction, sign-extended where it is narrower than what it is for. */
  | 'immediate'
  /** A displacement of the instruction pointer. */
  | 'relative'
  /** An address behind the opcode (MOV between memory and the accumulator). */
  | 'offset'
  /** The last byte of the opcode and ModRM themselves, as a number: what an x87 instruction leaves in FOP. */
  | 'opcodeAndModrm'
  /** A far pointer behind the opcode: offset, then selector. */
  | 'farPointer'
  /** A register or number that the opcode implies. */
  | 'fixed'
  /** Memory at rSI in DS or the segment of a prefix, and at rDI in ES. */
  | 'stringSource'
  | 'stringDestination'
  /** Memory at rBX + AL (XLAT); at rDI in DS (MASKMOVQ). */
  | 'xlat'
  | 'maskStore';

export interface OperandSpec {
  readonly name: string;
  readonly source: OperandSource;
  readonly file: RegisterFile | 'none';
  /** Bits of a register operand or an immediate. */
  readonly bits: OperandBits;
  /** Bits in memory, where they differ from the register's. */
  readonly memoryBits: OperandBits;
  /** ModRM.rm must name memory, or must not. */
  readonly only?: 'memory' | 'register';
  /** Register number, or value, of a fixed operand. */
  readonly index?: number;
  /** The bits of the immediate in the instruction, where it is narrower than the operand it is extended to. */
  readonly encodedBits?: OperandBits;
}

function spec(
  name: string,
  source: OperandSource,
  file: OperandSpec['file'],
  bits: OperandBits,
  more: Partial<OperandSpec> = {},
): OperandSpec {
  return { name, source, file, bits, memoryBits: bits, ...more };
}

// ---- general registers and memory ----

export const Eb = spec('Eb', 'rm', 'gpr', 8);
export const Ew = spec('Ew', 'rm', 'gpr', 16);
export const Ed = spec('Ed', 'rm', 'gpr', 32);
export const Eq = spec('Eq', 'rm', 'gpr', 64);
export const Ev = spec('Ev', 'rm', 'gpr', 'v');
export const Ey = spec('Ey', 'rm', 'gpr', 'y');
/** A register of the operand size, or 16 bits of memory: MOV from a segment register, SMSW, STR, SLDT. */
export const RvMw = spec('Rv/Mw', 'rm', 'gpr', 'v', { memoryBits: 16 });
/** A register of 32 or 64 bits, or fewer bits of memory: PEXTRB and the like. */
export const RyMb = spec('Ry/Mb', 'rm', 'gpr', 'y', { memoryBits: 8 });
export const RyMw = spec('Ry/Mw', 'rm', 'gpr', 'y', { memoryBits: 16 });
export const RdMb = spec('Rd/Mb', 'rm', 'gpr', 32, { memoryBits: 8 });
export const RdMw = spec('Rd/Mw', 'rm', 'gpr', 32, { memoryBits: 16 });
export const Rd = spec('Rd', 'rm', 'gpr', 32, { only: 'register' });
export const Rq = spec('Rq', 'rm', 'gpr', 64, { only: 'register' });
export const Rv = spec('Rv', 'rm', 'gpr', 'v', { only: 'register' });
export const Ry = spec('Ry', 'rm', 'gpr', 'y', { only: 'register' });
export const Gb = spec('Gb', 'reg', 'gpr', 8);
export const Gw = spec('Gw', 'reg', 'gpr', 16);
export const Gd = spec('Gd', 'reg', 'gpr', 32);
export const Gq = spec('Gq', 'reg', 'gpr', 64);
export const Gv = spec('Gv', 'reg', 'gpr', 'v');
export const Gz = spec('Gz', 'reg', 'gpr', 'z');
export const Gy = spec('Gy', 'reg', 'gpr', 'y');
/** The register in VEX.vvvv. */
export const By = spec('By', 'vvvv', 'gpr', 'y');
export const Zb = spec('Zb', 'opcode', 'gpr', 8);
export const Zv = spec('Zv', 'opcode', 'gpr', 'v');
export const Sw = spec('Sw', 'reg', 'segment', 16);

// ---- memory only ----

function memory(name: string, bits: OperandBits): OperandSpec {
  return spec(name, 'rm', 'gpr', bits, { only: 'memory' });
}

/** Memory of no particular size: LEA, prefetches, CLFLUSH, FXSAVE. */
export const M = memory('M', 0);
export const Mb = memory('Mb', 8);
export const Mw = memory('Mw', 16);
export const Md = memory('Md', 32);
export const Mq = memory('Mq', 64);
export const Mt = memory('Mt', 80);
export const Mdq = memory('Mdq', 128);
export const Mv = memory('Mv', 'v');
export const My = memory('My', 'y');
/** A far pointer in memory: 16 bits of selector behind an offset of the operand size. */
export const Mp = memory('Mp', 'v');

// ---- SSE and MMX registers ----

export const Vdq = spec('Vdq', 'reg', 'xmm', 128);
export const Vq = spec('Vq', 'reg', 'xmm', 64);
export const Vd = spec('Vd', 'reg', 'xmm', 32);
export const Wdq = spec('Wdq', 'rm', 'xmm', 128);
export const Wq = spec('Wq', 'rm', 'xmm', 64);
export const Wd = spec('Wd', 'rm', 'xmm', 32);
export const Ww = spec('Ww', 'rm', 'xmm', 16);
/** Scalars and packed values of floating point: the same places under the manual's names. */
export const Vps = spec('Vps', 'reg', 'xmm', 128);
export const Vpd = spec('Vpd', 'reg', 'xmm', 128);
export const Vss = spec('Vss', 'reg', 'xmm', 32);
export const Vsd = spec('Vsd', 'reg', 'xmm', 64);
export const Wps = spec('Wps', 'rm', 'xmm', 128);
export const Wpd = spec('Wpd', 'rm', 'xmm', 128);
export const Wss = spec('Wss', 'rm', 'xmm', 32);
export const Wsd = spec('Wsd', 'rm', 'xmm', 64);
export const Udq = spec('Udq', 'rm', 'xmm', 128, { only: 'register' });
export const Uq = spec('Uq', 'rm', 'xmm', 64, { only: 'register' });
/** The low part of a register, never memory. */
export const Uss = spec('Uss', 'rm', 'xmm', 32, { only: 'register' });
export const Usd = spec('Usd', 'rm', 'xmm', 64, { only: 'register' });
/** A whole register, or 32 bits of memory: INSERTPS. */
export const UdqMd = spec('Udq/Md', 'rm', 'xmm', 128, { memoryBits: 32 });
/** The implied first register of BLENDVPS, PBLENDVB, SHA256RNDS2. */
export const XMM0 = spec('XMM0', 'fixed', 'xmm', 128, { index: 0 });
export const Pq = spec('Pq', 'reg', 'mmx', 64);
export const Pd = spec('Pd', 'reg', 'mmx', 32);
export const Qq = spec('Qq', 'rm', 'mmx', 64);
export const Qd = spec('Qd', 'rm', 'mmx', 32);
export const Nq = spec('Nq', 'rm', 'mmx', 64, { only: 'register' });

// ---- x87 ----

/** The top of the stack, and the register that ModRM.rm names relative to it. */
export const ST0 = spec('ST(0)', 'fixed', 'st', 80, { index: 0 });
export const STi = spec('ST(i)', 'rm', 'st', 80, { only: 'register' });
/** Environment and whole state in memory: their layout, and with it their size, follows from the operand size. */
export const Menv = memory('m14/28byte', 'v');
export const Mstate = memory('m94/108byte', 'v');
/** Bits 2:0 of the opcode, then ModRM (SDM vol. 1 §8.1.9): which instruction it is, and which ST(i). */
export const Fop = spec('FOP', 'opcodeAndModrm', 'none', 16);

// ---- immediates and addresses ----

export const Ib = spec('Ib', 'immediate', 'none', 8);
export const Iw = spec('Iw', 'immediate', 'none', 16);
/** A byte, sign-extended to the operand size. */
export const IbSx = spec('Ib', 'immediate', 'none', 'v', { encodedBits: 8 });
/** 16 or 32 bits, sign-extended to an operand size of 64. */
export const Iz = spec('Iz', 'immediate', 'none', 'v', { encodedBits: 'z' });
export const Iv = spec('Iv', 'immediate', 'none', 'v');
export const Jb = spec('Jb', 'relative', 'none', 8);
export const Jz = spec('Jz', 'relative', 'none', 'z');
export const Ap = spec('Ap', 'farPointer', 'none', 'z');
export const Ob = spec('Ob', 'offset', 'none', 8);
export const Ov = spec('Ov', 'offset', 'none', 'v');

// ---- implied operands ----

function fixed(name: string, bits: OperandBits, index: number): OperandSpec {
  return spec(name, 'fixed', 'gpr', bits, { index });
}

export const AL = fixed('AL', 8, 0);
export const CL = fixed('CL', 8, 1);
export const AX = fixed('AX', 16, 0);
export const DX = fixed('DX', 16, 2);
export const EAX = fixed('EAX', 32, 0);
export const ECX = fixed('ECX', 32, 1);
/** The accumulator in the operand size. */
export const rAX = fixed('rAX', 'v', 0);
export const rDX = fixed('rDX', 'v', 2);
/** The same of at most 32 bits: IN and OUT. */
export const zAX = fixed('zAX', 'z', 0);
/** The number 1: the shifts by one. */
export const One = spec('1', 'fixed', 'none', 8, { index: 1 });

function fixedSegment(name: string, index: number): OperandSpec {
  return spec(name, 'fixed', 'segment', 16, { index });
}

export const ES = fixedSegment('ES', 0);
export const CS = fixedSegment('CS', 1);
export const SS = fixedSegment('SS', 2);
export const DS = fixedSegment('DS', 3);
export const FS = fixedSegment('FS', 4);
export const GS = fixedSegment('GS', 5);

export const Xb = spec('Xb', 'stringSource', 'none', 8);
export const Xv = spec('Xv', 'stringSource', 'none', 'v');
export const Xz = spec('Xz', 'stringSource', 'none', 'z');
export const Yb = spec('Yb', 'stringDestination', 'none', 8);
export const Yv = spec('Yv', 'stringDestination', 'none', 'v');
export const Yz = spec('Yz', 'stringDestination', 'none', 'z');
export const XlatByte = spec('BBb', 'xlat', 'none', 8);
export const MaskStoreQ = spec('BDq', 'maskStore', 'none', 64);
export const MaskStoreDq = spec('BDdq', 'maskStore', 'none', 128);
