/**
 * The model-specific registers a thread context keeps, as one declared list: its order is the order of the
 * slots in the state. Intel SDM vol. 4 chapter 2. EFER, APIC_BASE and the FS and GS bases are fields of their
 * own; state-layout.ts maps their indices to them.
 */

export type MsrDescription = {
  /** Number given to RDMSR and WRMSR in ECX. */
  readonly index: number;
  readonly name: string;
  /** Value at power-on; absent means zero. */
  readonly reset?: bigint;
};

/** PAT at power-on: WB, WT, UC-, UC, twice. SDM vol. 3 §11.12.4. */
const PAT_RESET = 0x0007_0406_0007_0406n;

const FIXED_RANGE_MTRRS: readonly MsrDescription[] = [
  { index: 0x250, name: 'MTRR_FIX64K_00000' },
  { index: 0x258, name: 'MTRR_FIX16K_80000' },
  { index: 0x259, name: 'MTRR_FIX16K_A0000' },
  { index: 0x268, name: 'MTRR_FIX4K_C0000' },
  { index: 0x269, name: 'MTRR_FIX4K_C8000' },
  { index: 0x26a, name: 'MTRR_FIX4K_D0000' },
  { index: 0x26b, name: 'MTRR_FIX4K_D8000' },
  { index: 0x26c, name: 'MTRR_FIX4K_E0000' },
  { index: 0x26d, name: 'MTRR_FIX4K_E8000' },
  { index: 0x26e, name: 'MTRR_FIX4K_F0000' },
  { index: 0x26f, name: 'MTRR_FIX4K_F8000' },
];

const VARIABLE_RANGE_MTRRS: readonly MsrDescription[] = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) => [
  { index: 0x200 + 2 * n, name: `MTRR_PHYSBASE${n}` },
  { index: 0x201 + 2 * n, name: `MTRR_PHYSMASK${n}` },
]);

/** Every MSR of the thread context, in slot order. */
export const MSRS: readonly MsrDescription[] = [
  { index: 0x10, name: 'TSC' },
  { index: 0x3b, name: 'TSC_ADJUST' },
  { index: 0x48, name: 'SPEC_CTRL' },
  { index: 0x174, name: 'SYSENTER_CS' },
  { index: 0x175, name: 'SYSENTER_ESP' },
  { index: 0x176, name: 'SYSENTER_EIP' },
  { index: 0x17a, name: 'MCG_STATUS' },
  { index: 0x17b, name: 'MCG_CTL' },
  { index: 0x1a0, name: 'MISC_ENABLE', reset: 1n },
  { index: 0x1d9, name: 'DEBUGCTL' },
  ...VARIABLE_RANGE_MTRRS,
  ...FIXED_RANGE_MTRRS,
  { index: 0x277, name: 'PAT', reset: PAT_RESET },
  { index: 0x2ff, name: 'MTRR_DEF_TYPE' },
  { index: 0x6e0, name: 'TSC_DEADLINE' },
  { index: 0xda0, name: 'XSS' },
  { index: 0xc000_0081, name: 'STAR' },
  { index: 0xc000_0082, name: 'LSTAR' },
  { index: 0xc000_0083, name: 'CSTAR' },
  { index: 0xc000_0084, name: 'FMASK' },
  { index: 0xc000_0102, name: 'KERNEL_GS_BASE' },
  { index: 0xc000_0103, name: 'TSC_AUX' },
  { index: 0xc000_0104, name: 'TSC_RATIO', reset: 0x1_0000_0000n },
  { index: 0xc001_0117, name: 'VM_HSAVE_PA' },
  { index: 0x4b56_4d01, name: 'KVM_SYSTEM_TIME_NEW' },
];

/** Numbers of MSRs that the simulator itself reads or writes. */
export const MsrIndex = {
  TSC: 0x10,
  TSC_ADJUST: 0x3b,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  PAT: 0x277,
  TSC_DEADLINE: 0x6e0,
  XSS: 0xda0,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  FMASK: 0xc000_0084,
  KERNEL_GS_BASE: 0xc000_0102,
  TSC_AUX: 0xc000_0103,
  /** Linux Documentation/virt/kvm/x86/msr.rst. */
  KVM_WALL_CLOCK_NEW: 0x4b56_4d00,
  KVM_SYSTEM_TIME_NEW: 0x4b56_4d01,
} as const;

/** Indices of MSRs that are fields of their own in the thread context. */
export const MsrAlias = {
  APIC_BASE: 0x1b,
  EFER: 0xc000_0080,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
} as const;
