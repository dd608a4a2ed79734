// FeatureChoice: what a user takes from the processor that a guest sees, or adds to it: "+svm,-avx2", as in QEMU's
// `-cpu host,+svm,-avx2`. Names are those of arch/x86/cpuid.ts.

import { CPUID_FEATURES, featuresOf, withoutFeatures } from '../../../arch/x86/cpuid.ts';
import { Xcr0 } from '../../../arch/x86/registers.ts';
import type { CpuidEntry } from '../../../host/kvm/vcpu.ts';
import { fatal } from '../../../sim/trouble.ts';
import { type Leaf, named, unnamed } from './cpuid-names.ts';

export interface FeatureChoice {
  /** Features of {@link ON_REQUEST}, or such as are shown anyway. */
  readonly shown: readonly string[];
  readonly hidden: readonly string[];
}

/**
 * Features that the host may have and the guest does not get unless asked for: state that no thread context holds,
 * and transactions, which no simulated CPU model would abort alike.
 */
export const HIDDEN: readonly string[] = `
  vmx svm smx sgx skinit intel_pt pdcm dtes64 ds_cpl ds monitor monitorx hle rtm tsxldtrk mpx la57
  cet_ss cet_ibt uintr kl pks enqcmd pconfig amx_bf16 amx_tile amx_int8 amx_fp16 xfd lam lwp ibs
  waitpkg osxsave ospke
`
  .trim()
  .split(/\s+/);

/**
 * Features that guests get if they are asked for. `svm`: the guest can be a hypervisor, what KVM keeps of its guests is saved
 * too; `la57`: five levels of page tables, which no simulated CPU model walks.
 */
export const ON_REQUEST: readonly string[] = ['svm', 'la57'];

const AVX = ['avx2', 'fma', 'f16c', 'vaes', 'vpclmulqdq', 'avx_vnni', 'avx_ifma', 'fma4', 'xop'];
const AVX512 = CPUID_FEATURES.map(({ name }) => name).filter((name) => name.startsWith('avx512'));
/** What means nothing without the feature. SDM vol. 1 §14.3 and §15.2, AMD's APM vol. 3 appendix D. */
const BUILT_ON: Readonly<Record<string, readonly string[]>> = {
  svm: ['skinit'],
  xsave: ['avx', 'pku', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves', ...AVX, ...AVX512],
  avx: [...AVX, ...AVX512],
  avx2: AVX512,
  avx512f: AVX512,
};

const XSAVE_LEAF = 0xd;
/** State components of features. SDM vol. 1 §13.1. */
const COMPONENTS: readonly (readonly [feature: string, mask: number])[] = [
  ['avx', Xcr0.AVX],
  ['avx512f', Xcr0.AVX512],
  ['pku', Xcr0.PKRU],
];

function parse(path: string, list: string): FeatureChoice {
  const choice = { shown: [] as string[], hidden: [] as string[] };
  for (const item of list.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    if (!/^[+-]/.test(item))
      fatal(path, `features: '${item}' says neither + nor -: +${item} shows it, -${item} hides it`);
    const name = item.slice(1).toLowerCase().replaceAll(/[.-]/g, '_');
    if (!CPUID_FEATURES.some((feature) => feature.name === name))
      fatal(path, `features: no processor feature is called '${item.slice(1)}'${alike(name)}`);
    choice[item.startsWith('+') ? 'shown' : 'hidden'].push(name);
  }
  return choice;
}

function alike(name: string): string {
  const near = CPUID_FEATURES.map((feature) => feature.name)
    .filter((known) => known.includes(name) || name.includes(known))
    .slice(0, 6);
  return near.length === 0 ? '' : `; there are ${near.join(', ')}`;
}

/** A processor without the features that are to be hidden, those built on them, and their extended state. */
export function withoutHidden(
  entries: readonly CpuidEntry[],
  { hidden }: Pick<FeatureChoice, 'hidden'>,
): CpuidEntry[] {
  const names = new Set(hidden.flatMap((name) => [name, ...(BUILT_ON[name] ?? [])]));
  const lost = COMPONENTS.filter(([feature]) => names.has(feature)).reduce((mask, [, of]) => mask | of, 0);
  const isLost = ({ leaf, subleaf }: Leaf): boolean =>
    leaf === XSAVE_LEAF &&
    (names.has('xsave') || (subleaf >= 2 && subleaf < 32 && ((lost >>> subleaf) & 1) === 1));
  return (withoutFeatures(named(entries), [...names]) as Leaf[])
    .filter((entry) => !isLost(entry))
    .map((entry) =>
      unnamed(
        entry.leaf === XSAVE_LEAF && entry.subleaf === 0 ? { ...entry, eax: entry.eax & ~lost } : entry,
      ),
    );
}

/** What decides whether a feature can be shown. */
export interface FeatureHost {
  /** KVM_GET_SUPPORTED_CPUID */
  readonly supportedCpuid: readonly CpuidEntry[];
  /** Whether the interrupt controllers are the kernel's. */
  readonly hasIrqchip: boolean;
  /** KVM_CAP_NESTED_STATE */
  readonly hasNestedState: boolean;
}

/**
 * Reads a list such as `+svm,-avx2`.
 * @param path of the CPU, for messages
 * @throws FatalError for what is no feature, and for what this machine cannot show
 */
export function chooseFeatures(
  path: string,
  list: string,
  { supportedCpuid, hasIrqchip, hasNestedState }: FeatureHost,
): FeatureChoice {
  const choice = parse(path, list);
  const offered = new Set(featuresOf(named(supportedCpuid)));
  for (const name of choice.shown) {
    if (HIDDEN.includes(name) && !ON_REQUEST.includes(name))
      fatal(path, `features: +${name}: guests do not get that by choice`);
    if (choice.hidden.includes(name)) fatal(path, `features: both +${name} and -${name}`);
    if (!offered.has(name)) fatal(path, `features: +${name}: this host's KVM does not offer it`);
    if (name === 'svm' && !hasIrqchip)
      fatal(path, "features: +svm: KVM wants its own interrupt controllers for that: use irqchip 'kernel'");
    if (name === 'svm' && !hasNestedState)
      fatal(path, 'features: +svm: this KVM lacks KVM_CAP_NESTED_STATE (use Linux 5.8 or later)');
  }
  return choice;
}
