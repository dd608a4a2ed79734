/** Plain ELF executables for the bare machine: 32-bit ones start in protected mode, 64-bit ones in 64-bit mode. */
import { hex } from '../../mem/addr.ts';
import type { BareElf } from './bare-elf.ts';
import type { Loaded } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { allocateStack, enterLongMode, enterProtectedMode } from './loader-areas.ts';

/** The format promises nothing: every register but the stack pointer is zero. */
export function loadElf(elf: BareElf, plan: LoadPlan): Loaded {
  placeSegments(elf, plan);
  const entry = { address: elf.entry, gpr: { rsp: allocateStack(plan) } };
  return {
    description: `${elf.bits}-bit ELF image, entry point ${hex(elf.entry)}`,
    state: elf.bits === 64 ? enterLongMode(plan, entry) : enterProtectedMode(plan, entry),
  };
}

/** Puts the segments at their physical addresses. */
export function placeSegments(elf: BareElf, plan: LoadPlan): void {
  for (const { address, bytes, memorySize } of elf.segments) {
    plan.place('the segment', address, bytes, memorySize);
  }
}
