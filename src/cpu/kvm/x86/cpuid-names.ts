// KVM's CPUID entries under the manual's names, for the functions of arch/x86/cpuid.ts, and back.

import type { CpuidEntry } from '../../../host/kvm/vcpu.ts';

/** An entry that answers to both kinds of names. */
export type Leaf = CpuidEntry & { readonly leaf: number; readonly subleaf: number };

export function named(entries: readonly CpuidEntry[]): Leaf[] {
  return entries.map((entry) => ({ ...entry, leaf: entry.function, subleaf: entry.index }));
}

/** KVM's names alone, and registers that are not negative. */
export function unnamed({ function: leaf, index, flags, eax, ebx, ecx, edx }: CpuidEntry): CpuidEntry {
  const u = (value: number): number => value >>> 0;
  return { function: leaf, index, flags, eax: u(eax), ebx: u(ebx), ecx: u(ecx), edx: u(edx) };
}
