// The CPUID leaves of Hyper-V's interface: those of KVM_GET_SUPPORTED_HV_CPUID without what the simulator does not carry.
// TLFS, "Feature and Interface Discovery"; Linux Documentation/virt/kvm/api.rst 4.118.

import type { CpuidRegister } from '../../../arch/x86/cpuid.ts';
import type { CpuidEntry } from '../../../host/kvm/vcpu.ts';

const FIRST_LEAF = 0x4000_0000;
/** Implementation limits: what lies behind is debugging and nested virtualization. */
const LAST_LEAF = 0x4000_0005;
const FEATURES = 0x4000_0003;
const RECOMMENDATIONS = 0x4000_0004;

/** KVM's own leaves move so far up: guests look for them at multiples of 100H. Linux Documentation/virt/kvm/x86/cpuid.rst. */
const KVM_LEAVES_MOVE = 0x100;

/** Linux takes only this vendor for Hyper-V; KVM's own would be "Linux KVM Hv". EBX, ECX, EDX of the first leaf. */
const VENDOR = { ebx: 0x7263_694d, ecx: 0x666f_736f, edx: 0x7648_2074 };

/** Bits that the guest does not get. */
const HIDDEN: readonly (readonly [leaf: number, register: CpuidRegister, mask: number])[] = [
  // Debugger MSRs; re-enlightenment, whose notifications nobody would send; control of the invariant TSC, which is no state here.
  [FEATURES, 'eax', (1 << 12) | (1 << 13) | (1 << 15)],
  // Debugging by hypercalls, and by MSRs: exits that nobody serves.
  [FEATURES, 'ebx', 1 << 11],
  [FEATURES, 'edx', (1 << 1) | (1 << 11)],
  // The enlightened VMCS belongs to nested virtualization.
  [RECOMMENDATIONS, 'eax', 1 << 14],
];

/** Words of feature bits: what a guest has seen, another host must have. */
export const HYPER_V_FEATURE_WORDS: readonly { leaf: number; subleaf: number; register: CpuidRegister }[] = [
  { leaf: FEATURES, subleaf: 0, register: 'eax' },
  { leaf: FEATURES, subleaf: 0, register: 'ebx' },
  { leaf: FEATURES, subleaf: 0, register: 'edx' },
  { leaf: RECOMMENDATIONS, subleaf: 0, register: 'eax' },
];

/** The guest's leaves. @param supported KVM_GET_SUPPORTED_HV_CPUID */
export function hyperVLeaves(supported: readonly CpuidEntry[]): CpuidEntry[] {
  const kept = supported.filter((entry) => entry.function >= FIRST_LEAF && entry.function <= LAST_LEAF);
  const highest = Math.max(...kept.map((entry) => entry.function));
  return kept.map((entry) => {
    if (entry.function === FIRST_LEAF) return { ...entry, eax: highest, ...VENDOR };
    const shown = { ...entry };
    for (const [leaf, register, mask] of HIDDEN)
      if (leaf === entry.function) shown[register] = (shown[register] & ~mask) >>> 0;
    return shown;
  });
}

/** KVM's leaf at its place behind Hyper-V's; the first one names the last. */
export function movedKvmLeaf(entry: CpuidEntry): CpuidEntry {
  const eax = entry.function === FIRST_LEAF ? entry.eax + KVM_LEAVES_MOVE : entry.eax;
  return { ...entry, function: entry.function + KVM_LEAVES_MOVE, eax };
}
