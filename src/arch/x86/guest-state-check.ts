/**
 * The rules that VMX checks of a guest's state before it enters it, each as one row: Intel SDM vol. 3
 * §26.3.1. KVM reports a violation only as "invalid guest state"; this says which rule it is. Pure
 * functions.
 */

import {
  type GuestStateOptions,
  has,
  hex,
  implies,
  isCanonical,
  type Rule,
  type State,
} from './guest-state-rule.ts';
import { SEGMENT_RULES } from './guest-state-segments.ts';
import { MsrAlias, MsrIndex } from './msrs.ts';
import { Cr0, Cr4, Efer, Rflags, SEGMENT_NAMES } from './registers.ts';
import { EVENT, OFFSET, SEGMENT } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

export type { GuestStateOptions } from './guest-state-rule.ts';

/** One violated rule. */
export type Violation = { readonly rule: string; readonly section: string; readonly value: string };

const low32 = (tc: X86ThreadContext, at: number): number => tc.u32[at >> 2]!;

function register(at: number): (s: State) => string {
  return (s) => hex(s.tc.get(at));
}

/** On a processor with VMX: SVME, LMSLE and FFXSR are AMD's. */
const EFER_DEFINED = Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE;
const PAT_TYPES = new Set([0, 1, 4, 5, 6, 7]);

const CONTROL = '26.3.1.1';
/** Control registers, debug registers and MSRs. */
const CONTROL_RULES: readonly Rule[] = [
  {
    rule: 'CR0.PG needs CR0.PE',
    section: CONTROL,
    holds: (s) => implies(has(s.cr0, Cr0.PG), has(s.cr0, Cr0.PE)),
    value: register(OFFSET.cr0),
  },
  {
    rule: 'CR0.PE and CR0.PG are one without unrestricted guest',
    section: CONTROL,
    holds: (s) => s.options.unrestrictedGuest || (has(s.cr0, Cr0.PE) && has(s.cr0, Cr0.PG)),
    value: register(OFFSET.cr0),
  },
  {
    rule: 'CR4.CET needs CR0.WP',
    section: CONTROL,
    holds: (s) => implies(has(s.cr4, Cr4.CET), has(s.cr0, Cr0.WP)),
    value: register(OFFSET.cr0),
  },
  {
    rule: 'EFER.LMA needs CR0.PG',
    section: CONTROL,
    holds: (s) => implies(s.ia32e, has(s.cr0, Cr0.PG)),
    value: register(OFFSET.cr0),
  },
  {
    rule: 'EFER.LMA needs CR4.PAE',
    section: CONTROL,
    holds: (s) => implies(s.ia32e, has(s.cr4, Cr4.PAE)),
    value: register(OFFSET.cr4),
  },
  {
    rule: 'CR4.PCIDE needs EFER.LMA',
    section: CONTROL,
    holds: (s) => implies(has(s.cr4, Cr4.PCIDE), s.ia32e),
    value: register(OFFSET.cr4),
  },
  {
    rule: 'CR3 lies below the physical-address width',
    section: CONTROL,
    holds: (s) => s.tc.get(OFFSET.cr3) >> BigInt(s.options.physicalAddressBits) === 0n,
    value: register(OFFSET.cr3),
  },
  {
    rule: 'DR7 bits 63:32 are zero',
    section: CONTROL,
    holds: (s) => s.tc.get(OFFSET.dr7) >> 32n === 0n,
    value: register(OFFSET.dr7),
  },
  {
    rule: 'SYSENTER_ESP is canonical',
    section: CONTROL,
    holds: (s) => isCanonical(s.tc.msr(MsrIndex.SYSENTER_ESP)!, s.options),
    value: (s) => hex(s.tc.msr(MsrIndex.SYSENTER_ESP)!),
  },
  {
    rule: 'SYSENTER_EIP is canonical',
    section: CONTROL,
    holds: (s) => isCanonical(s.tc.msr(MsrIndex.SYSENTER_EIP)!, s.options),
    value: (s) => hex(s.tc.msr(MsrIndex.SYSENTER_EIP)!),
  },
  {
    rule: 'every PAT entry is a memory type',
    section: CONTROL,
    holds: (s) => [0, 1, 2, 3, 4, 5, 6, 7].every((i) => PAT_TYPES.has(patEntry(s.tc.msr(MsrIndex.PAT)!, i))),
    value: (s) => hex(s.tc.msr(MsrIndex.PAT)!),
  },
  {
    rule: 'EFER reserved bits are zero',
    section: CONTROL,
    holds: (s) => s.tc.msr(MsrAlias.EFER)! >> 32n === 0n && !has(s.efer, ~EFER_DEFINED),
    value: register(OFFSET.efer),
  },
  {
    rule: 'EFER.LMA equals EFER.LME under paging',
    section: CONTROL,
    holds: (s) => implies(has(s.cr0, Cr0.PG), has(s.efer, Efer.LMA) === has(s.efer, Efer.LME)),
    value: register(OFFSET.efer),
  },
];

function patEntry(pat: bigint, i: number): number {
  return Number((pat >> BigInt(8 * i)) & 0xffn);
}

const TABLES = '26.3.1.3';
/** Descriptor-table registers. */
const TABLE_RULES: readonly Rule[] = (['gdtr', 'idtr'] as const).flatMap((name): Rule[] => {
  const limitAt = OFFSET[name] + SEGMENT.tableLimit;
  return [
    {
      rule: `${name.toUpperCase()}.base is canonical`,
      section: TABLES,
      holds: (s) => isCanonical(s.tc.get(OFFSET[name]), s.options),
      value: register(OFFSET[name]),
    },
    {
      rule: `${name.toUpperCase()}.limit bits 31:16 are zero`,
      section: TABLES,
      holds: (s) => low32(s.tc, limitAt) <= 0xffff,
      value: (s) => hex(low32(s.tc, limitAt)),
    },
  ];
});

function upperBitsAreEqual(address: bigint, from: number): boolean {
  const upper = address >> BigInt(from);
  return upper === 0n || upper === (1n << BigInt(64 - from)) - 1n;
}

const POINTERS = '26.3.1.4';
const RFLAGS_ZERO = 0xffc0_8028;
/** RIP and RFLAGS. */
const POINTER_RULES: readonly Rule[] = [
  {
    rule: 'RIP bits 63:32 are zero outside 64-bit mode',
    section: POINTERS,
    holds: (s) => s.tc.in64BitMode || s.tc.rip >> 32n === 0n,
    value: register(OFFSET.rip),
  },
  {
    // N is the width of linear addresses. Bit N-1 may differ: stepping over the canonical boundary must be enterable.
    rule: 'RIP bits 63:N are equal in 64-bit mode',
    section: POINTERS,
    holds: (s) => !s.tc.in64BitMode || upperBitsAreEqual(s.tc.rip, s.options.linearAddressBits ?? 48),
    value: register(OFFSET.rip),
  },
  {
    rule: 'RFLAGS reserved bits are zero and bit 1 is one',
    section: POINTERS,
    holds: (s) =>
      s.tc.get(OFFSET.rflags) >> 32n === 0n && !has(s.rflags, RFLAGS_ZERO) && has(s.rflags, Rflags.FIXED),
    value: register(OFFSET.rflags),
  },
  {
    rule: 'RFLAGS.VM needs CR0.PE and excludes EFER.LMA',
    section: POINTERS,
    holds: (s) => implies(s.v86, has(s.cr0, Cr0.PE) && !s.ia32e),
    value: register(OFFSET.rflags),
  },
  {
    rule: 'RFLAGS.IF is one while an external interrupt is injected',
    section: POINTERS,
    holds: (s) => implies(injectsExternalInterrupt(s), has(s.rflags, Rflags.IF)),
    value: register(OFFSET.rflags),
  },
];

const event = (s: State, name: keyof typeof EVENT): number => s.tc.u8[OFFSET.events + EVENT[name]]!;
const eventValue =
  (name: keyof typeof EVENT): Rule['value'] =>
  (s) =>
    hex(event(s, name));
const STI = 1;
const MOV_SS = 2;

function injectsExternalInterrupt(s: State): boolean {
  return event(s, 'interruptInjected') !== 0 && event(s, 'interruptSoft') === 0;
}

const OTHER = '26.3.1.5';
/** Activity and interruptibility. */
const EVENT_RULES: readonly Rule[] = [
  {
    rule: 'the activity state is 0 to 3',
    section: OTHER,
    holds: (s) => event(s, 'activity') <= 3,
    value: eventValue('activity'),
  },
  {
    rule: 'HLT needs SS.DPL 0',
    section: OTHER,
    holds: (s) => implies(event(s, 'activity') === 1, s.tc.cpl === 0),
    value: (s) => hex(s.tc.cpl),
  },
  {
    rule: 'an interrupt shadow needs the active state',
    section: OTHER,
    holds: (s) => implies(event(s, 'interruptShadow') !== 0, event(s, 'activity') === 0),
    value: eventValue('activity'),
  },
  {
    rule: 'the interrupt shadow is by STI or by MOV SS, not both',
    section: OTHER,
    holds: (s) => event(s, 'interruptShadow') <= MOV_SS,
    value: eventValue('interruptShadow'),
  },
  {
    rule: 'an STI shadow needs RFLAGS.IF',
    section: OTHER,
    holds: (s) => implies(has(event(s, 'interruptShadow'), STI), has(s.rflags, Rflags.IF)),
    value: eventValue('interruptShadow'),
  },
  {
    rule: 'no interrupt shadow while an external interrupt is injected',
    section: OTHER,
    holds: (s) => implies(injectsExternalInterrupt(s), event(s, 'interruptShadow') === 0),
    value: eventValue('interruptShadow'),
  },
  {
    rule: 'no MOV SS shadow while an NMI is injected',
    section: OTHER,
    holds: (s) => implies(event(s, 'nmiInjected') !== 0, !has(event(s, 'interruptShadow'), MOV_SS)),
    value: eventValue('interruptShadow'),
  },
];

const RULES: readonly Rule[] = [
  ...CONTROL_RULES,
  ...SEGMENT_RULES,
  ...TABLE_RULES,
  ...POINTER_RULES,
  ...EVENT_RULES,
];

/** Every rule's name, in the order of the manual. */
export const GUEST_STATE_RULES: readonly string[] = RULES.map((rule) => rule.rule);

/** The rules that the state violates, with the offending values; empty for a state that VMX would enter. */
export function checkGuestState(tc: X86ThreadContext, options: GuestStateOptions): Violation[] {
  const rflags = tc.rflags;
  const efer = low32(tc, OFFSET.efer);
  const state: State = {
    tc,
    cr0: low32(tc, OFFSET.cr0),
    cr4: low32(tc, OFFSET.cr4),
    efer,
    rflags,
    segments: SEGMENT_NAMES.map((_, i) => tc.segment(i)),
    v86: has(rflags, Rflags.VM),
    ia32e: has(efer, Efer.LMA),
    options,
  };
  return RULES.filter((rule) => !rule.holds(state)).map(({ rule, section, value }) => ({
    rule,
    section: `SDM vol. 3 §${section}`,
    value: value(state),
  }));
}
