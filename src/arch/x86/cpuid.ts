/**
 * CPUID as data: which feature is which bit, the x86-64-v1…v4 levels, and what one machine lacks of another.
 * Bits: Intel SDM vol. 2 "CPUID" and AMD's APM vol. 3 appendix E; levels: x86-64 psABI, "micro-architecture
 * levels". Feature names are the manuals' in lower case.
 */

/** One CPUID answer. Leaves without sub-leaves have `subleaf` 0. */
export type CpuidEntry = {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
};

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

export type CpuidFeature = {
  readonly name: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
};

/** Names of a register's bits from bit 0 up, `-` for one without. */
type FeatureWord = readonly [leaf: number, subleaf: number, register: CpuidRegister, names: string];

const FEATURE_WORDS: readonly FeatureWord[] = [
  [
    1,
    0,
    'edx',
    `fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 psn clflush - ds acpi
     mmx fxsr sse sse2 ss htt tm - pbe`,
  ],
  [
    1,
    0,
    'ecx',
    `sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx eist tm2 ssse3 - sdbg fma cx16 xtpr pdcm - pcid dca
     sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline aes xsave osxsave avx f16c rdrand hypervisor`,
  ],
  [
    7,
    0,
    'ebx',
    `fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f avx512dq
     rdseed adx smap avx512_ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha avx512bw
     avx512vl`,
  ],
  [
    7,
    0,
    'ecx',
    `prefetchwt1 avx512_vbmi umip pku ospke waitpkg avx512_vbmi2 cet_ss gfni vaes vpclmulqdq
     avx512_vnni avx512_bitalg - avx512_vpopcntdq - la57 - - - - - rdpid kl bus_lock_detect cldemote
     - movdiri movdir64b enqcmd - pks`,
  ],
  [
    7,
    0,
    'edx',
    `- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect - md_clear - - - serialize -
     tsxldtrk - pconfig - cet_ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 ibrs stibp l1d_flush
     arch_capabilities core_capabilities ssbd`,
  ],
  [
    7,
    1,
    'eax',
    `- - - - avx_vnni avx512_bf16 - cmpccxadd - - fzrm fsrs fsrc - - - - - - - - amx_fp16 - avx_ifma
     - - lam`,
  ],
  [0xd, 1, 'eax', 'xsaveopt xsavec xgetbv1 xsaves xfd'],
  [
    0x8000_0001,
    0,
    'ecx',
    `lahf cmp_legacy svm - cr8_legacy lzcnt sse4a misalignsse prefetchw osvw ibs xop skinit - - lwp
     fma4 - - - - tbm topoext - - - - - - monitorx`,
  ],
  [
    0x8000_0001,
    0,
    'edx',
    `- - - - - - - - - - - syscall - - - - - - - - nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm
     3dnowext 3dnow`,
  ],
  [
    0x8000_000a,
    0,
    'edx',
    `npt lbr_virt svm_lock nrip_save tsc_rate_msr vmcb_clean flush_by_asid decode_assists - -
     pause_filter - pause_filter_threshold avic - v_vmsave_vmload vgif`,
  ],
  [0x8000_0007, 0, 'edx', '- - - - - - - - invariant_tsc'],
  [0x8000_0008, 0, 'ebx', 'clzero - xsaveerptr - rdpru - - - - wbnoinvd'],
];

/** Every feature that has a name here. */
export const CPUID_FEATURES: readonly CpuidFeature[] = FEATURE_WORDS.flatMap(
  ([leaf, subleaf, register, names]) =>
    names
      .split(/\s+/)
      .map((name, bit) => ({ name, leaf, subleaf, register, bit }))
      .filter(({ name }) => name !== '-'),
);

const BY_NAME: ReadonlyMap<string, CpuidFeature> = new Map(CPUID_FEATURES.map((f) => [f.name, f]));

/** What each x86-64 micro-architecture level adds to the one before; entry 0 is x86-64-v1. */
export const X86_64_LEVELS: readonly (readonly string[])[] = [
  ['cmov', 'cx8', 'fpu', 'fxsr', 'mmx', 'syscall', 'sse', 'sse2'],
  ['cx16', 'lahf', 'popcnt', 'sse3', 'sse4_1', 'sse4_2', 'ssse3'],
  ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe', 'osxsave'],
  ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
];

/** The answer for a leaf; undefined where the machine has none. */
export function findCpuid(entries: readonly CpuidEntry[], leaf: number, subleaf = 0): CpuidEntry | undefined {
  return entries.find((entry) => entry.leaf === leaf && entry.subleaf === subleaf);
}

/**
 * Whether a machine offers a feature.
 * @throws RangeError for a name that is not in CPUID_FEATURES
 */
export function hasFeature(entries: readonly CpuidEntry[], name: string): boolean {
  const feature = BY_NAME.get(name);
  if (!feature) throw new RangeError(`no CPUID feature is called ${name}`);
  return offers(entries, feature);
}

function offers(entries: readonly CpuidEntry[], feature: CpuidFeature): boolean {
  const entry = findCpuid(entries, feature.leaf, feature.subleaf);
  return entry !== undefined && ((entry[feature.register] >>> feature.bit) & 1) === 1;
}

/** Names of the features a machine offers, in table order. */
export function featuresOf(entries: readonly CpuidEntry[]): string[] {
  return CPUID_FEATURES.filter((feature) => offers(entries, feature)).map((feature) => feature.name);
}

/** Names of the features that `needed` has and `offered` lacks. */
export function missingFeatures(needed: readonly CpuidEntry[], offered: readonly CpuidEntry[]): string[] {
  return CPUID_FEATURES.filter((feature) => offers(needed, feature) && !offers(offered, feature)).map(
    (feature) => feature.name,
  );
}

/** Highest x86-64 level whose features, and those of all levels below, are offered; 0 if not even v1. */
export function levelOf(entries: readonly CpuidEntry[]): number {
  const firstMissing = X86_64_LEVELS.findIndex((names) => !names.every((name) => hasFeature(entries, name)));
  return firstMissing < 0 ? X86_64_LEVELS.length : firstMissing;
}

/** Clears features by name, and nothing else. */
export function withoutFeatures(entries: readonly CpuidEntry[], names: readonly string[]): CpuidEntry[] {
  return entries.map((entry) => {
    const changed = { ...entry };
    for (const name of names) {
      const feature = BY_NAME.get(name);
      if (!feature) throw new RangeError(`no CPUID feature is called ${name}`);
      if (feature.leaf !== entry.leaf || feature.subleaf !== entry.subleaf) continue;
      changed[feature.register] = (changed[feature.register] & ~(1 << feature.bit)) >>> 0;
    }
    return changed;
  });
}

/**
 * Cuts a wanted CPUID down to what the host supports: words of feature bits and the XSAVE component masks
 * are ANDed, an XSAVE component's place is the host's, everything else stays as wanted. Bits of feature words
 * that have no name here are ANDed as well.
 */
export function intersectCpuid(wanted: readonly CpuidEntry[], host: readonly CpuidEntry[]): CpuidEntry[] {
  return wanted.map((entry) => {
    const offered = findCpuid(host, entry.leaf, entry.subleaf);
    const isXsaveComponent = entry.leaf === 0xd && entry.subleaf >= 2;
    if (isXsaveComponent) {
      return offered ? { ...offered } : { ...entry, eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    const cut = { ...entry };
    for (const [leaf, subleaf, register] of CUT_WORDS) {
      if (leaf !== entry.leaf || subleaf !== entry.subleaf) continue;
      cut[register] = (cut[register] & (offered?.[register] ?? 0)) >>> 0;
    }
    return cut;
  });
}

/**
 * Feature words, and leaf 0DH's masks of XCR0 (sub-leaf 0 EDX:EAX) and XSS components (sub-leaf 1 EDX:ECX).
 */
const CUT_WORDS: readonly (readonly [leaf: number, subleaf: number, register: CpuidRegister])[] = [
  ...FEATURE_WORDS.map(([leaf, subleaf, register]) => [leaf, subleaf, register] as const),
  [0xd, 0, 'eax'],
  [0xd, 0, 'edx'],
  [0xd, 1, 'ecx'],
  [0xd, 1, 'edx'],
];

/**
 * Physical-address width in bits: CPUID 80000008H EAX bits 7:0; 36 where the leaf is missing. SDM vol. 3
 * §4.1.4.
 */
export function physicalAddressBits(entries: readonly CpuidEntry[]): number {
  const entry = findCpuid(entries, 0x8000_0008);
  return entry ? entry.eax & 0xff : 36;
}
