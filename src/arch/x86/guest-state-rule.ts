/**
 * What a rule of the guest-state check is made of. The rules themselves: guest-state-check.ts and
 * guest-state-segments.ts, after Intel SDM vol. 3 §26.3.1.
 */

import type { Segment } from './segments.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** What the rules depend on besides the state. */
export type GuestStateOptions = {
  /** Whether the processor runs real mode and unpaged guests ("unrestricted guest"). */
  readonly unrestrictedGuest: boolean;
  /** MAXPHYADDR, CPUID 80000008H. */
  readonly physicalAddressBits: number;
  /** Width of linear addresses: 48, or 57 where the processor has five levels of page tables; default 48. */
  readonly linearAddressBits?: number;
};

/** The state as the rules read it. */
export type State = {
  readonly tc: X86ThreadContext;
  readonly cr0: number;
  readonly cr4: number;
  readonly efer: number;
  readonly rflags: number;
  readonly segments: readonly Segment[];
  readonly v86: boolean;
  /** EFER.LMA: the "IA-32e mode guest" entry control follows it. */
  readonly ia32e: boolean;
  readonly options: GuestStateOptions;
};

export type Rule = {
  readonly rule: string;
  readonly section: string;
  readonly holds: (s: State) => boolean;
  readonly value: (s: State) => string;
};

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
export const has = (value: number, bit: number): boolean => (value & bit) !== 0;
export const isCanonical = (
  address: bigint,
  { linearAddressBits = 48 }: Pick<GuestStateOptions, 'linearAddressBits'>,
): boolean => BigInt.asUintN(64, BigInt.asIntN(linearAddressBits, address)) === address;
export const implies = (premise: boolean, conclusion: boolean): boolean => !premise || conclusion;
