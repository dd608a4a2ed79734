// The guest-state check, rule by rule: legal states of every mode pass, and each rule is broken once by a
// state that breaks no other. Rules: SDM vol. 3 §26.3.1.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkGuestState, GUEST_STATE_RULES } from '../../../src/arch/x86/guest-state-check.ts';
import { legalizeSegments } from '../../../src/arch/x86/guest-state-segments.ts';
import { MsrIndex } from '../../../src/arch/x86/msrs.ts';
import { Cr0, Cr4, Efer, SEGMENT_NAMES, Seg } from '../../../src/arch/x86/registers.ts';
import { type Segment, SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { EVENT, OFFSET, SEGMENT } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../../src/arch/x86/user-mode.ts';

const RESTRICTED = { unrestrictedGuest: false, physicalAddressBits: 46 };
const UNRESTRICTED = { ...RESTRICTED, unrestrictedGuest: true };

type Change = (tc: X86ThreadContext) => void;

/** 64-bit kernel mode with every segment usable, so that every rule of a usable segment can be broken. */
function kernelState(): X86ThreadContext {
  const tc = new X86ThreadContext();
  setUserMode(tc, 0x1000, 7);
  tc.setSegment(Seg.CS, { ...SegmentPreset.kernelCode64, selector: 0x10 });
  for (const segment of [Seg.SS, Seg.DS, Seg.ES, Seg.FS, Seg.GS]) {
    tc.setSegment(segment, { ...SegmentPreset.kernelData, selector: 0x18 });
  }
  tc.setSegment(Seg.TR, { selector: 0x40, base: 0xffff_8000_0000_0000n, limit: 0x67, attributes: 0x8b });
  tc.setSegment(Seg.LDTR, { selector: 0x50, base: 0xffff_8000_0000_1000n, limit: 0xffff, attributes: 0x82 });
  tc.rip = 0xffff_ffff_8100_0000n;
  return tc;
}

/** The power-on state, which only an unrestricted guest can run. */
function realModeState(): X86ThreadContext {
  const tc = new X86ThreadContext();
  tc.powerOn();
  return tc;
}

/** Virtual-8086 mode: protected mode with paging, EFER.LMA clear. */
function v86State(): X86ThreadContext {
  const tc = new X86ThreadContext();
  setUserMode(tc, 0x1000, 7);
  tc.set(OFFSET.efer, 0n);
  tc.rflags = 0x2_0202;
  for (let segment = Seg.ES as number; segment <= Seg.GS; segment++) {
    tc.setSegment(segment, { selector: 0x1234, base: 0x1_2340n, limit: 0xffff, attributes: 0xf3 });
  }
  return tc;
}

/** 32-bit protected mode, ring 0. */
function protectedState(): X86ThreadContext {
  const tc = kernelState();
  tc.set(OFFSET.efer, 0n);
  tc.rip = 0x10_0000n;
  tc.setSegment(Seg.CS, { selector: 0x10, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b });
  return tc;
}

function edit(segment: number, change: (old: Segment) => Partial<Segment>): Change {
  return (tc) => {
    const old = tc.segment(segment);
    tc.setSegment(segment, { ...old, ...change(old) });
  };
}
const setBits =
  (at: number, bits: number): Change =>
  (tc) =>
    tc.set(at, tc.get(at) | BigInt(bits));
const clearBits =
  (at: number, bits: number): Change =>
  (tc) =>
    tc.set(at, tc.get(at) & ~BigInt(bits));
const setEvent =
  (name: keyof typeof EVENT, value: number): Change =>
  (tc) => {
    tc.u8[OFFSET.events + EVENT[name]] = value;
  };
const all =
  (...changes: Change[]): Change =>
  (tc) => {
    for (const change of changes) change(tc);
  };

type Breach = {
  readonly change: Change;
  readonly from?: () => X86ThreadContext;
  readonly unrestricted?: boolean;
};

/** For each rule a change that breaks it and nothing else; `from` is kernelState unless said. */
const BREACHES: Record<string, Breach> = {
  'CR0.PG needs CR0.PE': {
    change: clearBits(OFFSET.cr0, Cr0.PE),
    from: protectedState,
    unrestricted: true,
  },
  'CR0.PE and CR0.PG are one without unrestricted guest': {
    change: clearBits(OFFSET.cr0, Cr0.PG),
    from: protectedState,
  },
  'CR4.CET needs CR0.WP': { change: all(setBits(OFFSET.cr4, Cr4.CET), clearBits(OFFSET.cr0, Cr0.WP)) },
  'EFER.LMA needs CR0.PG': { change: clearBits(OFFSET.cr0, Cr0.PG), unrestricted: true },
  'EFER.LMA needs CR4.PAE': { change: clearBits(OFFSET.cr4, Cr4.PAE) },
  'CR4.PCIDE needs EFER.LMA': { change: setBits(OFFSET.cr4, Cr4.PCIDE), from: protectedState },
  'CR3 lies below the physical-address width': { change: (tc) => tc.set(OFFSET.cr3, 1n << 46n) },
  'DR7 bits 63:32 are zero': { change: (tc) => tc.set(OFFSET.dr7, 0x1_0000_0400n) },
  'SYSENTER_ESP is canonical': { change: (tc) => tc.setMsr(MsrIndex.SYSENTER_ESP, 1n << 47n) },
  'SYSENTER_EIP is canonical': { change: (tc) => tc.setMsr(MsrIndex.SYSENTER_EIP, 1n << 63n) },
  'every PAT entry is a memory type': { change: (tc) => tc.setMsr(MsrIndex.PAT, 0x0207_0406_0007_0406n) },
  'EFER reserved bits are zero': { change: setBits(OFFSET.efer, 2) },
  'EFER.LMA equals EFER.LME under paging': { change: clearBits(OFFSET.efer, Efer.LME) },
  'CS is accessed code, or with unrestricted guest type 3': {
    change: edit(Seg.CS, () => ({ attributes: 0xa09a })),
  },
  'CS has the DPL that its type and SS demand': {
    change: edit(Seg.CS, () => ({ attributes: 0xa0fb })),
  },
  'CS has D/B zero in 64-bit mode': { change: edit(Seg.CS, () => ({ attributes: 0xe09b })) },
  'CS has base bits 63:32 zero': { change: edit(Seg.CS, () => ({ base: 1n << 32n })) },
  'SS has DPL = RPL without unrestricted guest': {
    change: all(
      edit(Seg.SS, () => ({ attributes: 0xc0f3 })),
      edit(Seg.CS, () => ({ attributes: 0xa0fb })),
    ),
  },
  'SS has the RPL of CS without unrestricted guest': { change: edit(Seg.CS, () => ({ selector: 0x13 })) },
  'SS has DPL 0 in real mode': {
    change: all(
      edit(Seg.SS, () => ({ attributes: 0xf3 })),
      edit(Seg.CS, () => ({ attributes: 0xfb })),
    ),
    from: realModeState,
    unrestricted: true,
  },
  'SS is writable, accessed data': { change: edit(Seg.SS, () => ({ attributes: 0xc092 })) },
  'SS has base bits 63:32 zero': { change: edit(Seg.SS, () => ({ base: 1n << 32n })) },
  'DS has base bits 63:32 zero': { change: edit(Seg.DS, () => ({ base: 1n << 32n })) },
  'ES has base bits 63:32 zero': { change: edit(Seg.ES, () => ({ base: 1n << 32n })) },
  'LDTR has TI zero': { change: edit(Seg.LDTR, () => ({ selector: 0x54 })) },
  'LDTR is an LDT': { change: edit(Seg.LDTR, () => ({ attributes: 0x83 })) },
  'TR is usable': { change: edit(Seg.TR, () => ({ attributes: 0x1_008b })) },
  'TR has TI zero': { change: edit(Seg.TR, () => ({ selector: 0x44 })) },
  'TR is a busy TSS': { change: edit(Seg.TR, () => ({ attributes: 0x89 })) },
  'GDTR.base is canonical': { change: (tc) => tc.set(OFFSET.gdtr, 1n << 47n) },
  'GDTR.limit bits 31:16 are zero': { change: limitBeyond(OFFSET.gdtr) },
  'IDTR.base is canonical': { change: (tc) => tc.set(OFFSET.idtr, 1n << 47n) },
  'IDTR.limit bits 31:16 are zero': { change: limitBeyond(OFFSET.idtr) },
  'RIP bits 63:32 are zero outside 64-bit mode': {
    change: (tc) => tc.set(OFFSET.rip, 1n << 32n),
    from: protectedState,
  },
  'RIP bits 63:N are equal in 64-bit mode': { change: (tc) => tc.set(OFFSET.rip, 1n << 48n) },
  'RFLAGS reserved bits are zero and bit 1 is one': { change: clearBits(OFFSET.rflags, 2) },
  'RFLAGS.VM needs CR0.PE and excludes EFER.LMA': {
    change: all(setBits(OFFSET.efer, Efer.LMA | Efer.LME)),
    from: v86State,
  },
  'RFLAGS.IF is one while an external interrupt is injected': {
    change: all(setEvent('interruptInjected', 1), clearBits(OFFSET.rflags, 0x200)),
  },
  'the activity state is 0 to 3': { change: setEvent('activity', 4) },
  'HLT needs SS.DPL 0': { change: setEvent('activity', 1), from: userState },
  'an interrupt shadow needs the active state': {
    change: all(setEvent('activity', 1), setEvent('interruptShadow', 1)),
  },
  'the interrupt shadow is by STI or by MOV SS, not both': { change: setEvent('interruptShadow', 3) },
  'an STI shadow needs RFLAGS.IF': {
    change: all(setEvent('interruptShadow', 1), clearBits(OFFSET.rflags, 0x200)),
  },
  'no interrupt shadow while an external interrupt is injected': {
    change: all(setEvent('interruptInjected', 1), setEvent('interruptShadow', 2)),
  },
  'no MOV SS shadow while an NMI is injected': {
    change: all(setEvent('nmiInjected', 1), setEvent('interruptShadow', 2)),
  },
};

function limitBeyond(table: number): Change {
  return (tc) => {
    tc.u32[(table + SEGMENT.tableLimit) >> 2] = 0x1_0000;
  };
}

function userState(): X86ThreadContext {
  const tc = new X86ThreadContext();
  setUserMode(tc, 0x1000, 7);
  return tc;
}

/** Rules that several segments share, by the end of their name. */
function shared(segment: number): Record<string, Breach> {
  const name = SEGMENT_NAMES[segment]!.toUpperCase();
  const isSystem = segment === Seg.LDTR || segment === Seg.TR;
  const isData = segment !== Seg.CS && segment !== Seg.SS && !isSystem;
  const toggle = (bit: number): Change =>
    edit(segment, ({ attributes }) => ({ attributes: attributes ^ bit }));
  const breaches: Record<string, Breach> = {
    [`${name} is present`]: { change: toggle(0x80) },
    [`${name} has reserved access rights zero`]: { change: toggle(0x200) },
    [`${name} has a limit that fits G`]: {
      change: edit(segment, ({ attributes }) => ({ limit: attributes & 0x8000 ? 0xffff_fffe : 0x10_0000 })),
    },
    [`${name} ${isSystem ? 'is a system segment (S = 0)' : 'is code or data (S = 1)'}`]: {
      change: toggle(0x10),
    },
  };
  if (isData) {
    breaches[`${name} is accessed, and readable if it is code`] = {
      change: edit(segment, () => ({ attributes: 0xc099 })),
    };
    breaches[`${name} has DPL at or above RPL without unrestricted guest`] = {
      change: edit(segment, () => ({ selector: 0x1b })),
    };
  }
  if (isSystem || segment === Seg.FS || segment === Seg.GS) {
    breaches[`${name} has a canonical base`] = { change: edit(segment, () => ({ base: 1n << 47n })) };
  }
  if (!isSystem) {
    const inV86 = { from: v86State };
    breaches[`${name} has base = selector × 16`] = {
      change: edit(segment, () => ({ base: 0x1_2341n })),
      ...inV86,
    };
    breaches[`${name} has limit 0xffff`] = { change: edit(segment, () => ({ limit: 0xfffe })), ...inV86 };
    breaches[`${name} has access rights 0xf3`] = {
      change: edit(segment, () => ({ attributes: 0x93 })),
      ...inV86,
    };
  }
  return breaches;
}

const ALL_BREACHES: Record<string, Breach> = {
  ...BREACHES,
  ...Object.assign({}, ...SEGMENT_NAMES.map((_, segment) => shared(segment))),
};

describe('legal states', () => {
  const legal: [name: string, tc: () => X86ThreadContext, options: typeof RESTRICTED][] = [
    ['64-bit user mode', userState, RESTRICTED],
    ['64-bit kernel mode', kernelState, RESTRICTED],
    ['32-bit protected mode', protectedState, RESTRICTED],
    ['virtual-8086 mode', v86State, RESTRICTED],
    ['real mode at power-on, unrestricted', realModeState, UNRESTRICTED],
  ];
  for (const [name, tc, options] of legal) {
    test(`of ${name} break no rule`, () => assert.deepEqual(checkGuestState(tc(), options), []));
  }

  test('a RIP one step over the canonical boundary can be entered', () => {
    const tc = kernelState();
    tc.rip = 1n << 47n;
    assert.deepEqual(checkGuestState(tc, RESTRICTED), []);
  });

  test('power-on needs an unrestricted guest', () => {
    const [violation] = checkGuestState(realModeState(), RESTRICTED);
    assert.deepEqual(violation, {
      rule: 'CR0.PE and CR0.PG are one without unrestricted guest',
      section: 'SDM vol. 3 §26.3.1.1',
      value: '0x60000010',
    });
  });
});

describe('each rule is broken alone:', () => {
  for (const rule of GUEST_STATE_RULES) {
    test(rule, () => {
      const breach = ALL_BREACHES[rule];
      assert.ok(breach, 'no breach is written for this rule');
      const tc = (breach.from ?? kernelState)();
      breach.change(tc);
      const violations = checkGuestState(tc, breach.unrestricted ? UNRESTRICTED : RESTRICTED);
      assert.deepEqual(
        violations.map((violation) => violation.rule),
        [rule],
      );
    });
  }

  test('and every breach belongs to a rule', () => {
    assert.deepEqual(Object.keys(ALL_BREACHES).sort(), [...GUEST_STATE_RULES].sort());
  });
});

test('every reserved bit of RFLAGS is a violation, every defined one but VM is not', () => {
  const defined = [0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 19, 20, 21]; // SDM vol. 1 figure 3-8
  for (let bit = 0; bit < 64; bit++) {
    if (bit === 1 || bit === 17) continue;
    const tc = kernelState();
    tc.set(OFFSET.rflags, tc.get(OFFSET.rflags) | (1n << BigInt(bit)));
    const isLegal = checkGuestState(tc, RESTRICTED).length === 0;
    assert.equal(isLegal, defined.includes(bit), `bit ${bit}`);
  }
});

describe('legalizing segments', () => {
  test('leaves a legal state alone', () => {
    for (const state of [userState, kernelState, protectedState, v86State, realModeState]) {
      const tc = state();
      legalizeSegments(tc);
      assert.deepEqual(tc.diff(state()), []);
    }
  });

  test('sets accessed bits, marks TR busy and takes the CPL from a non-conforming CS', () => {
    const tc = userState();
    for (let segment = 0; segment < 8; segment++) {
      edit(segment, ({ attributes }) => ({ attributes: attributes & 0x10 ? attributes & ~1 : attributes }))(
        tc,
      );
    }
    edit(Seg.TR, () => ({ attributes: 0x89 }))(tc);
    edit(Seg.SS, () => ({ attributes: 0xc092 }))(tc);
    legalizeSegments(tc);
    assert.deepEqual(checkGuestState(tc, RESTRICTED), []);
    assert.equal(tc.cpl, 3);
  });

  test('does not take the CPL from a conforming CS', () => {
    const tc = kernelState();
    edit(Seg.SS, () => ({ attributes: 0xc0f3, selector: 0x2b }))(tc);
    edit(Seg.CS, () => ({ attributes: 0xa09f, selector: 0x33 }))(tc);
    legalizeSegments(tc);
    assert.equal(tc.cpl, 3);
  });

  test('passes unusable segments through', () => {
    const tc = userState();
    const unusable = { selector: 0x77, base: 5n, limit: 3, attributes: 0x1_0010 };
    tc.setSegment(Seg.FS, unusable);
    legalizeSegments(tc);
    assert.deepEqual(tc.segment(Seg.FS), unusable);
  });
});
