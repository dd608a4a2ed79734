// What user code finds enabled when the simulator plays its kernel: extended state, FSGSBASE, and the auxiliary vector's words
// about the processor. SDM vol. 2A "CPUID", leaves 1, 7 and 0DH.

import { Cr4, Xcr0 } from '../../../arch/x86/registers.ts';
import { XSAVE_HELD } from '../../../arch/x86/xsave.ts';
import type { CpuidEntry } from '../../../host/kvm/vcpu.ts';

const HWCAP2_FSGSBASE = 2;
const CPUID_1_ECX_XSAVE = 0x400_0000;
const CPUID_7_EBX_FSGSBASE = 1;
const CPUID_7_ECX_UMIP = 4;

export interface UserFeatures {
  /** State components that this KVM supports and the thread context holds. */
  readonly xcr0: number;
  /** CR4 bits of features that this KVM supports. */
  readonly cr4: number;
  /** AT_HWCAP and AT_HWCAP2 as Linux gives them. */
  readonly hwcap: number;
  readonly hwcap2: number;
}

/**
 * Of a KVM that does not say XSAVE (PVM) the state components count all the same: user code is not held to that.
 * @param supported KVM_GET_SUPPORTED_CPUID
 * @param shown the same without what has been hidden
 */
export function userFeatures(
  supported: readonly CpuidEntry[],
  shown: readonly CpuidEntry[] = supported,
): UserFeatures {
  const leaf = (number: number, of = shown): CpuidEntry | undefined =>
    of.find((entry) => entry.function === number && entry.index === 0);
  const hasXsave = (of: readonly CpuidEntry[]) => ((leaf(1, of)?.ecx ?? 0) & CPUID_1_ECX_XSAVE) !== 0;
  const xsave = hasXsave(shown) ? Cr4.OSXSAVE : 0;
  const isXsaveHidden = hasXsave(supported) && !hasXsave(shown);
  const components = leaf(0xd)?.eax ?? Xcr0.X87 | Xcr0.SSE;
  const fsgsbase = (leaf(7)?.ebx ?? 0) & CPUID_7_EBX_FSGSBASE ? Cr4.FSGSBASE : 0;
  const umip = (leaf(7)?.ecx ?? 0) & CPUID_7_ECX_UMIP ? Cr4.UMIP : 0;
  return {
    xcr0: isXsaveHidden ? Xcr0.X87 : (components & XSAVE_HELD) >>> 0,
    cr4: xsave | fsgsbase | umip,
    hwcap: leaf(1)?.edx ?? 0,
    hwcap2: fsgsbase ? HWCAP2_FSGSBASE : 0,
  };
}
