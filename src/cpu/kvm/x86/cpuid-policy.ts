// What CPUID shows the guest: the host's processor without the features that the simulator does not carry, with the
// topology of the simulated machine. Pure functions over KVM's list. SDM vol. 2A "CPUID"; AMD's APM vol. 3 appendix E.

import {
  CPUID_FEATURES,
  type CpuidRegister,
  missingFeatures,
  withoutFeatures,
} from '../../../arch/x86/cpuid.ts';
import { XSAVE_HELD } from '../../../arch/x86/xsave.ts';
import { KvmCpuidFlag } from '../../../host/kvm/abi-x86.ts';
import type { CpuidEntry } from '../../../host/kvm/vcpu.ts';
import { type Leaf, named, unnamed } from './cpuid-names.ts';
import { type FeatureChoice, HIDDEN, withoutHidden } from './feature-choice.ts';
import { HYPER_V_FEATURE_WORDS, hyperVLeaves, movedKvmLeaf } from './hyper-v-cpuid.ts';
import { KVM_CLOCK_FEATURES } from './paravirtual-clock.ts';

export interface CpuidPolicy {
  /** APIC id of the processor, and how many there are in the machine. */
  readonly apicId: number;
  readonly cpuCount: number;
  /** Whether the local APIC's MSRs can be reached. */
  readonly apicMsrs: boolean;
  /** Show that there is a hypervisor, and KVM's paravirtual interfaces. */
  readonly showHypervisor: boolean;
  /** Show KVM's clock, and nothing else of KVM's. */
  readonly kvmClock?: boolean;
  /** KVM_GET_SUPPORTED_HV_CPUID, if Hyper-V's interface is shown: KVM's leaves come behind it then. */
  readonly hyperV?: readonly CpuidEntry[] | undefined;
  /** The TSC runs at one pace whatever the processor does: it is moved along with simulated time. */
  readonly invariantTsc?: boolean;
  /** Frequency of the TSC. */
  readonly tscKhz: number;
  /** Frequency of the local APIC's timer, if known: leaf 15H promises that it is the core crystal's. */
  readonly apicTimerKhz?: number;
  /** What the user wants to be otherwise. */
  readonly features?: FeatureChoice;
}

const FIRST_HYPERVISOR_LEAF = 0x4000_0000;
const LAST_HYPERVISOR_LEAF = 0x4fff_ffff;
/** AMD's APM vol. 3 E.4.6: of all TSCs that do not stop, Linux believes only in those that say so. */
const POWER_MANAGEMENT = 0x8000_0007;
/** AMD's leaves: address sizes and core counts, SVM, caches, topology. */
const AMD = { sizes: 0x8000_0008, svm: 0x8000_000a, caches: 0x8000_001d, topology: 0x8000_001e } as const;
const INVARIANT_TSC = 1 << 8;
const KVM_FEATURES = 0x4000_0001;
const HTT = 1 << 28;

/**
 * The list for one vCPU.
 * @param supported KVM_GET_SUPPORTED_CPUID
 */
export function guestCpuid(supported: readonly CpuidEntry[], policy: CpuidPolicy): CpuidEntry[] {
  const choice = policy.features ?? { shown: [], hidden: [] };
  const hidden = HIDDEN.filter((name) => !choice.shown.includes(name));
  if (!showsHypervisor(policy)) hidden.push('hypervisor');
  if (!policy.apicMsrs) hidden.push('x2apic', 'tsc_deadline');
  const cut = withoutFeatures(named(supported), hidden) as Leaf[];
  const entries = cut
    .filter(({ leaf }) => showsKvm(policy) || !isOfHypervisor(leaf))
    .filter(({ leaf, subleaf }) => !isTopology(leaf) && !(leaf === 0xd && subleaf >= 2 && !isHeld(subleaf)))
    .map((entry) => unnamed(LEAVES[entry.leaf]?.(entry, policy) ?? entry))
    .map((entry) => (policy.hyperV && isOfHypervisor(entry.function) ? movedKvmLeaf(entry) : entry))
    .concat(topology(supported, policy), hyperVLeaves(policy.hyperV ?? []));
  return withoutHidden(entries, choice).sort((a, b) => a.function - b.function || a.index - b.index);
}

function showsKvm({
  showHypervisor,
  kvmClock = false,
}: Pick<CpuidPolicy, 'showHypervisor' | 'kvmClock'>): boolean {
  return showHypervisor || kvmClock;
}

function showsHypervisor(policy: CpuidPolicy): boolean {
  return showsKvm(policy) || policy.hyperV !== undefined;
}

function isOfHypervisor(leaf: number): boolean {
  return leaf >= FIRST_HYPERVISOR_LEAF && leaf <= LAST_HYPERVISOR_LEAF;
}

function isHeld(component: number): boolean {
  return component < 31 && (XSAVE_HELD & (1 << component)) !== 0;
}

const none = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** Leaves that are the machine's and not the host's. */
const LEAVES: Readonly<Record<number, (entry: CpuidEntry, policy: CpuidPolicy) => CpuidEntry>> = {
  // Initial APIC id, processors in the package, CLFLUSH size; x2APIC and deadline timer are the local APIC's.
  1: (entry, policy) => ({
    ...entry,
    ebx: (entry.ebx & 0xffff) | (Math.min(policy.cpuCount, 255) << 16) | (policy.apicId << 24),
    ecx:
      entry.ecx | (policy.apicMsrs ? X2APIC | TSC_DEADLINE : 0) | (showsHypervisor(policy) ? HYPERVISOR : 0),
    edx: policy.cpuCount > 1 ? entry.edx | HTT : entry.edx & ~HTT,
  }),
  // Caches: the last level is everybody's, the others are each core's own.
  4: (entry, { cpuCount }) => shareCache(entry, cpuCount, ((cpuCount - 1) & 0x3f) << 26),
  [KVM_FEATURES]: (entry, { showHypervisor }) =>
    showHypervisor ? entry : { ...entry, ...none, eax: entry.eax & KVM_CLOCK_FEATURES },
  [POWER_MANAGEMENT]: (entry, { invariantTsc = false }) =>
    invariantTsc ? { ...entry, edx: entry.edx | INVARIANT_TSC } : entry,
  [AMD.caches]: (entry, { cpuCount }) => shareCache(entry, cpuCount, 0),
  // Always-running APIC timer, and no sensors.
  6: (entry) => ({ ...entry, ...none, eax: ARAT }),
  // No performance counters: they would count the host's.
  10: (entry) => ({ ...entry, ...none }),
  13: (entry) => (entry.index === 0 ? { ...entry, eax: entry.eax & XSAVE_HELD, edx: 0 } : entry),
  18: (entry) => ({ ...entry, ...none }),
  20: (entry) => ({ ...entry, ...none }),
  21: (entry, policy) => ({ ...entry, ...none, ...tscRatio(policy) }),
  22: (entry, { tscKhz, apicTimerKhz }) =>
    apicTimerKhz === undefined ? { ...entry, ...none } : { ...entry, ...none, ...mhz(tscKhz, apicTimerKhz) },
  29: (entry) => ({ ...entry, ...none }),
  30: (entry) => ({ ...entry, ...none }),
  [AMD.svm]: (entry, { features }) => (features?.shown.includes('svm') ? entry : { ...entry, ...none }),
  [AMD.sizes]: (entry, { cpuCount }) => ({
    ...entry,
    ecx: (entry.ecx & ~0xf0ff) | (cpuCount - 1) | (shiftFor(cpuCount) << 12),
  }),
  [AMD.topology]: (entry, { apicId }) => ({ ...entry, eax: apicId, ebx: apicId & 0xff, ecx: 0 }),
};

const X2APIC = 1 << 21;
/** KVM leaves this bit to its user. */
const HYPERVISOR = 1 << 31;
const TSC_DEADLINE = 1 << 24;
const ARAT = 4;
const LAST_LEVEL = 3;

function shareCache(entry: CpuidEntry, cpuCount: number, cores: number): CpuidEntry {
  if ((entry.eax & 0x1f) === 0) return { ...entry, ...none };
  const level = (entry.eax >>> 5) & 7;
  const sharing = level >= LAST_LEVEL ? cpuCount - 1 : 0;
  return { ...entry, eax: (entry.eax & 0x3fff) | (sharing << 14) | cores };
}

/** TSC = crystal × EBX / EAX; ECX is the crystal in Hz. Without a known crystal the leaf enumerates nothing. */
function tscRatio({ tscKhz, apicTimerKhz }: CpuidPolicy): Partial<CpuidEntry> {
  return apicTimerKhz === undefined ? {} : { eax: apicTimerKhz, ebx: tscKhz, ecx: apicTimerKhz * 1000 };
}

function mhz(tscKhz: number, busKhz: number): Partial<CpuidEntry> {
  const tsc = Math.round(tscKhz / 1000);
  return { eax: tsc, ebx: tsc, ecx: Math.round(busKhz / 1000) };
}

const isTopology = (leaf: number): boolean => leaf === 0xb || leaf === 0x1f;

/** Bits of an APIC id that tell `count` processors apart. */
function shiftFor(count: number): number {
  return Math.ceil(Math.log2(count));
}

/** Leaf 0BH: one thread per core, all cores in one package. Only where the processor has the leaf. */
function topology(supported: readonly CpuidEntry[], { apicId, cpuCount }: CpuidPolicy): CpuidEntry[] {
  const highest = supported.find((entry) => entry.function === 0)?.eax ?? 0;
  if (highest < 0xb) return [];
  const level = (index: number, shift: number, count: number, type: number): CpuidEntry => ({
    function: 0xb,
    index,
    flags: KvmCpuidFlag.SIGNIFCANT_INDEX,
    eax: shift,
    ebx: count,
    ecx: (type << 8) | index,
    edx: apicId,
  });
  return [level(0, 0, 1, 1), level(1, shiftFor(cpuCount), cpuCount, 2)];
}

/** Registers of leaves that hold feature bits. */
function featureWords(): readonly { leaf: number; subleaf: number; register: CpuidRegister }[] {
  const words = new Map(
    CPUID_FEATURES.map(({ leaf, subleaf, register }) => [
      `${leaf} ${subleaf} ${register}`,
      { leaf, subleaf, register },
    ]),
  );
  return [...words.values(), ...HYPER_V_FEATURE_WORDS];
}

/** Names of what a guest has seen and this host cannot offer; a bit without a name by its place. */
export function lackingFeatures(saved: readonly CpuidEntry[], offered: readonly CpuidEntry[]): string[] {
  const names = missingFeatures(named(saved), named(offered));
  const places = featureWords().flatMap(({ leaf, subleaf, register }) => {
    const value = (entries: readonly CpuidEntry[]): number =>
      entries.find((entry) => entry.function === leaf && entry.index === subleaf)?.[register] ?? 0;
    const lost = value(saved) & ~value(offered);
    const isNamed = (bit: number): boolean =>
      CPUID_FEATURES.some(
        (f) => f.leaf === leaf && f.subleaf === subleaf && f.register === register && f.bit === bit,
      );
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => (lost >>> bit) & 1 && !isNamed(bit))
      .map((bit) => `CPUID.${leaf.toString(16).toUpperCase()}H.${subleaf}:${register.toUpperCase()}[${bit}]`);
  });
  return [...names, ...places];
}

/** Bits that KVM keeps in step with CR4 and the APIC base, whatever it was given. */
const DYNAMIC: ReadonlySet<string> = new Set(['osxsave', 'ospke', 'apic', 'monitor']);

/** Features that the vCPU shows although it was not given them: this KVM does as it likes. */
export function ignoredFeatures(given: readonly CpuidEntry[], shown: readonly CpuidEntry[]): string[] {
  return missingFeatures(named(shown), named(given)).filter((name) => !DYNAMIC.has(name));
}
