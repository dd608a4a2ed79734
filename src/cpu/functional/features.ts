/**
 * The processor features of the functional CPU: which can be chosen, and a choice such as `x86-64-v2,+bmi2,-sse4_2`. Names
 * are those of /proc/cpuinfo; those of the manuals (arch/x86/cpuid.ts) are understood as well.
 */

import { CPUID_FEATURES, X86_64_LEVELS } from '../../arch/x86/cpuid.ts';
import type { Instruction } from '../../arch/x86/isa/instruction.ts';
import { fatal } from '../../sim/trouble.ts';

/** Names of the manuals that Linux spells otherwise: arch/x86/include/asm/cpufeatures.h. */
const LINUX_NAMES: Readonly<Record<string, string>> = {
  psn: 'pn',
  ds: 'dts',
  sse3: 'pni',
  eist: 'est',
  tm2: 'tm2',
  lahf: 'lahf_lm',
  cr8_legacy: 'cr8legacy',
  lzcnt: 'abm',
  prefetchw: '3dnowprefetch',
  sha: 'sha_ni',
  avx512_ifma: 'avx512ifma',
  avx512_vbmi: 'avx512vbmi',
  l1d_flush: 'flush_l1d',
};

/** What every x86-64 processor has: the first level, and what operating systems take for granted. */
const BASELINE: readonly string[] = [
  ...X86_64_LEVELS[0]!,
  ...[
    'de',
    'pse',
    'tsc',
    'msr',
    'pae',
    'apic',
    'sep',
    'pge',
    'pat',
    'clflush',
    'nx',
    'lm',
    'invariant_tsc',
    'umip',
  ],
];
/** What the operating system enables where the other is there. */
const FOLLOWS: Readonly<Record<string, string>> = { osxsave: 'xsave' };
/** Features without instructions of their own: those of another one have more to tell. */
const WITHOUT_INSTRUCTIONS: readonly string[] = ['xgetbv1'];
/** What programs take for granted with the first: it goes with the others. */
const BUILT_ON: Readonly<Record<string, readonly string[]>> = {
  sse3: ['ssse3', 'sse4_1', 'sse4_2', 'avx'],
  ssse3: ['sse4_1', 'sse4_2', 'avx'],
  sse4_1: ['sse4_2', 'avx'],
  sse4_2: ['avx'],
  xsave: ['avx', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves'],
};
const LEVEL = /^x86-64(?:-v([1-4]))?$/;

/** The name of a feature in /proc/cpuinfo. */
export function linuxName(name: string): string {
  return LINUX_NAMES[name] ?? name;
}

/** The names of the manuals by all names that are understood. */
const KNOWN: ReadonlyMap<string, string> = new Map(
  CPUID_FEATURES.flatMap(({ name }) => [
    [name, name],
    [linuxName(name), name],
  ]),
);

/** Features that the functional CPU can have, by the manuals' names: those that instructions are marked with, and two levels. */
export function implementedFeatures(instructions: readonly Instruction[]): ReadonlySet<string> {
  const marks = instructions.flatMap(({ feature, forms }) => [
    feature,
    ...forms.map(({ formFeature }) => formFeature),
  ]);
  const known = marks.flatMap((mark) => (mark === undefined ? [] : (KNOWN.get(mark) ?? [])));
  return new Set([...BASELINE, ...X86_64_LEVELS[1]!, ...known, ...WITHOUT_INSTRUCTIONS]);
}

/** Features of a processor, by the manuals' names. */
export class FeatureSet {
  readonly names: ReadonlySet<string>;

  constructor(names: Iterable<string>) {
    const all = new Set(names);
    for (const [name, other] of Object.entries(FOLLOWS)) {
      if (all.has(other)) all.add(name);
      else all.delete(name);
    }
    this.names = all;
  }

  /** Under both names, for the decoder. */
  get forDecoder(): ReadonlySet<string> {
    return new Set([...this.names].flatMap((name) => [name, linuxName(name)]));
  }

  has(name: string): boolean {
    return this.names.has(name);
  }
}

/**
 * Reads a list: a level or `max` first, then what is added and taken away.
 * @param path of the CPU, for messages
 * @throws FatalError for what is no feature, and for what the functional CPU does not have or cannot be without
 */
export function chooseFeatures(path: string, list: string, implemented: ReadonlySet<string>): FeatureSet {
  const items = list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  const [first = ''] = items;
  const hasBase = first !== '' && !/^[+-]/.test(first);
  const chosen = new Set(BASELINE);
  for (const name of baseOf(path, hasBase ? first : 'x86-64-v2', implemented)) chosen.add(name);
  for (const item of hasBase ? items.slice(1) : items) {
    if (!/^[+-]/.test(item))
      fatal(path, `features: '${item}' says neither + nor -: +${item} adds it, -${item} takes it away`);
    const name = nameOf(path, item.slice(1));
    if (item.startsWith('-') && BASELINE.includes(name))
      fatal(path, `features: ${item}: every x86-64 processor has it`);
    if (item.startsWith('-')) for (const gone of [name, ...(BUILT_ON[name] ?? [])]) chosen.delete(gone);
    else {
      require(path, item, name, implemented);
      chosen.add(name);
      for (const [base, others] of Object.entries(BUILT_ON)) if (others.includes(name)) chosen.add(base);
    }
  }
  return new FeatureSet(chosen);
}

function baseOf(path: string, base: string, implemented: ReadonlySet<string>): Iterable<string> {
  if (base === 'max') return implemented;
  const level = LEVEL.exec(base);
  if (level === null)
    fatal(
      path,
      `features: '${base}' is neither a level, x86-64 to x86-64-v4, nor 'max', nor begins with + or -`,
    );
  const names = X86_64_LEVELS.slice(0, Number(level[1] ?? 1)).flat();
  for (const name of names) require(path, base, name, implemented);
  return names;
}

function require(path: string, item: string, name: string, implemented: ReadonlySet<string>): void {
  if (!implemented.has(FOLLOWS[name] ?? name))
    fatal(path, `features: ${item}: the functional CPU does not have ${linuxName(name)}`);
}

function nameOf(path: string, text: string): string {
  const spelt = text.toLowerCase().replaceAll(/[.-]/g, '_');
  return KNOWN.get(spelt) ?? fatal(path, `features: no processor feature is called '${text}'`);
}
