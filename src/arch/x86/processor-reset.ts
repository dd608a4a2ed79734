/**
 * What INIT and STARTUP do to a processor's registers. RESET is X86ThreadContext.powerOn(). Intel SDM vol. 3 table 9-1
 * ("IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT") and §8.4.4 (MP initialization).
 */

import { Cr0, Debug, Gpr, Rflags, Seg } from './registers.ts';
import { SegmentPreset } from './segments.ts';
import { CLASS_RANGES, EVENT, OFFSET, RegClass, SEGMENT } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** Activity states, the field `EVENT.activity`. SDM vol. 3 §24.4.2. */
export const Activity = { active: 0, halted: 1, shutdown: 2, waitForSipi: 3 } as const;

/** Whether the processor executes, halts, or waits for STARTUP: one of {@link Activity}. */
export function activityOf(tc: X86ThreadContext): number {
  return tc.u8[OFFSET.events + EVENT.activity]!;
}

export function setActivity(tc: X86ThreadContext, activity: number): void {
  tc.u8[OFFSET.events + EVENT.activity] = activity;
}

/** Index of the events in CLASS_RANGES: bit number of RegClass.events. */
const EVENTS_RANGE = CLASS_RANGES[Math.log2(RegClass.events)]!;

/**
 * INIT: registers as after RESET, but x87, MMX, SSE and AVX state, XCR0, CR0.CD and NW, the TSC and all other MSRs stay.
 * The processor waits for STARTUP afterwards.
 * @param signature family, model and stepping, CPUID.1:EAX: what RDX holds
 */
export function initProcessor(tc: X86ThreadContext, signature: number): void {
  const cacheControl = tc.get(OFFSET.cr0) & BigInt(Cr0.CD | Cr0.NW);
  const apicBase = tc.get(OFFSET.apicBase);
  const cr8 = tc.get(OFFSET.cr8);
  tc.u8.fill(0, OFFSET.gpr, OFFSET.xcr0);
  tc.u8.fill(0, ...EVENTS_RANGE);
  tc.setGprNumber(Gpr.RDX, signature);
  tc.rip = 0xfff0n;
  tc.rflags = Rflags.FIXED;
  tc.set(OFFSET.cr0, cacheControl | BigInt(Cr0.ET));
  for (const segment of [Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS])
    tc.setSegment(segment, SegmentPreset.realMode);
  tc.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: 0xf000, base: 0xffff_0000n });
  tc.setSegment(Seg.LDTR, SegmentPreset.resetLdtr);
  tc.setSegment(Seg.TR, SegmentPreset.resetTr);
  tc.u32[(OFFSET.gdtr + SEGMENT.tableLimit) >> 2] = 0xffff;
  tc.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = 0xffff;
  for (const at of [OFFSET.dr0, OFFSET.dr1, OFFSET.dr2, OFFSET.dr3]) tc.set(at, 0n);
  tc.set(OFFSET.dr6, BigInt(Debug.DR6_RESET));
  tc.set(OFFSET.dr7, BigInt(Debug.DR7_RESET));
  // Both are the local APIC's: INIT resets it too, and it says what they become.
  tc.set(OFFSET.apicBase, apicBase);
  tc.set(OFFSET.cr8, cr8);
  setActivity(tc, Activity.waitForSipi);
}

/** STARTUP: a processor that waits for it begins in real mode at `vector` × 4096. */
export function startProcessor(tc: X86ThreadContext, vector: number): void {
  const base = vector << 12;
  tc.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: base >>> 4, base: BigInt(base) });
  tc.rip = 0n;
  setActivity(tc, Activity.active);
}
