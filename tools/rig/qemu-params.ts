// What QEMU's parameters of a test mean to hypertick boot: the same machine, in other words.

import { CPUID_FEATURES } from '../../src/arch/x86/cpuid.ts';
import { ON_REQUEST } from '../../src/cpu/kvm/x86/feature-choice.ts';
import type { UnitTest } from './unittests-cfg.ts';

/** Processor models that have whatever KVM offers. */
const EVERYTHING = ['max', 'host'];
/** Devices that a board has on request, by the name after `-device`. */
const DEVICES: Readonly<Record<string, readonly string[]>> = {
  edu: ['--param=board.edu=true'],
  'intel-iommu': ['--param=board.iommu=intel'],
};
/** What stands for Hyper-V's interface among the names of features. */
export const HYPER_V = 'hyper-v';
const NAMES: ReadonlySet<string> = new Set(CPUID_FEATURES.map(({ name }) => name));

/**
 * Options of `hypertick boot` with which the machine has what a test asks QEMU for, or expects of it without asking.
 * @param offered names of the features that this host's KVM offers, {@link HYPER_V} among them
 */
export function bootOptions(
  { file, qemuParams }: Pick<UnitTest, 'file' | 'qemuParams'>,
  offered: ReadonlySet<string>,
): string[] {
  const features = cpuFeatures(qemuParams, offered);
  // The hyperv-testdev comes with --test-device then.
  const hyperV = offered.has(HYPER_V) && qemuParams.some((param) => param.includes('hv_passthrough'));
  // KVM's asynchronous page faults, which every guest of QEMU sees.
  const showHypervisor = file === 'asyncpf.flat';
  const params = { ...(hyperV ? { hyperV } : {}), ...(showHypervisor ? { showHypervisor } : {}) };
  return [
    ...(features.includes('+svm') || hyperV || showHypervisor ? ['--irqchip=kernel'] : []),
    ...(features.length === 0 ? [] : [`--param=board.cpu.features=${features.join(',')}`]),
    ...Object.entries(params).map(([name, value]) => `--param=board.cpu.${name}=${value}`),
    ...devices(qemuParams),
  ];
}

/** Of `-device NAME,property=value` those of which we have the like; the properties are QEMU's own matter. */
function devices(qemuParams: readonly string[]): string[] {
  return qemuParams.flatMap((word, i) => {
    const [name = ''] = qemuParams[i - 1] === '-device' ? word.split(',') : [];
    return Object.hasOwn(DEVICES, name) ? DEVICES[name]! : [];
  });
}

/** Of `-cpu MODEL,+feature,-feature` what a guest of hypertick does not have, or lack, by itself. */
function cpuFeatures(qemuParams: readonly string[], offered: ReadonlySet<string>): string[] {
  const at = qemuParams.lastIndexOf('-cpu');
  const [model = '', ...flags] = at < 0 ? [] : (qemuParams[at + 1] ?? '').split(',');
  const named = flags
    .filter((flag) => /^[+-]/.test(flag))
    .map((flag) => ({ isShown: flag.startsWith('+'), name: flag.slice(1).replaceAll('-', '_') }));
  const shown = [
    ...(EVERYTHING.includes(model) && offered.has('la57') ? ['la57'] : []),
    ...named
      .filter(({ isShown, name }) => isShown && ON_REQUEST.includes(name) && offered.has(name))
      .map(({ name }) => name),
  ];
  const hidden = named.filter(({ isShown, name }) => !isShown && NAMES.has(name));
  return [...shown.map((name) => `+${name}`), ...hidden.map(({ name }) => `-${name}`)];
}
