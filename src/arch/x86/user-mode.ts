// The state in which 64-bit user code runs when no guest kernel has set it up: flat segments of ring 3,
// paging on, SSE and XSAVE enabled. Selectors are Linux's (arch/x86/include/asm/segment.h), since programs
// can see them.

import { Cr0, Cr4, Efer, Rflags, Seg, Xcr0 } from './registers.ts';
import { type Segment, SegmentAttribute, SegmentPreset } from './segments.ts';
import { OFFSET, type X86ThreadContext } from './thread-context.ts';

/** GDT selectors as Linux has them. */
export const LinuxSelector = {
  kernelCode: 0x10,
  kernelData: 0x18,
  /** SYSRET loads CS with this + 16 and SS with this + 8. */
  sysretBase: 0x23,
  userData: 0x2b,
  userCode: 0x33,
  tss: 0x40,
} as const;

/** Code of compatibility mode, with the selector {@link LinuxSelector}.sysretBase. */
export const USER_CODE_32: Segment = {
  ...SegmentPreset.userCode64,
  attributes: (SegmentPreset.userCode64.attributes & ~SegmentAttribute.L) | SegmentAttribute.DB,
};

/** What every processor has that executes 64-bit programs. */
const USER_CR4 = Cr4.PAE | Cr4.OSFXSR | Cr4.OSXMMEXCPT;

/**
 * Puts a processor into ring 3 of 64-bit mode: registers zero, x87 and SSE in their initial state, FS and
 * GS bases zero. CR4.TSD is clear: RDTSC reads the processor's counter.
 * @param pageTableRoot physical address of the top-level page table
 * @param optionalCr4 CR4 bits of features that not every processor has (`Cr4.OSXSAVE`, `Cr4.FSGSBASE`, `Cr4.UMIP`)
 * @param xcr0 state components to enable: a mask of `Xcr0`; x87 always is, and alone where there is no XSAVE (SDM vol. 1 §13.3)
 */
export function setUserMode(
  tc: X86ThreadContext,
  pageTableRoot: number,
  xcr0: number,
  optionalCr4: number = Cr4.OSXSAVE | Cr4.FSGSBASE,
): void {
  tc.powerOn();
  tc.u8.fill(0, OFFSET.gpr, OFFSET.rip);
  tc.rip = 0n;
  tc.rflags = Rflags.FIXED | Rflags.IF;
  tc.set(OFFSET.cr0, BigInt(Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM) | BigInt(Cr0.PG));
  tc.set(OFFSET.cr3, BigInt(pageTableRoot));
  tc.set(OFFSET.cr4, BigInt(USER_CR4 | optionalCr4));
  tc.set(OFFSET.efer, BigInt(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE));
  tc.set(OFFSET.xcr0, BigInt(xcr0 | Xcr0.X87));
  setUserSegments(tc);
  // Linux runs 64-bit programs with null selectors here.
  // No LDT: a selector into one faults.
  for (const segment of [Seg.DS, Seg.ES, Seg.FS, Seg.GS, Seg.LDTR])
    tc.setSegment(segment, SegmentPreset.unusable);
}

/**
 * CS and SS of user code: what SYSRET and IRET to ring 3 load.
 * @param cs selector of compatibility mode ({@link LinuxSelector}.sysretBase); any other is that of 64-bit code
 */
export function setUserSegments(tc: X86ThreadContext, cs: number = LinuxSelector.userCode): void {
  const isCompat = cs === LinuxSelector.sysretBase;
  if (isCompat) tc.setSegment(Seg.CS, { ...USER_CODE_32, selector: cs });
  else tc.setSegment(Seg.CS, { ...SegmentPreset.userCode64, selector: LinuxSelector.userCode });
  tc.setSegment(Seg.SS, { ...SegmentPreset.userData, selector: LinuxSelector.userData });
}

/** A program changes processors: CR4 gets those of the optional features (see {@link setUserMode}) that the new one has. */
export function setOptionalCr4(tc: X86ThreadContext, optionalCr4: number): void {
  tc.set(OFFSET.cr4, BigInt(USER_CR4 | optionalCr4));
}
