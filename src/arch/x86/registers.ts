/**
 * Names and bit constants of the x86-64 registers: general, segment, control, debug, flags, EFER, XCR0.
 * Intel SDM vol. 1 chapter 3 and vol. 3 chapter 2. Only constants live here; where a register is kept is
 * state-layout.ts's subject.
 */

/** General registers in encoding order (ModRM plus REX bit): the index of every `gpr` accessor. */
export const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
export type GprName = (typeof GPR_NAMES)[number];

/** Index of each general register, in encoding order. */
export const Gpr = {
  RAX: 0,
  RCX: 1,
  RDX: 2,
  RBX: 3,
  RSP: 4,
  RBP: 5,
  RSI: 6,
  RDI: 7,
  R8: 8,
  R9: 9,
  R10: 10,
  R11: 11,
  R12: 12,
  R13: 13,
  R14: 14,
  R15: 15,
} as const;

/** Segment registers in encoding order, then the two system segments. */
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
export type SegmentName = (typeof SEGMENT_NAMES)[number];

/** Index of each segment register in the thread context. */
export const Seg = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;

/** RFLAGS. SDM vol. 1 §3.4.3. `FIXED` is bit 1, which always reads as one. */
export const Rflags = {
  CF: 0x1,
  FIXED: 0x2,
  PF: 0x4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x1_0000,
  VM: 0x2_0000,
  AC: 0x4_0000,
  VIF: 0x8_0000,
  VIP: 0x10_0000,
  ID: 0x20_0000,
} as const;

/** CR0. SDM vol. 3 §2.5. */
export const Cr0 = {
  PE: 0x1,
  MP: 0x2,
  EM: 0x4,
  TS: 0x8,
  ET: 0x10,
  NE: 0x20,
  WP: 0x1_0000,
  AM: 0x4_0000,
  NW: 0x2000_0000,
  CD: 0x4000_0000,
  PG: 0x8000_0000,
} as const;

/** CR4. SDM vol. 3 §2.5. */
export const Cr4 = {
  VME: 0x1,
  PVI: 0x2,
  TSD: 0x4,
  DE: 0x8,
  PSE: 0x10,
  PAE: 0x20,
  MCE: 0x40,
  PGE: 0x80,
  PCE: 0x100,
  OSFXSR: 0x200,
  OSXMMEXCPT: 0x400,
  UMIP: 0x800,
  LA57: 0x1000,
  VMXE: 0x2000,
  SMXE: 0x4000,
  FSGSBASE: 0x1_0000,
  PCIDE: 0x2_0000,
  OSXSAVE: 0x4_0000,
  KL: 0x8_0000,
  SMEP: 0x10_0000,
  SMAP: 0x20_0000,
  PKE: 0x40_0000,
  CET: 0x80_0000,
  PKS: 0x100_0000,
} as const;

/** IA32_EFER. SDM vol. 3 §2.2.1; SVME, LMSLE and FFXSR: APM vol. 2 §3.1.7. */
export const Efer = {
  SCE: 0x1,
  LME: 0x100,
  LMA: 0x400,
  NXE: 0x800,
  SVME: 0x1000,
  LMSLE: 0x2000,
  FFXSR: 0x4000,
} as const;

/** IA32_APIC_BASE. SDM vol. 3 §10.4.4. */
export const ApicBase = { BSP: 0x100, EXTD: 0x400, ENABLE: 0x800, DEFAULT_ADDRESS: 0xfee0_0000 } as const;

/** DR6 and DR7 bits that read as one. SDM vol. 3 §17.2, reset values of table 9-1. */
export const Debug = { DR6_RESET: 0xffff_0ff0, DR7_RESET: 0x400 } as const;

/** XCR0 and XSTATE_BV: one bit per state component. SDM vol. 1 §13.1. */
export const Xcr0 = {
  X87: 0x1,
  SSE: 0x2,
  AVX: 0x4,
  BNDREGS: 0x8,
  BNDCSR: 0x10,
  OPMASK: 0x20,
  ZMM_HI256: 0x40,
  HI16_ZMM: 0x80,
  PKRU: 0x200,
  TILECFG: 0x2_0000,
  TILEDATA: 0x4_0000,
  APX: 0x8_0000,
  /** The three components that make up AVX-512. */
  AVX512: 0xe0,
} as const;

/** Values after FNINIT and LDMXCSR's default. SDM vol. 1 §8.1.5 and §10.2.3. */
export const FCW_INIT = 0x37f;
export const MXCSR_INIT = 0x1f80;
