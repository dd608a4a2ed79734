/**
 * The state in which a processor starts an image, as plain data that knows no CPU model: real mode, 32-bit protected
 * mode without paging, or 64-bit mode with identity paging. Segments are those that Linux's boot protocol asks for
 * (Documentation/arch/x86/boot.rst: __BOOT_CS is 0x10, __BOOT_DS is 0x18); the other formats accept any flat ones.
 */
import { GdtBuilder } from '../../arch/x86/descriptors.ts';
import { Cr0, Cr4, Efer, GPR_NAMES, type GprName, Rflags, Seg } from '../../arch/x86/registers.ts';
import { SegmentAttribute as A, type Segment, SegmentPreset } from '../../arch/x86/segments.ts';
import { OFFSET, SEGMENT, type X86ThreadContext } from '../../arch/x86/thread-context.ts';

export type BootMode = 'real' | 'protected' | 'long';

/** A descriptor-table register. */
export interface TableRegister {
  readonly base: number;
  readonly limit: number;
}

/** Start state of a processor. Registers that are not named have their value after reset. */
export interface BootState {
  readonly mode: BootMode;
  readonly rip: number;
  readonly rflags: number;
  /** All general registers but these are zero. */
  readonly gpr: Readonly<Partial<Record<GprName, number>>>;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly cs: Segment;
  /** DS, ES, SS, FS and GS. */
  readonly data: Segment;
  readonly gdtr: TableRegister;
  readonly idtr: TableRegister;
}

/** Where the processor starts, and with what in its registers. */
export interface Entry {
  readonly address: number;
  readonly gpr?: Readonly<Partial<Record<GprName, number>>>;
}

const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const code32 = A.G | A.DB | A.P | A.S | A.CODE | A.READABLE | A.ACCESSED;
const FLAT_CODE_32: Segment = { selector: BOOT_CS, base: 0n, limit: 0xffff_ffff, attributes: code32 };
const FLAT_CODE_64: Segment = { ...SegmentPreset.kernelCode64, selector: BOOT_CS };
const FLAT_DATA: Segment = { ...SegmentPreset.kernelData, selector: BOOT_DS };
/** An interrupt before the image has set up its own IDT ends in a triple fault. */
const NO_IDT: TableRegister = { base: 0, limit: 0 };
/** The interrupt vector table of real mode, SDM vol. 3 §20.1.4. */
const REAL_MODE_IDT: TableRegister = { base: 0, limit: 0x3ff };

/** The GDT that protected and long mode start with, to be placed in memory. */
export function bootGdt(mode: 'protected' | 'long'): Uint8Array {
  const gdt = new GdtBuilder(4);
  gdt.set(mode === 'long' ? FLAT_CODE_64 : FLAT_CODE_32);
  gdt.set(FLAT_DATA);
  return gdt.bytes;
}

/** Real mode at 0000:`address`, as a BIOS starts a boot sector. `address` is below 64 KiB. */
export function realModeState(entry: Entry): BootState {
  return {
    ...common(entry),
    mode: 'real',
    cr0: Cr0.ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    cs: SegmentPreset.realModeCode,
    data: SegmentPreset.realMode,
    gdtr: { base: 0, limit: 0xffff },
    idtr: REAL_MODE_IDT,
  };
}

/** 32-bit protected mode, paging off, flat segments; `gdt` is where `bootGdt('protected')` was placed. */
export function protectedModeState(entry: Entry, gdt: TableRegister): BootState {
  return {
    ...common(entry),
    mode: 'protected',
    cr0: Cr0.ET | Cr0.PE,
    cr3: 0,
    cr4: 0,
    efer: 0,
    cs: FLAT_CODE_32,
    data: FLAT_DATA,
    gdtr: gdt,
    idtr: NO_IDT,
  };
}

/** 64-bit mode on the page tables at `root`; `gdt` is where `bootGdt('long')` was placed. */
export function longModeState(entry: Entry, gdt: TableRegister, root: number): BootState {
  return {
    ...common(entry),
    mode: 'long',
    cr0: (Cr0.ET | Cr0.PE | Cr0.PG) >>> 0,
    cr3: root,
    cr4: Cr4.PAE,
    efer: Efer.LME | Efer.LMA,
    cs: FLAT_CODE_64,
    data: FLAT_DATA,
    gdtr: gdt,
    idtr: NO_IDT,
  };
}

/** Interrupts are off in every protocol. */
function common(entry: Entry): Pick<BootState, 'rip' | 'rflags' | 'gpr'> {
  return { rip: entry.address, rflags: Rflags.FIXED, gpr: entry.gpr ?? {} };
}

/** Puts a processor into its start state: power-on state first, then what the boot protocol says. */
export function applyBootState(context: X86ThreadContext, state: BootState): void {
  context.powerOn();
  context.ripNumber = state.rip;
  context.rflags = state.rflags;
  for (const [index, name] of GPR_NAMES.entries()) context.setGprNumber(index, state.gpr[name] ?? 0);
  context.set(OFFSET.cr0, BigInt(state.cr0));
  context.set(OFFSET.cr3, BigInt(state.cr3));
  context.set(OFFSET.cr4, BigInt(state.cr4));
  context.set(OFFSET.efer, BigInt(state.efer));
  context.setSegment(Seg.CS, state.cs);
  for (const index of [Seg.DS, Seg.ES, Seg.SS, Seg.FS, Seg.GS]) context.setSegment(index, state.data);
  setTable(context, OFFSET.gdtr, state.gdtr);
  setTable(context, OFFSET.idtr, state.idtr);
}

function setTable(context: X86ThreadContext, at: number, table: TableRegister): void {
  context.set(at + SEGMENT.base, BigInt(table.base));
  context.u32[(at + SEGMENT.tableLimit) >> 2] = table.limit;
}
