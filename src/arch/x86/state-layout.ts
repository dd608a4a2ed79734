/**
 * Where each register of an X86ThreadContext lies, in bytes from the start of its state, and to which
 * register class it belongs. TypeScript, generated WebAssembly and the KVM transfer share this layout; all
 * values are little-endian, as in memory. Field contents follow the Intel SDM; differences are said beside
 * the field.
 *
 *   byte   field                                                          class
 *   0x000  gpr[16] u64, encoding order (rax rcx rdx rbx rsp rbp rsi rdi r8…r15)  general
 *   0x080  rip u64 | 0x088 rflags u64
 *   0x090  segments[8] × 24: es cs ss ds fs gs ldtr tr                    special
 *            +0 base u64 | +8 limit u32 (in bytes, scaled) | +12 attributes u32 | +16 selector u32 | +20 zero
 *            attributes: the VMX access-rights format (SDM vol. 3 §24.4.1), bit 16 = unusable
 *   0x150  gdtr, 0x160 idtr: base u64 | limit u32 | zero u32
 *   0x170  cr0 cr2 cr3 cr4 cr8 efer apicBase, u64 each
 *   0x1a8  xcr0 u64                                                       xcr
 *   0x1b0  dr0 dr1 dr2 dr3 dr6 dr7, u64 each                              debug
 *   0x1e0  events, see EVENT                                              events
 *   0x210  fcw u16 | fsw u16 | ftw u16 | fop u16 | mxcsr u32 | pkru u32   fpu
 *            ftw is the abridged tag word of FXSAVE: bit i set = R<i> is not empty, high byte zero
 *   0x220  fip u64 | 0x228 fdp u64 (the 64-bit form of FXSAVE64) | 0x230 zero
 *   0x240  k[8] u64
 *   0x280  st[8] × 16: R0…R7 in physical order, 80 bits each, upper 48 bits zero
 *   0x300  zmm[32] × 64: xmm is the low 16, ymm the low 32 bytes
 *   0xb00  msr[MSRS.length] u64, in the order of MSRS                     msr
 */

import { MSRS, MsrAlias } from './msrs.ts';
import { GPR_NAMES, SEGMENT_NAMES, Seg } from './registers.ts';

/** Bit mask over the classes in which state travels between a thread context and KVM. */
export const RegClass = {
  general: 0x01,
  special: 0x02,
  fpu: 0x04,
  xcr: 0x08,
  msr: 0x10,
  debug: 0x20,
  events: 0x40,
  all: 0x7f,
  none: 0,
} as const;

/** Names of the classes; entry i belongs to bit i of a class mask. */
export const REG_CLASS_NAMES = ['general', 'special', 'fpu', 'xcr', 'msr', 'debug', 'events'] as const;
export type RegClassName = (typeof REG_CLASS_NAMES)[number];

/** Byte offsets of the fields. Drawn at the head of this file. */
export const OFFSET = {
  gpr: 0x000,
  rip: 0x080,
  rflags: 0x088,
  segments: 0x090,
  gdtr: 0x150,
  idtr: 0x160,
  cr0: 0x170,
  cr2: 0x178,
  cr3: 0x180,
  cr4: 0x188,
  cr8: 0x190,
  efer: 0x198,
  apicBase: 0x1a0,
  xcr0: 0x1a8,
  dr0: 0x1b0,
  dr1: 0x1b8,
  dr2: 0x1c0,
  dr3: 0x1c8,
  dr6: 0x1d0,
  dr7: 0x1d8,
  events: 0x1e0,
  fcw: 0x210,
  fsw: 0x212,
  ftw: 0x214,
  fop: 0x216,
  mxcsr: 0x218,
  pkru: 0x21c,
  fip: 0x220,
  fdp: 0x228,
  k: 0x240,
  st: 0x280,
  zmm: 0x300,
  msr: 0xb00,
} as const;

/** Sizes in bytes of the elements of arrays. */
export const STRIDE = { gpr: 8, segment: 24, k: 8, st: 16, zmm: 64, msr: 8 } as const;

/** Offsets inside a segment register, and (base and limit) inside gdtr and idtr. */
export const SEGMENT = { base: 0, limit: 8, attributes: 12, selector: 16, tableLimit: 8 } as const;

/**
 * Events between instructions: what is being delivered and what holds it back. SDM vol. 3 §24.4.2 and
 * §24.8.3, in the terms of KVM's vCPU events. Byte flags are 0 or 1. Offsets from `OFFSET.events`.
 */
export const EVENT = {
  /** An exception that is being delivered (`Injected`), or that waits to be intercepted first (`Pending`). */
  exceptionInjected: 0,
  exceptionPending: 1,
  exceptionVector: 2,
  exceptionHasErrorCode: 3,
  exceptionErrorCode: 4, // u32
  exceptionPayload: 8, // u64: CR2 or DR6 contents that delivery will write
  exceptionHasPayload: 16,
  interruptInjected: 17,
  interruptVector: 18,
  interruptSoft: 19,
  /** Interrupts are held back for one instruction: bit 0 after STI, bit 1 after MOV SS or POP SS. */
  interruptShadow: 20,
  nmiInjected: 21,
  nmiPending: 22,
  nmiMasked: 23,
  sipiVector: 24, // u32
  smiInSmm: 28,
  smiPending: 29,
  smiInsideNmi: 30,
  initLatched: 31,
  tripleFaultPending: 32,
  /** Activity state: 0 active, 1 HLT, 2 shutdown, 3 wait for SIPI (SDM vol. 3 §24.4.2). */
  activity: 33,
} as const;

/** Size of the whole state in bytes. */
export const STATE_SIZE_BYTES = OFFSET.msr + MSRS.length * STRIDE.msr;

/** The contiguous bytes of each class, `[start, end)`, in the order of REG_CLASS_NAMES. */
export const CLASS_RANGES: readonly (readonly [start: number, end: number])[] = [
  [OFFSET.gpr, OFFSET.segments],
  [OFFSET.segments, OFFSET.xcr0],
  [OFFSET.fcw, OFFSET.msr],
  [OFFSET.xcr0, OFFSET.dr0],
  [OFFSET.msr, STATE_SIZE_BYTES],
  [OFFSET.dr0, OFFSET.events],
  [OFFSET.events, OFFSET.fcw],
];

/** One named register or part of one. */
export type RegisterDescription = {
  readonly name: string;
  readonly at: number;
  readonly sizeBytes: number;
  readonly class: RegClassName;
};

/** Offset of segment register `segment` (an index of `Seg`). */
export function segmentOffset(segment: number): number {
  return OFFSET.segments + segment * STRIDE.segment;
}

const MSR_ALIAS_OFFSETS: ReadonlyMap<number, number> = new Map([
  [MsrAlias.APIC_BASE, OFFSET.apicBase],
  [MsrAlias.EFER, OFFSET.efer],
  [MsrAlias.FS_BASE, segmentOffset(Seg.FS) + SEGMENT.base],
  [MsrAlias.GS_BASE, segmentOffset(Seg.GS) + SEGMENT.base],
]);

const MSR_SLOT_OFFSETS: ReadonlyMap<number, number> = new Map(
  MSRS.map((msr, slot) => [msr.index, OFFSET.msr + slot * STRIDE.msr]),
);

/**
 * Offset of the u64 that holds MSR `index`, those with a field of their own included; undefined if not
 * kept.
 */
export function msrOffset(index: number): number | undefined {
  return MSR_ALIAS_OFFSETS.get(index) ?? MSR_SLOT_OFFSETS.get(index);
}

type Row = readonly [name: string, at: number, sizeBytes: number];

function array(
  count: number,
  at: number,
  stride: number,
  sizeBytes: number,
  name: (i: number) => string,
): Row[] {
  return Array.from({ length: count }, (_, i): Row => [name(i), at + i * stride, sizeBytes]);
}

function rows(): Record<RegClassName, readonly Row[]> {
  const u64 = (name: keyof typeof OFFSET): Row => [name, OFFSET[name], 8];
  const event = (name: keyof typeof EVENT, sizeBytes = 1): Row => [
    `event.${name}`,
    OFFSET.events + EVENT[name],
    sizeBytes,
  ];
  return {
    general: [...array(16, OFFSET.gpr, 8, 8, (i) => GPR_NAMES[i]!), u64('rip'), u64('rflags')],
    special: [
      ...SEGMENT_NAMES.flatMap((name, i): Row[] => [
        [`${name}.selector`, segmentOffset(i) + SEGMENT.selector, 4],
        [`${name}.base`, segmentOffset(i) + SEGMENT.base, 8],
        [`${name}.limit`, segmentOffset(i) + SEGMENT.limit, 4],
        [`${name}.attributes`, segmentOffset(i) + SEGMENT.attributes, 4],
      ]),
      ['gdtr.base', OFFSET.gdtr, 8],
      ['gdtr.limit', OFFSET.gdtr + SEGMENT.tableLimit, 4],
      ['idtr.base', OFFSET.idtr, 8],
      ['idtr.limit', OFFSET.idtr + SEGMENT.tableLimit, 4],
      ...(['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apicBase'] as const).map(u64),
    ],
    fpu: [
      ['fcw', OFFSET.fcw, 2],
      ['fsw', OFFSET.fsw, 2],
      ['ftw', OFFSET.ftw, 2],
      ['fop', OFFSET.fop, 2],
      ['mxcsr', OFFSET.mxcsr, 4],
      ['pkru', OFFSET.pkru, 4],
      u64('fip'),
      u64('fdp'),
      ...array(8, OFFSET.k, STRIDE.k, 8, (i) => `k${i}`),
      ...array(8, OFFSET.st, STRIDE.st, 10, (i) => `x87.r${i}`),
      ...array(32, OFFSET.zmm, STRIDE.zmm, 64, (i) => `zmm${i}`),
    ],
    xcr: [u64('xcr0')],
    msr: MSRS.map((msr, slot): Row => [`msr.${msr.name}`, OFFSET.msr + slot * STRIDE.msr, 8]),
    debug: (['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const).map(u64),
    events: (Object.keys(EVENT) as (keyof typeof EVENT)[]).map((name) =>
      event(name, { exceptionErrorCode: 4, exceptionPayload: 8, sipiVector: 4 }[name as string] ?? 1),
    ),
  };
}

/** Every register by name: what saving, restoring, comparing and dumping go through. */
export const REGISTERS: readonly RegisterDescription[] = Object.entries(rows()).flatMap(([name, list]) =>
  list.map(([register, at, sizeBytes]) => ({
    name: register,
    at,
    sizeBytes,
    class: name as RegClassName,
  })),
);
